"""What every process must be, for each module of theory.processes."""

import importlib
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import theory.processes
from theory.base import Dataset, Distribution, Misuse

NAMES = [module.name for module in pkgutil.iter_modules(theory.processes.__path__)]
BETAS = (0.3, 0.9)


@pytest.fixture(params=NAMES, scope="module")
def process(request):
    module = importlib.import_module(f"theory.processes.{request.param}")
    return module.example().distribution()


def whole(tokens):
    return Dataset(tokens, jnp.ones(tokens.shape, bool))


def chosen(process, tokens):
    log_probs = np.asarray(process.predict(tokens))
    return np.take_along_axis(log_probs, np.asarray(tokens)[..., None], axis=-1)[..., 0]


def test_there_are_processes():
    assert "persona_topics" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_module_opens_with_a_sentence(name):
    doc = importlib.import_module(f"theory.processes.{name}").__doc__
    first = doc.splitlines()[0]
    assert first[0].isupper() and first.endswith(".")


def test_is_a_distribution(process):
    assert isinstance(process, Distribution)


def test_samples_are_whole_possible_sequences(process):
    tokens = process.sample(jax.random.key(0), 20)
    assert tokens.shape[0] == 20
    assert np.isfinite(process.log_prob(tokens)).all()
    assert (np.asarray(tokens) != np.asarray(process.sample(jax.random.key(1), 20))).any()
    np.testing.assert_array_equal(tokens, process.sample(jax.random.key(0), 20))


def test_predictions_are_normalised(process):
    tokens = process.sample(jax.random.key(0), 20)
    total = np.exp(np.asarray(process.predict(tokens), float)).sum(axis=-1)
    np.testing.assert_allclose(total, 1, atol=5e-6)


def test_chain_rule(process):
    tokens = process.sample(jax.random.key(2), 20)
    np.testing.assert_allclose(
        chosen(process, tokens).sum(axis=-1), process.log_prob(tokens), rtol=1e-5, atol=1e-5
    )


def test_predictions_do_not_look_ahead(process):
    tokens = process.sample(jax.random.key(3), 20)
    other = process.sample(jax.random.key(4), 20)
    for position in range(1, tokens.shape[1]):
        mixed = jnp.concatenate([tokens[:, :position], other[:, position:]], axis=1)
        np.testing.assert_allclose(
            np.exp(process.predict(mixed)[:, : position + 1]),
            np.exp(process.predict(tokens)[:, : position + 1]),
            atol=1e-6,
        )


def test_strength_zero_changes_nothing(process):
    tokens = process.sample(jax.random.key(5), 20)
    data = whole(process.sample(jax.random.key(6), 20))
    np.testing.assert_allclose(
        np.exp(process.condition(data, 0.0).predict(tokens)),
        np.exp(process.predict(tokens)),
        atol=1e-6,
    )


def test_strengths_on_the_same_data_add(process):
    tokens = process.sample(jax.random.key(5), 20)
    data = whole(process.sample(jax.random.key(6), 20))
    twice = process.condition(data, BETAS[0]).condition(data, BETAS[1]).predict(tokens)
    once = process.condition(data, sum(BETAS)).predict(tokens)
    np.testing.assert_allclose(np.exp(twice), np.exp(once), atol=3e-6)
    assert np.abs(np.exp(once) - np.exp(process.predict(tokens))).max() > 1e-2


@pytest.mark.parametrize("beta", [-0.1, np.nan, np.inf])
def test_a_bad_strength_is_refused(process, beta):
    data = whole(process.sample(jax.random.key(6), 20))
    with pytest.raises(Misuse):
        process.condition(data, beta)
