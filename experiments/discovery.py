"""What a study is, and where studies and their parts are found.

A study is one module of `experiments.studies`, a declaration: a docstring (its first line is the question), a
frozen dataclass `Config` of plain fields, `PRESETS` of it by name, `comparison(config)` which says what is
pretrained, finetuned and predicted, and `draw(results)` which makes the figures from what is on disk. The
module imports no jax at the top (it may inside `comparison`), so that `--help` answers at once.
"""

import ast
import difflib
import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from theory.errors import Misuse

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {
    "studies": "experiments/studies",
    "processes": "theory/processes",
    "theories": "theory/theories",
    "methods": "models/finetuning",
    "samplers": "theory/samplers",
}
DEFAULT_PRESET = "small"


def catalogue() -> dict[str, list[dict[str, str]]]:
    """Everything that can be named, by kind: name (kebab-case) and the first line of its docstring.

    Walks the folders and reads docstrings without importing, so adding a file is all there is to do.
    """
    return {
        kind: [{"name": _name(path), "summary": _summary(path)} for path in _files(kind)] for kind in FOLDERS
    }


def names() -> list[str]:
    """The names of all studies."""
    return [_name(path) for path in _files("studies")]


def load(name: str) -> Any:
    """The module of a study; a misspelt name is answered with the nearest right ones."""
    choose("study", name, names())
    return importlib.import_module(f"experiments.studies.{name.replace('-', '_')}")


def choose(kind: str, given: str, allowed: Iterable[str]) -> str:
    """`given` if it is allowed; otherwise a sentence that names the nearest."""
    allowed = list(allowed)
    if given in allowed:
        return given
    near = difflib.get_close_matches(given, allowed, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(allowed)}."
    raise Misuse(f"There is no {kind} called {given!r}; {hint}")


def _files(kind: str) -> list[Path]:
    """The modules of a kind: those that define what every module of it must."""
    defines = f"\ndef {'comparison' if kind == 'studies' else 'example'}("
    paths = sorted((ROOT / FOLDERS[kind]).glob("[!_]*.py"))
    return [path for path in paths if defines in path.read_text(encoding="utf-8")]


def _name(path: Path) -> str:
    return path.stem.replace("_", "-")


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.strip().split("\n")[0]
