"""A probe from a description is V_A times the probe of the belief; the network's own future judges it."""

import jax
import numpy as np
import pytest

from models.inside import edited, streams
from models.network import build, first
from models.probing import contexts
from models.probing import events as probing
from models.transformer import Architecture
from theory.errors import Misuse
from theory.probes import futures
from theory.probes.beliefs import state_beliefs
from theory.probes.codes import fit_linear
from theory.probes.descriptions import event
from theory.probes.steering import beyond_span
from theory.probes.subspaces import normalise
from theory.processes.linebreak import LineBreak

PAGES = LineBreak(widths=(3, 2), lengths=(1, 2), length=5, noise=0.1)
NETWORK = first(build(Architecture(width=8, layers=1, heads=2), PAGES.vocabulary, PAGES.length, [0]))
WITHIN = event("newline within 2", PAGES)


@pytest.fixture(scope="module", autouse=True)
def few():
    """Few documents, in one shape for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contexts, "DOCUMENTS", 48)
        patch.setattr(contexts, "JUDGED", 16)
        patch.setattr(contexts, "STEERED", 16)
        yield


@pytest.fixture(scope="module")
def probe(few):
    return probing.probe_event(NETWORK, PAGES.distribution(), WITHIN)


def test_the_description_is_v_times_one_belief_probe(probe):
    """No p(A) is fitted here: the belief is, once, and V_A makes the filter."""
    process = PAGES.distribution()
    tokens = np.asarray(process.sample(jax.random.key(0), 48))
    belief = np.asarray(state_beliefs(process, tokens), float).reshape(48, 5, -1)[:, 1:4]
    value = futures.values(process, WITHIN).reshape(-1, 1)
    mean = (belief @ value).mean()
    for found in probe.depths:
        stream = normalise(np.asarray(streams(NETWORK, tokens))[:, found.depth])[:, 1:4]
        derived = fit_linear(stream, belief).combined(value)
        wanted = derived.filters[:, 0] / (mean * (1 - mean))
        np.testing.assert_allclose(found.direction.filter, wanted, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.direction.filter @ found.direction.pattern, 1)


def test_it_is_judged_by_the_networks_own_future(probe):
    """The floor is the entropy of p_net(A), and the ceiling its own AUC; the network as it is, not the
    process, is what is predicted."""
    tokens = futures.write(edited(NETWORK, 0, np.zeros(8)), 16, 5, np.random.default_rng(0))
    exact = futures.of_predictor(NETWORK, WITHIN, tokens, [1, 2, 3])
    np.testing.assert_allclose(probe.exact, exact.reshape(-1), atol=1e-6)
    entropy = -np.mean(exact * np.log(exact) + (1 - exact) * np.log(1 - exact))
    for _, reading in [*probe.baselines, *((str(found.depth), found.reading) for found in probe.depths)]:
        np.testing.assert_allclose(reading.floor, entropy, rtol=1e-5)
        assert reading.excess > 0 and reading.auc <= reading.ceiling < 1
    assert [name for name, _ in probe.baselines] == ["outputs, cubic", "tokens", "exact process"]
    assert probe.best.reading.excess == min(found.reading.excess for found in probe.depths)


def test_steering_is_that_of_the_edited_network(probe):
    """By one nat, and by as many as make about one."""
    found = probe.depths[-1]
    tokens = futures.write(edited(NETWORK, 0, np.zeros(8)), 16, 5, np.random.default_rng(0))[:5]
    for nats, steering in ((1.0, found.steering), (found.nats, found.matched)):
        steered = edited(NETWORK, found.depth, nats * found.direction.shift)
        after, before = (
            futures.of_predictor(network, WITHIN, tokens, [1, 2, 3]) for network in (steered, NETWORK)
        )
        moved = np.log(after / (1 - after)) - np.log(before / (1 - before))
        np.testing.assert_allclose([steering.change, steering.spread], [moved.mean(), moved.std()], atol=2e-5)
        assert steering.score <= 1


def test_the_share_of_streams_that_an_edit_takes_beyond_their_span_is_known(probe):
    read = np.arange(10.0)
    assert beyond_span(read, 0.0) == 0 and beyond_span(read, 2.5) == 0.3 and beyond_span(read, -9.5) == 1
    assert [found.beyond > 0 for found in probe.depths] == [found.nats != 0 for found in probe.depths]


def test_no_position_is_judged_twice(monkeypatch):
    """Two of three positions are asked for, and both are rounded to one."""
    monkeypatch.setattr(contexts, "CONTEXTS", 32)
    still, process = edited(NETWORK, 0, np.zeros(8)), PAGES.distribution()
    drawn = contexts.Contexts.drawn(still, process, WITHIN, 0, 0)
    assert drawn.positions.tolist() == [2] and drawn.process.shape == (16, 1)


def test_labels_are_what_the_network_wrote():
    """All of them, and the same number of contexts; a logistic link is in nats as it is."""
    found = probing.probe_event(NETWORK, PAGES.distribution(), WITHIN, labels=60, link="log-odds", depth=1)
    (only,) = found.depths
    assert only.depth == 1 and found.labels == 60
    assert only.in_sample.floor == 0  # labels, not probabilities
    filters = only.fitted.filters
    np.testing.assert_allclose(only.direction.filter, filters[:, 1] - filters[:, 0])
    again = probing.probe_event(NETWORK, PAGES.distribution(), WITHIN, labels=60, link="log-odds", depth=1)
    np.testing.assert_array_equal(again.depths[0].direction.filter, only.direction.filter)


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"depth": 2}, "depth must be from 0, the embedding, to 1, after the last block, got 2"),
        ({"link": "probit"}, "link must be 'probability' or 'log-odds', got 'probit'"),
        ({"labels": -1}, "labels must be a whole number from 0, .* got -1"),
        ({"event": event("newline within 5", PAGES)}, "no context comes before them; choose a shorter"),
        ({"event": event("4 within 2", LineBreak())}, "The network has 3 tokens, .* is about 5; give"),
    ],
)
def test_what_cannot_be_probed_is_refused(options, sentence):
    with pytest.raises(Misuse, match=sentence):
        probing.probe_event(NETWORK, PAGES.distribution(), **{"event": WITHIN, **options})


def test_more_continuations_than_can_be_summed_are_refused(monkeypatch):
    monkeypatch.setattr(probing, "MOST", 2)
    with pytest.raises(Misuse, match="stays open over 3 continuations of a context, and at most 2"):
        probing.probe_event(NETWORK, PAGES.distribution(), WITHIN)
