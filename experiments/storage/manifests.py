"""Manifests: the typed JSON files of a run's folder. No jax.

RunConfig     config.json: what the run is made for, by which code, and a hash of that
Quality       networks.json: how far the base networks are from the exact predictor
Failure       cells/CELL.failed.json: why a cell has no result
SealRecord    forecast.json: which forecasts were sealed, and when
Begun         finetuning.json: when finetuning began, and under which seal
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from experiments.storage import files
from experiments.storage.records import Json, Numbers
from experiments.storage.typed import typed
from theory.errors import Misuse


@dataclass(frozen=True)
class OwnFile:
    """A user's own file by its name and the SHA-256 of its content."""

    file: str
    sha256: str


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
        content = {name: value for name, value in values.items() if name != "hash"}
        if files.digest(content, config.generation) != config.hash:
            raise Misuse("it was changed after it was written: its hash is another")
        return config

    @property
    def is_current(self) -> bool:
        """Whether this version of the code made it."""
        return self.generation == files.GENERATION

    def differences(self, other: "RunConfig") -> list[str]:
        """The names of fields that differ, but for the hash."""
        names = (entry.name for entry in dataclasses.fields(self) if entry.name != "hash")
        return sorted(name for name in names if getattr(self, name) != getattr(other, name))

    def changed_code(self, other: "RunConfig") -> list[str]:
        """The modules that only one of two runs is made by, or that differ."""
        modules = sorted(self.code.keys() | other.code.keys())
        return [name for name in modules if self.code.get(name) != other.code.get(name)]


@dataclass(frozen=True)
class NetworkQuality:
    """Excess (nats) of one base network over the exact predictor: mean over positions, at the first answer,
    and by position."""

    seed: int
    mean: float
    first_answer: float
    by_position: Numbers


@dataclass(frozen=True)
class Quality:
    """Excess (nats) of base networks over the exact predictor; `uninformed` is that of a predictor which
    never infers the hypothesis of a document."""

    networks: tuple[NetworkQuality, ...]
    uninformed: float

    @classmethod
    def together(cls, qualities: Sequence[Self]) -> Self:
        """The networks of all draws of the process; `uninformed` is the mean over draws."""
        networks = tuple(network for quality in qualities for network in quality.networks)
        return cls(networks, float(np.mean([quality.uninformed for quality in qualities])))

    @property
    def mean(self) -> float:
        """Mean over base networks and positions."""
        return float(np.mean([network.mean for network in self.networks]))

    @property
    def learnt(self) -> float:
        """The share of inference learnt, 1 - excess / uninformed."""
        return 1 - self.mean / self.uninformed

    def to_json(self) -> Json:
        """Plain values, with the means over networks."""
        first_answer = float(np.mean([network.first_answer for network in self.networks]))
        means = {"mean": self.mean, "first_answer": first_answer, "learnt": self.learnt}
        return dataclasses.asdict(self) | means

    @classmethod
    def from_json(cls, values: Json) -> Self:
        """The inverse; raises `Misuse` for values that are none."""
        means = ("mean", "first_answer", "learnt")
        quality = typed(cls, {name: value for name, value in values.items() if name not in means})
        if not quality.networks:
            raise Misuse("it has no networks")
        return quality


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
