"""Cells of axioms: rows are what they say, exact where a method is exact, and violated where it must be."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cells.axiom_data import FIRST, AxiomData
from experiments.cells.axioms import AxiomPrograms, axiom_failure
from experiments.cells.data import FinetuningData
from experiments.cells.programs import Executor
from experiments.design.axiom_plan import AxiomPlan
from experiments.design.experiment import Arm
from experiments.scoring import violations
from experiments.storage.axiom_cell import AxiomCell
from experiments.storage.records import Cell
from models.finetuning.method import finetune
from models.finetuning.momentum import Momentum
from models.finetuning.sgd import Sgd
from theory.divergence.kl import answers_at
from theory.errors import Misuse
from theory.processes import persona_domain
from theory.processes.persona_topics import PersonaTopics

PROCESS = PersonaTopics(personas=3, topics=3, answers=2, pairs=3)
METHODS = {"sgd": Sgd(0.1), "momentum": Momentum(0.05, 0.9)}
DOSES = (1, 2, 4)


@pytest.fixture(scope="session")
def planned(tiny):
    """A tiny experiment of two D' on one topic, by ways of finetuning."""

    def make(methods=METHODS, process=PROCESS, **changes):
        tasks = process.task(2, (0,), 1, name="ours"), process.task(1, (0,), 1, name="theirs")
        arms = (Arm(tasks[0], rival=tasks[1]),)
        values = {
            "process": process,
            "arms": arms,
            "methods": methods,
            "doses": DOSES,
            "axioms": AxiomPlan(3),
        }
        return replace(tiny(), **(values | changes))

    return make


@pytest.fixture(scope="module")
def executor(planned, untrained):
    experiment = planned()
    return Executor(experiment, untrained(experiment, 1))


@pytest.fixture(scope="module")
def cells(executor):
    contents = {name: executor.run(Cell("axioms", "ours", 0, name), executor.template) for name in METHODS}
    assert not any(problem for _, problem in contents.values())
    return {name: content for name, (content, _) in contents.items()}


def test_a_sequence_is_one_finetuning_after_another(executor, cells):
    """Against the method applied twice, by hand, to the first seed."""
    arm, network, method = executor.experiment.arms[0], executor.template, METHODS["momentum"]
    rows, questions = AxiomData(executor.experiment, executor.data, network), executor.data.questions(arm)
    orders = {name: jnp.asarray(order[0]) for name, order in rows._orders(arm).items()}
    data = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), rows._pool(arm))

    @jax.jit
    def after(params, order):
        weights, _ = finetune(network.with_params(params), data, order, method, (2,))
        return jax.tree.map(lambda leaf: leaf[0], weights)

    first = after(network.params, orders["ordered"][:2])
    for name, order in (("forward", orders["rival"][:2]), ("resumed", orders["ordered"][2:4])):
        end = network.with_params(after(first, order))
        answers = questions.at(np.asarray(answers_at(end, questions.tokens, PROCESS.answer_tokens)))
        np.testing.assert_allclose(getattr(cells["momentum"], name)[0], answers, atol=2e-5)


def test_the_cells_are_those_of_the_axioms(executor, cells):
    assert executor.experiment.cells()[:2] == [Cell("axioms", "ours", 0, name) for name in METHODS]
    content = cells["sgd"]
    back = AxiomCell.from_arrays(content.to_arrays())
    assert back.to_arrays().keys() == content.to_arrays().keys()
    assert content.drawn.shape[0] == 3 and content.doses.tolist() == list(DOSES)
    assert axiom_failure(replace(content, forward=np.full_like(content.forward, np.nan)))


def test_kept_moments_break_additivity_and_plain_steps_do_not(cells):
    def measure(cell):
        return violations.additive(cell.ordered, cell.resumed, cell.reordered, cell.contexts.base)

    plain, kept = measure(cells["sgd"]), measure(cells["momentum"])
    assert (plain.nats < 1e-10).all() and (kept.nats > 1e-4).all()
    assert (kept.nats > 0.01 * kept.shift).all()


def test_a_and_b_lie_in_turn_and_a_row_meets_its_own(executor):
    experiment = executor.experiment
    arm, n = experiment.arms[0], experiment.n
    data = AxiomData(experiment, executor.data, executor.template)
    documents = np.tile(np.arange(6), (3, 1))
    first, second = data.first(arm, documents), data.second(arm)
    ours = executor.data.finetuning(arm, executor.template)
    seeds = experiment.seeds
    np.testing.assert_array_equal(first.data.tokens[0, ::2], ours.data.tokens[0])
    blocks = {name: slice(seeds * index, seeds * (index + 1)) for index, name in enumerate(FIRST)}
    trained = {name: first.data.mask[inside].any(axis=(0, 2)) for name, inside in blocks.items()}
    assert trained["ordered"][::2].all() and not trained["ordered"][1::2].any()
    assert trained["rival"][1::2].all() and not trained["rival"][::2].any()
    assert trained["pooled"].all() and trained["taught"].nonzero()[0].tolist() == [0]
    for name, inside in blocks.items():  # a step meets nothing that does not count
        met = {*np.unique(first.order[inside])}
        assert met <= {*trained[name].nonzero()[0].tolist()}, name
    np.testing.assert_array_equal(first.order[0] // 2, ours.order[0])
    # the shown pairs of the document count, the last does not
    assert first.data.mask[blocks["taught"].start, 0].tolist() == [False, True, False, True, False, False]
    np.testing.assert_array_equal(first.data.tokens[-3:, 0], documents)
    assert (second.skipped == 2).all() and second.count == 3 * seeds
    np.testing.assert_array_equal(second.order[:seeds, :2], first.order[:seeds, 2:])
    assert second.met[seeds:].any(axis=2).all() and not second.met[:seeds, 1::2].any()
    assert len({*np.unique(second.order[seeds : 2 * seeds, :2])} & {*range(0, 2 * n, 2)}) == 0


def test_a_document_is_shown_before_every_first_question(executor):
    arm = executor.experiment.arms[0]
    data = AxiomData(executor.experiment, executor.data, executor.template)
    shown, questions = data.shown(arm), executor.data.questions(arm)
    assert (shown.pairs, shown.position) == (2, 5)
    groups = questions.group[shown.rows].tolist()
    asked = questions.tokens[questions.rows[shown.rows], 0].tolist()
    assert sorted(zip(groups, asked, strict=True)) == [("held_out", 1), ("in_domain", 0)]
    documents = executor.data.finetuning(arm, executor.template).data.tokens[:, 0]
    np.testing.assert_array_equal(shown.tokens[:, 0, :4], documents[:, :4])
    np.testing.assert_array_equal(shown.tokens[0, :, 4], asked)


def test_networks_write_their_own_documents(executor, cells):
    """The same for every method, another for every base network."""
    programs, params = executor.axioms, executor.template.params
    assert isinstance(programs, AxiomPrograms)
    drawn = np.asarray(programs.write(params, jax.random.key(0)))
    assert drawn.shape == (3, PROCESS.length) and (drawn < PROCESS.vocabulary).all()
    assert (drawn != np.asarray(programs.write(params, jax.random.key(1)))).any()


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"doses": (1, 3)}, "half of it"),
        ({"doses": (1, 4)}, "half of it"),
        ({"arms": (Arm(PROCESS.task(2, (0,), 1)),)}, "second D' of the arm topics0"),
    ],
)
def test_plans_that_cannot_be_are_refused(planned, changes, words):
    with pytest.raises(Misuse, match=words):
        planned(**changes)
    with pytest.raises(Misuse, match="at least 2"):
        AxiomPlan(1)


def test_documents_that_are_no_pairs_show_nothing(planned, untrained):
    experiment = replace(planned(), process=persona_domain.example())
    data = AxiomData(experiment, FinetuningData(experiment), untrained(experiment))
    assert data.pairs == 0 and data.shown(experiment.arms[0]) is None
