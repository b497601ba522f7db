"""The gate over made-up chains: what it counts and says, and that nobody can overlook it."""

import re

import numpy as np
import pytest

from experiments.reports import html as report
from experiments.runs import run as running
from experiments.scoring import labels as words
from experiments.scoring.convergence import COLUMNS, convergence_report
from experiments.storage.run_folder import create
from theory.errors import Misuse

STUDY = "weird-generalisation"
TIMES = np.array([0.0, 0.1, 1.0])
GOOD = [1.01, 400.0, 200.0, 0.9, 0.02, 0.0, 30.0, 1e-4]
BAD = [1.7, 3.0, 2.0, 0.2, 0.5, 0.3, 90.0, 2.0]
SAID = "The worst R-hat is 1.7, but must be at most 1.1: <b>run</b> longer chains & start them closer."


def _chains(bad=(), name="langevin-posterior/T=0.001", seeds=2):
    """A sampled cell; `bad` are (seed, rung) that miss the gate."""
    health = np.array([[GOOD] * len(TIMES)] * seeds, np.float32)
    problems = np.full((seeds, len(TIMES)), "", dtype="<U200")
    for place in bad:
        health[place], problems[place] = BAD, SAID
    return {f"health/{name}": health, f"problems/{name}": problems, f"times/{name}": TIMES}


@pytest.fixture
def run(tmp_path):
    return create(tmp_path / "run", {"study": STUDY, "preset": "smoke", "config": {}}, {"commit": None})


def _table(judged):
    head, *rows = judged.table
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


def test_nothing_sampled_is_nothing_judged(run):
    run.save("theories-topics0-0", {"base": np.zeros(3), "health/not-chains": np.zeros(3)})
    judged = convergence_report(run)
    assert (judged.posteriors, judged.problems, judged.table, judged.sentence) == (0, [], [], "")


def test_sound_chains_are_counted_and_nothing_is_said(run):
    run.save("langevin-topics0-0", _chains())
    judged = convergence_report(run)
    assert (judged.posteriors, judged.problems, judged.sentence) == (6, [], "")
    row = _table(judged)["langevin-posterior/T=0.001"]
    assert set(row) == {"theory", *COLUMNS}
    assert (row["posteriors"], row["untrustworthy"], row["R-hat"]) == ("6", "0", "1.01 (1.01)")


def test_every_problem_is_counted_and_placed(run):
    run.save("langevin-topics0-1", _chains(bad=[(1, 2)], seeds=2))
    run.save(
        "langevin-topics0-0", _chains(bad=[(0, 0), (0, 1)], seeds=1) | _chains(name="adam-gibbs/T=0.001")
    )
    judged = convergence_report(run)
    assert judged.posteriors == 6 + 3 + 6
    assert judged.sentence.startswith("3 of 15 sampled posteriors are untrustworthy:")
    assert judged.sentence.count("\n") == 0
    name = "langevin-posterior/T=0.001"
    assert judged.problems == [
        ("langevin-topics0-0, D' 0", name, 0.0, SAID),
        ("langevin-topics0-0, D' 0", name, 0.1, SAID),
        ("langevin-topics0-1, D' 1", name, 1.0, SAID),
    ]
    counts = {name: (row["posteriors"], row["untrustworthy"]) for name, row in _table(judged).items()}
    assert counts == {name: ("9", "3"), "adam-gibbs/T=0.001": ("6", "0")}


def test_the_table_tells_median_and_worst_whichever_side_is_worse(run):
    run.save("langevin-topics0-0", _chains(bad=[(0, 2)]))
    row = _table(convergence_report(run))["langevin-posterior/T=0.001"]
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
    arrays = _chains(bad=[(0, 0)])
    arrays["health/langevin-posterior/T=0.001"][0, 0, [0, 1]] = np.nan
    arrays["times/langevin-posterior/T=0.001"] = TIMES + 0.5  # no rung without data
    run.save("langevin-topics0-0", arrays)
    row = _table(convergence_report(run))["langevin-posterior/T=0.001"]
    assert (row["R-hat"], row["bulk ESS"], row["base KL at β = 0"]) == ("- (-)", "- (-)", "-")
    assert row["acceptance"] == "0.9 (0.2)"


def test_a_bad_chain_is_the_first_thing_in_the_report(run):
    run.save("langevin-topics0-0", _chains())
    before = report.write_report(run).read_text()
    assert 'class="banner"' not in before and "class=banner" not in before
    assert "Can the chains be trusted?" in before and "0 untrustworthy posteriors" in before
    run.save("langevin-topics0-0", _chains(bad=[(1, 2)]))
    text = report.write_report(run).read_text()
    banner = re.search(r'<p class="?banner"?>(.*?)</p>', text)
    assert banner and banner[1].startswith("1 of 6 sampled posteriors are untrustworthy")
    assert banner.start() < text.index("What won where")
    assert "&lt;b&gt;run&lt;/b&gt; longer chains &amp; start" in text and "<b>run" not in text
    row = text[text.index("1 untrustworthy posteriors") :]
    assert row.index("langevin-topics0-0, D&#x27; 1") < row.index("<td>1</td>") < row.index("&lt;b&gt;")


def test_a_report_without_sampling_says_nothing_of_chains(run):
    text = report.write_report(run).read_text()
    assert "chains be trusted" not in text and "untrustworthy" not in text


def _line(converged, theory="langevin-posterior"):
    line = dict.fromkeys(("standard_error", "seed_floor", "beta"))
    line |= {
        "study": STUDY,
        "method": "sgd",
        "data": "topics0",
        "dose": 1,
        "theory": theory,
        "prior": "T=0.001",
    }
    line |= {"grade": "fitted", "group": "held_out", "explained": 0.9, "floor": 0.99, "ceiling": 0.95}
    return line | {"nats": 0.1, "shift": 0.2, "seeds": 4, "trusted": converged}


def test_the_scorecard_shows_the_trusted_share():
    head, *rows = words.cells([_line(0.25), _line(None, "proximal")], False)
    assert sorted(row[head.index("trusted")] for row in rows) == ["-", "0.25"]


class _Study:
    """A study whose cells are all finished."""

    def __init__(self):
        self.drawn = []

    def comparison(self, config):
        return None

    def draw(self, results):
        self.drawn.append(results)
        return []


@pytest.fixture
def finish(monkeypatch, tmp_path):
    """`run` on a folder whose cells are finished: no cell and no network is made."""
    monkeypatch.setattr(running, "run_cells", lambda *arguments: None)
    monkeypatch.setattr(running, "environment", lambda: {"commit": None})
    monkeypatch.setattr(running, "_quality", lambda *arguments: {"networks": []})

    def finish(strict):
        resolved = {"study": STUDY, "preset": "smoke", "config": {}}
        out = str(tmp_path / "run")
        return running.run(_Study(), object(), resolved, out, str(tmp_path / "networks"), False, strict)

    return finish


def test_a_strict_run_ends_with_the_first_problem_after_everything_is_written(run, finish, capsys):
    run.save("langevin-topics0-0", _chains(bad=[(1, 2)]))
    with pytest.raises(Misuse) as refused:
        finish(strict=True)
    said = str(refused.value)
    assert said.startswith("Strict: 1 of 6 sampled posteriors are untrustworthy")
    assert said.endswith(f"langevin-topics0-0, D' 1, langevin-posterior/T=0.001 at τ = 1: {SAID}")
    assert "\n" not in said
    for name in ("report.html", "rows.jsonl", "networks.json", "DONE"):
        assert (run.folder / name).exists(), name
    told = capsys.readouterr().out
    assert "GATE: 1 of 6" in told and "report.html" in told


def test_without_strict_a_bad_chain_is_said_and_no_error(run, finish, capsys):
    run.save("langevin-topics0-0", _chains(bad=[(1, 2)]))
    assert finish(strict=False).folder == run.folder
    assert "GATE: 1 of 6" in capsys.readouterr().out


def test_a_strict_run_of_sound_chains_is_no_error(run, finish, capsys):
    run.save("langevin-topics0-0", _chains())
    assert finish(strict=True) is not None
    assert "GATE" not in capsys.readouterr().out
