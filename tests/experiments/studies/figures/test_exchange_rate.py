"""Exchange of context and finetuning: beliefs, prices, shots to undo, and a made-up run."""

import json

import numpy as np
import pytest

from experiments.design.options import to_json, with_options
from experiments.scoring.predictions import NETWORK
from experiments.scoring.rows import rows
from experiments.storage.contents import Contexts
from experiments.storage.records import Cell, Ladder
from experiments.storage.run_folder import create
from experiments.studies import exchange_rate as study
from experiments.studies.figures.exchange_filter import draw_filter, filter_sentence, filters
from experiments.studies.figures.exchange_rate import (
    ADDITIVE,
    KINDS,
    LEAST,
    additive,
    answer_odds,
    belief_odds,
    beliefs,
    draw_exchange,
    falls,
    measured,
    options,
    prices,
    shots_to_undo,
    undone_together,
)

CONFIG = with_options(
    study.PRESETS["small"], {"finetuning.doses": (1, 4, 16), "finetuning.methods": ("sgd",)}
)
M, NOISE, SEEDS, PER_RIVAL = CONFIG.process.modulus, CONFIG.process.noise, 2, 2
PRICE = options(to_json(CONFIG)).price
RIVALS = np.tile(np.arange(M - 1), PER_RIVAL)  # the shift is the last


def answer_table():
    """p(y | k, x) of x = 0."""
    return np.full((M, M), NOISE / (M - 1)) + np.eye(M) * (1 - NOISE - NOISE / (M - 1))


def contexts(*shots, groups=None):
    """Contexts that show each rival, a group for each number of shots; the base is 1.5 nats behind."""
    count, groups = len(RIVALS), groups or [f"shots_{each}" for each in shots]
    base = np.concatenate([answers([-1.5], each, PRICE)[0, 0] for each in shots]).astype(np.float32)
    evidence = [np.where(np.arange(M)[:, None] == RIVALS, each * PRICE, 0.0) for each in shots]
    return Contexts(
        group=np.repeat(groups, count),
        questions=np.full(len(base), "0 + k"),
        answers=np.array([f"= {y}" for y in range(M)]),
        components=np.log(np.repeat(answer_table()[:, None], len(base), axis=1)),
        evidence=np.concatenate(evidence, axis=1),
        exact=base,
        base=base,
    )


def answers(ahead, shots, worth):
    """Log-probabilities (s, d, c, a) of who holds the shift `ahead` (d,) nats ahead of every rival, less
    `worth` nats for each shot of the context's own."""
    logits = np.zeros((len(ahead), len(RIVALS), M))
    logits[..., -1] = np.asarray(ahead)[:, None]
    logits += np.where(np.arange(M) == RIVALS[:, None], shots * worth, 0.0)
    held = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    return np.repeat(np.log(held @ answer_table())[None], SEEDS, axis=0)


def test_beliefs_are_the_weights_that_made_the_answers():
    held = np.random.default_rng(0).dirichlet(np.ones(M), size=(2, 5))
    components = np.log(np.repeat(answer_table()[:, None], 5, axis=1))
    np.testing.assert_allclose(beliefs(np.log(held @ answer_table()), components), held, atol=1e-12)


def test_log_odds_are_read_of_the_contexts_own_rival():
    for shots, wanted in ((0, [-1, 2]), (1, [-2.5, 0.5])):
        odds = belief_odds(answers([-1.0, 2.0], shots, 1.5), contexts(shots), M - 1)
        np.testing.assert_allclose(odds, [wanted] * SEEDS)


def test_answers_are_as_far_apart_as_beliefs_and_noise_make_them():
    """One nat ahead of three: e / (e + 3) and 1 / (e + 3), each through the noise."""
    ahead, behind = (NOISE / (M - 1) + (1 - NOISE * M / (M - 1)) * w / (np.e + 3) for w in (np.e, 1))
    odds = answer_odds(answers([1.0], 0, 0.0), contexts(0), M - 1)
    np.testing.assert_allclose(odds, np.full((SEEDS, 1), np.log(ahead / behind)))


def test_additive_odds_are_those_of_who_pays_that_price():
    for count in (0, 1, 3):
        odds = additive(answers([-0.5, 1.0], 0, 0.0), contexts(0), M - 1, count, 1.1)
        wanted = answer_odds(answers([-0.5, 1.0], count, 1.1), contexts(count), M - 1)
        np.testing.assert_allclose(odds, wanted)


def test_what_networks_do_not_resolve_is_not_read():
    limit = np.log((1 - (M - 1) * LEAST) / LEAST)  # each rival at LEAST
    odds = belief_odds(answers([limit - 0.1, limit + 0.1], 0, 0.0), contexts(0), M - 1)
    assert np.isfinite(odds[:, 0]).all() and np.isnan(odds[:, 1]).all()


def test_prices_and_shots_to_undo_by_hand():
    odds = np.array(
        [[3.0, 1.0, -1.0, -5.0], [-1.0, -3.0, -5.0, -9.0], [6.0, 4.0, 3.0, 1.0], [3.0, np.nan, 1.0, -5.0]]
    )
    np.testing.assert_allclose(falls(odds)[0], [2, 4, 8])
    np.testing.assert_allclose(prices(odds, [1, 2, 4])[0], 2)
    np.testing.assert_allclose(prices(odds, [1, 2, 4])[2], [2, 1, 1])
    np.testing.assert_allclose(shots_to_undo(odds, [1, 2, 4]), [1.5, np.nan, np.nan, 2 + 1 / 3])


@pytest.fixture
def run(tmp_path, make_theories, make_networks):
    """Two base networks that pay 1.2 nats for a shot, and a tempered posterior that pays λ."""
    plain = json.loads(json.dumps(to_json(CONFIG)))
    made = create(tmp_path / "run", {"study": "exchange-rate", "preset": "small", "config": plain}, {})
    groups = {"in_domain": 0}
    for first, after in KINDS.values():
        groups |= {first: 0, **{after.format(count): count for count in CONFIG.shots}}
    ahead, betas = np.array([-1.0, 1.0, 3.0]), np.linspace(0, 1, 9).astype(np.float32)

    def everywhere(ahead, worth):
        parts = [answers(ahead, count, worth) for count in groups.values()]
        return np.concatenate(parts, axis=2).astype(np.float32)

    every = contexts(*groups.values(), groups=list(groups))
    ladder = Ladder("tempered-posterior", "implied", betas, everywhere(np.linspace(-1.5, 4, 9), PRICE))
    for base in range(2):
        made.save(Cell("theories", "questions0", base), make_theories(every, [ladder]))
        networks = make_networks(everywhere(ahead + 0.1 * base, 1.2), everywhere(ahead + 0.02, 1.2))
        made.save(Cell("finetuned", "questions0", base, "sgd"), networks)
    made.save_rows(rows(made))
    return made


def test_the_weight_of_the_context_and_the_move_of_the_prior_are_those_of_the_made_up_run(run):
    """Base networks pay λ for a shot and are 1.5 nats behind; finetuned ones pay 1.2."""
    for kind in KINDS:
        found = filters(run)[("sgd", "questions0"), kind]
        np.testing.assert_allclose(found.before, 1.0)
        np.testing.assert_allclose(found.relative, 1.2 / PRICE, atol=0.006)
        ahead = np.array([-1.0, 1.0, 3.0])
        np.testing.assert_allclose(found.move[0], [ahead + 1.5] * SEEDS, atol=0.03)
        np.testing.assert_allclose(found.move[1], [ahead + 1.6] * SEEDS, atol=0.03)
    said = filter_sentence(run)
    assert "on questions of D′ it counts less than before after SGD on question 0 (K(s)/K(0) 0.48" in said
    assert "on questions that D′ never asks it counts less than before" in said
    assert said.count("prior moved by 4.5 [") + said.count("prior moved by 4.6 [") == 2


@pytest.mark.slow
def test_a_made_up_price_is_measured_and_drawn(run):
    for kind in KINDS:
        ((panel, exchange),) = measured(run, kind).items()
        assert panel == ("sgd", "questions0") and exchange.doses == list(CONFIG.finetuning.doses)
        for name, paid in ((NETWORK, 1.2), ("tempered-posterior", PRICE)):
            computed = prices(exchange.beliefs[name], CONFIG.shots)
            assert np.isfinite(computed).sum() > 4
            np.testing.assert_allclose(computed[np.isfinite(computed)], paid, rtol=2e-2)
        # the network's own: (1 and 1.1 nats ahead) / 1.2
        undone = undone_together(exchange.beliefs[NETWORK], CONFIG.shots)
        np.testing.assert_allclose(undone[:, 0, 1], [1 / 1.2, 1.1 / 1.2], rtol=1e-3)
        for odds in (exchange.answers, exchange.beliefs):
            assert (odds[NETWORK][..., 0] > odds[NETWORK][..., 1])[..., :2].all()
        network, added = exchange.answers[NETWORK], exchange.answers[ADDITIVE]
        np.testing.assert_allclose(added[..., 0], network[..., 0], rtol=1e-4)
        assert (added[..., 1] < network[..., 1]).all()  # it pays less than λ
    paths = draw_exchange(run)
    assert {path.name for path in paths} == {
        f"exchange-rate-odds.{kind}" for kind in ("png", "svg", "pdf", "csv")
    }
    paths += draw_filter(run)
    assert paths[-1].name == "exchange-rate-filter.csv"
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in (*draw_exchange(run), *draw_filter(run))] == before
