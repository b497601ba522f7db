"""Base networks on disk, named by what made them, so that studies share them and a killed run goes on.

`HASH.safetensors` holds the networks of all seeds side by side (a leading seed axis) with their description
and measured quality; `HASH.checkpoint.safetensors` holds the state between two chunks of an unfinished run.
"""

import dataclasses
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
from experiments.own_files import digest_of
from experiments.runs.pretraining import NetworkQuality, Quality, measure, template, train, uninformed_nats
from experiments.runs.progress import Progress
from experiments.storage.files import digest, locked, write
from experiments.storage.records import Arrays, Json
from models.network import Network
from theory.base import Params, PyTree
from theory.errors import Misuse


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
        path = self.path(experiment)
        if not path.exists():
            with locked(self.folder, f"{path.stem}.lock", wait=True):
                if not path.exists():
                    self._train(experiment, path, progress, meanwhile)
        tensors, _ = _load(path)
        untrained = template(experiment.process, experiment.shape)
        return untrained.with_params(_fill(untrained.params, tensors))

    def path(self, experiment: Experiment) -> Path:
        """The file of an experiment's base networks."""
        return self.folder / f"{digest(describe(experiment))}.safetensors"

    def quality(self, experiment: Experiment) -> Quality:
        """Distance of the base networks from the exact predictor, as measured after training."""
        stored = json.loads(_load(self.path(experiment))[1]["json"])["quality"]
        networks = [{**network, "by_position": tuple(network["by_position"])} for network in stored]
        uninformed = uninformed_nats(experiment.process.distribution())
        return Quality(tuple(NetworkQuality(**network) for network in networks), uninformed)

    def _train(
        self, experiment: Experiment, path: Path, progress: Progress, meanwhile: Callable[[], None]
    ) -> None:
        description = describe(experiment)
        checkpoint = path.with_name(f"{path.stem}.checkpoint.safetensors")

        def restore(template: PyTree) -> tuple[int, PyTree] | None:
            if not checkpoint.exists():
                return None
            tensors, metadata = _load(checkpoint)
            return int(metadata["step"]), _fill(template, tensors)

        params = train(
            experiment.process,
            experiment.shape,
            experiment.pretraining,
            description["seeds"],
            progress,
            restore=restore,
            save=lambda step, state: _save(checkpoint, state, {"step": str(step)}),
            compiling=threading.Thread(target=meanwhile, daemon=True).start,
        )
        networks = template(experiment.process, experiment.shape).with_params(params)
        measured = measure(experiment.process.distribution(), networks, description["seeds"])
        record = {
            "description": description,
            "quality": [dataclasses.asdict(quality) for quality in measured],
        }
        # one entry: the format does not keep the order of several
        _save(path, params, {"json": json.dumps(record)})
        checkpoint.unlink(missing_ok=True)


def describe(experiment: Experiment) -> Json:
    """The part of an experiment that determines its base networks; an own process counts by its file."""
    process: Any = experiment.process  # a dataclass of plain fields
    file = digest_of(type(process))
    return {
        "process": {"kind": type(process).__name__, **asdict(process)} | ({"file": file} if file else {}),
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
