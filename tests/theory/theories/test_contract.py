"""What each theory must be, and the laws that it keeps or is shown to break."""

import functools
import importlib
import inspect
import pkgutil
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TypeVar, get_type_hints

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import theory.theories
from theory.base import Distribution, Misuse, Parametric, Predictor, ladder
from theory.contracts import Theory
from theory.latent.mixture import Mixture
from theory.processes.persona_topics import example

NAMES = [module.name for module in pkgutil.iter_modules(theory.theories.__path__)]
MODULES = {name: importlib.import_module(f"theory.theories.{name}") for name in NAMES}


def exact(each):
    """A theory that solves to a tolerance is asked for more of it than its default."""
    return replace(each, tolerance=1e-5) if hasattr(each, "tolerance") else each


THEORIES = {name: exact(module.example()) for name, module in MODULES.items()}


def needed(each):
    """What a theory's `predict` asks of its prior, by its type (of a type variable: its bound)."""
    hint = get_type_hints(each.predict)["prior"]
    return hint.__bound__ if isinstance(hint, TypeVar) else hint


NEEDS = {name: needed(each) for name, each in THEORIES.items()}
# a theory that takes any predictor is tried on both kinds
PRIORS = {Parametric: ["bigram"], Distribution: ["process"], Mixture: ["process"]}
PRIORS[Predictor] = ["bigram", "process"]
CASES = [(name, prior) for name in NAMES for prior in PRIORS[NEEDS[name]]]
LAWS = {"prior", "exchangeable", "normalised", "additive"}
BETA = 0.1
KEY = jax.random.key(0)
BROKEN = 1e-3  # a law is broken when probabilities differ by more than this

cases = pytest.mark.parametrize(("name", "which"), CASES)


@pytest.fixture
def prior(request, which):
    return request.getfixturevalue(which)


@pytest.fixture(scope="module")
def answered():
    """What was answered already, by theory, prior and strength."""
    return {}


@pytest.fixture
def answer(answered, name, which, prior, data):
    """The theory's prediction from the prior and the data at a strength."""

    def at(beta):
        key = name, which, beta
        if key not in answered:
            answered[key] = compiled(name)(prior, data, beta)
        return answered[key]

    return at


@functools.cache
def compiled(name):
    """A theory's prediction as one program; recipes count steps, so their strengths are part of it."""
    predict = lambda prior, data, beta: THEORIES[name].predict(prior, data, beta, key=KEY)  # noqa: E731
    return jax.jit(predict, static_argnums=2 if hasattr(THEORIES[name], "learning_rate") else ())


def probabilities(predictor, tokens):
    return np.exp(np.asarray(predictor.predict(tokens), float))


def gap(left, right, tokens):
    """The largest difference of probabilities; not a number is an infinite gap."""
    distance = np.abs(probabilities(left, tokens) - probabilities(right, tokens)).max()
    return distance if np.isfinite(distance) else np.inf


def check(name, law, distance, tolerance):
    """A law holds to `tolerance`, or the theory says that it breaks it and does."""
    if law in THEORIES[name].breaks:
        assert distance > BROKEN, f"{name} says that it breaks {law!r}, but does not."
    else:
        assert distance < tolerance


@pytest.mark.parametrize("name", NAMES)
def test_the_module_holds_one_frozen_theory(name):
    public = [
        value
        for key, value in vars(MODULES[name]).items()
        if inspect.isclass(value)
        and value.__module__ == MODULES[name].__name__
        and not key.startswith("_")
        and is_dataclass(value)
        and "breaks" in {field.name for field in fields(value)}
    ]
    assert len(public) == 1
    assert public[0].__dataclass_params__.frozen
    assert type(THEORIES[name]) is public[0]
    assert isinstance(THEORIES[name], Theory)


@pytest.mark.parametrize("name", NAMES)
def test_the_module_opens_with_a_sentence(name):
    first = MODULES[name].__doc__.splitlines()[0]
    assert first[0].isupper() and first.endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_the_theory_has_tests_of_its_own(name):
    assert (Path(__file__).parent / f"test_{name}.py").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_broken_laws_are_laws_with_a_reason(name):
    breaks = THEORIES[name].breaks
    assert set(breaks) <= LAWS
    assert all(reason.strip() for reason in breaks.values())
    assert MODULES[name].example().breaks is not breaks  # not shared between instances


@cases
def test_the_example_takes_the_prior_that_its_type_names(name, which, prior):
    assert isinstance(prior, NEEDS[name])


@cases
def test_strength_zero_is_the_prior(name, which, prior, answer, documents):
    check(name, "prior", gap(answer(0.0), prior, documents), 2e-6)


@cases
def test_some_strength_moves_the_predictions(name, which, prior, answer, documents):
    distance = gap(answer(2 * BETA), prior, documents)
    assert distance == 0 if name == "unchanged" else BROKEN < distance < 1


@cases
def test_the_order_of_documents_does_not_matter(name, which, prior, data, answer, documents):
    order = jnp.asarray([4, 5, 6, 7, 2, 0, 3, 1])
    shuffled = jax.tree.map(lambda leaf: leaf[order], data)
    assert len({tuple(row) for row in shuffled.tokens[:4].tolist()}) > 1
    assert (shuffled.tokens[:4].sum(axis=0) != data.tokens[:4].sum(axis=0)).any()
    other = compiled(name)(prior, shuffled, BETA)
    check(name, "exchangeable", gap(answer(BETA), other, documents), 1e-5)


@cases
def test_predictions_are_normalised(name, which, answer, documents):
    total = probabilities(answer(2 * BETA), documents).sum(axis=-1)
    check(name, "normalised", np.abs(total - 1).max(), 5e-6)


@cases
def test_strengths_on_the_same_data_add(name, which, data, answer, documents):
    twice = compiled(name)(answer(BETA), data, BETA)
    check(name, "additive", gap(twice, answer(2 * BETA), documents), 5e-6)


@cases
def test_a_ladder_is_predict_at_every_strength(name, which, prior, data, answer, documents):
    betas = [0.0, BETA, 2 * BETA]

    @jax.jit
    def told(prior, data):
        read = lambda told: told.predict(documents)  # noqa: E731
        return ladder(THEORIES[name], prior, data, np.asarray(betas), read, key=KEY, together=2)

    got = np.exp(told(prior, data))
    for row, beta in enumerate(betas):
        np.testing.assert_allclose(got[row], probabilities(answer(beta), documents), atol=1e-5)


@cases
@pytest.mark.parametrize("beta", [-0.1, np.nan, np.inf])
def test_a_bad_strength_is_refused(name, which, prior, data, beta):
    with pytest.raises(Misuse, match=str(beta)):
        THEORIES[name].predict(prior, data, beta, key=KEY)


# the same laws over random small processes: theories that draw at random are too slow for that
DRAWS = {"langevin_posterior", "adam_gibbs", "gaussian_process", "linear_response"}
CLOSED = [(name, which) for name, which in CASES if name not in DRAWS]
STEP = 0.1  # a whole step of the recipes that the examples follow
SHARE, SPREAD = st.floats(0.3, 1.0), st.floats(0.2, 2.0)


@pytest.mark.parametrize(("name", "which"), CLOSED)
@hypothesis.given(
    shape=st.fixed_dictionaries(
        {"rarity": SHARE, "style": SPREAD, "specific": SPREAD, "seed": st.integers(0, 99)}
    ),
    drawn=st.integers(0, 2**16),
    persona=st.integers(0, 2),
    topics=st.sampled_from([[0], [1], [0, 1]]),
    size=SPREAD,
    order=st.permutations(range(8)),
    steps=st.tuples(st.integers(1, 2), st.integers(1, 2)),
)
@hypothesis.settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
def test_laws_hold_on_random_small_processes(
    name, which, bigram, documents, shape, drawn, persona, topics, size, order, steps
):
    """Random answers of the process, weights of the network, D', its order, and two strengths."""
    made, key = replace(example(), **shape), jax.random.key(drawn)
    data = made.narrow(key, 8, persona, topics)
    weights = size * jax.random.normal(jax.random.fold_in(key, 1), bigram.params.shape)
    prior = made.distribution() if which == "process" else bigram.with_params(weights)
    predict, breaks, (first, second) = compiled(name), THEORIES[name].breaks, (STEP * each for each in steps)
    once = predict(prior, data, first)
    np.testing.assert_allclose(probabilities(once, documents).sum(axis=-1), 1, atol=5e-6)
    if "prior" not in breaks:
        assert gap(predict(prior, data, 0.0), prior, documents) < 2e-6
    if "exchangeable" not in breaks:
        shuffled = jax.tree.map(lambda leaf: leaf[jnp.asarray(order)], data)
        assert gap(once, predict(prior, shuffled, first), documents) < 2e-5
    if "additive" not in breaks:
        twice = predict(once, data, second)
        assert gap(twice, predict(prior, data, first + second), documents) < 2e-5
