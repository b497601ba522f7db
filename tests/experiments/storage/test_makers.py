"""Makers of cells: noted beside them, and named where they are unlike."""

import dataclasses

from experiments.storage import makers
from experiments.storage.makers import Maker, note_maker, read_makers, unlike_makers

OURS = Maker("abc", {"jax": "0.10.1", "numpy": "2.4"}, "3.11.7", "a CPU", 2, "2 × cpu")


def note(folder, name, maker, *cells, monkeypatch):
    """As another process would."""
    monkeypatch.setattr(makers, "_NAME", f"{name}.jsonl")
    for cell in cells:
        note_maker(folder, maker, cell)


def test_alike_makers_are_no_news(tmp_path, monkeypatch):
    assert read_makers(tmp_path) == [] and unlike_makers(tmp_path) == []
    note(tmp_path, "one", OURS, "a", "b", monkeypatch=monkeypatch)
    note(tmp_path, "two", OURS, "c", monkeypatch=monkeypatch)
    assert read_makers(tmp_path) == [(OURS, ["a", "b", "c"])] and unlike_makers(tmp_path) == []


def test_cells_of_unlike_machines_are_named(tmp_path, monkeypatch):
    other = dataclasses.replace(OURS, devices="8 × cpu", packages=OURS.packages | {"jax": "0.12"})
    note(tmp_path, "one", OURS, *"abcde", monkeypatch=monkeypatch)
    note(tmp_path, "two", other, *"fghi", monkeypatch=monkeypatch)
    first, second = unlike_makers(tmp_path)
    assert "5 of 9 were" in first
    assert second == (
        "f, g, h and 1 more: jax 0.12, devices 8 × cpu (elsewhere jax 0.10.1, devices 2 × cpu)."
    )


def test_what_a_kill_or_damage_leaves_is_no_cell(tmp_path, monkeypatch):
    note(tmp_path, "one", OURS, "a", "b", monkeypatch=monkeypatch)
    path = tmp_path / "makers" / "one.jsonl"
    path.write_text(path.read_text()[:-1])  # the line of b is cut short
    (tmp_path / "makers" / "two.jsonl").write_text('{"commit": 1}\nc\n')
    (tmp_path / "makers" / "three.jsonl").write_text("")
    assert read_makers(tmp_path) == [(OURS, ["a"])]
