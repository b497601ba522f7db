"""The benchmarks' own arithmetic, and the one count among them that is a law: one compilation a program."""

import numpy as np

from benchmarks.__main__ import table
from benchmarks._timing import interleaved, row
from benchmarks.compilations import count


def test_finetuning_compiles_once():
    counts = count("sgd")
    assert counts.first and not counts.later


def test_rows():
    by_ratio = row("a", [1, 2, 9], "s", "b", [4, 0.4, 0.6], "≥ 0.5")
    assert (by_ratio["value"], by_ratio["low"], by_ratio["high"], by_ratio["ratio"]) == (2, 1, 9, 0.6)
    assert by_ratio["met"] and not row("a", 2, "s", goal="≤ 1")["met"]
    lines = table([{"benchmark": "x", **by_ratio}, {"benchmark": "x", **row("skipped", None, "")}])
    assert "2 (1 - 9)" in lines and lines.splitlines()[-1] == "skipped"


def test_interleaved():
    order = []
    taken = interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 0.0)
    assert order == ["a", "b"] * 6 and np.shape(taken["a"]) == (5,)
