"""Discovery: finds studies, processes, theories, methods and samplers, ours and those in a user's own files.

A kind is a folder; a module of it defines `example()` (a study: `experiment(config)`). An own file is of
the kind
that its classes say: it defines `experiment`, or a class that inherits from Theory or WeightTheory, from
Method or
Wrapper, from Langevin, or one that has the members of a process. Names and summaries are read from the
source, so listing imports nothing.
"""

import ast
import difflib
import functools
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

from theory.errors import Misuse

Kind: TypeAlias = Literal["studies", "processes", "theories", "methods", "samplers"]

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
BASES: dict[str, Kind] = {
    "Theory": "theories",
    "WeightTheory": "theories",
    "Method": "methods",
    "Wrapper": "methods",
    "Langevin": "samplers",
}
PROCESS_MEMBERS = {"distribution", "answer_tokens"}
OWN = "finebayes_own_files"  # the package that own files are imported into


@dataclass(frozen=True)
class Entry:
    """Something that can be named: its `name` in kebab-case, the first line of its docstring, and its
    file."""

    kind: Kind
    name: str
    summary: str
    path: Path
    own: bool = False

    def load(self) -> ModuleType:
        """The module; an own file that cannot be imported is refused with its name and line."""
        if self.own:
            return _import_file(self.path)
        return importlib.import_module(f"{FOLDERS[self.kind].replace('/', '.')}.{self.path.stem}")


@dataclass(frozen=True)
class Catalogue:
    """Everything that can be named: ours, and what is in the user's own `files`."""

    files: tuple[str, ...] = ()

    def entries(self, kind: Kind) -> list[Entry]:
        """Everything of a kind, ours first."""
        found = list(_shipped(kind))
        for file in self.files:
            entry = read_file(file)
            if entry.kind == kind:
                if entry.name in {other.name for other in found}:
                    raise Misuse(
                        f"{file}: there is a {SINGULAR[kind]} called {entry.name} already; rename the file."
                    )
                found.append(entry)
        return found

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
            {"file": Path(file).name, "sha256": hashlib.sha256(_bytes(Path(file))).hexdigest()}
            for file in self.files
        ]


class Namespace:
    """Everything of a kind by the name of its class: `Namespace("processes").PersonaTopics`, imported when
    asked."""

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
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(names)}."
    raise Misuse(f"There is no {kind} called {given!r}; {hint}")


def read_file(file: str) -> Entry:
    """An own file as an entry, by its source alone."""
    path = Path(file).absolute()
    tree = _parse(path)
    kind = _kind(tree)
    if kind is None:
        raise Misuse(
            f"{file} defines nothing that finebayes knows: a theory inherits from theory.contracts.Theory, a "
            "method from models.finetuning.method.Method, a sampler from theory.mcmc.langevin.Langevin; a "
            "process has distribution() and answer_tokens, a study experiment(config); see docs/extending."
        )
    name = path.stem.replace("_", "-")
    if not path.stem.isidentifier():
        raise Misuse(f"{file} cannot be a module: name it with letters, digits and underscores.")
    return Entry(kind, name, _summary(tree), path, own=True)


@functools.cache
def _shipped(kind: Kind) -> tuple[Entry, ...]:
    """Our own modules of a kind: those that define what every module of it must."""
    defines = f"\ndef {'experiment' if kind == 'studies' else 'example'}("
    paths = sorted((ROOT / FOLDERS[kind]).glob("[!_]*.py"))
    return tuple(
        Entry(kind, path.stem.replace("_", "-"), _summary(ast.parse(text)), path)
        for path in paths
        if defines in (text := path.read_text(encoding="utf-8"))
    )


def _kind(tree: ast.Module) -> Kind | None:
    if any(isinstance(node, ast.FunctionDef) and node.name == "experiment" for node in tree.body):
        return "studies"
    for node in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for base in node.bases:
            while isinstance(base, ast.Subscript):  # Theory[Predictor]
                base = base.value
            name = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
            if name in BASES:
                return BASES[name]
        if {part.name for part in node.body if isinstance(part, ast.FunctionDef)} >= PROCESS_MEMBERS:
            return "processes"
    return None


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(_bytes(path), filename=str(path))
    except SyntaxError as error:
        raise Misuse(f"{path.name}, line {error.lineno}: {error.msg}.") from None
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes, nesting without end
        raise Misuse(f"{path.name} is no Python source: {error}.") from None


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise Misuse(f"There is no file {path}; give a Python file.")
    return path.read_bytes()


def _summary(tree: ast.Module) -> str:
    return (ast.get_docstring(tree) or "").strip().split("\n")[0]


@functools.cache
def _import_file(path: Path) -> ModuleType:
    name = f"{OWN}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Misuse(f"{path.name} is no Python file; name it {path.stem}.py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Misuse:
        raise
    except Exception as error:
        del sys.modules[name]
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
        ]
        where = f", line {lines[-1]}" if lines else ""
        raise Misuse(f"{path.name}{where}: {type(error).__name__}: {error}.") from error
    return module
