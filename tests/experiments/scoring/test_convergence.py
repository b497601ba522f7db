"""Convergence of made-up chains: what is counted and said, and that nobody can overlook it."""

import re

import numpy as np
import pytest

from experiments.reports import html, sentences
from experiments.runs import run as running
from experiments.scoring.convergence import COLUMNS, convergence_report, tuning_lines
from experiments.storage.contents import PosteriorCell
from experiments.storage.records import Cell, Ladder, ScoreLine
from experiments.storage.run_folder import create
from theory.errors import Misuse

STUDY = "weird-generalisation"
NAME = "langevin-posterior/T=0.001"
TIMES = np.array([0.0, 0.1, 1.0])
GOOD = [1.01, 400.0, 200.0, 0.9, 0.02, 0.0, 30.0, 1e-4]
BAD = [1.7, 3.0, 2.0, 0.2, 0.5, 0.3, 90.0, 2.0]
PROBLEM = "The worst R-hat is 1.7, but must be at most 1.1: <b>run</b> longer chains & start them closer."


def _chains(bad=(), name=NAME, seeds=2, times=TIMES, **extra):
    """A ladder of sampled posteriors; `bad` are (seed, rung) that miss a threshold."""
    diagnostics = np.array([[GOOD] * len(TIMES)] * seeds, np.float32)
    problems = np.full((seeds, len(TIMES)), "", dtype="<U200")
    for rung in bad:
        diagnostics[rung], problems[rung] = BAD, PROBLEM
    answers = np.zeros((seeds, len(TIMES), 1, 1))
    return Ladder(
        *name.split("/"), times, answers, problems=problems, diagnostics=diagnostics, times=times, extra=extra
    )


def _save(run, *ladders, base=0):
    run.save(Cell("posteriors", "topics0", base), PosteriorCell(ladders))


@pytest.fixture
def run(tmp_path):
    return create(
        tmp_path / "run",
        {"study": STUDY, "preset": "smoke", "config": {"finetuning": {"doses": [1]}}},
        {"commit": None},
    )


def _table(report):
    head, *rows = report.table
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


def test_nothing_sampled_is_nothing_reported(run, make):
    ladder = Ladder("proximal", "network", TIMES, np.zeros((1, 3, 1, 1)))
    run.save(
        Cell("theories", "topics0", 0),
        make.theories(make.contexts(np.zeros((1, 1)), ["in_domain"]), [ladder]),
    )
    _save(run, ladder)  # a limit of zero temperature stands among the posteriors, and is not sampled
    report = convergence_report(run)
    assert (report.posteriors, report.problems, report.table, report.sentence) == (0, [], [], "")


def test_converged_chains_are_counted_and_nothing_is_said(run):
    _save(run, _chains())
    report = convergence_report(run)
    assert (report.posteriors, report.problems, report.sentence) == (6, [], "")
    row = _table(report)[NAME]
    assert set(row) == {"theory", *COLUMNS}
    assert (row["posteriors"], row["not converged"], row["R-hat"]) == ("6", "0", "1.01 (1.01)")


def test_every_problem_is_counted_and_located(run):
    _save(run, _chains(bad=[(1, 2)], seeds=2), base=1)
    _save(run, _chains(bad=[(0, 0), (0, 1)], seeds=1), _chains(name="adam-gibbs/T=0.001"))
    report = convergence_report(run)
    assert report.posteriors == 6 + 3 + 6
    assert report.sentence.startswith("3 of 15 sampled posteriors have not converged:")
    assert report.sentence.count("\n") == 0
    assert report.problems == [
        ("posteriors--topics0--0, D' 0", NAME, 0.0, PROBLEM),
        ("posteriors--topics0--0, D' 0", NAME, 0.1, PROBLEM),
        ("posteriors--topics0--1, D' 1", NAME, 1.0, PROBLEM),
    ]
    counts = {name: (row["posteriors"], row["not converged"]) for name, row in _table(report).items()}
    assert counts == {NAME: ("9", "3"), "adam-gibbs/T=0.001": ("6", "0")}


def test_the_table_has_median_and_worst_whichever_side_is_worse(run):
    _save(run, _chains(bad=[(0, 2)]))
    row = _table(convergence_report(run))[NAME]
    assert {name: row[name] for name in list(COLUMNS)[2:]} == {
        "R-hat": "1.01 (1.7)",
        "bulk ESS": "400 (3)",
        "tail ESS": "200 (2)",
        "acceptance": "0.9 (0.2)",
        "halved step": "0.02 (0.5)",
        "noise": "0 (0.3)",
        "drift": "30",
        "base KL at β = 0": "0.0001",
    }


def test_what_could_not_be_measured_is_a_dash(run):
    ladder = _chains(bad=[(0, 0)], times=TIMES + 0.5)  # no rung without data
    ladder.diagnostics[0, 0, [0, 1]] = np.nan
    _save(run, ladder)
    row = _table(convergence_report(run))[NAME]
    assert (row["R-hat"], row["bulk ESS"], row["base KL at β = 0"]) == ("- (-)", "- (-)", "-")
    assert row["acceptance"] == "0.9 (0.2)"


def test_the_tuning_of_steps_is_a_line_for_each_ladder():
    pilot = np.array([[[0.9, 24], [0.7, 30], [0.8, 24]]])
    extra = {"tuning": pilot, "gamma": np.array([2.0]), "steps": np.array([[0.5, 0.25, 0.125]])}
    extra["reasons"] = np.array([["", "acceptance 0.70", ""]])
    content = PosteriorCell((_chains(seeds=1, **extra), _chains(name="proximal/T=0")))
    assert tuning_lines(content) == [
        f"{NAME}: γ 2, h 0.12 to 0.50 (acceptance 0.70 or more), warm-up of 30 steps requested"
    ]


def test_reasons_for_steps_are_kept(run):
    _save(run, _chains(seeds=1, reasons=np.array([["a", "b", "c"]])))
    assert [(note.time, note.text) for note in convergence_report(run).steps] == [
        (0.0, "a"),
        (0.1, "b"),
        (1.0, "c"),
    ]


def test_a_bad_chain_is_the_first_thing_in_the_report(run):
    _save(run, _chains())
    before = html.write_report(run).read_text()
    assert 'class="banner"' not in before and "class=banner" not in before
    assert "Convergence of the chains" in before and "0 posteriors that have not converged" in before
    _save(run, _chains(bad=[(1, 2)]))
    text = html.write_report(run).read_text()
    banner = re.search(r'<p class="?banner"?>(.*?)</p>', text)
    assert banner and banner[1].startswith("1 of 6 sampled posteriors have not converged")
    assert banner.start() < text.index("<h2>")
    assert "&lt;b&gt;run&lt;/b&gt; longer chains &amp; start" in text and "<b>run" not in text
    row = text[text.index("1 posteriors that have not converged") :]
    assert row.index("posteriors--topics0--0, D&#x27; 1") < row.index("<td>1</td>") < row.index("&lt;b&gt;")


def test_a_report_without_sampling_says_nothing_of_chains(run):
    text = html.write_report(run).read_text()
    assert "Convergence of the chains" not in text and "not converged" not in text


def _line(converged, theory="langevin-posterior"):
    return ScoreLine(
        study=STUDY,
        method="sgd",
        data="topics0",
        dose=1,
        theory=theory,
        prior="T=0.001",
        grade="fitted",
        group="held_out",
        explained=0.9,
        standard_error=None,
        interval=None,
        best_null=None,
        over_null=None,
        over_null_interval=None,
        order_blind=None,
        noise_ceiling=0.99,
        other_base=None,
        best_in_class=0.95,
        nats=0.1,
        shift=0.2,
        beta=None,
        converged=converged,
        split=None,
        networks=4,
    )


def test_the_scorecard_shows_the_converged_share():
    head, *rows = sentences.cells([_line(0.25), _line(None, "proximal")], False)
    assert sorted(row[head.index("converged")] for row in rows) == ["-", "0.25"]


def test_a_strict_run_ends_with_the_first_problem(run):
    _save(run, _chains(bad=[(1, 2)]))
    with pytest.raises(Misuse) as refused:
        running.refuse_unconverged(run)
    text = str(refused.value)
    assert text.startswith("Strict: 1 of 6 sampled posteriors have not converged")
    assert text.endswith(f"posteriors--topics0--0, D' 1, {NAME} at τ = 1: {PROBLEM}")
    assert "\n" not in text


def test_without_strict_a_bad_chain_is_said_and_no_error(run):
    _save(run, _chains(bad=[(1, 2)]))
    text = running.summary(run)
    assert "CONVERGENCE: 1 of 6" in text and "report.html" in text


def test_a_strict_run_of_converged_chains_is_no_error(run):
    _save(run, _chains())
    running.refuse_unconverged(run)
    assert "CONVERGENCE" not in running.summary(run)
