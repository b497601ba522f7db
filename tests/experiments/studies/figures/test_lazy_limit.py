"""Exponents and the figure of a made-up run."""

import json

import numpy as np
import pytest

from experiments.design.options import to_json
from experiments.storage.contents import ReplayCell
from experiments.storage.records import Cell
from experiments.storage.run_folder import create
from experiments.studies import lazy_limit as study
from experiments.studies.figures.lazy_limit import ORDERS, draw_unexplained, exponent, unexplained

CONFIG = study.Config(halvings=3)
STEP_SIZES = study.rates(CONFIG)
LARGEST = {"sgd": CONFIG.finetuning.sgd_rate, "adam": CONFIG.finetuning.adam_rate}


@pytest.fixture
def run(tmp_path, make_contexts, make_theories, make_networks):
    """Log-odds move by 0.8 (η/η0), and a theory of order k misses that by 0.4 (η/η0)^(k+1)."""
    plain = json.loads(json.dumps(to_json(CONFIG)))
    made = create(tmp_path / "run", {"study": "lazy-limit", "preset": "small", "config": plain}, {})

    def answers(odds):
        moved = np.broadcast_to(np.asarray([odds, 0.0, -odds]), (2, 1, 3, 3))
        return (moved - np.logaddexp.reduce(moved, axis=-1, keepdims=True)).astype(np.float32)

    contexts = make_contexts(["held_out", "held_out", "in_domain"], answers(0.0)[:1, 0])
    for base in range(2):
        made.save(Cell("theories", "topics0_1_2", base), make_theories(contexts))
        for name, (rule, step_size) in STEP_SIZES.items():
            size = step_size / LARGEST[rule]
            replays = {theory: answers(0.8 * size + 0.4 * size ** (k + 1)) for theory, k in ORDERS.items()}
            made.save(Cell("replays", "topics0_1_2", base, name), ReplayCell(replays))
            made.save(Cell("finetuned", "topics0_1_2", base, name), make_networks(answers(0.8 * size)))
    return made


def test_exponents_of_made_up_answers(run):
    points = unexplained(run, STEP_SIZES)
    assert set(points) == {(rule, theory) for rule in LARGEST for theory in ORDERS}
    for (rule, theory), (step_sizes, shares) in points.items():
        np.testing.assert_allclose(step_sizes, LARGEST[rule] / np.asarray([8, 4, 2, 1]))
        assert abs(exponent(np.stack([step_sizes, shares])) - 2 * ORDERS[theory]) < 0.05
        np.testing.assert_allclose(shares[0], 0.25 / 64 ** ORDERS[theory], rtol=0.05)
    assert np.isnan(exponent(np.ones((2, 1))))


def test_what_is_rounding_alone_is_no_point(run):
    for cell in run.cells(kind="replays", method="sgd-0.004"):
        predictions = run.replays(cell).predictions | {"quadratic": run.finetuned(cell).finetuned}
        run.save(cell, ReplayCell(predictions))
    points = unexplained(run, STEP_SIZES)
    assert points["sgd", "quadratic"].shape == (2, 3) and points["sgd", "linearised"].shape == (2, 4)


@pytest.mark.slow
def test_the_figure_is_drawn_from_what_is_on_disk(run):
    paths = draw_unexplained(run, STEP_SIZES)
    kinds = ("png", "svg", "pdf", "csv")
    assert {path.name for path in paths} == {f"lazy-limit.{kind}" for kind in kinds}
    text = next(path for path in paths if path.suffix == ".svg").read_text()
    assert text.count("<!-- linearised: slope ") == text.count("<!-- quadratic: slope ") == 2
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in study.draw(run)] == before  # the study reads its config from disk
