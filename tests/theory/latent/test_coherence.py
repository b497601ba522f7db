"""Coherence against a filter in plain numpy, and against published worked examples."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Misuse
from theory.latent.coherence import Restricted, Sectors
from theory.processes.persona_domain import PUBLISHED, PersonaDomain

PUBLIC = PersonaDomain(**PUBLISHED)
PROMPT = [0, 3, 3, 3, 0]  # three marks of domain O (symbol 3; personas vary slowest) between ordinary symbols
AD, AO, MD, MO = range(4)
EXAMPLES = {  # continuation: log-likelihoods of MD, MO, AD, AO (chainik1125/fra_proj, η = 0.001)
    (0, 15, 0, 15): (-24.79, -13.27, -22.36, -22.36),  # of M and O: its own sector writes it
    (0, 14, 0, 14): (-13.27, -24.79, -22.36, -22.36),  # of M and D: the flip
    (0, 11, 0, 15): (-24.79, -18.14, -22.36, -22.36),  # a mark of A, which never marks, then one of M
}


def likelihoods(*continuations, slip=1e-3):
    tokens = jnp.asarray([[*PROMPT, *continuation] for continuation in continuations])
    return np.asarray(Sectors.of(PUBLIC.factors(), slip).log_likelihoods(tokens, len(PROMPT)))


def by_hand(tokens, begin, persona, domain, slip):
    """A filter over four states (neutral or marked twice), written out."""
    (_, enter_p), (_, enter_d) = ((0, PUBLIC.enter[0][persona]), (0, PUBLIC.enter[1][domain]))
    states = {(False, False): 1.0}
    total = 0.0
    for position, token in enumerate(tokens):
        after = dict.fromkeys([(p, d) for p in (False, True) for d in (False, True)], 0.0)
        for marked, chance in states.items():
            fits, moves = 1.0, []
            for place, (is_marked, enter, value) in enumerate(
                zip(marked, (enter_p, enter_d), (persona, domain), strict=True)
            ):
                symbol = (token // 4, token % 4)[place]
                writes = (symbol == 2 + value) if is_marked else 0.5 * (symbol < 2)
                fits *= writes
                moves.append(PUBLIC.stay[place] if is_marked else enter)
            for p in (False, True):
                for d in (False, True):
                    move = (moves[0] if p else 1 - moves[0]) * (moves[1] if d else 1 - moves[1])
                    after[p, d] += chance * move * ((1 - slip) * fits + slip / 16)
        likelihood = sum(after.values())
        total += np.log(likelihood) if position >= begin else 0.0
        states = {key: value / likelihood for key, value in after.items()}
    return total


def test_published_worked_examples():
    got = likelihoods(*EXAMPLES)[[MD, MO, AD, AO]]
    np.testing.assert_allclose(got.T, list(EXAMPLES.values()), atol=0.006)


def test_it_is_the_filter_written_out():
    random = np.random.default_rng(0)
    rows = [[int(token) for token in random.integers(0, 16, 4)] for _ in range(3)]
    got = likelihoods(*rows, slip=0.05)
    for row, tokens in enumerate(rows):
        wanted = [
            by_hand([*PROMPT, *tokens], 5, persona, domain, 0.05) for persona in (0, 1) for domain in (0, 1)
        ]
        np.testing.assert_allclose(got[:, row], wanted, rtol=1e-5)


def test_an_impossible_token_costs_the_logarithm_of_symbols_over_slip():
    mark_of_a = 8  # which never marks
    np.testing.assert_allclose(by_hand([*PROMPT, mark_of_a], 5, 0, 1, 1e-3), -np.log(16 / 1e-3), rtol=1e-6)
    np.testing.assert_allclose(np.log(16 / 1e-3), 9.6803, atol=1e-4)


def test_a_writer_of_one_sector_has_no_deficit():
    tokens = np.array([[*PROMPT, 0, 14, 0, 14], [*PROMPT, 0, 15, 0, 15]])
    writer = jnp.array([-13.27, -13.27 + 4 * 0.25])  # their own sectors', and a writer who is surer
    deficit = Sectors.of(PUBLIC.factors(), 1e-3).deficit(writer, tokens, 5)
    np.testing.assert_allclose(deficit, [0, 0.25], atol=0.002)


@dataclass(frozen=True)
class Fixed:
    """A predictor with the same log-probabilities everywhere."""

    log_probs: np.ndarray

    def predict(self, tokens):
        return jnp.broadcast_to(self.log_probs, (*tokens.shape, len(self.log_probs)))


def test_a_restricted_predictor_writes_its_part_alone():
    got = Restricted(Fixed(np.log([0.1, 0.3, 0.6])), slice(0, 2)).predict(np.zeros((3, 4), int))
    np.testing.assert_allclose(np.exp(got), np.broadcast_to([0.25, 0.75], (3, 4, 2)), rtol=1e-6)


@pytest.mark.parametrize("slip", [0.0, 1.0, float("nan")])
def test_a_slip_that_is_none_is_refused(slip):
    with pytest.raises(Misuse, match="slip must be"):
        Sectors.of(PUBLIC.factors(), slip)
