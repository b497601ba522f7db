"""Costs: every theory over weights states one, the words say it, and the counts are those of its program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.discovery import Catalogue
from theory.base import Cost, Parametric, Steerable, mean_loss
from theory.contracts import required_prior, variants
from theory.processes import persona_topics
from theory.theories.hierarchical_personas import HierarchicalPersonas
from theory.theories.spectrum import Spectrum
from theory.weights.curvature import gauss_newton

PROCESS = persona_topics.example()
FORMS = [
    pytest.param(form, id=name)
    for entry in Catalogue().entries("theories")
    for name, form in variants(entry.load(), PROCESS).items()
]


@pytest.mark.parametrize("form", FORMS)
def test_a_theory_over_weights_states_its_cost_and_one_of_hypotheses_has_none(form):
    if required_prior(form) in (Parametric, Steerable):
        assert form.cost != Cost(), "state what it needs of the network: `cost`"
        assert hasattr(form, "follow") or not form.cost.replays or form.cost.per == "dose"
    elif form != HierarchicalPersonas(None):  # whose c is found by a gradient
        assert not form.cost.gradients and not form.cost.products


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        (Cost(), "none"),
        (Cost(gradients=1, products=32), "1 gradient, 32 products"),
        (Cost(gradients=60, per="strength", most=True), "at most 60 gradients a strength"),
        (Cost(gradients=1, per="step"), "1 gradient a step of the finetuning"),
        (Cost(1, 32, other_gradients=32), "1 gradient, 32 products, 32 gradients for the metric"),
        (Cost(passes=16, per="strength"), "16 passes of the contexts a strength"),
    ],
)
def test_the_words_of_a_cost(cost, words):
    assert str(cost) == words


def multiplications(function, *arguments):
    """Of matrix products in a program, those inside loops as often as the loops run."""

    def count(jaxpr):
        total = 0.0
        for equation in jaxpr.eqns:
            parts = jax.tree.leaves(list(equation.params.values()))
            inner = [part for part in parts if hasattr(part, "eqns")]
            total += equation.params.get("length", 1) * sum(map(count, inner))
            if equation.primitive.name == "dot_general":
                (contracted, _), _ = equation.params["dimension_numbers"]
                left = equation.invars[0].aval.shape
                total += equation.outvars[0].aval.size * np.prod([left[axis] for axis in contracted])
        return total

    return count(jax.make_jaxpr(function)(*arguments).jaxpr)


def test_the_counts_of_a_filter_are_those_of_its_program(curved, data):
    """What twice as many documents add, in which Lanczos' own products have no part. The forward pass of the
    network is made once for all products."""
    theory, network = Spectrum(iterations=8), curved
    vector = jax.tree.map(jnp.ones_like, network.params)

    def work(data):
        loss = lambda params: mean_loss(network.with_params(params), data)  # noqa: E731
        forward, gradient = (multiplications(of, network.params) for of in (loss, jax.grad(loss)))
        product = multiplications(lambda vector: gauss_newton(network, data).product(vector), vector)
        whole = multiplications(lambda beta: theory.predict(network, data, beta).displacement, 0.1)
        return whole - forward, theory.cost.gradients * gradient + theory.cost.products * (product - forward)

    twice = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), data)
    whole, declared = np.subtract(work(twice), work(data))
    assert whole == declared > 0
