"""Probabilities of events: recursion, enumeration and sums over whole documents are one number."""

import itertools

import jax
import numpy as np
import pytest

from models.network import build, first
from models.transformer import Architecture
from theory.errors import Misuse
from theory.latent.documents import predict
from theory.probes import futures
from theory.probes.automata import within
from theory.probes.beliefs import state_beliefs
from theory.probes.codes import fit_linear
from theory.probes.descriptions import event
from theory.processes.linebreak import LineBreak
from theory.processes.mess3 import BeliefGeometry
from theory.processes.persona_domain import PersonaDomain

PAGES = LineBreak(widths=(3, 2), lengths=(1, 2), length=5, noise=0.1)
GEOMETRY = BeliefGeometry("rrxor", ((0.5, 0.5), (0.3, 0.6)), 5, slip=0.1)
PERSONAS = PersonaDomain(announced=0.4, length=5)
SPECIFICATIONS = {PAGES: (2,), GEOMETRY: ((0.3, 0.6),), PERSONAS: (1, 1, True)}
EVENTS = [
    (PAGES, "newline next"),
    (PAGES, "newline within 3"),
    (PAGES, "at least 2 word 1 (1) within 3"),
    pytest.param(GEOMETRY, "token 1 before token 0 within 2", marks=pytest.mark.slow),
    pytest.param(GEOMETRY, "no token 1 within 4", marks=pytest.mark.slow),
    pytest.param(PERSONAS, "mark 1 | * within 2", marks=pytest.mark.slow),
]


def documents(process, count=12):
    return np.asarray(process.narrow(jax.random.key(0), count, *SPECIFICATIONS[process]).tokens)


@pytest.mark.parametrize("process, description", EVENTS)
def test_recursion_is_enumeration(process, description):
    automaton, tokens = event(description, process), documents(process)
    exact = futures.of_process(process.distribution(), automaton, tokens)
    counted = futures.of_predictor(process.distribution(), automaton, tokens)
    assert counted.shape == (len(tokens), process.length - automaton.horizon + 1)
    assert np.std(counted) > 0.01
    np.testing.assert_allclose(counted, exact[:, : counted.shape[1]], atol=2e-5)


@pytest.mark.parametrize("process, description", [EVENTS[2], EVENTS[3]])
def test_enumeration_is_a_sum_over_documents(process, description):
    """p(A | x_<t) = Σ p(x) / p(x_<t) over whole documents that begin so and make the event hold."""
    automaton = event(description, process)
    every = np.array(list(itertools.product(range(process.vocabulary), repeat=process.length)))
    chance = np.exp(np.asarray(process.distribution().log_prob(every), float))
    tokens, position = documents(process, 4), 2
    got = futures.of_predictor(process.distribution(), automaton, tokens, [position])[:, 0]
    for document, value in zip(tokens, got, strict=True):
        begins = (every[:, :position] == document[:position]).all(axis=1)
        true = automaton.holds(every[:, position : position + automaton.horizon])
        np.testing.assert_allclose(value, chance[begins & true].sum() / chance[begins].sum(), atol=1e-5)


def test_open_continuations_alone_are_followed(monkeypatch):
    followed, next_chances = [], futures._next
    counting = lambda *given: followed.append(len(given[1])) or next_chances(*given)  # noqa: E731
    monkeypatch.setattr(futures, "_next", counting)
    process, tokens = PAGES.distribution(), documents(PAGES)
    got = futures.of_predictor(process, event("newline within 3", PAGES), tokens, [1])
    assert followed == [12, 12 * 2, 12 * 4]  # a newline decides, and two words do not
    changed = tokens.copy()
    changed[:, 1:] = 0  # contexts are not read from their position on
    again = futures.of_predictor(process, event("newline within 3", PAGES), changed, [1])
    np.testing.assert_array_equal(again, got)


@pytest.mark.slow
def test_a_network_is_enumerated():
    """By brute force over its own predictions."""
    network = first(build(Architecture(width=8, layers=1, heads=2), PAGES.vocabulary, PAGES.length, [0]))
    automaton, tokens = event("newline within 3", PAGES), documents(PAGES, 3)
    (got,) = futures.of_predictor(network, automaton, tokens, [1]).T
    for row, document in enumerate(tokens):
        total = 0.0
        for future in itertools.product(range(3), repeat=3):
            if 2 in future:
                log_probs = np.asarray(predict(network, np.array([[*document[:1], *future, 0]])))[0]
                total += np.exp(sum(log_probs[1 + step, token] for step, token in enumerate(future)))
        np.testing.assert_allclose(got[row], total, rtol=1e-5)


def test_blocks_of_documents_are_the_whole(monkeypatch):
    automaton, tokens = event("newline within 3", PAGES), documents(PAGES)
    whole = futures.of_predictor(PAGES.distribution(), automaton, tokens)
    monkeypatch.setattr(futures, "HELD", 60)
    np.testing.assert_allclose(
        futures.of_predictor(PAGES.distribution(), automaton, tokens), whole, atol=1e-6
    )


def test_a_probe_of_beliefs_gives_the_probe_of_any_event():
    """probe(A) = V · probe(b), on streams that hold the belief and noise."""
    process, tokens = PAGES.distribution(), documents(PAGES)
    known = np.asarray(state_beliefs(process, tokens), float)
    known = known.reshape(*tokens.shape, -1)
    random = np.random.default_rng(0)
    streams = known @ random.normal(size=(known.shape[-1], 6)) + 0.1 * random.normal(size=(*tokens.shape, 6))
    probe = fit_linear(streams, known)
    for description in ("newline within 3", "no word 1 (1) within 2"):
        automaton = event(description, PAGES)
        value = futures.values(process, automaton).reshape(-1, 1)
        direct = fit_linear(streams, futures.of_process(process, automaton, tokens)[..., None])
        derived = probe.combined(value)
        np.testing.assert_allclose(derived.filters, direct.filters, atol=1e-9)
        np.testing.assert_allclose(derived.predict(streams), direct.predict(streams), atol=1e-9)


def test_what_cannot_be_predicted_is_refused():
    process, tokens = PAGES.distribution(), documents(PAGES, 2)
    three = event("newline within 3", PAGES)
    with pytest.raises(Misuse, match=r"documents of 5 tokens the positions of .* are from 0 to 2, got \[3\]"):
        futures.of_predictor(process, three, tokens, [0, 3])
    with pytest.raises(Misuse, match="got none that fits"):
        futures.of_predictor(process, three, tokens[:, :2])
    with pytest.raises(Misuse, match="The process has 2 tokens, and the event 'newline within 3' is about 3"):
        futures.values(GEOMETRY.distribution(), three)
    golden = BeliefGeometry("golden_mean", ((0.5,), (0.3,)), 4)
    with pytest.raises(Misuse, match="In this process the event 'at least 2 1 within 2' is never true"):
        futures.values(golden.distribution(), event("at least 2 1 within 2", golden))
    with pytest.raises(Misuse, match="is always true; there is nothing to predict"):
        futures.values(golden.distribution(), event("0 within 2", golden))


@pytest.mark.parametrize("process, description", EVENTS[:2])
def test_continuations_end_where_the_event_is_decided(process, description):
    """Each once, of a probability that adds to 1; p(A) is the sum over those in which it comes."""
    automaton, tokens = event(description, process), documents(process, 4)
    found = futures.decided(process.distribution(), automaton, tokens, [1, 2])
    exact = futures.of_process(process.distribution(), automaton, tokens)[:, 1:3]
    np.testing.assert_allclose(found.event, exact.reshape(-1), atol=2e-5)
    np.testing.assert_allclose(np.bincount(found.contexts, weights=found.chances), 1, atol=1e-5)
    assert len(found.chances) <= 8 * (3 if automaton.horizon == 1 else 1 + 2 + 12)


def test_passes_are_counted_before_they_are_made():
    assert futures.passes(event("newline next", PAGES)) == 1
    assert futures.passes(event("newline within 3", PAGES)) == 1 + 2 + 4  # two words leave it open
    assert futures.passes(event("at least 2 word 1 (1) within 3", PAGES)) == 1 + 3 + (
        2 + 2
    )  # two word 1, or none, decide


def test_a_predictor_writes_documents_of_its_own():
    """As often as it says, and none that cannot come."""
    process = PAGES.distribution()
    tokens = futures.write(process, 400, PAGES.length, np.random.default_rng(0))
    assert np.isfinite(np.asarray(process.log_prob(tokens))).all()
    first = np.bincount(tokens[:, 0], minlength=3) / 400
    np.testing.assert_allclose(first, [0.5, 0.5, 0], atol=0.1)


@pytest.mark.parametrize(
    ("horizon", "positions", "sentence"),
    [
        (3, [3], r"from 0 to 2, got \[3\]"),
        (3, [-1, 0, 2], r"from 0 to 2, got \[-1\]"),
        (1, [4, 5, 9], r"from 0 to 4, got \[5, 9\]"),
        (6, None, "got none that fits"),
        (6, [], "got none that fits"),
    ],
)
def test_a_position_from_which_the_event_does_not_fit_is_refused(horizon, positions, sentence):
    """Documents have five tokens; the last position that fits is answered."""
    process, tokens = PAGES.distribution(), documents(PAGES, 2)
    automaton = within([PAGES.newline], PAGES.vocabulary, horizon)
    for ask in (futures.of_predictor, futures.decided):
        with pytest.raises(Misuse, match=sentence):
            ask(process, automaton, tokens, positions)
    if horizon < 6:
        assert futures.of_predictor(process, automaton, tokens, [5 - horizon]).shape == (2, 1)
