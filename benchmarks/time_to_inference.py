"""Seconds until a base network has learnt 0.95 of inference, against the same transformer in PyTorch eager.

    python -m benchmarks.time_to_inference

The demo's process and network, one network at a time, by turns. Ours is pretraining as it is by default, its
measurements included. PyTorch starts from the same weights, with AdamW (fused, b2 0.99), an embedding lookup
and `scaled_dot_product_attention`; its documents are drawn before, and neither that nor its measurements are
timed. Its step size rises over a twentieth of the steps. Its targets are the tokens that were drawn, as
everybody trains, with a step size that falls to 0 on a line over as many steps as it needs; or the exact
probabilities, as ours, at a constant step size. The first ratio is what a user gains, the second what
implementation, optimizer and averaging do.

`RECIPES` has the best of these, tried on one network with AdamW in jax, which makes the same steps sooner;
with `--rates 0.002 0.003 0.005` PyTorch repeats them:

    tokens   over 16 000 steps              0.002: .946   0.003: .954   0.005: .907
             over 8000 steps                0.001: .735   0.003: .769   0.01: .629
    exact    steps until 0.95               0.007: over 1450   0.01: 1550   0.014: over 1900
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from benchmarks import _torch_reference
from benchmarks._timing import row
from experiments.studies import weird_generalisation as study
from models.network import build, first
from models.pretraining import DATA_STREAM, HELD, HELD_STREAM, excess_nats, pretrain, stream
from theory.latent.mixture import Uninformed

CHUNK = 50
RECIPES = {
    "tokens": (0.003, 16_000, 0.0),
    "exact": (0.01, 4000, 1.0),
}  # rate, most steps, its part at the end


def measure(
    seconds: float = 15.0,
    wanted: float = 0.95,
    rounds: int = 2,
    targets: tuple[str, ...] = tuple(RECIPES),
    rates: tuple[float, ...] = (),
) -> list[dict[str, Any]]:
    """Our seconds, and PyTorch's over ours; or PyTorch's share of inference at several `rates`. `seconds` is
    of no use here."""
    experiment = study.experiment(study.PRESETS["small"])
    try:
        import torch
    except ImportError:
        torch = None
    if rates and torch:
        return [
            row(f"{kind}, rate {rate:g}, after {taken:.0f} s", learnt, "learnt")
            for kind in targets
            for rate in rates
            for taken, learnt in [_theirs(torch, experiment, kind, wanted, rate)]
        ]
    taken: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        taken.setdefault("ours", []).append(_ours(experiment, wanted))
        for kind in targets if torch else ():
            taken.setdefault(kind, []).append(_theirs(torch, experiment, kind, wanted))
    ours, compiling = np.transpose(taken["ours"])
    rows = [
        row(f"ours, {wanted:g} of inference", ours, "s"),
        row("ours, compilation", compiling, "s"),
    ]
    if torch is None:
        return [*rows, row("skipped: PyTorch is not installed (pip install torch)", None, "")]
    for kind in targets:
        theirs, learnt = np.transpose(taken[kind])
        name = f"PyTorch {torch.__version__}, {kind}"
        reached = f"{wanted:g}" if learnt.min() >= wanted else f"only {np.median(learnt):.3f}"
        rows.append(row(f"{name}, {reached} of inference", theirs, "s"))
        rows.append(row(f"ours against {name}", ours, "s", name, theirs / ours, "≥ 5"))
        whole = ours + compiling
        rows.append(row("the same, compilation included", whole, "s", name, theirs / whole))
    return rows


def _ours(experiment: Any, wanted: float) -> tuple[float, float]:
    """Seconds of training, measurements included, and of tracing and compilation with the first chunk."""
    process = experiment.process
    sizes, start = (process.vocabulary, process.length), time.perf_counter()
    chunks = pretrain(process.distribution(), experiment.shape, experiment.pretraining, (0,), *sizes)
    next(chunks)
    compiled = time.perf_counter()
    chunk = next(chunk for chunk in chunks if chunk.learnt.min() >= wanted)
    training = time.perf_counter() - compiled
    first_chunk = training / (chunk.step / experiment.pretraining.chunk - 1)
    return training + first_chunk, compiled - start - first_chunk


@dataclass(frozen=True)
class _Documents:
    """The documents of a process for PyTorch, with their exact probabilities."""

    process: Any
    batch: int

    def chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Tokens (step, n, t) and probabilities (step, n, t, v) of chunks of steps."""
        draw, start = jax.jit(self._draw), 0
        while True:
            yield tuple(np.asarray(part) for part in draw(start))  # pyright: ignore[reportReturnType]
            start += CHUNK

    def _draw(self, start: Any) -> tuple[Any, Any]:
        def one_step(step: Any) -> tuple[Any, Any]:
            tokens = self.process.sample(stream(0, DATA_STREAM, step), self.batch)
            return tokens, jax.numpy.exp(self.process.predict(tokens))

        return jax.lax.map(one_step, start + jax.numpy.arange(CHUNK))


def _theirs(
    torch: Any, experiment: Any, targets: str, wanted: float, rate: float | None = None
) -> tuple[float, float]:
    """Seconds of PyTorch's steps, and the share of inference learnt in the end."""
    torch.set_num_threads(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    process, shape, (best, steps, end) = experiment.process, experiment.shape, RECIPES[targets]
    rate = rate or best
    exact = process.distribution()
    network = first(build(shape, process.vocabulary, process.length, [0]))
    weights = _torch_reference.weights(torch, network)
    optimizer = torch.optim.AdamW(weights.values(), lr=rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    held = exact.sample(stream(0, HELD_STREAM, 0), HELD)
    answers = torch.tensor(np.asarray(exact.predict(held)))
    uninformed = float(np.mean(excess_nats(exact, Uninformed(exact), held)))

    def cross_entropy(tokens: Any, probabilities: Any) -> Any:
        scores = _torch_reference.logits(torch, weights, tokens, shape.layers, shape.heads)
        return torch.nn.functional.cross_entropy(scores.flatten(0, 1), probabilities.flatten(0, 1))

    def excess() -> float:
        entropy = -torch.xlogy(answers.exp(), answers.exp()).sum(-1).mean()
        with torch.no_grad():
            return float(cross_entropy(torch.tensor(np.asarray(held, np.int64)), answers.exp()) - entropy)

    np.testing.assert_allclose(excess(), np.mean(excess_nats(exact, network, held)), atol=1e-4)
    taken, learnt = 0.0, -np.inf
    documents = _Documents(exact, experiment.pretraining.batch).chunks()
    for begin in range(0, steps, CHUNK):
        tokens, probabilities = map(torch.tensor, next(documents))
        tokens, start = tokens.long(), time.perf_counter()
        for index in range(min(CHUNK, steps - begin)):
            step = begin + index
            part = min(1, (step + 1) / (steps // 20)) * (1 - (1 - end) * step / steps)
            optimizer.param_groups[0]["lr"] = rate * part
            loss = cross_entropy(tokens[index], (tokens if targets == "tokens" else probabilities)[index])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        taken += time.perf_counter() - start
        learnt = 1 - excess() / uninformed
        if learnt >= wanted:
            break
    return taken, learnt


if __name__ == "__main__":
    from benchmarks._alone import alone

    alone(measure, "time_to_inference")
