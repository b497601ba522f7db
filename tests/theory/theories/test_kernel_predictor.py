"""The closed-form kernel predictor against the formula with its kernel written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from theory.base import Misuse
from theory.theories.kernel_predictor import KernelPredictor
from theory.theories.spectrum import Spectrum

QUICK = {"xla_backend_optimization_level": 0}  # these programs compile for longer than they run


def written(prior, data, tokens):
    """Log-probabilities (m, v) and their Jacobian (m, v, weights), of D' and of `tokens`, in float64."""
    start, shaped = ravel_pytree(prior.params)
    both = jnp.concatenate([data.tokens, tokens])
    read = lambda flat: prior.with_params(shaped(flat)).predict(both)  # noqa: E731
    both = jax.jit(lambda flat: (read(flat), jax.jacobian(read)(flat)), compiler_options=QUICK)(start)
    logits, jacobian = (np.asarray(array, float) for array in both)
    count, mask = len(data.tokens), np.asarray(data.mask)
    after = (array[count:].reshape(-1, *array.shape[2:]) for array in (logits, jacobian))
    return np.asarray(data.tokens)[mask], logits[:count][mask], jacobian[:count][mask], *after


def softmax(logits):
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def formula(model, time, root, metric=1.0):
    """softmax(f_0 + K(x, D') K⁻¹ (1 - e^{-τK}) (y - p)); for a softmax S^½J and S^-½ (y - p) at D'."""
    answers, logits, jacobian, start, queried = model
    p = np.exp(logits)
    miss = np.eye(5)[answers] - p
    if root == "squared":
        seen = jacobian - jacobian.mean(axis=1, keepdims=True)
    else:
        b = np.einsum("na,ab->nab", np.sqrt(p), np.eye(5)) - np.einsum("na,nb->nab", p, np.sqrt(p))
        seen, miss = np.einsum("nac,nap->ncp", b, jacobian), miss / np.sqrt(p)
    seen, miss = seen.reshape(-1, jacobian.shape[-1]), miss.ravel()
    values, vectors = np.linalg.eigh((seen / metric) @ seen.T)
    values = np.maximum(values, 1e-12)
    weights = vectors @ (-np.expm1(-time * values) / values * (vectors.T @ miss))
    return softmax(start + (queried / metric) @ seen.T @ weights)


def predicted(theory, prior, data, betas, tokens):
    answer = lambda beta: theory.predict(prior, data, beta).predict(tokens)  # noqa: E731
    log_probs = jax.jit(jax.vmap(answer), compiler_options=QUICK)(jnp.asarray(betas))
    return np.exp(log_probs).reshape(len(betas), -1, 5)


@pytest.mark.parametrize("which", ["bigram", "curved"])
def test_predictions_are_the_formulas(request, data, documents, which):
    prior = request.getfixturevalue(which)
    theory = KernelPredictor(prior_precision=2.0, iterations=44)
    model, betas = written(prior, data, documents), (0.05, 0.5, 4.0)
    for beta, got in zip(betas, predicted(theory, prior, data, betas, documents), strict=True):
        wanted = formula(model, beta / 2, "squared")
        np.testing.assert_allclose(got, wanted, atol=2e-5)
    assert np.abs(wanted - np.exp(prior.predict(documents)).reshape(-1, 5)).max() > 0.1


def test_the_metric_is_in_the_kernel(curved, data, documents):
    stream, model = np.random.default_rng(1), written(curved, data, documents)
    metric = jax.tree.map(lambda leaf: jnp.asarray(stream.uniform(0.3, 3, leaf.shape)), curved.params)
    theory = KernelPredictor(metric=metric, iterations=44)
    got = predicted(theory, curved, data, [0.3], documents)[0]
    diagonal = np.asarray(ravel_pytree(metric)[0], float)
    np.testing.assert_allclose(got, formula(model, 0.3, "squared", diagonal), atol=2e-5)
    assert np.abs(got - formula(model, 0.3, "squared")).max() > 0.01


def test_with_the_softmaxs_curvature_the_formula_is_spectrums_early_stopping(curved, data, documents):
    """In functions what `spectrum` says in weights; and not what this theory says."""
    model = written(curved, data, documents)
    got = predicted(Spectrum(iterations=44), curved, data, [0.6], documents)[0]
    np.testing.assert_allclose(got, formula(model, 0.6, "softmax"), atol=2e-5)
    assert np.abs(got - formula(model, 0.6, "squared")).max() > 0.01


def test_a_short_time_is_one_step_of_gradient_descent_on_cross_entropy(curved, data):
    """As in `spectrum`: the two part at second order."""
    times = jnp.asarray([0.001, 0.002])
    both = [
        jax.jit(jax.vmap(lambda beta, theory=theory: theory.predict(curved, data, beta).displacement))(times)
        for theory in (KernelPredictor(), Spectrum())
    ]
    moved, gap = (
        np.linalg.norm(jax.vmap(lambda tree: ravel_pytree(tree)[0])(tree), axis=-1)
        for tree in (both[0], jax.tree.map(jnp.subtract, *both))
    )
    assert gap[0] < 0.05 * moved[0]
    assert abs(gap[1] / gap[0] - 4) < 0.3


def test_a_long_time_reaches_the_targets(bigram, data):
    """f_0 + y - p, centred, averaged where D' asks the same thing twice."""
    after = jax.jit(KernelPredictor(iterations=30).predict)(bigram, data, 1e3)
    mask, tokens = np.asarray(data.mask), np.asarray(data.tokens)
    before = np.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=5)[mask]
    start = np.asarray(bigram.predict(data.tokens), float)[mask]
    targets = start + np.eye(5)[tokens[mask]] - np.exp(start)
    means = np.array([targets[before == row].mean(axis=0) for row in before])
    np.testing.assert_allclose(np.exp(after.predict(data.tokens))[mask], softmax(means), atol=1e-4)
    assert (np.abs(means - targets).max(axis=-1) > 0.1).any()


def test_misuse_is_refused():
    for wrong, sentence in (
        ({"prior_precision": -1.0}, "prior_precision must be finite and above 0, got -1.0"),
        ({"iterations": 0}, "iterations must be at least 1, got 0"),
    ):
        with pytest.raises(Misuse, match=sentence):
            KernelPredictor(**wrong)
