"""The figure of the sampled posteriors is drawn from whatever there is, to the same bytes, without jax."""

import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

from experiments.figures import posteriors as posterior_plots
from experiments.figures.posteriors import draw_posteriors
from experiments.scoring import rows as scoring
from experiments.scoring.scorecard import scorecard
from experiments.scoring.thresholds import COLUMNS, LIMITS
from experiments.storage.contents import PosteriorCell
from experiments.storage.records import Cell
from experiments.storage.run_folder import create

DOSES, CONTEXTS, ANSWERS = (1, 4, 16), 6, 3
TIMES = np.array([0.0, 0.1, 0.3, 1.0])
SETS = ("langevin-posterior/T=0.0001", "langevin-posterior/T=0.001", "adam-gibbs/T=0.0001")


def _log(weights):
    return np.log(weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)


def _run(folder, make, sets=SETS, bases=2, bad=((0, 2),)):
    """A made-up run: networks walk from the base towards a target; chains say how far, a little wrong."""
    config = {"doses": list(DOSES), "n": 4, "batch": 2, "pairs": 2, "sgd_rate": 0.05, "adam_rate": 0.05}
    run = create(folder, {"study": "made-up", "preset": "tiny", "config": config}, {})
    for base in range(bases):
        rng = np.random.default_rng(base)
        start, end = rng.random((2, 2 * CONTEXTS, ANSWERS)) + 0.2

        def walk(parts, wrong=0.0, start=start, end=end):
            return _log(start + np.asarray(parts)[:, None, None] * (end - start) + wrong)

        theories = make.theories(
            walk([0])[0],
            np.repeat(["in_domain", "held_out"], CONTEXTS),
            np.arange(2 * CONTEXTS).astype(str),
            np.arange(ANSWERS).astype(str),
            walk([0, 1]),
            [make.ladder("proximal/network", TIMES, np.stack([walk(TIMES, 0.01)] * 2))],
        )
        chains = []
        for index, name in enumerate(sets):
            numbers = np.array([[[1.02, 300, 200, 0.8, 0.03, 0, 30, 0.1]] * len(TIMES)], np.float32)
            problems = np.full((1, len(TIMES)), "", dtype="<U20")
            for seed, rung in bad:
                numbers[seed, rung] = [np.nan, 3, 2, 0.1, 0.6, 0, 90, 2]
                problems[seed, rung] = "It is bad."
            optional = {"times": TIMES, "diagnostics": numbers, "problems": problems}
            chains.append(make.ladder(name, TIMES * 7, walk(TIMES, 0.02 * (1 + index))[None], **optional))
        moved = np.stack([walk([0.05, 0.25, 0.6], 0.001 * rng.random()) for _ in range(2)])
        networks = make.networks(moved, np.stack([walk([0.05, 0.25, 0.6], 1e-3)] * 2))
        cells = {"theories": theories, "finetuned": networks, "replays": make.replay(moved)}
        make.save(
            run, "topics0", base, cells | ({"posteriors": PosteriorCell(tuple(chains))} if sets else {})
        )
    return run


@pytest.fixture
def drawn(tmp_path, make):
    run = _run(tmp_path / "plots", make)
    run.save_rows(scoring.rows(run))
    return run, draw_posteriors(run)


def test_three_files_are_written(drawn):
    run, paths = drawn
    place = run.folder / "figures"
    assert paths == [place / f"made-up-posteriors.{kind}" for kind in ("png", "svg", "pdf")]
    assert sorted(place.iterdir()) == sorted(paths)
    assert all(path.stat().st_size > 5000 for path in paths)


@pytest.mark.slow
def test_drawing_again_gives_the_same_bytes(drawn):
    run, paths = drawn
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in draw_posteriors(run)] == before


def _figure(run, monkeypatch):
    """The figure before it is saved."""
    kept = []
    monkeypatch.setattr(posterior_plots, "save", lambda run, figures: kept.extend(figures.values()) or [1])
    assert draw_posteriors(run) == [1]
    return kept[0]


def _markers(figure, marker, hollow=False):
    """Where the first panel has rings or other markers: (dose, explained)."""
    lines = [line for line in figure.axes[0].lines if line.get_marker() == marker]
    lines = [line for line in lines if (line.get_markerfacecolor() == "none") == hollow]
    return {tuple(map(float, point)) for line in lines for point in line.get_xydata()}


def test_scores_are_drawn_at_their_dose_and_ringed_where_chains_are_bad(drawn, monkeypatch):
    run, _ = drawn
    lines = scorecard(run.rows())
    same = [line for line in lines if (line.group, line.grade) == ("held_out", "fitted")]
    chains = [line for line in same if line.prior.startswith("T=")]
    bad = {(float(line.dose), line.explained) for line in chains if line.converged < 1}
    assert 0 < len(bad) < len(chains)
    figure = _figure(run, monkeypatch)
    assert _markers(figure, "o", hollow=True) == bad
    squares = {(float(line.dose), line.explained) for line in same if line.theory == "proximal"}
    assert _markers(figure, "s") == squares
    crosses = {(float(line.dose), line.explained) for line in chains if line.prior == "T=0.0001"}
    assert crosses <= _markers(figure, "X")
    words = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"langevin posterior, T = 0.001 nats", "proximal (T → 0)"} <= words
    assert any("not converged" in word for word in words)


def test_diagnostics_are_drawn_against_time_and_beyond_their_limits_is_grey(drawn, monkeypatch):
    figure = _figure(drawn[0], monkeypatch)
    titles = {axes.get_title(): axes for axes in figure.axes}
    axes = titles["acceptance"]
    assert len(axes.lines) == len(SETS)
    for line in axes.lines:
        np.testing.assert_allclose(line.get_xdata(), TIMES[1:])  # no τ = 0 on a logarithmic axis
        np.testing.assert_allclose(line.get_ydata(), [0.8, 0.1, 0.8], rtol=1e-6)
    grey = [patch.get_extents().transformed(axes.transData.inverted()) for patch in axes.patches]
    assert [round(box.y1, 6) for box in grey] == [0.5] and grey[0].y0 <= 0.1
    assert titles["change with half the step"].get_yscale() == "log"


@pytest.mark.parametrize("value", [np.nan, 0.0, -1e-9])
def test_diagnostics_that_are_undefined_are_left_blank(tmp_path, make, monkeypatch, value):
    """Too few draws have no R-hat, and two chains may agree to the last bit: neither fits a logarithm."""
    run = _run(tmp_path / "run", make, bases=1)
    cell = Cell("posteriors", "topics0", 0)
    ladders = []
    for ladder in run.posteriors(cell).ladders:
        numbers = ladder.diagnostics.copy()
        numbers[..., [0, 4]] = value
        ladders.append(replace(ladder, diagnostics=numbers))
    run.save(cell, PosteriorCell(tuple(ladders)))
    figure = _figure(run, monkeypatch)
    figure.draw_without_rendering()
    panel = next(axes for axes in figure.axes if axes.get_title() == "change with half the step")
    low, high = panel.get_ylim()
    assert 0 < low < 0.1 < high and np.isfinite(high)  # the limit is in sight


def test_nothing_sampled_is_nothing_drawn(tmp_path, make):
    run = _run(tmp_path / "run", make, sets=())
    assert draw_posteriors(run) == []
    assert not (run.folder / "figures").exists()


def test_chains_without_a_finetuned_network_are_not_drawn(tmp_path, make):
    run = _run(tmp_path / "run", make, bases=1)
    (run.folder / "cells" / "finetuned--sgd--topics0--0.npz").unlink()
    assert draw_posteriors(run) == []


def test_an_unfinished_run_is_drawn_from_what_there_is(tmp_path, make):
    """One base network's chains failed, the other's finetuning at another D' has none yet."""
    run = _run(tmp_path / "run", make, sets=SETS[:1], bad=[(0, rung) for rung in range(4)])
    (run.folder / "cells" / "posteriors--topics0--1.npz").unlink()
    run.fail(Cell("posteriors", "topics0", 1), "It failed.")
    for kind, method in (("theories", ""), ("finetuned", "sgd")):
        run.save(Cell(kind, "topics0_1", 0, method), run.load(Cell(kind, "topics0", 0, method)))
    paths = draw_posteriors(run)
    assert [path.suffix for path in paths] == [".png", ".svg", ".pdf"]


@pytest.mark.slow
def test_no_jax_is_needed(drawn):
    code = (
        "import sys; sys.modules['jax'] = None\n"
        "from pathlib import Path; from experiments.storage.run_folder import RunFolder\n"
        "from experiments.figures.posteriors import draw_posteriors\n"
        f"assert len(draw_posteriors(RunFolder(Path({str(drawn[0].folder)!r})))) == 3\n"
        "assert not {'flax', 'numpyro', 'optax'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_thresholds_are_those_of_the_sampler_and_columns_those_of_the_diagnostics():
    from experiments.design.sampling import THRESHOLDS
    from theory.mcmc.diagnostics import Diagnostics

    assert {name: getattr(THRESHOLDS, name) for name in LIMITS} == LIMITS
    assert tuple(field.name for field in fields(Diagnostics))[: len(COLUMNS)] == COLUMNS
    assert len(fields(THRESHOLDS)) == len(LIMITS)
