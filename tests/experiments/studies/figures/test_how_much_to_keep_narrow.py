"""A made-up run whose broad rates at the matched narrow rate follow the fraction law exactly."""

import csv

import numpy as np
import pytest

from experiments.design.additions import Addition
from experiments.storage.contents import ReplayCell
from experiments.storage.records import Cell, Ladder
from experiments.storage.run_folder import create
from experiments.studies.figures.how_much_to_keep_narrow import (
    LINEARISED,
    NETWORK,
    ONCE,
    STRENGTH,
    carried,
    draw_laws,
    fewest,
    matched_rates,
    narrow_findings,
    plan,
)

WORDS = ["0 | 0", "mark 0 | 0", "mark 1 | 0"]
BASE = 0.2


def at(share):
    """Answers of a rate: half of the time no mark comes."""
    share = np.asarray(share, float)
    return np.log(np.stack([np.full_like(share, 0.5), (1 - share) / 2, share / 2], -1)).astype(np.float32)


def wanted(arm):
    """The broad rate at a narrow rate of 0.5, of the networks."""
    return 1 / (1 + np.exp(0.2 + 2 * arm.added / arm.n * (2 if arm.rule == "susceptibility" else 1)))


@pytest.fixture
def run(tmp_path, make_contexts, make_theories, make_networks):
    """Two bases and two seeds; the narrow rate is 0.4 and 0.6 at the two doses, the second base's never with
    two documents of the same domain."""
    finetuning = {"doses": [1, 4], "n": 10, "batch": 2, "methods": ["adam"]}
    config = {
        "finetuning": finetuning,
        "pretraining": {"seeds": 2},
        "persona": 1,
        "matched": 0.5,
        "limit": 1.5,
    }
    config |= {"documents": [4, 8], "added": [0, 1, 2], "kinds": ["elsewhere", "same-domain"]}
    config |= {"choices": ["susceptibility"], "chosen_n": 8}
    made = create(tmp_path / "run", {"study": "made-up", "preset": "tiny", "config": config}, {})
    contexts = make_contexts(
        ["base_domain", "held_out"], np.stack([at([0.1] * 2)] * 2), at([BASE] * 2), answers=WORDS
    )
    betas = np.array([0.0, 0.1, 1.0, 10.0], np.float32)
    path = np.array([[BASE, BASE], [0.5, 0.3], [0.8, 0.35], [0.85, 0.36]])  # narrow, broad at every strength
    theories = make_theories(
        contexts, [Ladder("structure-posterior", "process", betas, np.tile(at(path), (2, 1, 1, 1)))]
    )
    for arm in plan(made):
        for base in range(2):
            level = wanted(arm) + (0.01 if base else -0.01)
            never = base == 1 and arm.rule == "same-domain" and arm.added == 2
            rates = np.array([[0.3 if never else 0.4, level - 0.05], [0.4 if never else 0.6, level + 0.05]])
            networks = make_networks(np.tile(at(rates), (2, 1, 1, 1)))
            made.save(Cell("theories", arm.name, base), theories)
            made.save(Cell("finetuned", arm.name, base, "adam"), networks)
            made.save(Cell("replays", arm.name, base, "adam"), ReplayCell({"linearised": networks.finetuned}))
    return made


def test_matched_rates_are_read_off_what_is_on_disk(run):
    (reading,) = matched_rates(run)
    assert reading.method == "adam" and set(reading.rates) == set(plan(run)) and len(plan(run)) == 12
    np.testing.assert_allclose(reading.base, BASE, atol=1e-6)
    for arm, rates in reading.rates.items():
        level = np.array([[wanted(arm) - 0.01] * 2, [wanted(arm) + 0.01] * 2])
        if arm.rule == "same-domain" and arm.added == 2:
            level[1] = np.nan
        for name in (NETWORK, LINEARISED):
            np.testing.assert_allclose(rates[name], level, atol=1e-6)
        np.testing.assert_allclose(rates[STRENGTH], 0.3, atol=1e-6)
        np.testing.assert_allclose(
            rates[ONCE], BASE + 0.25 * 0.3, atol=1e-6
        )  # 0.15 of 0.6 is carried at β = 1


def test_findings_tell_the_law_the_shares_and_the_fewest(run):
    (reading,) = matched_rates(run)
    assert fewest(reading, "elsewhere", 8, 1.5) is None and fewest(reading, "susceptibility", 8, 1.5) == 2
    share = carried(reading, Addition(8, "", 0), 0.5)
    assert share.value == pytest.approx((wanted(Addition(8, "", 0)) - BASE) / 0.3, abs=1e-5)
    assert carried(reading, Addition(8, "same-domain", 2), 0.5) is None
    findings = narrow_findings(run)
    assert (
        "elsewhere more than any N here" in findings.sentences[2]
        and "susceptibility 2" in findings.sentences[2]
    )
    table = {line[1]: dict(zip(findings.table[0], line, strict=True)) for line in findings.table[1:]}
    assert table["elsewhere"]["by share"].startswith("1.00") and table["elsewhere"]["linearised"].startswith(
        "1.00"
    )
    assert float(table["elsewhere"]["by number"].split()[0]) < 0.95
    assert table["same-domain"]["narrow rate not reached"] == "n 4 N 2 (2 of 4); n 8 N 2 (2 of 4)"
    assert table["susceptibility"]["by share"] == "–" and table["susceptibility"]["fewest at n = 8"] == "2"


def test_the_figure_and_its_table(run, monkeypatch):
    monkeypatch.setattr("experiments.figures.style.FORMATS", {"png": {}})
    paths = draw_laws(run)
    assert [path.name for path in paths] == ["made-up-adam.png", "made-up.csv"]
    lines = list(csv.DictReader(paths[-1].read_text().splitlines()))
    assert len(lines) == 12 * 4
    by_arm = {(line["n"], line["added"], line["rule"], line["of"]): line for line in lines}
    line = by_arm["8", "2", "susceptibility", NETWORK]
    assert float(line["broad"]) == pytest.approx(wanted(Addition(8, "susceptibility", 2)), abs=1e-5)
    assert line["reached"] == "4 of 4"


def test_a_run_that_is_not_finished_is_read(run):
    run.path(Cell("finetuned", "n4", 1, "adam")).unlink()
    (reading,) = matched_rates(run)
    assert reading.base.shape == (1, 2)
    for base in range(2):
        run.path(Cell("theories", "n8-elsewhere-1", base)).unlink()
    assert Addition(8, "elsewhere", 1) not in matched_rates(run)[0].rates
    for cell in run.cells("theories"):
        run.path(cell).unlink()
    assert draw_laws(run) == [] and narrow_findings(run).sentences == ("Nothing is measured yet.",)
