"""Further worlds of a study: processes by name, each with base networks of its own. No jax."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from experiments.design.options import ProcessOptions
from experiments.discovery import choose
from theory.errors import Misuse


class World(Protocol):
    """The entry of a world in its study."""

    @property
    def process(self) -> ProcessOptions:
        """The process at the world's defaults."""
        ...


def world_processes(
    process: ProcessOptions, names: Sequence[str], known: Mapping[str, World]
) -> list[ProcessOptions]:
    """The process of a config and those of further worlds; refuses worlds that are not known, or alike."""
    worlds = [process.entry.name, *names]
    for name in worlds:
        choose("world", name, known)
    if len(set(worlds)) < len(worlds):
        raise Misuse(f"worlds must differ from the process and each other, got {', '.join(worlds)}.")
    return [process, *(known[name].process for name in names)]
