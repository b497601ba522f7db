"""Narrow and broad rates of a made-up run whose every rate is known."""

import csv

import numpy as np
import pytest

from experiments.scoring.rows import rows
from experiments.storage.records import Cell, Ladder
from experiments.storage.run_folder import create
from experiments.studies.figures.emergent_misalignment import BASE_WRITTEN, WRITTEN, draw_rates, paths, rates

WORDS = ["0 | 0", "mark 0 | 0", "mark 1 | 0"]


@pytest.fixture
def run(tmp_path, make_contexts, make_theories, make_networks):
    """Two bases; networks at narrow rates 0.5 and 0.75, broad 0.25 and 0.5, writing a fifth more."""
    finetuning = {"doses": [1, 4], "n": 4, "batch": 2, "sgd_rate": 0.1, "methods": ["kl", "sgd"]}
    config = {"finetuning": finetuning, "pretraining": {"seeds": 2}, "persona": 1}
    config |= {"arms": ["plain", "announced"]}
    made = create(tmp_path / "run", {"study": "made-up", "preset": "tiny", "config": config}, {})

    def at(share):
        share = np.asarray(share, float)
        return np.log(np.stack([np.full_like(share, 0.5), (1 - share) / 2, share / 2], -1)).astype(np.float32)

    betas = np.linspace(0, 1, 5).astype(np.float32)
    shares = np.array([[0.5, 0.5, 0.25], [0.75, 0.75, 0.5]])  # (d, c)
    marks = np.rint(1000 * np.stack([1 - 1.2 * shares, 1.2 * shares], -1)).astype(np.int32)
    contexts = make_contexts(
        ["in_domain", "base_domain", "held_out"],
        np.stack([at([0.1] * 3), at([0.9] * 3)]),
        at([0.2] * 3),
        answers=WORDS,
    )
    ladder = at(np.tile(0.2 + 0.7 * betas[:, None], (2, 1, 3)))  # (s, b, c)
    theories = make_theories(
        contexts,
        [Ladder(name, "implied", betas, ladder) for name in ("tempered-posterior", "exchangeable-product")],
        observed={"marks": np.tile(np.array([80, 20], np.int32), (1, 1, 3, 1))},
    )
    answers = np.tile(at(shares), (2, 1, 1, 1))
    networks = make_networks(answers, observed={"marks": np.tile(marks, (2, 1, 1, 1))})
    for name in config["arms"]:
        for base in range(2):
            made.save(Cell("theories", name, base), theories)
            for method in finetuning["methods"]:
                made.save(Cell("finetuned", name, base, method), networks)
    made.save_rows(rows(made))
    return made


def test_rates_are_read_off_what_is_on_disk(run):
    measured = rates(run)
    assert set(measured) == {(method, name) for method in ("kl", "sgd") for name in ("plain", "announced")}
    panel = measured["sgd", "plain"]
    for kind, wanted in (("narrow", [0.5, 0.75]), ("broad", [0.25, 0.5])):
        np.testing.assert_allclose(panel[kind]["finetuned"], [[wanted] * 2] * 2, atol=1e-6)
        np.testing.assert_allclose(panel[kind][WRITTEN], [[1.2 * np.array(wanted)] * 2] * 2, atol=1e-3)
        for name in ("base", BASE_WRITTEN):
            np.testing.assert_allclose(panel[kind][name], np.full((2, 2, 2), 0.2), atol=1e-6)
    np.testing.assert_allclose(panel["broad"]["exchangeable-product"], [[[0.5, 0.75]] * 2] * 2, atol=0.01)


def test_paths_are_ladders_without_a_fit(run):
    by_theory = paths(run, "plain")
    assert set(by_theory) == {"tempered-posterior", "exchangeable-product"}
    for both in by_theory.values():
        np.testing.assert_allclose(both, [np.linspace(0.2, 0.9, 5)] * 2, atol=1e-6)


@pytest.mark.slow
def test_a_run_that_is_not_finished_can_be_drawn(run):
    unfinished = Cell("finetuned", "plain", 1, "kl"), Cell("finetuned", "announced", 1, "sgd")
    for cell in (Cell("theories", "announced", 0), *unfinished):
        run.path(cell).unlink()
    (run.folder / "rows.jsonl").unlink()
    drawn = draw_rates(run)
    names = {"made-up-rates", "made-up-plane"}
    assert {path.stem for path in drawn} == names and all(path.exists() for path in drawn)


def test_nothing_finished_is_nothing_drawn(run):
    for cell in run.cells():
        run.path(cell).unlink()
    (run.folder / "rows.jsonl").unlink()
    assert draw_rates(run) == []


def test_the_table_has_theories_at_the_networks_narrow_rate(run):
    draw_rates(run)
    text = (run.folder / "figures" / "made-up-plane.csv").read_text().splitlines()
    lines = [line for line in csv.DictReader(text) if line["who"] == "exchangeable-product"]
    assert {line["column"] for line in lines} == {"SGD", "kl"}
    for line in lines:  # a ladder on which both rates are one, and networks at 0.5 and 0.75
        assert float(line["mean"]) == pytest.approx({"1": 0.5, "4": 0.75}[line["at"]], abs=1e-5)
