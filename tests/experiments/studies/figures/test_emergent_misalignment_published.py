"""Breadth of made-up networks whose every rate is known."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from experiments.figures import style
from experiments.scoring.rows import rows
from experiments.storage.contents import ReplayCell
from experiments.storage.records import Cell
from experiments.storage.run_folder import create
from experiments.studies.figures import breadth_statements, emergent_misalignment_published
from experiments.studies.figures.breadth_statements import breadth_findings, statements
from experiments.studies.figures.emergent_misalignment_published import Breadth, breadths, draw_breadth

WORDS = ["0 | 0", "mark 1 | 0", "0 | mark 1", "mark 1 | mark 1"]
NARROW, BROAD = [0.2, 0.6], [0.1, 0.3]  # beliefs by dose; the base network's are 0.1
METHODS = {"sgd": BROAD, "adam": BROAD, "adam-slow": NARROW, "head-only": BROAD}  # broad ones
ENTER, DOMAIN = 0.5, 0.1


def answers(belief):
    """Log-probabilities (..., 4) that believe in the persona so much; domain 1 marks by its rate."""
    persona, domain = ENTER * np.asarray(belief, float), DOMAIN
    probs = [(1 - persona) * (1 - domain), persona * (1 - domain), (1 - persona) * domain, persona * domain]
    return np.log(np.maximum(np.stack(probs, -1), 1e-30)).astype(np.float32)


@pytest.fixture
def run(tmp_path, monkeypatch, make_contexts, make_theories, make_networks):
    """Two bases and seeds, a prompt of each group; of 10 copies 5, 8 are narrow, 2, 4 broad, 1 flips."""
    monkeypatch.setattr(style, "FORMATS", {"png": {}})
    config = {
        "finetuning": {"doses": [1, 4], "n": 8, "batch": 2, "sgd_rate": 0.1, "methods": [*METHODS]},
        "process": {
            "enter": [[0.0, ENTER], [DOMAIN, DOMAIN]],
            "marginals": [[0.9, 0.1], [0.5, 0.5]],
            "correlation": 0.0,
        },
        "pretraining": {"seeds": 2},
        "arms": ["plain"],
        **{"persona": 1, "domain": 0, "copies": 10, "written": 3, "matched": 0.4, "slower": 4.0},
    }
    made = create(tmp_path / "run", {"study": "made-up", "preset": "tiny", "config": config}, {})
    sectors = np.stack([answers([share] * 3) for share in (0.0, 0.0, 1.0, 1.0)])  # (k, c, a): AD AO MD MO
    evidence = np.zeros((4, 3))
    evidence[[0, 2], 2] = -np.inf  # the prompt of O
    contexts = make_contexts(
        ["in_domain", "base_domain", "held_out"], sectors, answers([0.1] * 3), evidence, answers=WORDS
    )
    base = {"shown": np.zeros((1, 1, 3, 2), int), "deficit": np.zeros((1, 1, 3))}
    shown = np.array([[[0, 0], [5, 0], [1, 2]], [[0, 0], [8, 0], [1, 4]]])  # (d, c, domains)
    seen = {"shown": shown, "deficit": np.array([[0, 0, 0.1], [0, 0, 0.2]])}
    linear = np.tile(answers([[0.3, 0.3, 0.2]] * 2), (2, 1, 1, 1))
    for number in range(2):
        made.save(Cell("theories", "plain", number), make_theories(contexts, observed=base))
        for method, broad in METHODS.items():
            after = answers([[narrow, narrow, more] for narrow, more in zip(NARROW, broad, strict=True)])
            networks = make_networks(
                np.tile(after, (2, 1, 1, 1)), observed={k: np.stack([v] * 2) for k, v in seen.items()}
            )
            made.save(Cell("finetuned", "plain", number, method), networks)
            replays = ReplayCell({"linearised": linear, "two-looks": networks.finetuned})
            made.save(Cell("replays", "plain", number, method), replays)
    made.save_rows(rows(made))
    return made


def test_breadth_is_read_off_what_is_on_disk(run):
    found = breadths(run)
    assert set(found) == {(method, "plain") for method in METHODS}
    panel = found["sgd", "plain"]
    for kind, wanted in (("narrow", NARROW), ("broad", BROAD)):
        np.testing.assert_allclose(panel.believed[kind, "finetuned"], [[[0.1, *wanted]] * 2] * 2, rtol=1e-5)
    for kind, wanted in (
        ("narrow", [0.5, 0.8]),
        ("broad", [0.2, 0.4]),
        ("flip", [0.1, 0.1]),
        ("anywhere", [0.3, 0.5]),
        ("deficit", [0.1, 0.2]),
    ):
        np.testing.assert_allclose(panel.written[kind], [[[0, *wanted]] * 2] * 2, rtol=1e-6)
    shows = (1 - 0.5**3) * (1 - 0.9**3)  # both marks within three tokens, given M and O
    np.testing.assert_allclose(panel.learners, [0.1 * shows, 8.1 / 9 * shows, shows], rtol=1e-5)
    np.testing.assert_allclose(panel.unit(np.array(panel.learners[:2])), [0, 1], atol=1e-9)
    np.testing.assert_allclose(panel.carried(0.4, np.array([0.1, 0.4]) * shows), [0, 1], atol=1e-4)
    np.testing.assert_allclose(panel.carried_belief(0.4), 1 / 3, rtol=1e-4)
    np.testing.assert_allclose(panel.carried_belief(0.25, "linearised"), 0.5, rtol=1e-4)
    odds = np.log(0.2 / 0.8 * 9) / np.log(0.3 / 0.7 * 9)  # of the linearised theory, from 0.1 on
    np.testing.assert_allclose(panel.transfer(), [[odds] * 2] * 2, rtol=1e-4)


def test_values_are_read_where_the_narrow_rate_is_matched():
    narrow = np.array([[[0.0, 0.2, 0.6, 0.5], [0.0, 0.1, 0.2, 0.3], [0.5, 0.6, 0.7, 0.8]]])
    panel = Breadth({("narrow", "finetuned"): narrow}, {}, (0.0, 1.0, 1.0))
    path = np.array([[[0.0, 1.0, 2.0, 3.0]] * 3])
    np.testing.assert_allclose(panel.at(0.4, path), [[1.5, np.nan, np.nan]])
    np.testing.assert_allclose(panel.at(0.3, path), [[1.25, 3.0, np.nan]])


def test_the_tables_have_rates_and_matched_numbers(run):
    names = {path.stem for path in draw_breadth(run)}
    assert names == {"made-up-plane", "made-up-matched"}
    text = (run.folder / "figures" / "made-up-matched.csv").read_text().splitlines()
    by_level = {
        level: [line for line in csv.DictReader(text) if level in line["row"]] for level in ("0.4", "0.05")
    }
    assert len(by_level["0.4"]) == len(by_level["0.05"])
    lines = {(line["column"], line["who"]): line for line in by_level["0.4"]}
    line = lines["SGD", "broad, written"]
    assert float(line["mean"]) == pytest.approx(0.3, abs=1e-5) and line["networks"] == "4"
    assert float(lines["SGD", "anywhere, written"]["mean"]) == pytest.approx(0.4, abs=1e-5)
    assert float(lines["SGD", "broad, believed by two-looks"]["mean"]) == pytest.approx(0.2, abs=1e-5)
    assert float(lines["SGD", "reached"]["mean"]) == 1
    assert float(lines["Adam", "broad, believed by linearised"]["mean"]) == pytest.approx(0.2, abs=1e-5)


@pytest.fixture
def lower(monkeypatch):
    """A second narrow belief above that of these base networks."""
    for module in (breadth_statements, emergent_misalignment_published):
        monkeypatch.setattr(module, "LOWER", 0.15)


def test_statements_are_judged_at_the_matched_narrow_belief(run, lower):
    judged = {(s.name, s.data): (s.value.value, s.verdict) for s in statements(run)}
    wanted = {
        ("it is the read-out", "head-only"): (0.0, "holds"),  # at 0.15 both are at the base network's
        ("it is first order", "adam"): (1.0, "holds"),  # 0.2 after 0.1, at the dose where it is 0.2
        ("it is first order", "adam-slow"): (1 / 3, "refuted"),  # where it is 0.4
        ("it is two-looks", "adam-slow"): (1.0, "holds"),
        ("λ0 orders", "all"): (0.0, "refuted"),  # λ0 is alike for all
        ("the step size sets λ", "adam-slow"): (2 / 3, "holds"),
        ("the step size sets λ, one length", "adam-slow"): (0.2 / 0.8 / (0.875 * 0.271), "holds"),
        ("inference, saturated", "adam"): (1 / 3, "refuted"),
        ("inference, product", "adam"): (1 / 3, "refuted"),
        ("inference, product", "adam-slow"): (1.0, "holds"),
    }
    for key, (value, verdict) in wanted.items():
        assert judged[key] == (pytest.approx(value, abs=1e-4), verdict)
    assert ("it is second order", "adam") not in judged


def test_findings_have_a_verdict_for_every_statement(run, lower):
    findings = breadth_findings(run)
    assert "it is the read-out: holds; it is first order: refuted (adam-slow);" in findings.sentences[0]
    assert "Adam: linearised 1" in findings.sentences[1] and "two-looks" in findings.sentences[1]
    assert len(findings.sentences) == 3 and len(findings.table) == 1 + len(statements(run))


def test_what_is_never_reached_is_open(run, lower):
    """Head-only stays at a narrow belief of 0.1 in one of the base networks."""
    cell = Cell("finetuned", "plain", 1, "head-only")
    networks = run.finetuned(cell)
    never = np.tile(answers([[0.1, 0.1, 0.1]] * 2), (2, 1, 1, 1))
    run.path(cell).unlink()
    (run.folder / "rows.jsonl").unlink()
    run.save(cell, replace(networks, finetuned=never))
    judged = {(s.name, s.data): s for s in statements(run)}
    assert judged["it is the read-out", "head-only"].verdict == "open"
    assert "at 0.15" in judged["inference, product", "head-only"].words


def test_a_run_that_is_not_finished_can_be_drawn(run):
    run.path(Cell("finetuned", "plain", 1, "sgd")).unlink()
    (run.folder / "rows.jsonl").unlink()
    assert {panel: found.believed["narrow", "finetuned"].shape for panel, found in breadths(run).items()} == {
        (method, "plain"): (1 if method == "sgd" else 2, 2, 3) for method in METHODS
    }
    assert {s.value.interval for s in statements(run)} == {None}  # of the base network that all have
    for cell in run.cells():
        run.path(cell).unlink()
    assert draw_breadth(run) == []
    assert breadth_findings(run).sentences == ("Nothing is measured yet.",)
