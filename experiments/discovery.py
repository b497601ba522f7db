"""Discovery: finds studies, processes, theories, methods and samplers, ours and those in a user's own files.

A kind is a folder; a module of it defines `example()` (a study: `experiment(config)`). Names and summaries
are read from the source, so listing imports nothing. `experiments.own_files` reads the user's own files.
"""

import ast
import contextlib
import difflib
import functools
import hashlib
import importlib
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments import own_files
from experiments.own_files import Kind
from theory.errors import Misuse

ROOT = Path(__file__).resolve().parent.parent
FOLDERS: dict[Kind, str] = {
    "studies": "experiments/studies",
    "processes": "theory/processes",
    "theories": "theory/theories",
    "methods": "models/finetuning",
    "samplers": "theory/samplers",
}
SINGULAR: dict[Kind, str] = {
    "studies": "study",
    "processes": "process",
    "theories": "theory",
    "methods": "method",
    "samplers": "sampler",
}


@dataclass(frozen=True)
class Entry:
    """Something that can be named: its `name` in kebab-case, the first line of its docstring, and its file.

    `content` is that of a user's own file, b"" for ours. `forms` are more names that a theory is scored
    under, each with a line on what it is.
    """

    kind: Kind
    name: str
    summary: str
    path: Path
    content: bytes = field(default=b"", repr=False)
    forms: tuple[tuple[str, str], ...] = ()

    @property
    def all_names(self) -> tuple[str, ...]:
        """Its name and those of its forms."""
        return self.name, *(name for name, _ in self.forms)

    @property
    def is_own(self) -> bool:
        """Whether it stands in a user's own file."""
        return bool(self.content)

    @property
    def source(self) -> bytes:
        """The source of its module."""
        return self.content or self.path.read_bytes()

    def load(self) -> ModuleType:
        """The module; an own file that cannot be imported is refused with its name and line."""
        if self.is_own:
            return own_files.load(self.path, self.content)
        return importlib.import_module(f"{FOLDERS[self.kind].replace('/', '.')}.{self.path.stem}")

    def example(self) -> Any:
        """The result of `example()` of the module."""
        module = self.load()
        with self.guard():
            if not hasattr(module, "example"):
                raise Misuse(f"it needs a function example() that returns its {SINGULAR[self.kind]}.")
            return module.example()

    def guard(self) -> AbstractContextManager[None]:
        """Around calls of an own file: all that it raises becomes one sentence with file and line."""
        return own_files.refusing(self.path) if self.is_own else contextlib.nullcontext()


@dataclass(frozen=True)
class Catalogue:
    """Everything that can be named: ours, and what is in the user's own `files`."""

    files: tuple[str, ...] = ()

    @cached_property
    def own_entries(self) -> tuple[Entry, ...]:
        """The user's own files by name, each once, whatever its folder; refuses two that differ."""
        by_name: dict[str, Entry] = {}
        for entry in map(read_file, self.files):
            other = by_name.setdefault(entry.path.name, entry)
            if other.content != entry.content:
                raise Misuse(f"{other.path} and {entry.path} have one name but differ; rename one of them.")
        return tuple(by_name[name] for name in sorted(by_name))

    def entries(self, kind: Kind) -> list[Entry]:
        """Everything of a kind, ours first."""
        shipped, added = _shipped(kind), [entry for entry in self.own_entries if entry.kind == kind]
        for entry in added:
            if entry.name in {other.name for other in shipped}:
                raise Misuse(
                    f"{entry.path.name}: there is a {SINGULAR[kind]} called {entry.name} already; rename "
                    "the file."
                )
        return [*shipped, *added]

    def names(self, kind: Kind) -> list[str]:
        """The names of a kind."""
        return [entry.name for entry in self.entries(kind)]

    def find(self, kind: Kind, name: str) -> Entry:
        """One by its name; a misspelt name is answered with the nearest right ones."""
        entries = {entry.name: entry for entry in self.entries(kind)}
        return entries[choose(SINGULAR[kind], name, entries)]

    def load(self, kind: Kind, name: str) -> ModuleType:
        """Its module."""
        return self.find(kind, name).load()

    def digests(self) -> list[dict[str, str]]:
        """Name and SHA-256 of every own file: its content is part of a run's config."""
        return [
            {"file": entry.path.name, "sha256": hashlib.sha256(entry.content).hexdigest()}
            for entry in self.own_entries
        ]


class Namespace:
    """Everything of a kind by the name of its class: `Namespace("processes").PersonaTopics`."""

    def __init__(self, kind: Kind):
        self._kind: Kind = kind

    def __dir__(self) -> list[str]:
        return sorted(_class_names(self._kind))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        entries = _class_names(self._kind)
        try:
            choose(SINGULAR[self._kind], name, entries)
        except Misuse as error:
            raise AttributeError(str(error)) from None
        return getattr(entries[name].load(), name)

    def __repr__(self) -> str:
        return f"{self._kind}: {', '.join(dir(self))}"


@functools.cache
def _class_names(kind: Kind) -> dict[str, Entry]:
    """The entry of each class that an `example()` returns."""
    names = {}
    for entry in _shipped(kind):
        for node in ast.parse(entry.path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name == "example" and node.returns is not None:
                names[ast.unparse(node.returns)] = entry
    return names


def choose(kind: str, given: str, allowed: Iterable[str]) -> str:
    """`given` if it is allowed; otherwise a sentence that names the nearest."""
    names = list(allowed)
    if given in names:
        return given
    near = _nearest(str(given), names)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(names)}."
    raise Misuse(f"There is no {kind} called {given!r}; {hint}")


def _nearest(given: str, names: list[str]) -> list[str]:
    """The names that differ in case, hyphens and underscores alone, else up to three that are similar: those
    not much further off than the most similar one."""
    plain = {name: re.sub("[-_]", "", name).lower() for name in names}
    wanted = re.sub("[-_]", "", given).lower()
    equal = [name for name in names if plain[name] == wanted]
    if equal:
        return equal
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.4)
    likeness = [difflib.SequenceMatcher(None, name, given).ratio() for name in near]
    return [name for name, value in zip(near, likeness, strict=True) if value > likeness[0] - 0.15]


def read_file(file: str) -> Entry:
    """An own file as an entry, by its source alone."""
    path, content, tree = own_files.read(file)
    kind = own_files.kind_of(tree)
    if kind is None:
        raise Misuse(
            f"{file} defines nothing that finebayes knows: a theory inherits from theory.contracts.Theory, a "
            "method from models.finetuning.method.Method, a sampler from theory.mcmc.langevin.Langevin; a "
            "process has distribution() and answer_tokens, a study experiment(config); see docs/extending."
        )
    return _entry(kind, path, tree, content)


@functools.cache
def _shipped(kind: Kind) -> tuple[Entry, ...]:
    """Our own modules of a kind: those that define what every module of it must."""
    defines = f"\ndef {'experiment' if kind == 'studies' else 'example'}("
    paths = sorted((ROOT / FOLDERS[kind]).glob("[!_]*.py"))
    return tuple(
        _entry(kind, path, ast.parse(text))
        for path in paths
        if defines in (text := path.read_text(encoding="utf-8"))
    )


def _entry(kind: Kind, path: Path, tree: ast.Module, content: bytes = b"") -> Entry:
    """By the source alone: the first line of its docstring, and the dict of names in `FORMS`, if any."""
    summary = (ast.get_docstring(tree) or "").strip().split("\n")[0]
    return Entry(kind, path.stem.replace("_", "-"), summary, path, content, tuple(_forms(tree).items()))


def _forms(tree: ast.Module) -> dict[str, str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FORMS":
            with contextlib.suppress(ValueError):  # no literal: a name of the user's own
                forms = ast.literal_eval(node.value)
                if isinstance(forms, dict):
                    return {str(name): str(line) for name, line in forms.items()}
    return {}
