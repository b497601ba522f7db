"""Manifests: the typed JSON files of a run's folder. No jax.

RunConfig     config.json: what the run is made for, by which code, and a hash of that
Quality       networks.json: how far the base networks are from the exact predictor
Failure       cells/CELL.failed.json: why a cell has no result
SealRecord    forecast.json: which forecasts were sealed, and when
Begun         finetuning.json: when finetuning began, and under which seal
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Self

import numpy as np

from experiments.storage import files
from experiments.storage.records import Json, Numbers
from experiments.storage.typed import typed
from theory.errors import Misuse

RESOLUTION = 5e-6  # nats: what there is to infer is rounding below it
FEW = 5  # names in a sentence


@dataclass(frozen=True)
class OwnFile:
    """A user's own file by its name and the SHA-256 of its content."""

    file: str
    sha256: str


def check_hash(values: Json, generation: int) -> None:
    """Refuse a record whose `hash`, over all else in it, is not that of its content."""
    content = {name: value for name, value in values.items() if name != "hash"}
    if files.digest(content, generation) != values["hash"]:
        raise Misuse("it was changed after it was written: its hash is another")


def _differing(ours: Json, theirs: Json, path: str = "") -> list[str]:
    """The dotted names of values that two nested records do not share."""
    changed: list[str] = []
    for name in sorted(ours.keys() | theirs.keys()):
        here, there = ours.get(name), theirs.get(name)
        if isinstance(here, dict) and isinstance(there, dict):
            changed += _differing(here, there, f"{path}{name}.")
        elif here != there:
            changed.append(f"{path}{name}")
    return changed


@dataclass(frozen=True)
class RunConfig:
    """A run's purpose: the options `config` of a study, the user's own `files`, and the `code` that
    makes its numbers, a digest by module. `hash` is over all of it."""

    study: str
    preset: str
    config: dict[str, Any]
    generation: int
    hash: str
    files: tuple[OwnFile, ...] = ()
    code: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, record: Json, code: dict[str, str]) -> Json:
        """The fields of config.json for the record of a run."""
        values = {**record, "generation": files.GENERATION} | ({"code": code} if code else {})
        return values | {"hash": files.digest(values)}

    @classmethod
    def from_json(cls, values: Json) -> Self:
        """The inverse; raises `Misuse` for what is none, or was changed since its hash was made."""
        config = typed(cls, values)
        check_hash(values, config.generation)
        return config

    @property
    def is_current(self) -> bool:
        """Whether this version of the code made it."""
        return self.generation == files.GENERATION

    def differences(self, other: "RunConfig") -> list[str]:
        """The names of fields that differ, but for the hash; of the config those inside, unless many do."""
        names = (entry.name for entry in dataclasses.fields(self) if entry.name not in ("hash", "config"))
        changed = [name for name in names if getattr(self, name) != getattr(other, name)]
        inside = _differing({"config": self.config}, {"config": other.config})
        return sorted([*changed, *(inside if len(inside) <= FEW else ["config"])])

    def changed_code(self, other: "RunConfig") -> list[str]:
        """The modules that only one of two runs is made by, or that differ."""
        modules = sorted(self.code.keys() | other.code.keys())
        return [name for name in modules if self.code.get(name) != other.code.get(name)]


@dataclass(frozen=True)
class NetworkQuality:
    """Excess (nats) of one base network over the exact predictor: mean over positions, at the first answer,
    and by position; the same, `uninformed`, of a predictor which never infers the hypothesis of a document;
    the `steps` of its pretraining, and that at which it was last `shrunk`, as it had stalled (0: never)."""

    seed: int
    mean: float
    first_answer: float
    by_position: Numbers
    uninformed: float
    uninformed_by_position: Numbers
    steps: int
    shrunk: int = 0

    @property
    def learnt(self) -> float:
        """The share of inference learnt, 1 - excess / uninformed."""
        return share(self.mean, self.uninformed)


@dataclass(frozen=True)
class Quality:
    """Distance of base networks from the exact predictor, and the share of inference that they learnt."""

    networks: tuple[NetworkQuality, ...]

    @classmethod
    def together(cls, qualities: Sequence[Self]) -> Self:
        """The networks of all draws of the process."""
        return cls(tuple(network for quality in qualities for network in quality.networks))

    @property
    def mean(self) -> float:
        """Mean excess (nats) over base networks and positions."""
        return float(np.mean([network.mean for network in self.networks]))

    @property
    def uninformed(self) -> float:
        """The same of a predictor which never infers the hypothesis of a document."""
        return float(np.mean([network.uninformed for network in self.networks]))

    @property
    def learnt(self) -> float:
        """The share of inference learnt, 1 - excess / uninformed; nan where there is nothing to infer."""
        return share(self.mean, self.uninformed)

    @property
    def by_position(self) -> tuple[tuple[float, float], ...]:
        """Excess and that of a predictor which never infers, at every position of a document: means over the
        networks whose documents are so long (worlds differ in length)."""
        columns = (
            zip(network.by_position, network.uninformed_by_position, strict=True) for network in self.networks
        )
        return tuple(
            tuple(np.mean([pair for pair in pairs if pair is not None], axis=0).tolist())
            for pairs in zip_longest(*columns)
        )

    @property
    def learnt_by_position(self) -> tuple[float, ...]:
        """The share of inference learnt at every position of a document; nan where there is nothing to
        infer."""
        return tuple(share(*pair) for pair in self.by_position)

    def to_json(self, groups: Mapping[str, float] | None = None) -> Json:
        """Plain values, with means over networks and the shares of inference learnt, also by `groups` of
        contexts; null where there is nothing to infer."""

        def plain(shares: Iterable[float]) -> list[float | None]:
            return [None if math.isnan(share) else share for share in shares]

        groups = groups or {}
        return dataclasses.asdict(self) | {
            "mean": self.mean,
            "first_answer": float(np.mean([network.first_answer for network in self.networks])),
            "uninformed": self.uninformed,
            "learnt": plain([self.learnt])[0],
            "learnt_by_network": plain(network.learnt for network in self.networks),
            "learnt_by_position": plain(self.learnt_by_position),
            "learnt_by_group": dict(zip(groups, plain(groups.values()), strict=True)),
        }

    @classmethod
    def from_json(cls, values: Json) -> Self:
        """The inverse; raises `Misuse` for values that are none."""
        quality = typed(cls, {name: value for name, value in values.items() if name == "networks"})
        if not quality.networks:
            raise Misuse("it has no networks")
        if any(len(net.by_position) != len(net.uninformed_by_position) for net in quality.networks):
            raise Misuse("a network's two lists by position differ in length")
        return quality


def share(excess: float, uninformed: float) -> float:
    """The share of inference learnt, nan where there is nothing to infer."""
    return 1 - excess / uninformed if uninformed > RESOLUTION else math.nan


@dataclass(frozen=True)
class Failure:
    """The reason why a cell has no result."""

    reason: str


@dataclass(frozen=True)
class SealRecord:
    """The hash of a run's config, the SHA-256 of each cell of forecasts (of its reason, if it failed), when
    they were sealed, and a hash of all that."""

    study: str
    config: str
    made: str
    cells: dict[str, str]
    hash: str


@dataclass(frozen=True)
class Begun:
    """The time when finetuning began, and the seal that was there (None without)."""

    began: str
    forecast: str | None
