"""Events: what automata accept is what the words say, over every continuation."""

import itertools

import numpy as np
import pytest

from theory.errors import Misuse
from theory.probes.automata import at_least, before, from_predicate, none_within, within

V, M = 3, 4
CONTINUATIONS = np.array(list(itertools.product(range(V), repeat=M)))


def first_of(tokens):
    """The first position of one of the tokens, M without."""
    there = np.isin(CONTINUATIONS, tokens)
    return np.where(there.any(axis=1), there.argmax(axis=1), M)


EVENTS = {
    "within": (within([1], V, M), (CONTINUATIONS == 1).any(axis=1)),
    "none": (none_within([0, 1], V, M), (CONTINUATIONS == 2).all(axis=1)),
    "at least": (at_least(2, [0, 2], V, M), (CONTINUATIONS != 1).sum(axis=1) >= 2),
    "before": (before([1], [2], V, M), (first_of([1]) < M) & (first_of([1]) < first_of([2]))),
}


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_holds_when_its_words_do(name):
    automaton, wanted = EVENTS[name]
    assert 0 < wanted.sum() < len(wanted)
    np.testing.assert_array_equal(automaton.holds(CONTINUATIONS), wanted)


@pytest.mark.parametrize("name", EVENTS)
def test_what_is_decided_is_what_no_completion_changes(name):
    automaton, wanted = EVENTS[name]
    table = wanted.reshape((V,) * M)
    for shown in range(M + 1):
        for prefix in itertools.product(range(V), repeat=shown):
            state = 0
            for token in prefix:
                state = automaton.moves[state, token]
            outcomes = np.unique(table[prefix])
            assert automaton.undecided[M - shown, state] == (len(outcomes) == 2)
            assert automaton.can(True)[M - shown, state] == outcomes.any()


def test_any_predicate_has_an_automaton():
    random = np.random.default_rng(0)
    table = random.random(V**M) < 0.5
    place_value = V ** np.arange(M)[::-1]
    automaton = from_predicate(lambda tokens: table[tokens @ place_value], V, M)
    np.testing.assert_array_equal(automaton.holds(CONTINUATIONS), table)


@pytest.mark.parametrize("name", EVENTS)
def test_a_predicate_is_compiled_to_few_states(name):
    """Equal completions are one state: counted from the end, as many as there are different ones."""
    automaton, wanted = EVENTS[name]
    made = from_predicate(automaton.holds, V, M)
    np.testing.assert_array_equal(made.holds(CONTINUATIONS), wanted)
    residuals = {
        wanted.reshape(-1, V**left)[row].tobytes() for left in range(M) for row in range(V ** (M - left))
    }
    assert len(made.moves) <= len(residuals) < V**M


def test_a_parity_needs_two_states_a_token():
    made = from_predicate(lambda tokens: tokens.sum(axis=-1) % 2 == 1, 2, 3)
    # even and odd after 1 and after 2 tokens, the start, and the two outcomes
    assert len(made.moves) == 2 + 2 + 1 + 2


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: at_least(3, [0], V, 2), "Whatever comes in 2 tokens, the event is never true"),
        (lambda: none_within([], V, 2, "no x within 2"), "the event 'no x within 2' is always true"),
        (lambda: within([0], V, 0), "horizon of the event must be at least 1 token, got 0"),
        (lambda: from_predicate(lambda tokens: tokens[:, 0] >= 0, V, 2), "is always true"),
        (
            lambda: from_predicate(lambda tokens: tokens[:, 0], V, 2),
            "a truth value for each of 9 .*got int64",
        ),
        (lambda: from_predicate(lambda tokens: np.array([True]), V, 2), r"of 9 .*got bool of shape \(1,\)"),
        (lambda: from_predicate(lambda tokens: tokens[:, 0] > 1, V, 40), "power of the horizon, got 40"),
        (lambda: within([0], V, 2).holds(CONTINUATIONS), "Continuations of the event have 2 tokens, got 4"),
    ],
)
def test_what_is_no_event_is_refused(make, sentence):
    with pytest.raises(Misuse, match=sentence):
        make()
