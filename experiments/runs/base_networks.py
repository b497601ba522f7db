"""Base networks on disk, named by what made them, so that studies share them and a killed run goes on.

`HASH.safetensors` holds the networks of all seeds side by side (a leading seed axis) with their description,
which includes the code of the process and of the training, their measured quality and the digest of their
weights; `HASH.checkpoint.safetensors` holds the state between two chunks of an unfinished run. Whoever
trains them holds the claim `HASH`.

Networks that differ in `until_learnt` alone are those of one training that ends sooner or later. So
`HASH.end.safetensors` holds the state at the end of the longest one, its hash that of the description without
the share, and a training to a larger share goes on from there, to the bytes of one from the start. That holds
until networks are first looked at for a stall, which depends on the share that is wanted.
"""

import functools
import json
import struct
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import safetensors
import safetensors.numpy

from experiments.design.experiment import Experiment
from experiments.runs.code_digests import network_code
from experiments.runs.pretraining import measure, template, train
from experiments.runs.progress import Progress
from experiments.storage.archive import digest_arrays
from experiments.storage.claims import Claims
from experiments.storage.files import check_regular, digest, parse_json, sweep, write
from experiments.storage.manifests import NetworkQuality, Quality
from experiments.storage.records import Arrays, Json
from experiments.storage.typed import typed
from models.network import Network
from models.optimizers.stalls import PATIENCE
from models.pretraining import Chunk
from theory.base import Params, PyTree
from theory.compute.devices import padded
from theory.errors import Misuse

RecordT = TypeVar("RecordT", "NetworkRecord", "CheckpointRecord", "EndRecord")
GLANCE = 0.5  # seconds between two looks at networks that another process trains
ROUNDING = 1e-4, 0.01  # nats, and share: by how much a network's excess may differ where it is measured again
STALLS = (
    2 * PATIENCE
)  # steps after which a network may have stalled: a first look has nothing to compare with


@dataclass(frozen=True)
class NetworkRecord:
    """The description of the networks of a file, their quality, and the digest of their weights."""

    description: dict[str, Any]
    quality: tuple[NetworkQuality, ...]
    weights: str


@dataclass(frozen=True)
class CheckpointRecord:
    """The description of the networks that are trained, the step, and the digest of the state."""

    description: dict[str, Any]
    step: int
    weights: str


@dataclass(frozen=True)
class EndRecord:
    """The description, but for the share `until_learnt` at which training ended, of networks that may go on
    from there to a larger one; the step, the share that each has `learnt` by the documents of the last chunk,
    their quality, and the digest of the state."""

    description: dict[str, Any]
    until_learnt: float
    step: int
    learnt: tuple[float, ...]
    quality: tuple[NetworkQuality, ...]
    weights: str


@dataclass(frozen=True)
class BaseNetworks:
    """A folder of base networks."""

    folder: Path

    def pretrained(
        self, experiment: Experiment, progress: Progress, meanwhile: Callable[[], None] = lambda: None
    ) -> Network:
        """The base networks of an experiment, stacked along seeds: from disk, or trained and kept; waits for
        another process that trains them.

        If they are trained, `meanwhile` runs beside it as soon as training is traced. If they are not, their
        excess is measured again: networks of another process are refused.
        """
        while (networks := self.attempt(experiment, progress, meanwhile)) is None:
            time.sleep(GLANCE)
        return networks

    def attempt(
        self, experiment: Experiment, progress: Progress, meanwhile: Callable[[], None] = lambda: None
    ) -> Network | None:
        """The same, but None while another process trains them."""
        path = self.path(experiment)
        if path.exists():  # a run that was killed as soon as they were written leaves files and a claim
            _checkpoint(path).unlink(missing_ok=True)
            sweep(self.folder, path.stem)
            self._claims.tidy(path.stem)
        else:
            claim = self._claims.take(path.stem)
            if claim is None:
                return None
            with claim:
                if not path.exists():
                    self._train(experiment, path, progress, meanwhile)
                    return self.load(experiment)
        networks = self.load(experiment)
        self._refuse_other_excess(experiment, networks)
        return networks

    def is_free(self, experiment: Experiment) -> bool:
        """Whether nobody seems to train the base networks of an experiment now."""
        return self.path(experiment).stem not in self.names()

    def names(self) -> set[str]:
        """The names of the networks that somebody seems to train now."""
        return self._claims.names()

    def load(self, experiment: Experiment) -> Network:
        """The base networks on disk, as they were trained."""
        tensors, _ = self._read(experiment)
        path, untrained = self.path(experiment), template(experiment.process, experiment.shape)
        return untrained.with_params(_fill(path, untrained.params, tensors, (experiment.base_seeds,)))

    def path(self, experiment: Experiment) -> Path:
        """The file of an experiment's base networks."""
        return self.folder / f"{digest(describe(experiment))}.safetensors"

    def quality(self, experiment: Experiment) -> Quality:
        """Distance of the base networks from the exact predictor, as measured after training."""
        return Quality(self._read(experiment)[1].quality)

    @functools.cached_property
    def _claims(self) -> Claims:
        return Claims(self.folder)

    def _read(self, experiment: Experiment) -> tuple[Arrays, NetworkRecord]:
        path = self.path(experiment)
        tensors, record = _load(path, NetworkRecord)
        if record.description != _plain(describe(experiment)):
            raise Misuse(f"{path} holds networks of another description; delete it and run again.")
        return tensors, record

    def _refuse_other_excess(self, experiment: Experiment, networks: Network) -> None:
        """Measure networks from disk again, and refuse those that differ beyond rounding from what was
        measured after their training."""
        seeds = describe(experiment)["seeds"]
        stored = self._read(experiment)[1].quality
        measured = measure(experiment.process.distribution(), networks, seeds, stored[0].steps)
        for before, now in zip(stored, measured, strict=True):
            if not abs(now.mean - before.mean) <= ROUNDING[0] + ROUNDING[1] * before.mean:
                raise Misuse(
                    f"{self.path(experiment)} says that network {before.seed} is {before.mean:.4f} nats from "
                    f"the exact predictor, but it is {now.mean:.4f}: what makes the process or the network "
                    "has changed; delete the file and run again, or choose other --networks."
                )

    def _train(
        self, experiment: Experiment, path: Path, progress: Progress, meanwhile: Callable[[], None]
    ) -> None:
        description, recipe = describe(experiment), experiment.pretraining
        checkpoint, earlier = _checkpoint(path), self._earlier_end(experiment)
        sweep(self.folder, path.stem)

        def restore(template: PyTree) -> tuple[int, PyTree] | None:
            if checkpoint.exists():
                tensors, record = _load(checkpoint, CheckpointRecord)
                if record.description != _plain(description) or not 0 < record.step < recipe.steps:
                    raise Misuse(f"{checkpoint} is of another training; delete it and run again.")
                return record.step, _fill(checkpoint, template, tensors)
            if earlier is None:
                return None
            tensors, record = earlier
            rows = padded(experiment.base_seeds)
            tensors = {name: tensor[rows] for name, tensor in tensors.items()}
            progress.say(f"base networks go on from step {record.step}, where they had learnt enough before")
            return record.step, _fill(self.end_path(experiment), template, tensors)

        def ended(chunk: Chunk, quality: tuple[NetworkQuality, ...]) -> None:
            is_longest = earlier is None or earlier[1].step < chunk.step
            if recipe.is_learnt(chunk.learnt) and chunk.step < min(STALLS, recipe.steps) and is_longest:
                state = jax.tree.map(lambda leaf: np.asarray(leaf)[: experiment.base_seeds], chunk.state)
                record = {"until_learnt": recipe.until_learnt, "step": chunk.step}
                record |= {"learnt": chunk.learnt.tolist(), "quality": list(map(asdict, quality))}
                _save(self.end_path(experiment), state, {"description": _but_for_share(description)} | record)

        if earlier is not None and _ends_there(experiment, earlier[1]):
            untrained = template(experiment.process, experiment.shape).params
            tensors, end = earlier
            tensors = {name: tensors[f".average{name}"] for name in _names(untrained)}
            params = _fill(self.end_path(experiment), untrained, tensors, (experiment.base_seeds,))
            quality = end.quality
        else:
            networks, quality = train(
                experiment.process,
                experiment.shape,
                recipe,
                description["seeds"],
                progress,
                restore=restore,
                save=lambda step, state: _save(checkpoint, state, {"description": description, "step": step}),
                ended=ended,
                meanwhile=meanwhile,
            )
            params = networks.params
        record = {"description": description, "quality": [asdict(network) for network in quality]}
        _save(path, params, record, once=True)
        checkpoint.unlink(missing_ok=True)

    def end_path(self, experiment: Experiment) -> Path:
        """The file of the end of the longest training of networks that differ in `until_learnt` alone."""
        return self.folder / f"{digest(_but_for_share(describe(experiment)))}.end.safetensors"

    def _earlier_end(self, experiment: Experiment) -> tuple[Arrays, EndRecord] | None:
        """The state in which such networks have learnt a share that is no larger, if there is one."""
        path, wanted = self.end_path(experiment), experiment.pretraining.until_learnt
        if wanted is None or not path.exists():
            return None
        tensors, record = _load(path, EndRecord)
        steps, described = experiment.pretraining.steps, _plain(_but_for_share(describe(experiment)))
        if record.description != described or not 0 < record.step < min(STALLS, steps):
            raise Misuse(f"{path} is of another training; delete it and run again.")
        return (tensors, record) if record.until_learnt <= wanted else None


def _ends_there(experiment: Experiment, end: EndRecord) -> bool:
    """Whether networks that ended at a smaller share had learnt the experiment's, too."""
    recipe = experiment.pretraining
    by_few = np.array(end.learnt, np.float32)  # as it is measured in training
    return recipe.is_learnt(by_few) and recipe.is_learnt([network.learnt for network in end.quality])


def _but_for_share(description: Json) -> Json:
    """A description without the share of inference at which training ends."""
    recipe = {name: value for name, value in description["pretraining"].items() if name != "until_learnt"}
    return description | {"pretraining": recipe}


def describe(experiment: Experiment) -> Json:
    """The part of an experiment that determines its base networks, with the code that makes them."""
    process: Any = experiment.process  # a dataclass of plain fields
    return {
        "process": {"kind": type(process).__name__, **asdict(process)},
        "shape": asdict(experiment.shape),
        "pretraining": asdict(experiment.pretraining),
        "seeds": [
            experiment.seed * 1000 + experiment.first_seed + row for row in range(experiment.base_seeds)
        ],
        "code": network_code(process),
    }


def _plain(description: Json) -> Json:
    """As it is read back: in JSON tuples are lists."""
    return json.loads(json.dumps(description))


def _checkpoint(path: Path) -> Path:
    return path.with_name(f"{path.stem}.checkpoint.safetensors")


def _names(tree: Params) -> list[str]:
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def _fill(path: Path, template: Params, tensors: Arrays, leading: tuple[int, ...] = ()) -> Params:
    """The template's tree with the stored arrays as leaves, each with `leading` axes before those of its own;
    refuses arrays of other names, shapes or types."""
    names, leaves = _names(template), jax.tree.leaves(template)
    wanted = {
        name: ((*leading, *np.shape(leaf)), np.dtype(leaf.dtype))
        for name, leaf in zip(names, leaves, strict=True)
    }
    if {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()} != wanted:
        raise Misuse(f"{path} holds other weights than its description says; delete it and run again.")
    return jax.tree.unflatten(jax.tree.structure(template), [tensors[name] for name in names])


def _save(path: Path, tree: Params, record: Json, once: bool = False) -> None:
    tensors = dict(zip(_names(tree), map(np.ascontiguousarray, jax.tree.leaves(tree)), strict=True))
    text = json.dumps(record | {"weights": digest_arrays(tensors)})
    # one entry: the format does not keep the order of several
    write(path, lambda file: file.write(safetensors.numpy.save(tensors, {"json": text})), once)


def _load(path: Path, kind: type[RecordT]) -> tuple[Arrays, RecordT]:
    """The arrays of a file and what it says of them; refuses one that is damaged, or of something else."""
    check_regular(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            record = typed(kind, parse_json((file.metadata() or {}).get("json", "{}")))
    except (
        safetensors.SafetensorError,
        struct.error,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        Misuse,
    ) as error:
        raise Misuse(f"{path} is damaged ({error}); delete it and run again.") from error
    if digest_arrays(tensors) != record.weights:
        raise Misuse(
            f"{path} is damaged (its weights are not those that were written); delete it and run again."
        )
    return tensors, record
