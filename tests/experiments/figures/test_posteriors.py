"""The figure of the sampled posteriors is drawn from whatever there is, to the same bytes, without jax."""

import subprocess
import sys

import numpy as np
import pytest

from experiments.figures import posteriors as posterior_plots
from experiments.figures.posteriors import draw_posteriors
from experiments.scoring import rows as scoring
from experiments.storage.run_folder import create

DOSES, CONTEXTS, ANSWERS = (1, 4, 16), 6, 3
TIMES = np.array([0.0, 0.1, 0.3, 1.0])
SETS = ("langevin-posterior/T=0.0001", "langevin-posterior/T=0.001", "adam-gibbs/T=0.0001")


def _log(weights):
    return np.log(weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)


def _run(folder, sets=SETS, bases=2, bad=((0, 2),)):
    """A made-up run: networks walk from the base towards a target; chains say how far, a little wrong."""
    config = {"doses": list(DOSES), "n": 4, "batch": 2, "pairs": 2, "sgd_rate": 0.05, "adam_rate": 0.05}
    results = create(folder, {"study": "made-up", "preset": "tiny", "config": config}, {})
    for base in range(bases):
        rng = np.random.default_rng(base)
        start, end = rng.random((2, 2 * CONTEXTS, ANSWERS)) + 0.2

        def walk(parts, wrong=0.0, start=start, end=end):
            return _log(start + np.asarray(parts)[:, None, None] * (end - start) + wrong)

        theories = {
            "members": walk([0, 1]),
            "evidence": np.zeros((2, 2 * CONTEXTS), np.float32),
            "base": walk([0])[0],
            "group": np.repeat(["in_domain", "held_out"], CONTEXTS),
            "asked": np.arange(2 * CONTEXTS).astype(str),
            "answers": np.arange(ANSWERS).astype(str),
            "ladder/proximal/network": np.stack([walk(TIMES, 0.01)] * 2),
            "betas/proximal/network": TIMES,
        }
        chains = {}
        for index, name in enumerate(sets):
            health = np.array([[[1.02, 300, 200, 0.8, 0.03, 0, 30, 0.1]] * len(TIMES)], np.float32)
            problems = np.full((1, len(TIMES)), "", dtype="<U20")
            for place in bad:
                health[place], problems[place] = [np.nan, 3, 2, 0.1, 0.6, 0, 90, 2], "It is bad."
            chains |= {f"ladder/{name}": walk(TIMES, 0.02 * (1 + index))[None]}
            chains |= {f"betas/{name}": TIMES * 7, f"times/{name}": TIMES}
            chains |= {f"health/{name}": health, f"problems/{name}": problems}
        moved = np.stack([walk([0.05, 0.25, 0.6], 0.001 * rng.random()) for _ in range(2)])
        network = {"finetuned": moved, "twin": np.stack([walk([0.05, 0.25, 0.6], 1e-3)] * 2)}
        results.save(f"theories-topics0-{base}", theories)
        results.save(f"sgd-topics0-{base}", network)
        results.save(f"dynamics-sgd-topics0-{base}", {"linearised": moved})
        if sets:
            results.save(f"langevin-topics0-{base}", chains)
    return results


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    results = _run(tmp_path_factory.mktemp("plots") / "run")
    results.save_rows(scoring.rows(results))
    return results, draw_posteriors(results)


def test_three_files_are_written(drawn):
    results, paths = drawn
    place = results.folder / "figures"
    assert paths == [place / f"made-up-posteriors.{kind}" for kind in ("png", "svg", "pdf")]
    assert sorted(place.iterdir()) == sorted(paths)
    assert all(path.stat().st_size > 5000 for path in paths)


def test_drawing_again_gives_the_same_bytes(drawn):
    results, paths = drawn
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in draw_posteriors(results)] == before


def _figure(results, monkeypatch):
    """The figure before it is saved."""
    kept = []
    monkeypatch.setattr(
        posterior_plots, "save", lambda results, figures: kept.extend(figures.values()) or [1]
    )
    assert draw_posteriors(results) == [1]
    return kept[0]


def _markers(figure, marker, hollow=False):
    """Where the first panel has rings or other markers: (dose, explained)."""
    lines = [line for line in figure.axes[0].lines if line.get_marker() == marker]
    lines = [line for line in lines if (line.get_markerfacecolor() == "none") == hollow]
    return {tuple(map(float, point)) for line in lines for point in line.get_xydata()}


def test_scores_are_drawn_at_their_dose_and_ringed_where_chains_are_bad(drawn, monkeypatch):
    results, _ = drawn
    lines = scoring.scorecard(results.rows())
    same = [line for line in lines if (line["group"], line["grade"]) == ("held_out", "fitted")]
    chains = [line for line in same if line["prior"].startswith("T=")]
    bad = {(float(line["dose"]), line["explained"]) for line in chains if line["trusted"] < 1}
    assert 0 < len(bad) < len(chains)
    figure = _figure(results, monkeypatch)
    assert _markers(figure, "o", hollow=True) == bad
    squares = {(float(line["dose"]), line["explained"]) for line in same if line["theory"] == "proximal"}
    assert _markers(figure, "s") == squares
    crosses = {(float(line["dose"]), line["explained"]) for line in chains if line["prior"] == "T=0.0001"}
    assert crosses <= _markers(figure, "X")
    words = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"langevin posterior, T = 0.001 nats", "proximal (T → 0)"} <= words
    assert any("miss the gate" in word for word in words)


def test_health_is_drawn_against_time_and_the_gate_is_grey(drawn, monkeypatch):
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
def test_health_that_cannot_be_told_is_left_blank(tmp_path, monkeypatch, value):
    """Too few draws have no R-hat, and two chains may agree to the last bit: neither fits a logarithm."""
    results = _run(tmp_path / "run", bases=1)
    cell = "langevin-topics0-0"
    arrays = {name: array.copy() for name, array in results.load(cell).items()}
    for name in SETS:
        arrays[f"health/{name}"][..., [0, 4]] = value
    results.save(cell, arrays)
    figure = _figure(results, monkeypatch)
    figure.draw_without_rendering()
    told = next(axes for axes in figure.axes if axes.get_title() == "change with half the step")
    low, high = told.get_ylim()
    assert 0 < low < 0.1 < high and np.isfinite(high)  # the gate's limit is in sight


def test_nothing_sampled_is_nothing_drawn(tmp_path):
    results = _run(tmp_path / "run", sets=())
    assert draw_posteriors(results) == []
    assert not (results.folder / "figures").exists()


def test_chains_without_a_finetuned_network_are_not_drawn(tmp_path):
    results = _run(tmp_path / "run", bases=1)
    (results.folder / "cells" / "sgd-topics0-0.npz").unlink()
    assert draw_posteriors(results) == []


def test_an_unfinished_run_is_drawn_from_what_there_is(tmp_path):
    """One base network's chains failed, the other's finetuning at another D' has none yet."""
    results = _run(tmp_path / "run", sets=SETS[:1], bad=[(0, rung) for rung in range(4)])
    (results.folder / "cells" / "langevin-topics0-1.npz").unlink()
    results.fail("langevin-topics0-1", "It failed.")
    for name in ("theories", "sgd"):
        results.save(f"{name}-topics0_1-0", results.load(f"{name}-topics0-0"))
    paths = draw_posteriors(results)
    assert [path.suffix for path in paths] == [".png", ".svg", ".pdf"]


def test_no_jax_is_needed(drawn):
    code = (
        "import sys; sys.modules['jax'] = None\n"
        "from pathlib import Path; from experiments.storage.run_folder import Results\n"
        "from experiments.figures.posteriors import draw_posteriors\n"
        f"assert len(draw_posteriors(Results(Path({str(drawn[0].folder)!r})))) == 3\n"
        "assert not {'flax', 'numpyro', 'optax'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
