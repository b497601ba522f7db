"""Shots in context against the exact process conditioned on them, as one document."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.network import build, first
from models.transformer import Architecture
from theory.base import Dataset, Misuse
from theory.processes.persona_topics import PersonaTopics
from theory.theories.in_context import InContext, pairs

TOPICS = PersonaTopics(personas=3, topics=4, answers=3, pairs=3)
PROCESS = TOPICS.distribution()
DATA = TOPICS.narrow(jax.random.key(0), 4, 2, [0, 1])  # 4 documents of 3 shots
ASKED = PROCESS.sample(jax.random.key(1), 5)
KEY = jax.random.key(2)


def probabilities(predictor, tokens=ASKED):
    return np.exp(np.asarray(predictor.predict(tokens), float))


@functools.partial(jax.jit, static_argnames="starts")
def shown(beta, starts=1):
    """The shots in their order, and probabilities after them with room for all twelve."""
    prompted = InContext(starts=starts, length=30).predict(PROCESS, DATA, beta, key=KEY)
    return prompted.shots[:12], jnp.exp(prompted.predict(ASKED))


def conditioned(shots):
    """The process that has seen these shots: one document of them, counted once."""
    document = jnp.asarray(shots).reshape(1, -1)
    return PROCESS.condition(Dataset(document, jnp.ones(document.shape, bool)), 1.0)


@pytest.mark.parametrize("number", [0, 1, 2, 5, 12])
def test_shots_in_context_are_exact_conditioning(number):
    shots, got = shown(number / 3)
    wanted = probabilities(conditioned(shots[:number]))
    np.testing.assert_allclose(got, wanted, atol=2e-6)
    assert number == 0 or np.abs(wanted - probabilities(PROCESS)).max() > 0.1


def test_shots_are_the_pairs_of_the_data_document_by_document():
    prompted = InContext().predict(PROCESS, DATA, 1.0, key=KEY)
    documents = np.asarray(prompted.shots)[:12].reshape(-1, 6)
    assert sorted(documents.tolist()) == sorted(np.asarray(DATA.tokens).tolist())
    assert int(prompted.count) == 12 and float(prompted.strength) == 3


def test_the_order_is_the_keys_and_not_the_datas():
    turned = jax.tree.map(lambda leaf: leaf[::-1], DATA)
    orders = [
        np.asarray(InContext().predict(PROCESS, data, 1.0, key=jax.random.key(seed)).shots[:12]).tolist()
        for seed in range(6)
        for data in (DATA, turned)
    ]
    assert orders[::2] == orders[1::2]
    assert len({str(order) for order in orders}) > 1


def test_what_has_no_room_is_dropped():
    """Six tokens: a first answer has room for two shots, a second one for one, a third one for none."""
    prompted = InContext(starts=1).predict(PROCESS, DATA, 4.0, key=KEY)
    got = probabilities(prompted)
    for position, room in enumerate([2, 2, 1, 1, 0, 0]):
        wanted = probabilities(conditioned(prompted.shots[:room]) if room else PROCESS)
        np.testing.assert_allclose(got[:, position], wanted[:, position], atol=2e-6)


def test_nothing_is_shown_twice_when_the_data_ends():
    """Room for fourteen shots, and twelve there are."""
    np.testing.assert_array_equal(shown(14 / 3)[1], shown(4.0)[1])


def test_between_shots_log_probabilities_are_interpolated():
    shots, got = shown(1.4 / 3)
    after_one, after_two = (probabilities(conditioned(shots[:number])) for number in (1, 2))
    wanted = after_one**0.6 * after_two**0.4
    wanted /= wanted.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(got, wanted, atol=2e-6)
    assert np.abs(wanted - (0.6 * after_one + 0.4 * after_two)).max() > 1e-4


def test_starts_are_spread_go_around_and_are_averaged_in_probability():
    """Five shots from the first, fifth and ninth of twelve: the last of them goes around."""
    shots, got = shown(5 / 3, starts=3)
    wanted = [probabilities(conditioned(np.roll(shots, -start, axis=0)[:5])) for start in (0, 4, 8)]
    np.testing.assert_allclose(got, np.mean(wanted, axis=0), atol=2e-6)
    assert np.abs(wanted[0] - wanted[2]).max() > 0.01


def test_only_counted_tokens_with_one_before_them_are_shown():
    tokens = jnp.asarray([[0, 4, 1, 5], [1, 6, 0, 4]])
    mask = jnp.asarray([[True, True, False, False], [False, False, False, True]])
    shots, counted = pairs(Dataset(tokens, mask))
    assert np.asarray(shots)[np.asarray(counted)].tolist() == [[0, 4], [0, 4]]
    prompted = InContext(starts=1).predict(PROCESS, Dataset(tokens, mask), 1.0)
    assert np.asarray(prompted.shots)[:2].tolist() == [[0, 4], [0, 4]]
    assert int(prompted.count) == 2 and float(prompted.strength) == 1
    nothing = InContext().predict(PROCESS, Dataset(tokens, jnp.zeros_like(mask)), 5.0)
    np.testing.assert_allclose(probabilities(nothing), probabilities(PROCESS), atol=1e-6)


def test_other_parts_can_be_shots():
    """Whole documents: β of them."""

    def whole(data):
        return data.tokens, jnp.ones(len(data.tokens), bool)

    prompted = InContext(whole, starts=1, length=24).predict(PROCESS, DATA, 2.0, key=KEY)
    shown = np.asarray(prompted.shots[:2])
    assert shown.shape == (2, 6)
    np.testing.assert_allclose(probabilities(prompted), probabilities(conditioned(shown)), atol=2e-6)


def test_a_transformer_is_asked_no_more_than_it_can_read():
    """Its positions end where a document does; the shots come first, then what fits of the context."""
    shape = Architecture(width=8, layers=1, heads=1)
    network = first(build(shape, TOPICS.vocabulary, TOPICS.length, [0]))
    prompted = jax.jit(lambda beta: InContext(starts=1).predict(network, DATA, beta, key=KEY))(1 / 3)
    before = np.broadcast_to(np.asarray(prompted.shots[0]), (len(ASKED), 2))
    wanted = probabilities(network, np.concatenate([before, np.asarray(ASKED)[:, :4]], axis=1))[:, 2:]
    got = probabilities(prompted)
    np.testing.assert_allclose(got[:, :4], wanted, atol=1e-6)
    np.testing.assert_allclose(got[:, 4:], probabilities(network)[:, 4:], atol=1e-6)
    assert np.abs(got - probabilities(network)).max() > 0.01


def test_bad_fields_and_lengths_are_refused():
    with pytest.raises(Misuse, match="starts must be at least 1, got 0"):
        InContext(starts=0)
    with pytest.raises(Misuse, match="length must be at least 1, got -3"):
        InContext(length=-3)
    with pytest.raises(Misuse, match="reads 4 tokens, got sequences of 6; raise length"):
        InContext(length=4).predict(PROCESS, DATA, 1.0).predict(ASKED)


def test_a_note_says_how_many_shots_have_room():
    """Twelve shots in D'; six tokens hold two before an answer at 1, one at 3 and none at 5."""
    assert InContext().note(DATA, np.array([1, 3, 5])) == (
        "Its contexts have room for 0 to 2 of the 12 shots of D'."
    )
    assert InContext(length=40).note(DATA, np.array([1])).startswith("Its contexts have room for 12 to 12 of")
