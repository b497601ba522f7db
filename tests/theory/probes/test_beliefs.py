"""Beliefs by enumeration of hidden states, and chains that are the process."""

import functools
import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.errors import Misuse
from theory.latent.mixture import Mixture
from theory.probes.beliefs import as_chains, beliefs, state_beliefs
from theory.processes.linebreak import LineBreak
from theory.processes.persona_domain import PersonaDomain

PAGES = LineBreak(widths=(3, 2), lengths=(1, 2), length=5, noise=0.1)
PERSONAS = PersonaDomain(
    enter=((0.3, 0.6), (0.5, 0.8)),
    marginals=((0.8, 0.2), (0.4, 0.6)),
    correlation=0.2,
    announced=0.4,
    length=4,
)
PROCESSES = {"linebreak": PAGES, "persona-domain": PERSONAS}
SPECIFICATIONS = {"linebreak": (2,), "persona-domain": (1, 1, True)}


@pytest.fixture(params=PROCESSES, scope="module")
def computed(request):
    """Documents, the process, its chains, and what both say of them, in one program."""
    process = PROCESSES[request.param]
    data = process.narrow(jax.random.key(0), 20, *SPECIFICATIONS[request.param])
    mixture, tokens = process.distribution(), np.asarray(data.tokens)
    chains = as_chains(mixture)

    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def program(mixture, chains, tokens):
        predicted = [jnp.exp(each.component_log_probs(tokens)) for each in (mixture, chains)]
        return *predicted, beliefs(mixture, tokens), state_beliefs(chains, tokens)

    return mixture, chains, tokens, *map(np.asarray, program(mixture, chains, tokens))


def test_chains_predict_what_the_process_predicts(computed):
    _, chains, _, wanted, got, _, _ = computed
    rows = np.asarray(chains.components.transitions).sum(axis=(1, 3))
    np.testing.assert_allclose(rows, 1, atol=1e-6)
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_states_of_a_hypothesis_add_to_its_belief(computed):
    mixture, _, tokens, _, _, alone, joint = computed
    assert alone.shape == (*tokens.shape, len(mixture.log_weights))
    np.testing.assert_allclose(joint.sum(axis=-1), alone, atol=1e-6)
    np.testing.assert_allclose(alone[:, 0], np.tile(np.exp(mixture.log_weights), (20, 1)), atol=1e-6)


def test_beliefs_are_bayes_rule_by_enumeration(computed):
    """Prior times the product of the tokens' probabilities, normalised."""
    mixture, _, tokens, chances, _, alone, _ = computed
    for row, document in enumerate(tokens):
        joint = np.exp(np.asarray(mixture.log_weights, float))
        for position, token in enumerate(document):
            np.testing.assert_allclose(alone[row, position], joint / joint.sum(), atol=1e-5)
            joint = joint * chances[:, row, position, token]
    assert alone[:, -1].std(axis=0).max() > 0.02


def test_states_of_persona_and_domain_are_enumerated():
    """Every path of both factors, from the start that the header says."""
    tokens = np.array(PERSONAS.narrow(jax.random.key(1), 6, 1, 0).tokens)
    tokens[:3, 0] += 1  # named persona 0
    got = np.asarray(state_beliefs(PERSONAS.distribution(), tokens)).sum(axis=2)  # states say which they are
    (first, starts), (second, others) = PERSONAS.factors()
    joint, sizes = PERSONAS.joint(), PERSONAS.sizes
    for row, (header, *text) in enumerate(tokens):
        named = header - PERSONAS.plain
        weight = np.zeros((4, 4))
        for persona, domain in np.ndindex(*joint.shape):
            begin = starts[persona if named == 0 else named - 1]
            weight += joint[persona, domain] * np.outer(begin, others[domain])
        for position, token in enumerate(text, 1):
            np.testing.assert_allclose(got[row, position, 1:], weight.reshape(-1) / weight.sum(), atol=1e-5)
            u, d = divmod(token, sizes[1])
            moved = np.zeros((4, 4))
            for i, j, k, m in itertools.product(range(4), repeat=4):
                moved[k, m] += weight[i, j] * first[u, i, k] * second[d, j, m]
            weight = moved


def test_states_of_pages_are_columns():
    """Column and newline are read off the tokens; only the width is hidden."""
    tokens = np.array([[1, 2, 0, 0, 0]])  # a word of 2, a newline, three words of 1; the widest line has 3
    joint = np.asarray(state_beliefs(PAGES.distribution(), tokens.repeat(12, axis=0)))[0]
    states = joint.sum(axis=1).argmax(axis=-1)
    np.testing.assert_allclose(joint.sum(axis=1).max(axis=-1), 1, atol=1e-6)
    np.testing.assert_array_equal(states, [0, 2, 4 + 2, 1, 2])


def test_components_without_known_states_are_refused():
    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Sphinx:
        riddle: jax.Array

    process = Mixture(Sphinx(jnp.zeros(2)), jnp.zeros(2))
    with pytest.raises(Misuse, match="The hidden states of Sphinx are not known"):
        as_chains(process)
