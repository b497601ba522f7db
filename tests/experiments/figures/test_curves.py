"""Curves: what is drawn is what is written down, and errors are of base networks."""

import csv

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.figures.curves import BASE, NAMES, NETWORK, SPEAKERS, Curves, draw_grid, look, spread
from experiments.figures.looks import KNOWN
from experiments.storage.run_folder import create

DOSES = [1, 8]


@pytest.fixture
def run(tmp_path):
    config = {"study": "made-up", "preset": "tiny", "config": {"doses": DOSES}}
    return create(tmp_path / "run", config, {})


def test_the_error_is_that_of_a_mean_over_base_networks():
    mean, error = spread(np.array([[1.0, 4.0], [3.0, 4.0]]))
    np.testing.assert_allclose(mean, [2, 4])
    np.testing.assert_allclose(error, [1, 0])
    mean, error = spread(np.array([[1.0, 4.0]]))
    np.testing.assert_allclose(mean, [1, 4])
    assert np.isnan(error).all()


def test_every_name_has_a_look_of_its_own():
    looks = [look(name) for name in (*SPEAKERS, *KNOWN)]
    assert len({(str(line["color"]), str(line.get("ls")), line.get("marker")) for line in looks}) == (
        len({*SPEAKERS, *KNOWN})
    )


def test_a_curve_and_its_band_are_the_lines_of_the_table():
    curves, figure = Curves(), Figure()
    axes = figure.add_subplot()
    curves.line(axes, ("some\nrow", "column"), NETWORK, DOSES, np.array([[0.2, 0.4], [0.4, 0.4]]))
    curves.line(axes, ("some\nrow", "column"), BASE, DOSES, np.array([[0.1, 0.1]]))
    drawn = [line.get_ydata() for line in axes.lines]
    np.testing.assert_allclose(drawn, [[0.3, 0.4], [0.1, 0.1]])
    (band,) = axes.collections  # base networks have none
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx(0.2) and heights.max() == pytest.approx(0.4)
    first = {"row": "some row", "column": "column", "who": NAMES[NETWORK], "at": "1"}
    assert curves.table[0] == {**first, "mean": "0.3", "standard_error": "0.1", "networks": 2}
    assert curves.table[2]["standard_error"] == "" and curves.table[2]["networks"] == 1


def test_a_grid_writes_what_it_draws_and_is_the_same_twice(run):
    grid = {
        ("rate", column): {name: np.full((2, 2), value) for name, value in values.items()}
        for column, values in {"SGD": {NETWORK: 0.5, "linearised": 0.25}, "Adam": {"nobody": 0.1}}.items()
    }
    paths = draw_grid(run, "rate", grid)
    assert [path.name for path in paths] == [f"made-up-rate.{kind}" for kind in ("png", "svg", "pdf", "csv")]
    lines = list(csv.DictReader(paths[-1].read_text().splitlines()))
    assert {(line["column"], line["who"], line["mean"]) for line in lines} == {
        ("SGD", "finetuned network", "0.5"),
        ("SGD", "linearised", "0.25"),
    }
    assert [line["at"] for line in lines] == ["1", "8"] * 2
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in draw_grid(run, "rate", grid)] == before
    assert draw_grid(run, "rate", {}) == []
