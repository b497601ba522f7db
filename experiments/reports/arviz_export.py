"""The watched samples of posteriors as ArviZ data (extra `export`). No jax.

Every posterior (of a theory and temperature, at a time τ, for one D' and base network) is data of its own,
as posteriors have different numbers of chains: a group `posterior` with the site `log_prob` (chain, draw,
observable). An observable is the log-probability (nats) of the first answer in one of the contexts.
"""

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.discovery import choose
from experiments.storage.records import Cell, Ladder
from experiments.storage.run import Run
from theory.errors import Misuse


def to_arviz(run: Run, theory: str = "") -> dict[str, Any]:
    """ArviZ data by the name of the posterior: of all, or of one theory's."""
    try:
        arviz: Any = importlib.import_module("arviz")  # optional
    except ImportError:
        raise Misuse(
            "to_arviz needs ArviZ, which is not installed; pip install 'finebayes[export]'."
        ) from None
    ladders = [
        (cell, ladder)
        for cell in run.cells("posteriors")
        if (content := run.posteriors(cell))
        for ladder in content.ladders
        if ladder.extra and "samples" in ladder.extra
    ]
    if not ladders:
        raise Misuse(
            f"{run.study} has no sampled posteriors; run a study that samples, or with "
            "sampling={'temperatures': (0.001,)}."
        )
    if theory:
        choose("sampled theory", theory, dict.fromkeys(ladder.theory for _, ladder in ladders))
    return {
        name: _data(arviz, samples, names, attributes)
        for cell, ladder in ladders
        if theory in ("", ladder.theory)
        for names in [_observables(run, cell)]
        for name, samples, attributes in _posteriors(cell, ladder)
    }


def _posteriors(cell: Cell, ladder: Ladder) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
    """Name, samples (chains, draws, observables) and attributes of every posterior of a ladder."""
    assert ladder.extra is not None and ladder.times is not None and ladder.problems is not None
    for seed, rungs in enumerate(ladder.extra["samples"]):
        for rung, samples in enumerate(rungs):
            chains = int(ladder.extra["chains"][seed, rung])
            time = float(ladder.times[rung])
            name = f"{ladder.theory}, {ladder.prior}, tau={time:g}, {cell.arm}, base {cell.base}, seed {seed}"
            attributes = {
                "theory": ladder.theory,
                "prior": ladder.prior,
                "tau": time,
                "beta": float(ladder.betas[rung]),
                "data": cell.arm,
                "base": cell.base,
                "seed": seed,
                "problems": str(ladder.problems[seed, rung]),
            }
            yield name, samples[:chains], attributes


def _observables(run: Run, cell: Cell) -> list[str]:
    """A name for each watched context, in their order."""
    content = run.theories(cell)
    if content is None:
        return []
    contexts = content.contexts
    first = contexts.answers[0]
    return [
        f"{index}: {first} after {question} ({group})"
        for index, (group, question) in enumerate(zip(contexts.group, contexts.questions, strict=True))
    ]


def _data(arviz: Any, samples: np.ndarray, names: list[str], attributes: dict[str, Any]) -> Any:
    """Named observables alone, where names are known: others fill up a program's rows."""
    if names:
        names, samples = names[: samples.shape[-1]], samples[..., : len(names)]
    sites = {"log_prob": samples}
    more = {
        "dims": {"log_prob": ["observable"]},
        "coords": {"observable": names or list(range(samples.shape[-1]))},
    }
    if int(arviz.__version__.partition(".")[0]) < 1:
        data = arviz.from_dict(posterior=sites, **more)
    else:
        data = arviz.from_dict({"posterior": sites}, **more)
    data["posterior"].attrs.update(attributes)
    return data
