"""Executor: every kind of cell of an experiment, and what its compiled programs share."""

import threading
from dataclasses import replace

import jax
import numpy as np
import pytest

from benchmarks.compilations import compilations
from experiments.cells import programs
from experiments.cells.answers import updated
from experiments.cells.finetuned import failure, swap
from experiments.cells.programs import Executor
from experiments.cells.replays import answers_per_document_set
from experiments.design.experiment import Arm
from experiments.scoring.fits import divergence
from experiments.storage.contents import FinetunedCell, ReplayCell
from experiments.storage.records import Cell
from models.finetuning.head_only import HeadOnly
from models.finetuning.lora import Lora
from models.finetuning.method import finetune
from theory.compute.devices import ShardedMap
from theory.theories.tempered_posterior import TemperedPosterior


@pytest.fixture(scope="module")
def executor(tiny, untrained):
    experiment = tiny({"finetuning.doses": (1, 4)})
    return Executor(experiment, untrained(experiment))


@pytest.fixture(scope="module")
def finetuning(executor):
    return executor.data.finetuning(executor.experiment.arms[0], executor.template)


@pytest.fixture(scope="module")
def questions(executor):
    return executor.data.questions(executor.experiment.arms[0])


@pytest.fixture(scope="module")
def replays(executor):
    cells = {method: Cell("replays", "topics0", 0, method) for method in ("sgd", "adam")}
    contents = {method: executor.run(cell, executor.template) for method, cell in cells.items()}
    assert all(isinstance(content, ReplayCell) and not problem for content, problem in contents.values())
    return {method: content for method, (content, _) in contents.items()}


@pytest.fixture(scope="module")
def finetuned(executor):
    content, problem = executor.run(Cell("finetuned", "topics0", 0, "sgd"), executor.template)
    assert isinstance(content, FinetunedCell) and not problem
    return content


def test_other_ways_of_finetuning_are_compiled_when_the_first_is_done(executor, monkeypatch):
    compiled = []
    monkeypatch.setattr(ShardedMap, "compile", lambda program, *shapes: compiled.append(program))
    monkeypatch.setattr(programs, "compile_closed_forms", lambda *_: compiled.append("calls"))
    later = [executor.replays.replay["adam"], executor.finetuned.finetune["adam"]]
    executor.compile()
    assert not set(later) & set(compiled)
    theories, networks, replays = map(
        compiled.index, ("calls", executor.finetuned.finetune["sgd"], executor.replays.replay["sgd"])
    )
    assert compiled.index(executor.theories.modes) < theories < networks < replays  # as cells want them
    executor.run(Cell("finetuned", "topics0", 0, "sgd"), executor.template)
    for thread in threading.enumerate():
        if thread.daemon and thread.name.startswith("Thread"):
            thread.join(10)
    assert compiled[-2:] == later
    executor.compile(everything=True)
    assert compiled.count(later[0]) == 2


@pytest.mark.slow
def test_no_cell_compiles_what_can_be_compiled_ahead(tiny, untrained):
    experiment = tiny({"finetuning.doses": (1, 3)})
    executor = Executor(experiment, untrained(experiment))
    executor.compile(everything=True)
    with compilations() as seen:
        for cell in experiment.cells():
            executor.run(cell, executor.template)
    assert {name for name, _ in seen} <= {"jit(stage)"}  # an operation on a few numbers


def mean_answer_loss(network, data):
    """Nats an answer, by hand: of persona-topics, whose answers are tokens 7 to 10."""
    answers = np.asarray(network.predict(data.tokens), float)[..., 7:]
    log_probs = answers - np.log(np.exp(answers).sum(axis=-1, keepdims=True))
    rows, places = np.nonzero(data.mask)
    return -log_probs[rows, places, data.tokens[rows, places] - 7].mean()


def test_the_finetuned_networks_are_those_of_the_method(executor, finetuning, questions, finetuned):
    experiment, network = executor.experiment, executor.template
    shape = (2, 2, len(questions.rows), 4)
    assert finetuned.finetuned.shape == finetuned.replica.shape == shape
    assert finetuned.loss.shape == (2, 4) and finetuned.distance.shape == (2, 2)
    for orders, answers in (
        (finetuning.order, finetuned.finetuned),
        (finetuning.replica_order, finetuned.replica),
    ):
        data = jax.tree.map(lambda leaf: leaf[1], finetuning.data)
        run = jax.jit(lambda data, order: finetune(network, data, order, experiment.methods["sgd"], (1, 4)))
        params, _ = run(data, orders[1])
        last = network.with_params(jax.tree.map(lambda leaf: leaf[1], params))
        if orders is finetuning.order:
            np.testing.assert_allclose(finetuned.data_loss[1, 1], mean_answer_loss(last, data), rtol=1e-5)
        tokens = executor.answers.padded(questions.tokens)
        np.testing.assert_allclose(
            answers[1, 1], questions.at(executor.answers.base(last, tokens)), atol=1e-5
        )
    size = sum(np.sum(np.square(leaf), axis=tuple(range(1, leaf.ndim))) for leaf in finetuned.update.values())
    np.testing.assert_allclose(np.sqrt(size), finetuned.distance[0], rtol=1e-5)
    assert finetuned.observed == {}


def test_a_swap_has_the_other_s_read_out(executor, finetuning, finetuned, questions):
    """By hand, of one network: weights with one part replaced, read by themselves."""
    base, ours = executor.template, finetuned.finetuned[0, 1]
    last = updated(base.params, finetuned.update, 1)
    tokens = executor.answers.padded(questions.tokens)

    def nats(blocks, read_out):
        parts = {name: blocks[name] for name in ("blocks", "embed", "position")}
        mixed = base.with_params(type(last)(parts | {"unembed": read_out["unembed"]}))
        return divergence(ours, questions.at(executor.answers.base(mixed, tokens)))

    assert finetuned.base_blocks.shape == (2, 2, len(questions.rows))
    np.testing.assert_allclose(finetuned.base_read_out[0, 1], nats(last, base.params), atol=2e-6)
    np.testing.assert_allclose(finetuned.base_blocks[0, 1], nats(base.params, last), atol=2e-6)
    parts = finetuned.base_read_out[0, 1].mean(), finetuned.base_blocks[0, 1].mean()
    assert min(parts) > 1e-5 and max(parts) < nats(base.params, base.params).mean()


@pytest.mark.parametrize("moved", ["read-out", "blocks"])
def test_a_part_that_moves_alone_makes_all_of_the_shift(executor, questions, moved):
    """Finetuning of the read-out alone: S = 0, H = 1; a read-out that stays: S = 1, H = 0."""

    def move(path, leaf):
        inside = path[0].key == "unembed"
        grown = 1.5 if inside == (moved == "read-out") else 1.0
        return np.tile(grown * leaf, (4, 2, *[1] * leaf.ndim))

    base, tokens = executor.template.params, executor.answers.padded(questions.tokens)
    params = jax.tree_util.tree_map_with_path(move, base)
    read = [executor.answers.read(tokens, part) for part in (params, swap(params, base))]
    answers, swapped = map(questions.at, read)
    start = questions.at(executor.answers.base(executor.template, tokens))
    same, still = (swapped[2:], swapped[:2]) if moved == "read-out" else (swapped[:2], swapped[2:])
    np.testing.assert_array_equal(same, answers[:2])
    np.testing.assert_allclose(still, np.broadcast_to(start, still.shape), atol=1e-6)
    assert divergence(answers, start).mean() > 1e-3


@pytest.mark.slow
def test_methods_that_move_one_part_alone_are_exact_controls(executor):
    methods = {"head-only": HeadOnly(), "lora": Lora(rank=2)}
    other = Executor(replace(executor.experiment, methods=methods), executor.template)
    questions = other.data.questions(other.experiment.arms[0])
    base = questions.at(other.answers.base(other.template, other.answers.padded(questions.tokens)))
    for method in methods:
        content, _ = other.run(Cell("finetuned", "topics0", 0, method), other.template)
        shift = divergence(content.finetuned, base)
        same, moved = content.base_blocks, content.base_read_out
        if method == "lora":
            same, moved = moved, same
        np.testing.assert_array_equal(same, 0)
        np.testing.assert_allclose(moved, shift, atol=1e-6)
        assert shift[:, -1].mean() > 1e-4


def test_a_network_that_is_not_finite_is_a_failure_in_a_sentence(finetuned):
    assert failure(finetuned, (1, 4)) == ""
    broken = finetuned.replica.copy()
    broken[1, 0, 2] = np.nan
    sentence = failure(replace(finetuned, replica=broken), (1, 4))
    assert sentence == "Non-finite answers of the replica network of seed 1 at dose 1."


def test_replays_hold_predictions_strengths_and_learning_rate_times(executor, replays, questions, finetuned):
    sgd, adam = replays["sgd"], replays["adam"]
    for cell in (sgd, adam):
        assert list(cell.predictions) == ["linearised"]
        assert cell.predictions["linearised"].shape == (2, 2, len(questions.rows), 4)
        assert set(cell.update) == set(finetuned.update)
    methods = executor.experiment.methods
    assert set(sgd.times) == {"identity"} and set(adam.times) == {"adam"}
    np.testing.assert_array_equal(sgd.times["identity"], methods["sgd"].training_time((1, 4))["identity"])
    np.testing.assert_array_equal(adam.times["adam"], methods["adam"].training_time((1, 4))["adam"])


def test_every_strength_without_a_fitted_number(executor, finetuning, replays):
    experiment = executor.experiment
    answers = answers_per_document_set(finetuning.data)
    assert answers == finetuning.data.mask.sum() / 2
    passes = np.array([1, 4]) * experiment.batch / experiment.n
    sgd, adam = replays["sgd"].strengths, replays["adam"].strengths
    for prior in ("process", "implied"):
        np.testing.assert_allclose(sgd[f"tempered-posterior/{prior}"], passes)
        np.testing.assert_allclose(adam[f"tempered-posterior/{prior}"], passes)
    time = replays["sgd"].times["identity"]
    np.testing.assert_allclose(sgd["proximal/network"], time / answers, rtol=1e-5)
    assert "proximal/network" not in adam  # Adam is no flow in the identity metric
    assert set(sgd) == {*adam, "proximal/network"}


def test_a_replay_starts_where_the_network_does(replays, finetuned):
    """After one step of SGD the linearised network has the network's own update."""
    ours, theirs = (
        np.concatenate([update[name][0].ravel() for name in sorted(update)])
        for update in (finetuned.update, replays["sgd"].update)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-3 * np.linalg.norm(ours))


def test_without_a_theory_that_replays_there_are_strengths_alone(executor):
    experiment = replace(
        executor.experiment,
        theories=("unchanged",),
        more_theories={"tempered-posterior": TemperedPosterior()},
    )
    other = Executor(experiment, executor.template)
    content, problem = other.run(Cell("replays", "topics0", 0, "sgd"), executor.template)
    assert not problem and content.predictions == {} and content.update == {}
    assert set(content.strengths) == {"tempered-posterior/process", "tempered-posterior/implied"}
    assert set(content.times) == {"identity"}


def test_an_arm_s_own_batch_is_in_its_name_and_its_cells(executor):
    task = executor.experiment.arms[0].task
    experiment = replace(executor.experiment, arms=(Arm(task), Arm(task, batch=2)))
    assert [arm.name for arm in experiment.arms] == ["topics0", "topics0-batch2"]
    names = [cell.name for cell in experiment.cells() if cell.base == 0]
    assert "finetuned--sgd--topics0-batch2--0" in names and len(names) == len(set(names)) == 10
    assert all(Cell.parse(name).name == name for name in names)
    assert experiment.arm("topics0-batch2").batch == 2
    other = Executor(experiment, executor.template)
    whole, small = (other.data.finetuning(arm, executor.template) for arm in experiment.arms)
    assert whole.order.shape == (2, 4, 4) and small.order.shape == (2, 4, 2)
    assert experiment.training("sgd", experiment.arms[1]).batch == 2
    passes = [experiment.training("sgd", arm).passes.tolist() for arm in experiment.arms]
    np.testing.assert_allclose(passes, np.array([[4, 16], [2, 8]]) / experiment.n)


def test_an_experiment_without_sampling_has_no_posteriors(executor):
    assert executor.posteriors is None
    assert {cell.kind for cell in executor.experiment.cells()} == {"theories", "replays", "finetuned"}
