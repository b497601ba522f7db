"""The code speaks the field's English: no banned names, no riddles in the first lines of docstrings."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = [
    path for package in ("theory", "models", "experiments") for path in sorted((ROOT / package).rglob("*.py"))
]
BANNED = {
    *("told", "said", "heard", "speaks", "who", "asked", "one", "each", "found", "own", "some", "same"),
    *("place", "way", "beside", "bent", "taken", "rest"),
}


def identifiers(tree):
    """Every name that a module gives to something, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name, node.lineno


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_has_a_name_that_is_banned(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    banned = [f"line {line}: {name}" for name, line in identifiers(tree) if name.strip("_") in BANNED]
    assert not banned


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_docstrings_begin_with_a_noun_phrase_or_an_imperative(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    is_study = path.parent.name == "studies"
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            first = (ast.get_docstring(node) or "").split("\n")[0]
            riddle = re.match(r"(What|Where|Who|Why|How)\b", first) or first.endswith("?")
            assert not riddle or (is_study and isinstance(node, ast.Module)), first
