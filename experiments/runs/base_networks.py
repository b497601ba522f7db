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

from experiments.design.experiment import Experiment
from experiments.runs.progress import Progress
from experiments.storage.files import digest, locked, write
from experiments.storage.records import Arrays, Json
from models.network import Network, build, first
from models.pretraining import excess_nats, pretrain
from theory.compute.devices import compiler_options
from theory.errors import Misuse
from theory.latent.mixture import Mixture, Uninformed

QUALITY_DOCUMENTS, QUALITY_SEED = 4096, 2**31


@dataclass(frozen=True)
class BaseNetworks:
    """A folder of base networks."""

    folder: Path

    def pretrained(
        self, experiment: Experiment, progress: Progress, meanwhile: Callable[[], None] = lambda: None
    ) -> Network:
        """The base networks of an experiment, stacked along seeds: from disk, or trained and kept.

        If they are trained, `meanwhile` runs beside it as soon as training is traced.
        """
        description = describe(experiment)
        path = self.path(description)
        template = self.template(experiment)
        if not path.exists():
            with locked(self.folder, f"{path.stem}.lock", wait=True):
                if not path.exists():
                    self._train(experiment, description, path, progress, meanwhile)
        tensors, _ = _load(path)
        return template.with_params(_fill(template.params, tensors))

    def path(self, description: Json) -> Path:
        """Where the networks of this description lie."""
        return self.folder / f"{digest(description)}.safetensors"

    def quality(self, experiment: Experiment) -> Json:
        """Excess over the exact predictor (nats) of every base network, as measured after training, their
        mean,
        and the excess of a predictor that never infers the hypothesis of a document."""
        networks = json.loads(_load(self.path(describe(experiment)))[1]["json"])["quality"]
        return {
            "networks": networks,
            "mean": float(np.mean([network["mean"] for network in networks])),
            "first_answer": float(np.mean([network["first_answer"] for network in networks])),
            "uninformed": uninformed_nats(experiment.process.distribution()),
        }

    def template(self, experiment: Experiment) -> Network:
        """An untrained network of the experiment's shape."""
        process = experiment.process
        built = build(experiment.shape, process.vocabulary, process.length, [0])
        return first(jax.tree.map(np.asarray, built))

    def _train(
        self,
        experiment: Experiment,
        description: Json,
        path: Path,
        progress: Progress,
        meanwhile: Callable[[], None],
    ) -> None:
        process, seeds = experiment.process, tuple(description["seeds"])
        checkpoint = path.with_name(f"{path.stem}.checkpoint.safetensors")

        def restore(template: Params) -> tuple[int, PyTree] | None:
            if not checkpoint.exists():
                return None
            tensors, metadata = _load(checkpoint)
            return int(metadata["step"]), _fill(template, tensors)

        exact = process.distribution()
        runs = pretrain(
            exact,
            experiment.shape,
            experiment.pretraining,
            seeds,
            process.vocabulary,
            process.length,
            restore,
            threading.Thread(target=meanwhile, daemon=True).start,
        )
        state: PyTree = None
        with progress.training(experiment.pretraining.steps) as show:
            for now in runs:
                state = now.state
                lost = np.flatnonzero(~np.isfinite(now.loss + now.excess)).tolist()
                if lost:
                    raise Misuse(
                        f"Pretraining diverged by step {now.step}: the loss of networks {lost} is not "
                        "finite; use a smaller pretraining.rate."
                    )
                show(now.step, now.loss, now.excess)
                if now.step < experiment.pretraining.steps:
                    _save(checkpoint, state, {"step": str(now.step)})
        params = jax.tree.map(lambda leaf: np.asarray(leaf)[: len(seeds)], state[0])
        template = self.template(experiment)
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


def describe(experiment: Experiment) -> Json:
    """The part of an experiment that determines its base networks."""
    return {
        "process": {"kind": type(experiment.process).__name__, **asdict(experiment.process)},
        "shape": asdict(experiment.shape),
        "pretraining": asdict(experiment.pretraining),
        "seeds": [experiment.seed * 1000 + index for index in range(experiment.base_seeds)],
    }


def _names(tree: Params) -> list[str]:
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def _fill(template: Params, tensors: Arrays) -> Params:
    """The template's tree with the stored arrays as leaves."""
    names = _names(template)
    if set(names) != set(tensors):
        raise Misuse("A stored network has other weights than its description says; delete it and run again.")
    return jax.tree.unflatten(jax.tree.structure(template), [tensors[name] for name in names])


def _save(path: Path, tree: Params, metadata: dict[str, str]) -> None:
    tensors = dict(zip(_names(tree), map(np.ascontiguousarray, jax.tree.leaves(tree)), strict=True))
    write(path, lambda file: file.write(safetensors.numpy.save(tensors, metadata)))


def _load(path: Path) -> tuple[Arrays, dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (safetensors.SafetensorError, struct.error, ValueError, KeyError) as error:
        raise Misuse(f"{path} is damaged ({error}); delete it and run again.") from error
