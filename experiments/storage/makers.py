"""Makers of cells: code, packages, CPU and devices of every process that made some. No jax.

A process has a file of its own in makers/: its description, then the names of the cells that it has made, a
line each. So nothing of a cell changes, and no two processes write to the same file.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from experiments.storage.files import parse_json
from experiments.storage.typed import typed
from theory.errors import Misuse

MAKERS = "makers"
_NAME = f"{secrets.token_hex(6)}.jsonl"  # of this process


@dataclass(frozen=True)
class Maker:
    """A process that makes cells: two whose descriptions are equal make the same bytes."""

    commit: str
    packages: dict[str, str]
    python: str
    cpu: str
    cores: int
    devices: str

    def differences(self, other: "Maker") -> list[str]:
        """The fields in which two differ, a package by its name."""
        names = [
            entry.name for entry in fields(self) if getattr(self, entry.name) != getattr(other, entry.name)
        ]
        packages = sorted(
            name
            for name in self.packages.keys() | other.packages.keys()
            if self.packages.get(name) != other.packages.get(name)
        )
        return [part for name in names for part in (packages if name == "packages" else [name])]

    def words(self, field: str) -> str:
        """A field's value in words."""
        known: Mapping[str, object] = self.packages if field in self.packages else asdict(self)
        return f"{field} {known.get(field) or 'unknown'}"


def note_maker(folder: Path, maker: Maker, cell: str) -> None:
    """Note in a run's folder that this process has made a cell."""
    path = folder / MAKERS / _NAME
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(asdict(maker)) + "\n", encoding="utf-8")
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{cell}\n")


def read_makers(folder: Path) -> list[tuple[Maker, list[str]]]:
    """Makers that differ, each with the names of its cells, the one with most of them first.

    A line that a kill has cut short is left out; so is a file that is damaged, as nothing depends on it.
    """
    cells: dict[str, tuple[Maker, list[str]]] = {}
    for path in sorted((folder / MAKERS).glob("*.jsonl")):
        head, *lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1] or [""]
        try:
            maker = typed(Maker, parse_json(head))
        except Misuse:
            continue
        cells.setdefault(head, (maker, []))[1].extend(lines)
    return sorted(cells.values(), key=lambda entry: -len(entry[1]))


def unlike_makers(folder: Path) -> list[str]:
    """Sentences on cells that unlike machines have made; none where all makers are alike."""
    made = [(maker, sorted(set(cells))) for maker, cells in read_makers(folder) if cells]
    if len(made) < 2:
        return []
    first, others = made[0], made[1:]
    total = len({cell for _, cells in made for cell in cells})
    sentences = [
        f"Not all cells of this run were made alike: {len(first[1])} of {total} were, and the others may "
        "differ in the last digits from what their maker would have made."
    ]
    for maker, cells in others:
        changed = maker.differences(first[0])
        theirs = ", ".join(maker.words(field) for field in changed)
        most = ", ".join(first[0].words(field) for field in changed)
        named = ", ".join(cells[:3]) + f" and {len(cells) - 3} more" * (len(cells) > 3)
        sentences.append(f"{named}: {theirs} (elsewhere {most}).")
    return sentences
