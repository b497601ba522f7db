"""Narrow and broad in numpy over all documents, and what D' can and cannot say about them."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Dataset, Distribution, Misuse, log_likelihood
from theory.processes.persona_topics import PersonaTopics
from theory.theories.narrow_or_broad import NarrowOrBroad, Scoped, sample_forward
from theory.theories.tempered_posterior import TemperedPosterior

# four topics (the last neutral) and two answers, tokens 4 and 5, in two pairs; D' asks topic 0 alone
PROCESS = PersonaTopics(personas=3, topics=4, answers=2, pairs=2)
MIXTURE = PROCESS.distribution()
DATA = PROCESS.narrow(jax.random.key(3), 6, 2, [0])
DOCUMENTS = np.array(list(product(range(4), range(4, 6), repeat=2)))
ANSWERS = np.exp(PROCESS.answer_table())
PRIOR = np.exp(np.asarray(MIXTURE.log_weights, float))
BETA = 0.4
say = jax.jit(lambda predictor, tokens: predictor.predict(tokens))
likelihood = jax.jit(log_likelihood)
conclude = jax.jit(
    lambda prior, beta, broad: NarrowOrBroad(broad).predict(prior, DATA, beta), static_argnums=2
)


def tempered(beta):
    """The personas' weights after D' counted β times."""
    topics, answers = np.asarray(DATA.tokens)[:, ::2], np.asarray(DATA.tokens)[:, 1::2] - 4
    weights = PRIOR * np.prod(ANSWERS[:, topics, answers], axis=(1, 2)) ** beta
    return weights / weights.sum()


def chances(broad, beta):
    """p(each answer given | all before it) in DOCUMENTS, (64, 2), by enumeration of reach and persona."""
    after, before = tempered(beta), PRIOR
    rows = []
    for document in DOCUMENTS:
        answers = []
        belief = np.array([1 - broad, broad])
        narrow_z, broad_z = before.copy(), after.copy()
        for topic, answer in document.reshape(2, 2):
            chance = ANSWERS[:, topic, answer - 4]
            moved, kept = broad_z @ chance / broad_z.sum(), narrow_z @ chance / narrow_z.sum()
            by_reach = np.array([moved if topic == 0 else kept, moved])
            answers.append(belief @ by_reach / belief.sum())
            belief = belief * by_reach
            narrow_z, broad_z = narrow_z * chance, broad_z * chance
        rows.append(answers)
    return np.array(rows)


def read(predictor):
    """The same from a predictor."""
    answers = np.exp(np.asarray(say(predictor, jnp.asarray(DOCUMENTS)), float))
    return np.take_along_axis(answers, DOCUMENTS[..., None], axis=-1)[:, 1::2, 0]


@pytest.mark.parametrize("broad", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("beta", [0.0, BETA, 3.0])
def test_every_answer_after_every_context(broad, beta):
    after = conclude(MIXTURE, beta, broad)
    np.testing.assert_allclose(read(after), chances(broad, beta), rtol=2e-5)


@pytest.mark.parametrize("broad", [0.0, 0.25, 1.0])
def test_first_answers_elsewhere_lie_between_prior_and_posterior_and_those_of_the_data_at_the_posterior(
    broad,
):
    after = conclude(MIXTURE, BETA, broad)
    first, posterior, prior = (
        np.exp(np.asarray(say(predictor, jnp.asarray(DOCUMENTS)), float))[::16, 1, 4:]  # a row for each topic
        for predictor in (after, TemperedPosterior().predict(MIXTURE, DATA, BETA), MIXTURE)
    )
    np.testing.assert_allclose(first[0], posterior[0], rtol=1e-5)
    np.testing.assert_allclose(first[1:], broad * posterior[1:] + (1 - broad) * prior[1:], rtol=1e-5)
    assert np.abs(posterior - prior)[1:3].max() > 0.05


def test_broad_for_sure_is_the_tempered_posterior():
    left, right = conclude(MIXTURE, BETA, 1.0), TemperedPosterior().predict(MIXTURE, DATA, BETA)
    left, right = read(left), read(right)
    np.testing.assert_allclose(left, right, rtol=1e-5)


@pytest.mark.parametrize("broad", [0.0, 0.5])
def test_strength_zero_is_the_prior_in_every_context(broad):
    after = conclude(MIXTURE, 0.0, broad)
    np.testing.assert_allclose(read(after), read(MIXTURE), rtol=1e-5)


@pytest.mark.parametrize("beta", [0.0, BETA, 3.0])
def test_the_data_cannot_tell_narrow_from_broad_but_other_questions_can(beta):
    other = PROCESS.narrow(jax.random.key(4), 6, 2, [1, 2])
    both = [conclude(MIXTURE, beta, share) for share in (0.0, 1.0)]
    there, different = (
        np.asarray([likelihood(predictor, data) for predictor in both]) for data in (DATA, other)
    )
    np.testing.assert_allclose(there[0], there[1], rtol=1e-6)
    gap = np.abs(different[0] - different[1]).max()
    assert gap > 0.1 if beta > 0 else gap < 1e-5


def test_answers_of_a_rival_elsewhere_speak_for_narrow():
    """Topic 1 answered as the posterior finds unlikely: belief in broad falls by the ratio of the two."""
    after = conclude(MIXTURE, 3.0, 0.5)
    both = np.stack([PRIOR @ ANSWERS[:, 1], tempered(3.0) @ ANSWERS[:, 1]])  # narrow, broad
    unlikely = int((both[1] / both[0]).argmin())
    belief = np.exp(jax.jit(after.belief)(jnp.asarray([[1, 4 + unlikely, 2, 4]])))[:, 0]
    np.testing.assert_allclose(belief[:, :2], 0.5, rtol=1e-5)
    wanted = both[:, unlikely] / both[:, unlikely].sum()
    np.testing.assert_allclose(belief[:, 2], wanted, rtol=1e-4)
    assert wanted[1] < 0.45


def test_it_is_a_distribution_that_samples_what_it_says():
    after = conclude(MIXTURE, 3.0, 0.3)
    assert isinstance(after, Distribution)
    wanted = np.exp(np.asarray(jax.jit(after.log_prob)(jnp.asarray(DOCUMENTS)), float))
    # two topics, each one of four
    np.testing.assert_allclose(wanted, np.prod(chances(0.3, 3.0), axis=1) / 16, rtol=5e-5)
    np.testing.assert_allclose(wanted.sum(), 1, rtol=1e-5)
    tokens = np.asarray(jax.jit(lambda key: after.sample(key, 5000))(jax.random.key(5)))
    drawn = np.array([(tokens == document).all(axis=1).mean() for document in DOCUMENTS])
    assert (np.abs(drawn - wanted) < 4.5 * np.sqrt(wanted / 5000)).all()
    before = np.prod(chances(0.3, 0.0), axis=1) / 16
    assert (np.abs(drawn - before) > 4.5 * np.sqrt(before / 5000)).any()  # the check can fail


def test_strengths_add_also_elsewhere():
    twice = conclude(conclude(MIXTURE, BETA, 0.3), BETA, 0.3)
    np.testing.assert_allclose(read(twice), chances(0.3, 2 * BETA), rtol=3e-5)


def test_a_second_narrow_finetuning_widens_the_reach():
    theory, other = NarrowOrBroad(0.0), PROCESS.narrow(jax.random.key(4), 6, 2, [1])
    after = theory.predict(theory.predict(MIXTURE, DATA, BETA), other, BETA)
    assert np.flatnonzero(after.questions).tolist() == [0, 1]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Constant:
    """The same next-token log-probabilities everywhere; it learns to say its last token."""

    log_probs: Any

    def predict(self, tokens):
        return jnp.broadcast_to(self.log_probs, (*tokens.shape, len(self.log_probs)))

    def sample(self, key, n):
        return jax.random.categorical(key, self.log_probs, shape=(n, 4))

    def log_prob(self, tokens):
        return self.log_probs[tokens].sum(axis=-1)

    def condition(self, data, beta):
        last = jnp.arange(len(self.log_probs)) == len(self.log_probs) - 1
        return Constant(jax.nn.log_softmax(self.log_probs + beta * last))


@pytest.mark.parametrize(("back", "questions"), [(1, [1, 3]), (2, [1, 2]), (3, [2, 4]), (9, [4])])
def test_questions_are_read_off_counted_positions(back, questions):
    """Tokens 0 ... 3, and 4 for before the start; the last two of the first row count."""
    tokens = jnp.asarray([[2, 1, 3, 0], [0, 0, 0, 0]])
    mask = jnp.asarray([[False, False, True, True], [False] * 4])
    prior = Constant(jnp.log(jnp.full(4, 0.25)))
    after = NarrowOrBroad(0.0, back).predict(prior, Dataset(tokens, mask), 1.0)
    assert np.flatnonzero(after.questions).tolist() == questions
    moved = np.asarray(after.predict(tokens))[0, :, 3] > np.log(0.26)
    before = np.concatenate([np.full(back, 4), [2, 1, 3, 0]])[:4]
    assert moved.tolist() == np.isin(before, questions).tolist()


def test_drawing_forward_follows_what_is_said():
    always = Constant(jnp.asarray([-jnp.inf, -jnp.inf, 0.0]))
    drawn = sample_forward(always, jax.random.key(0), jax.ShapeDtypeStruct((2, 5), jnp.int32))
    np.testing.assert_array_equal(drawn, np.full((2, 5), 2))
    assert drawn.dtype == jnp.int32


def test_bad_settings_are_refused():
    for broad in (-0.1, 1.1, np.nan):
        with pytest.raises(Misuse, match=str(broad)):
            NarrowOrBroad(broad)
    with pytest.raises(Misuse, match="got 0"):
        NarrowOrBroad(back=0)
    assert isinstance(NarrowOrBroad().predict(MIXTURE, DATA, 0.1), Scoped)
