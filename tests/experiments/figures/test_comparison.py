"""Figures are drawn from whatever is on disk, and the same folder gives the same bytes."""

import re
from dataclasses import replace
from html import escape

import numpy as np
import pytest

from experiments.figures import comparison, style
from experiments.figures.answers import probabilities
from experiments.figures.comparison import (
    draw_comparison,
    draw_early,
    explained_figure,
    main_figure,
)
from experiments.figures.dose_panels import best_null, mixture_theories
from experiments.figures.looks import look
from experiments.figures.summary import draw_summary
from experiments.scoring import rows as scoring
from experiments.scoring.labels import NULLS
from experiments.scoring.scorecard import scorecard
from experiments.storage.contents import PosteriorCell
from experiments.storage.records import Cell
from experiments.storage.run_folder import create
from theory.errors import Misuse

DOSES, TOPICS, ANSWERS, SEEDS = (1, 8), 3, 3, 2


def _log(weights):
    return np.log(weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)


def _run(
    folder,
    make,
    bases=2,
    cells=("theories", "replays", "finetuned"),
    noise=0.01,
    questions=tuple(f"topic {topic}" for topic in range(TOPICS)),
    answers=tuple(f"answer {answer}" for answer in range(ANSWERS)),
    fixed=("proximal/network",),
):
    """A made-up run: the finetuned network walks from the base towards a target answer."""
    config = {"doses": list(DOSES), "n": 4, "batch": 2, "pairs": 2, "sgd_rate": 0.1, "methods": ["sgd"]}
    run = create(folder, {"study": "made-up", "preset": "tiny", "config": config}, {})
    for base in range(bases):
        rng = np.random.default_rng(base)
        group = np.repeat(["in_domain", "held_out", "conflict"], TOPICS)
        count = len(group)
        start, end = rng.random((2, count, ANSWERS)) + 0.2

        def walk(parts, start=start, end=end):
            return start + np.asarray(parts)[:, None, None] * (end - start)

        betas = np.linspace(0, 1, 6).astype(np.float32)
        ladder = np.stack([_log(walk(betas))] * SEEDS)
        names = ("tempered-posterior/implied", "tempered-posterior/process", *fixed)
        theories = make.theories(
            _log(start),
            group,
            np.tile(questions, 3),
            answers,
            _log(rng.random((2, count, ANSWERS)) + 0.2),
            [make.ladder(name, betas, ladder) for name in names],
        )
        moved = walk([0.3, 0.9])
        jitter = noise * rng.random((2, SEEDS, *moved.shape))
        networks = make.networks(_log(moved + jitter[0]), _log(moved + jitter[1]))
        every = {"theories": theories, "replays": make.replay(networks.finetuned), "finetuned": networks}
        make.save(run, "topics0", base, {kind: every[kind] for kind in cells})
    return run


@pytest.mark.slow
def test_drawing_twice_gives_the_same_bytes(tmp_path, make):
    run = _run(tmp_path / "run", make)
    run.save_rows(scoring.rows(run))
    paths = draw_comparison(run)
    assert paths[0] == run.folder / "figures" / "made-up.png"
    assert {path.suffix for path in paths} == {".png", ".svg", ".pdf"}
    assert [path.stem for path in paths[::3]] == ["made-up", "made-up-groups", "made-up-summary"]
    before = [path.read_bytes() for path in paths]
    early = draw_early(run, "partial: 1 of 2 base networks")
    assert early in paths and early.read_bytes() != before[paths.index(early)]
    assert [path.read_bytes() for path in draw_comparison(run)] == before


@pytest.fixture
def svg_alone(monkeypatch):
    """The format that is written soonest."""
    monkeypatch.setattr(style, "FORMATS", {"svg": {"Date": None}})


def test_an_unfinished_run_is_drawn_from_what_there_is(tmp_path, make, svg_alone):
    run = _run(tmp_path / "run", make)
    (run.folder / "cells" / "finetuned--sgd--topics0--1.npz").unlink()
    run.fail(Cell("finetuned", "topics0", 1, "sgd"), "Non-finite answers.")
    assert all(path.stat().st_size > 1000 for path in draw_comparison(run))


def test_an_early_figure_has_a_note_and_what_is_scored(tmp_path, make, monkeypatch):
    drawn = {}
    monkeypatch.setattr(comparison, "save_figure", drawn.__setitem__)
    run = _run(tmp_path / "run", make, bases=1)
    path = draw_early(run, "partial: 1 of 2 base networks")
    figure = drawn.pop(path)
    assert path == run.folder / "figures" / "made-up-summary.png" and not drawn
    assert "partial: 1 of 2 base networks" in [text.get_text() for text in figure.texts]
    assert any(len(line.get_xdata()) == len(DOSES) for line in figure.axes[0].lines)
    with pytest.raises(Misuse, match="nothing is scored yet"):
        draw_early(_run(tmp_path / "begun", make, bases=1, cells=("theories",)), "partial")


def test_doses_without_a_defined_score_are_drawn(tmp_path, make, svg_alone):
    run = _run(tmp_path / "run", make, bases=1, noise=20.0)
    lines = scorecard(scoring.rows(run))
    assert any(line.explained is None and line.group == "held_out" for line in lines)
    assert draw_comparison(run)


def test_sampled_answers_are_those_of_the_networks_that_were_sampled(tmp_path, make, svg_alone):
    """Chains of the first of two finetuning seeds, at the β of their row; the base's own beside them."""
    run = _run(tmp_path / "run", make)
    for base in range(2):
        cell = Cell("posteriors", "topics0", base)
        (proximal,) = [ladder for ladder in run.theories(cell).ladders if ladder.theory == "proximal"]
        rungs, betas, sound = proximal.log_probs[:1], proximal.betas, np.full((1, len(proximal.betas)), "")
        name, optional = "langevin-posterior/T=0.001", {"times": betas, "problems": sound}
        run.save(cell, PosteriorCell((make.ladder(name, betas * (1 + base), rungs, **optional),)))
    rows = [row for row in scoring.rows(run) if row.group == "held_out"]
    mine = [row for row in rows if (row.theory, row.grade) == ("langevin-posterior", "fitted")]
    assert {len(row.beta) for row in mine} == {1} and len(mine) == 2 * len(DOSES)
    shares, questions, answers = probabilities(run, rows)
    assert questions == [f"topic {topic}" for topic in range(TOPICS)]
    assert answers == [f"answer {answer}" for answer in range(ANSWERS)]
    assert shares["langevin-posterior"].shape == (len(DOSES), TOPICS, ANSWERS)
    # both seeds have the same ladder: their average is the first one's, at nearly the same β
    np.testing.assert_allclose(shares["langevin-posterior"], shares["proximal"], atol=2e-3)
    assert np.abs(shares["langevin-posterior"] - shares["base"]).max() > 0.02
    assert draw_comparison(run)


HOSTILE = (r"$\frac$", "a$b$c", r"_^{\\", "<b>&")


def test_names_are_drawn_as_they_stand(tmp_path, make, svg_alone):
    """A name with dollar signs is no formula, whoever chose it; powers at the ticks of an axis still are."""
    run = _run(tmp_path / "run", make, questions=HOSTILE[:3], answers=HOSTILE[1:], fixed=[r"$\frac$/network"])
    lines = [replace(line, data=HOSTILE[0]) for line in scorecard(scoring.rows(run))]
    style.save_figure(tmp_path / "summary.svg", draw_summary(lines, frozenset()))
    drawn = [path.read_text() for path in (*draw_comparison(run), tmp_path / "summary.svg")]
    assert len(drawn) == 4 and all(re.search(r"<!-- .*\$\\frac\$(, fitted)? -->", text) for text in drawn)
    assert all(f"<!-- {escape(name, quote=False)} -->" in drawn[0] for name in HOSTILE)
    assert "Oblique" not in "".join(drawn)  # the letters of a formula
    assert r"<!-- $\mathdefault{10^{0}}$ -->" in drawn[0] and 'id="DejaVuSans-5e"' not in drawn[2]


def test_powers_at_the_ticks_of_an_axis_are_formulas(tmp_path, make):
    axes = next(
        axes for axes in main_figure(_run(tmp_path / "run", make)).axes if axes.get_ylabel()[:3] == "rel"
    )
    assert axes.get_yscale() == "log" and not axes.yaxis.label.get_parse_math()
    assert all(tick.label1.get_parse_math() for tick in axes.yaxis.get_major_ticks())


def test_the_main_figure_has_the_conflict_contexts(tmp_path, make):
    """Beside the judged ones; a group that is not conflict gets no panels of its own."""
    run = _run(tmp_path / "run", make)
    texts = [text.get_text() for text in main_figure(run).texts]
    assert [text[:24] for text in texts if text.startswith("Explained")] == [
        "Explained part of the he",
        "Explained part of the co",
    ]
    assert [text for text in texts if len(text) == 1] == list("abcd")


def test_without_a_fitted_number_there_is_no_panel_of_strengths(tmp_path, make, monkeypatch):
    run = _run(tmp_path / "run", make)
    lines = [
        line for line in scorecard(scoring.rows(run)) if line.grade == "forecast" or line.theory in NULLS
    ]
    monkeypatch.setattr(comparison, "scorecard", lambda rows: lines)
    figure = main_figure(run)
    assert [text.get_text() for text in figure.texts if len(text.get_text()) == 1] == list("abc")
    assert not any("fitted" in text.get_text() for text in figure.legends[0].get_texts())
    assert not any(axes.get_ylabel().startswith("relative") for axes in figure.axes)


def test_the_best_null_is_drawn_and_its_score_is_the_best_at_each_dose(tmp_path, make):
    lines = scorecard(scoring.rows(_run(tmp_path / "run", make)))
    lines = [line for line in lines if line.group == "held_out"]
    best = best_null(lines, DOSES)
    for dose, value in zip(DOSES, best, strict=True):
        scores = {line.theory: line.explained for line in lines if line.dose == dose}
        assert value == max(scores[name] for name in NULLS[1:])
    assert np.isnan(best_null([line for line in lines if line.theory not in NULLS], DOSES)).all()
    (axes,) = (axes for axes in draw_summary(lines, frozenset()).axes if axes.get_title())
    assert any(np.array_equal(line.get_ydata(), best) for line in axes.lines)


@pytest.mark.parametrize("cells", [(), ("theories",)])
def test_nothing_finished_is_said_in_a_sentence(tmp_path, make, cells):
    run = _run(tmp_path / "run", make, cells=cells)
    run.fail(Cell("finetuned", "topics0", 0, "adam"), "It diverged.")
    with pytest.raises(Misuse, match=r"Nothing to draw .*It diverged"):
        draw_comparison(run)


@pytest.mark.parametrize("count", [1, 2, 5, 10])
def test_the_summary_has_a_panel_for_each_way_of_finetuning(tmp_path, make, count):
    """In a grid about as wide as high, with the judged group alone; an unknown theory has its own look."""
    lines = scorecard(scoring.rows(_run(tmp_path / "run", make)))
    lines = [replace(line, theory="mine") if line.theory == "proximal" else line for line in lines]
    every = [replace(line, data=f"topics{index}") for index in range(count) for line in lines]
    figure = draw_summary(every, frozenset(["tempered-posterior"]))
    titles = [axes.get_title() for axes in figure.axes]
    assert len(titles) == count and all(f"topic {index}" in title for index, title in enumerate(titles))
    colour, marker = look("mine")
    wanted = {
        (float(line.dose), line.explained)
        for line in lines
        if (line.theory, line.group, line.grade) == ("mine", "held_out", "fitted")
    }
    drawn = [
        line for line in figure.axes[0].lines if (line.get_color(), line.get_marker()) == (colour, marker)
    ]
    assert {tuple(map(float, point)) for line in drawn for point in line.get_xydata()} == wanted
    assert "mine, fitted" in {text.get_text() for text in figure.legends[0].get_texts()}


def test_theories_of_mixtures_are_known_from_their_ladders(tmp_path, make):
    assert mixture_theories(_run(tmp_path / "run", make)) == {"tempered-posterior"}


def test_a_notebook_gets_the_figures_that_are_on_disk(tmp_path, make):
    run = _run(tmp_path / "run", make)
    titles = [axes.get_title() for axes in main_figure(run).axes]
    assert "dose 8" in titles and titles.count("SGD, D′ on topic 0") == 3  # explained, twice, and strength
    figure = explained_figure(run, scorecard(scoring.rows(run)))
    assert [axes.get_title() for axes in figure.axes] == ["SGD, D′ on topic 0"]
