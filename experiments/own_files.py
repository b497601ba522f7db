"""Files of a user's own: read, told apart by kind, and imported; whatever is wrong is one sentence.

A file is of the kind that its first known class says: one that inherits from Theory or WeightTheory, from
Method or Wrapper, from Langevin, or from a class of ours, or one with the members of a process; a study
defines `experiment`. That is read from the source: nothing is run before it is needed.
"""

import ast
import contextlib
import functools
import hashlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Literal, TypeAlias

from theory.errors import Misuse

Kind: TypeAlias = Literal["studies", "processes", "theories", "methods", "samplers"]

PACKAGES: dict[str, Kind] = {
    "theory.processes": "processes",
    "theory.theories": "theories",
    "models.finetuning": "methods",
    "theory.samplers": "samplers",
}
BASES: dict[str, Kind] = {
    "Theory": "theories",
    "WeightTheory": "theories",
    "Method": "methods",
    "Wrapper": "methods",
    "Langevin": "samplers",
}
PROCESS_MEMBERS = {"distribution", "answer_tokens"}
NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*\.py")
LARGEST = 1_000_000  # bytes
LONGEST = 500  # characters of an error that is told whole
PACKAGE = "finebayes_own_files"  # what own files are imported into


class Refused(Misuse):
    """A sentence that names its file and line already."""


def read(file: str) -> tuple[Path, bytes, ast.Module]:
    """The absolute path, content and source tree of a Python file."""
    path = Path(file).absolute()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not there"
        raise Misuse(f"{file} {what}; give a Python file.")
    if not NAME.fullmatch(path.name):
        raise Misuse(f"{file} cannot be a module: name it with letters, digits and underscores, and .py.")
    if path.stat().st_size > LARGEST:
        raise Misuse(f"{file} has {path.stat().st_size} bytes; a Python file has {LARGEST} at most.")
    content = path.read_bytes()
    try:
        return path, content, ast.parse(content, filename=str(path))
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise Misuse(f"{file}{line}: {error.msg}.") from None
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes, nesting without end
        raise Misuse(f"{file} is no Python source: {error or 'too deep'}.") from None


def kind_of(tree: ast.Module) -> Kind | None:
    """The kind of a file; None if it defines nothing known."""
    if any(isinstance(node, ast.FunctionDef) and node.name == "experiment" for node in tree.body):
        return "studies"
    imported = {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for base in node.bases:
            while isinstance(base, ast.Subscript):  # Theory[Predictor]
                base = base.value
            local = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
            module, name = imported.get(local, ("", local))
            kind = BASES.get(name) or PACKAGES.get(module.rpartition(".")[0])
            if kind:
                return kind
        if {part.name for part in node.body if isinstance(part, ast.FunctionDef)} >= PROCESS_MEMBERS:
            return "processes"
    return None


@functools.cache
def load(path: Path, content: bytes) -> ModuleType:
    """The module of a file; another content is another module. Its `__source__` is the content."""
    mark = hashlib.sha256(str(path).encode() + content).hexdigest()[:12]
    name = f"{PACKAGE}.{mark}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__dict__["__source__"] = content
    sys.modules[name] = module  # dataclasses look their module up
    try:
        with refusing(path):
            exec(compile(content, str(path), "exec"), module.__dict__)  # leaves no __pycache__ beside it
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextlib.contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Make one sentence with file and line of all that a user's code raises, also where it would exit."""
    try:
        yield
    except (KeyboardInterrupt, Refused):
        raise
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path)]
        raise Refused(f"{path.name}{f', line {lines[-1]}' if lines else ''}: {_sentence(error)}") from error


@contextlib.contextmanager
def blaming() -> Iterator[None]:
    """Around code of ours that calls the user's: what comes out of an own file becomes one sentence."""
    try:
        yield
    except (KeyboardInterrupt, Misuse):
        raise
    except BaseException as error:
        frames = [
            f"{Path(frame.f_code.co_filename).name}, line {line}"
            for frame, line in traceback.walk_tb(error.__traceback__)
            if str(frame.f_globals.get("__name__")).startswith(f"{PACKAGE}.")
        ]
        frames = frames or _places_in(str(error))
        if not frames:
            raise
        raise Refused(f"{frames[-1]}: {_sentence(error)}") from error


def _places_in(text: str) -> list[str]:
    """Lines of own files that an error names in its text, as jax does of a value kept from tracing."""
    files = {str(module.__file__) for name, module in [*sys.modules.items()] if _is_own(name)}
    return [
        f"{Path(file).name}, line {line}"
        for file, line in re.findall(r"(\S+\.py):(\d+)", text)
        if file in files
    ]


def _is_own(module: str) -> bool:
    return module.startswith(f"{PACKAGE}.")


def _sentence(error: BaseException) -> str:
    """An error as one line, with its type if it is no sentence of ours; of a long one its first line."""
    text = " ".join(str(error).split())
    if len(text) > LONGEST:
        text = str(error).strip().splitlines()[0]
    kind = "" if isinstance(error, Misuse) else f"{type(error).__name__}{': ' * bool(text)}"
    return f"{kind}{text}{'' if text.endswith(('.', '!', '?')) else '.'}"


def source(module: str) -> bytes | None:
    """The source of a loaded own file by the name of its module; None for any other module."""
    return getattr(sys.modules.get(module), "__source__", None) if _is_own(module) else None


def label(module: str) -> str:
    """The name of an own file by that of its module, wherever it lies; "" for any other module."""
    return f"{module.rpartition('.')[2]}.py" if _is_own(module) else ""
