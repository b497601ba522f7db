"""The noise of an order as a theory: nothing of the mean, and the numbers of order_noise in both metrics."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from theory.base import Misuse
from theory.theories.adam_gibbs import AdamGibbs
from theory.theories.noise import Noise
from theory.weights.order_noise import Recipe, order_noise


def test_of_the_mean_it_says_nothing(bigram, data):
    assert Noise().predict(bigram, data, 3.0) is bigram
    assert Noise(probes=4, iterations=8).cost.products == 8 * 9


@pytest.mark.parametrize("name", ["probes", "iterations", "floor"])
def test_bad_settings_are_refused(name):
    with pytest.raises(Misuse, match=f"^{name} must be .*, got 0"):
        Noise(**{name: 0})


def test_a_batch_larger_than_the_documents_is_refused(bigram, data):
    with pytest.raises(Misuse, match="from 1 to the 8 documents of D', got 9"):
        Noise().between_orders(
            bigram, data, data.tokens, slice(0, 5), Recipe((1,), 9, 0.1), "identity", jax.random.key(0)
        )


@pytest.mark.slow
def test_its_metric_is_that_of_the_steps(curved, data):
    recipe, key, answers = Recipe((1, 2), 4, 0.1), jax.random.key(0), slice(3, 5)
    theory = Noise(probes=2, iterations=4)
    for name in ("identity", "adam"):
        found = theory.between_orders(curved, data, data.tokens, answers, recipe, name, key)
        adam = replace(AdamGibbs(), batch=4, floor=0.01)
        metric = adam.metric(curved, data, key) if name == "adam" else None
        wanted = order_noise(curved, data, data.tokens, answers, recipe, key, metric, 2, 4)
        np.testing.assert_array_equal(found, wanted)
        assert found.shape == (2, 8, 4) and (found[0] > 0).any()
