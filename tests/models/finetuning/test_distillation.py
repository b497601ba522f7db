"""Distillation reaches an exact posterior, and is scored as one: the positive control."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.finetuning.adam import Adam
from models.finetuning.distillation import Distillation
from models.finetuning.method import ExtraData
from models.finetuning.sgd import Sgd
from models.network import build, first
from models.transformer import Architecture
from theory.base import Dataset, Misuse
from theory.divergence.kl import answers_at, explained, kl
from theory.processes.persona_topics import example
from theory.theories.tempered_posterior import TemperedPosterior

PROCESS = example()
BETA = 0.1


def test_the_first_step_by_hand(table):
    """Logits move by -η (q - p) times the share of counted positions, in each row of the documents."""
    tokens = jnp.asarray([[0, 1, 0], [0, 4, 2]])
    documents = Dataset(tokens, jnp.asarray([[False, True, True], [False, True, False]]))
    teacher = table.with_params(jnp.log(jnp.asarray([0.0, 0.1, 0.2, 0.3, 0.4])) * jnp.ones((6, 1)))
    method = Distillation("data", Sgd(0.5))
    value, slope = jax.value_and_grad(
        lambda params: method.loss(table.with_params(params), table, documents, ExtraData(teacher=teacher))
    )(table.params)
    q, p = np.exp(jax.nn.log_softmax(table.params)), np.array([0.0, 0.1, 0.2, 0.3, 0.4])
    share = np.array([2, 1, 0, 0, 0, 0])[:, None] / 3
    np.testing.assert_allclose(slope, share * (q - p), atol=1e-6)
    terms = np.sum(p[1:] * (np.log(p[1:]) - np.log(q[:, 1:])), axis=-1)  # what is impossible costs nothing
    np.testing.assert_allclose(value, (2 * terms[0] + terms[1]) / 3, rtol=1e-5)


@pytest.mark.slow
def test_the_network_becomes_its_teacher_and_is_scored_so(run):
    """On the topic that D' never asks: the posterior of the teacher's strength explains it, no other does."""
    process, steps = PROCESS.distribution(), 600
    data = PROCESS.narrow(jax.random.key(3), 12, 2, [0])
    teacher = TemperedPosterior().predict(process, data, BETA)
    tokens = process.sample(jax.random.key(0), 32 * steps).reshape(steps, 32, -1)
    replay, unread = Dataset(tokens, jnp.ones(tokens.shape, bool)), jnp.zeros((steps, 1), int)
    network = build(Architecture(width=16, layers=1, heads=2), PROCESS.vocabulary, PROCESS.length, [1])
    base = after = first(network)
    for rate, taught in ((0.01, process), (0.003, teacher)):
        base, method = after, Distillation(rule=Adam(rate))
        kept, _ = run(base, data, unread, method, [steps], ExtraData(replay, taught))
        after = base.with_params(first(kept))

    documents = jnp.asarray(list(itertools.product(range(3), (3, 4), range(3), (3, 4))))
    is_asked = documents[:, ::2] == 1

    def answers(model):
        return answers_at(model, documents, PROCESS.answer_tokens)[:, 1::2][is_asked]

    wanted = answers(teacher)
    assert jnp.mean(kl(wanted, answers(base))) > 0.03
    assert jnp.mean(kl(wanted, answers(after))) < 1e-4
    scores = [
        explained(answers(after), answers(TemperedPosterior().predict(process, data, beta)), answers(base))
        for beta in (BETA / 2, BETA, 2 * BETA)
    ]
    assert scores[1] > 0.999
    assert scores[1] > max(scores[0], scores[2]) + 0.1


def test_a_teacher_that_is_missing_is_refused(network, data, batches, run, others):
    assert Distillation().needs == ("teacher", "replay")
    with pytest.raises(
        Misuse, match=r"Distillation needs a teacher, got none; .*ExtraData\(teacher=\.\.\.\)"
    ):
        run(network, data, batches, Distillation(), [1], ExtraData(others))


def test_bad_contexts_are_refused():
    with pytest.raises(Misuse, match="contexts must be 'data' or 'replay', got 'both'"):
        Distillation("both")
