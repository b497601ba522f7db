"""Mutants: what is changed, what is left out, and what a second run tries."""

import ast
import importlib.util
import sys
from pathlib import Path

import pytest

SOURCE = """
Numbers: TypeAlias = int | float

def least(values, start=None):
    if start is None or not values:
        return 0.5
    rows = values.reshape(-1, 3)
    return rows - start if values > 1 else rows
"""
CHANGES = {
    "5: if start is None or not values: -> if not (start is None or not values):",
    "5: start is None or not values -> start is None and (not values)",
    "5: start is None -> start is not None",
    "5: not values -> values",
    "6: 0.5 -> 2.0",
    "7: -1 -> 1",
    "7: 3 -> 4",
    "8: rows - start if values > 1 else rows -> rows - start if not values > 1 else rows",
    "8: rows - start -> rows + start",
    "8: values > 1 -> values >= 1",
    "8: 1 -> 2",
}


@pytest.fixture
def mutants():
    spec = importlib.util.spec_from_file_location("mutants", Path(__file__).parent / "mutants.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_everything_is_changed_once_but_what_would_be_the_same_program(mutants):
    found = dict(mutants.mutants(ast.parse(SOURCE)))
    assert {*found} == CHANGES
    assert len({*found.values()}) == len(found) and ast.unparse(ast.parse(SOURCE)) not in found.values()
    for test, has_opposite in (("a in b", True), ("not a", True), ("a < b", False), ("a or b", False)):
        assert mutants.has_opposite(ast.parse(test, mode="eval").body) == has_opposite


def test_a_run_goes_on_where_it_was_and_a_changed_test_is_tried_again(mutants, tmp_path, monkeypatch, capsys):
    (tmp_path / "theory").mkdir()
    (tmp_path / "theory/least.py").write_text(SOURCE)
    (tmp_path / "test.py").write_text("")
    monkeypatch.setattr(mutants, "LOG", tmp_path / "log")
    monkeypatch.setattr(mutants, "TESTS", {"theory/least.py": ["test.py"]})
    tried = []

    def passes(tests, keep=False):
        tried.append((tmp_path / "theory/least.py").read_text())
        return keep or "2.0" in tried[-1]

    monkeypatch.setattr(mutants, "passes", passes)
    assert mutants.try_file(tmp_path, "theory/least.py", 2, 1) == (5, 5) and len(tried) == 1 + 5
    assert mutants.try_file(tmp_path, "theory/least.py", 1, 0) == (10, 11) and len(tried) == 6 + 1 + 6
    assert mutants.try_file(tmp_path, "theory/least.py", 1, 0) == (10, 11) and len(tried) == 13
    assert capsys.readouterr().out.count("survived  theory/least.py:6: 0.5 -> 2.0") == 2
    assert (tmp_path / "theory/least.py").read_text() == SOURCE
    (tmp_path / "test.py").write_text("changed")
    mutants.try_file(tmp_path, "theory/least.py", 1, 0)
    assert len(tried) == 13 + 1 + 11


def test_what_is_no_part_is_refused(mutants, monkeypatch, capsys):
    for words in (["nothing.py"], ["--every", "5", "--offset", "5"], ["--every", "0"]):
        monkeypatch.setattr(sys, "argv", ["mutants.py", *words])
        with pytest.raises(SystemExit):
            mutants.main()
        assert "FILE.py is of fits.py, dose_law.py" in capsys.readouterr().err
