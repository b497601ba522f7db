"""A second number that is fitted together with β: networks of a known one give it back."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cells.rungs import rungs
from experiments.reports.forecast_table import forecast_table
from experiments.scoring.forecasts import forecasts
from experiments.scoring.leaderboard import column
from experiments.scoring.predictions import NETWORK, predictions
from experiments.scoring.rows import rows
from experiments.scoring.scorecard import scorecard
from experiments.storage.contents import ReplayCell
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell, Ladder, Row
from theory.divergence.kl import answers_at
from theory.processes.persona_topics import example
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.hierarchical_personas import MOST, HierarchicalPersonas

PROCESS = example()
DATA = PROCESS.narrow(jax.random.key(3), 8, persona=2, topics=[0])
QUESTIONS = jnp.asarray([[0, 3, 0, 3], [0, 4, 0, 3], [1, 3, 0, 3]])
ROWS, POSITIONS = np.array([[0, 0, 1, 2], [1, 3, 3, 1]])  # on topic 0 before and after an answer, and topic 1
GROUPS = np.array(["in_domain", "in_domain", "in_domain", "held_out"])
FORM = HierarchicalPersonas(candidates=(1.0, 10.0, MOST))
BETAS = np.array([0.0, 0.03, 0.1, 0.3, 1.0, 3.0], np.float32)
NAME = "hierarchical-fitted"


def answers(predictor):
    """Log-probabilities (c, a)."""
    return answers_at(predictor, QUESTIONS, PROCESS.answer_tokens)[ROWS, POSITIONS]


@pytest.fixture(scope="module")
def path():
    """Answers (m b, c, a) at every c and β, as a cell has them."""
    process, key = PROCESS.distribution(), jax.random.key_data(jax.random.key(0))

    @jax.jit
    def every(data, betas):
        inputs = process, process, process, data, key, betas, QUESTIONS
        return rungs(FORM, 0, PROCESS.answer_tokens, *inputs, together=6)

    return np.asarray(every(DATA, BETAS))[:, ROWS, POSITIONS]


@pytest.fixture
def run(make, path):
    """Networks at c = 10 and β = 0.3, and at c = 1 and β = 1, two D' each."""
    second = np.repeat(np.asarray(FORM.candidates, np.float32), len(BETAS))
    grid, times = np.tile(BETAS, 3), np.tile(BETAS, 3)
    more = {"times": times, "metric": "identity", "rate": np.ones(2), "hyperparameters": second}
    ladder = Ladder(NAME, "process", grid, np.stack([path] * 2), **more)
    tuned = np.stack([np.stack([path[6 + 3], path[4]])] * 2)
    cells = {Cell("theories", "arm", 0): make.theories(make.contexts(path[0], GROUPS), [ladder])}
    cells[Cell("finetuned", "arm", 0, "sgd")] = make.finetuned(tuned)
    cells[Cell("replays", "arm", 0, "sgd")] = ReplayCell({}, times={"identity": np.array([0.1, 0.3])})
    return MemoryRun("made-up", (1, 8), cells)


def test_each_c_has_the_ladder_of_its_theory(path):
    process = PROCESS.distribution()
    predict = jax.jit(lambda c: answers(FORM.with_hyperparameter(c).predict(process, DATA, 1.0)))
    for row, c in enumerate(FORM.candidates):
        np.testing.assert_allclose(path[6 * row + 4], predict(c), atol=1e-5)
    exchangeable = answers(ExchangeableMixture().predict(process, DATA, 1.0))
    np.testing.assert_allclose(path[-2], exchangeable, atol=1e-4)  # tables hold where c is the largest
    assert np.abs(path[4] - exchangeable).max() > 0.05


def test_networks_of_a_known_c_and_beta_give_both_back(run):
    table = [row for row in rows(run) if row.theory == NAME]
    assert {row.grade for row in table} == {"fitted"}  # neither a law nor a forecast knows c
    held = sorted((row for row in table if row.group == "held_out"), key=lambda row: row.dose)
    assert [row.hyperparameters for row in held] == [(10, 10), (1, 1)]
    np.testing.assert_allclose([row.beta for row in held], [[0.3] * 2, [1.0] * 2], rtol=1e-5)
    assert max(nats for row in held for nats in row.nats) < 1e-6 < min(held[0].shift) / 100
    assert [Row.from_json(row.to_json()) for row in table] == table
    assert all("hyperparameters" not in row.to_json() for row in rows(run) if row.theory != NAME)
    lines = {(line.dose, line.group): line for line in scorecard(table)}
    assert [lines[dose, "held_out"].hyperparameter for dose in (1, 8)] == [10, 1]
    assert forecasts(run) == []


def test_figures_show_the_prediction_that_was_scored(run):
    held = [row for row in rows(run) if row.group == "held_out"]
    ((_, shown),) = predictions(run, held)
    np.testing.assert_allclose(shown[NAME], shown[NETWORK], atol=1e-6)


def test_the_table_of_costs_counts_two_numbers(run):
    lines = scorecard(rows(run))
    named = {row[0]: row for row in forecast_table([column("a run", lines, "sgd", "arm")], {}, {})}
    assert named["hierarchical-fitted (process)"][5] == "2 a network and dose"
    assert named["last dose, scaled"][5] == "1 a network and dose"


def test_a_ladder_keeps_its_second_number_on_disk(run):
    (ladder,) = run.theories(Cell("theories", "arm", 0)).ladders
    (back,) = Ladder.from_arrays(ladder.to_arrays())
    np.testing.assert_array_equal(back.hyperparameters, ladder.hyperparameters)
    assert (
        "hyperparameters/hierarchical-fitted/process" not in replace(ladder, hyperparameters=None).to_arrays()
    )
