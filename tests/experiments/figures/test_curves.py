"""Curves: what is drawn is what is written down, and intervals are by base networks × D'."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.figures.curves import (
    BASE,
    NAMES,
    NETWORK,
    SPEAKERS,
    Curves,
    draw_grid,
    draws_of,
    look,
    spread,
)
from experiments.figures.looks import KNOWN
from experiments.scoring.intervals import mean
from experiments.storage.records import Cell
from experiments.storage.run_folder import create

DOSES = [1, 8]


@pytest.fixture
def run(tmp_path):
    config = {"study": "made-up", "preset": "tiny", "config": {"doses": DOSES}}
    return create(tmp_path / "run", config, {})


def test_the_band_is_the_interval_of_a_score():
    values = np.random.default_rng(0).normal(size=(4, 3, 2))
    got, half = spread(values, [0] * 4)
    for index in range(2):
        networks = values[..., index].ravel()
        estimate = mean(networks, (np.repeat(range(4), 3), np.tile(range(3), 4)))
        assert got[index] == pytest.approx(estimate.value)
        low, high = estimate.interval
        np.testing.assert_allclose(half[index], (high - low) / 2)
    _, half = spread(values, [0, 0, 1, 1])  # of two draws: these are the clusters
    by_draw = values.reshape(2, 6, 2).mean(axis=1)
    np.testing.assert_allclose(half, 12.7062 * np.abs(by_draw[0] - by_draw[1]) / 2, rtol=1e-5)
    _, half = spread(values[:, :1], [0] * 4, of_these=True)  # of one D', over base networks
    low, high = mean(values[:, 0, 0], [range(4)]).interval
    np.testing.assert_allclose(half[0], (high - low) / 2)
    for few, draws in ((values[:1], [0]), (values[:, :1], [0] * 4), (values, [])):
        got, half = spread(few, draws)
        np.testing.assert_allclose(got, few.mean(axis=(0, 1)))
        assert np.isnan(half).all()


def test_draws_are_those_of_the_finished_networks():
    def run(*bases):
        cells = [Cell("finetuned", "arm", base, "sgd") for base in bases]
        return SimpleNamespace(cells=lambda kind: cells, draw=lambda base: base // 2)

    assert draws_of(run(), 3) == draws_of(run(0, 1), 3) == [0, 0, 0]
    assert draws_of(run(0, 1, 2, 3), 4) == [0, 0, 1, 1]
    assert draws_of(run(0, 1, 2, 3), 3) == []  # one panel lacks a network, and nobody knows which


def test_every_name_has_a_look_of_its_own():
    looks = [look(name) for name in (*SPEAKERS, *KNOWN)]
    assert len({(str(line["color"]), str(line.get("ls")), line.get("marker")) for line in looks}) == (
        len({*SPEAKERS, *KNOWN})
    )


def test_a_curve_and_its_band_are_the_lines_of_the_table(run):
    curves, figure = Curves(run), Figure()
    axes, both = figure.add_subplot(), np.array([[[0.2, 0.4]], [[0.4, 0.4]]])
    curves.line(axes, ("some\nrow", "column"), NETWORK, DOSES, np.repeat(both, 2, axis=1))
    curves.line(axes, ("some\nrow", "column"), BASE, DOSES, np.array([[[0.1, 0.1]]]))
    drawn = [line.get_ydata() for line in axes.lines]
    np.testing.assert_allclose(drawn, [[0.3, 0.4], [0.1, 0.1]])
    (band,) = axes.collections  # base networks have none
    heights = band.get_paths()[0].vertices[:, 1]
    half = 12.7062 * 0.1  # t with one degree of freedom; between D' nothing differs
    assert heights.min() == pytest.approx(0.3 - half) and heights.max() == pytest.approx(0.3 + half)
    first = {"row": "some row", "column": "column", "who": NAMES[NETWORK], "at": "1"}
    assert curves.table[0] == {**first, "mean": "0.3", "low": "-0.97062", "high": "1.57062", "networks": 4}
    assert curves.table[2]["low"] == curves.table[2]["high"] == "" and curves.table[2]["networks"] == 1


def test_a_grid_writes_what_it_draws_and_is_the_same_twice(run):
    grid = {
        ("rate", column): {name: np.full((2, 2, 2), value) for name, value in values.items()}
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
