"""Base networks on disk, named by what made them, so that studies share them and a killed run goes on.

`HASH.safetensors` holds the networks of all seeds side by side (a leading seed axis) with their description
and measured quality; `HASH.checkpoint.safetensors` holds the state between two chunks of an unfinished run.
"""

import functools
import json
import struct
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy

from experiments.runs.progress import Progress
from experiments.storage.run_folder import digest, locked, write
from models.network import Network, build, first
from models.pretraining import excess_nats, pretrain
from theory.compute.devices import compiler_options
from theory.errors import Misuse
from theory.latent.mixture import Mixture, Uninformed

QUALITY_DOCUMENTS, QUALITY_SEED = 4096, 2**31


@dataclass(frozen=True)
class Networks:
    """A folder of base networks."""

    folder: Path

    def pretrained(
        self, comparison: Any, progress: Progress, meanwhile: Callable[[], None] = lambda: None
    ) -> Network:
        """The base networks of a comparison, stacked along seeds: from disk, or trained and kept.

        If they are trained, `meanwhile` runs beside it as soon as training is traced.
        """
        description = describe(comparison)
        path = self.path(description)
        template = self.template(comparison)
        if not path.exists():
            with locked(self.folder, f"{path.stem}.lock", wait=True):
                if not path.exists():
                    self._train(comparison, description, path, progress, meanwhile)
        tensors, _ = _load(path)
        return template.with_params(_fill(template.params, tensors))

    def path(self, description: dict[str, Any]) -> Path:
        """Where the networks of this description lie."""
        return self.folder / f"{digest(description)}.safetensors"

    def quality(self, description: dict[str, Any]) -> list[dict[str, Any]]:
        """Excess over the exact predictor (nats) of each seed, as measured after training."""
        return json.loads(_load(self.path(description))[1]["json"])["quality"]

    def template(self, comparison: Any) -> Network:
        """An untrained network of the comparison's shape."""
        process = comparison.process
        built = build(comparison.shape, process.vocabulary, process.length, [0])
        return first(jax.tree.map(np.asarray, built))

    def _train(
        self, comparison: Any, description: Any, path: Path, progress: Progress, meanwhile: Callable[[], None]
    ) -> None:
        process, seeds = comparison.process, tuple(description["seeds"])
        checkpoint = path.with_name(f"{path.stem}.checkpoint.safetensors")

        def restore(template: Any) -> tuple[int, Any] | None:
            if not checkpoint.exists():
                return None
            tensors, metadata = _load(checkpoint)
            return int(metadata["step"]), _fill(template, tensors)

        exact = process.distribution()
        runs = pretrain(
            exact,
            comparison.shape,
            comparison.pretraining,
            seeds,
            process.vocabulary,
            process.length,
            restore,
            threading.Thread(target=meanwhile, daemon=True).start,
        )
        state: Any = None
        with progress.training(comparison.pretraining.steps) as show:
            for now in runs:
                state = now.state
                lost = np.flatnonzero(~np.isfinite(now.loss + now.excess)).tolist()
                if lost:
                    raise Misuse(
                        f"Pretraining lost its way by step {now.step}: the loss of networks {lost} is not "
                        "finite; use a smaller pretraining_rate."
                    )
                show(now.step, now.loss, now.excess)
                if now.step < comparison.pretraining.steps:
                    _save(checkpoint, state, {"step": str(now.step)})
        params = jax.tree.map(lambda leaf: np.asarray(leaf)[: len(seeds)], state[0])
        template = self.template(comparison)
        tokens = _quality_documents(exact)
        measure = jax.jit(excess_nats, compiler_options=compiler_options())
        quality = []
        for row in range(len(seeds)):
            network = template.with_params(jax.tree.map(lambda leaf: leaf[row], params))  # noqa: B023
            by_position = np.asarray(measure(exact, network, tokens), float)
            quality.append(
                {
                    "seed": int(seeds[row]),
                    "mean": float(by_position.mean()),
                    "first_answer": float(by_position[1]),
                    "by_position": by_position.round(6).tolist(),
                }
            )
        told = {"description": description, "quality": quality}
        _save(path, params, {"json": json.dumps(told)})  # one entry: the format does not keep their order
        checkpoint.unlink(missing_ok=True)


def uninformed_nats(process: Mixture) -> float:
    """The excess of `Uninformed` (nats, mean over positions): what there is to learn from context."""
    tokens = _quality_documents(process)[: QUALITY_DOCUMENTS // 8]
    return float(np.mean(jax.jit(excess_nats)(process, Uninformed(process), tokens)))


def _quality_documents(process: Mixture) -> Any:
    return _sampler()(process)


@functools.cache
def _sampler() -> Any:
    def draw(process: Mixture) -> Any:
        return process.sample(jax.random.key(QUALITY_SEED), QUALITY_DOCUMENTS)

    return jax.jit(draw, compiler_options=compiler_options())


def describe(comparison: Any) -> dict[str, Any]:
    """The part of a comparison that determines its base networks."""
    return {
        "process": {"kind": type(comparison.process).__name__, **asdict(comparison.process)},
        "shape": asdict(comparison.shape),
        "pretraining": asdict(comparison.pretraining),
        "seeds": [comparison.seed * 1000 + index for index in range(comparison.base_seeds)],
    }


def _names(tree: Any) -> list[str]:
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def _fill(template: Any, tensors: dict[str, np.ndarray]) -> Any:
    """The template's tree with the stored arrays as leaves."""
    names = _names(template)
    if set(names) != set(tensors):
        raise Misuse("A stored network has other weights than its description says; delete it and run again.")
    return jax.tree.unflatten(jax.tree.structure(template), [tensors[name] for name in names])


def _save(path: Path, tree: Any, metadata: dict[str, str]) -> None:
    tensors = dict(zip(_names(tree), map(np.ascontiguousarray, jax.tree.leaves(tree)), strict=True))
    write(path, lambda file: file.write(safetensors.numpy.save(tensors, metadata)))


def _load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (safetensors.SafetensorError, struct.error, ValueError, KeyError) as error:
        raise Misuse(f"{path} is damaged ({error}); delete it and run again.") from error
