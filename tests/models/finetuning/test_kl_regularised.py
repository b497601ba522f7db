"""A table held by KL against the closed forms of its optimum; the size of the penalty by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.finetuning.early_stopping import EarlyStopping
from models.finetuning.kl_regularised import KlRegularised
from models.finetuning.method import ExtraData
from models.finetuning.sgd import Sgd
from models.finetuning.weight_decay import WeightDecay
from models.network import first
from theory.base import Dataset, Misuse, mean_loss

DIRECTIONS = ("reverse", "forward")
DOCUMENTS = Dataset(
    jnp.asarray([[0, 1], [0, 2], [0, 1], [3, 4]]), jnp.tile(jnp.asarray([False, True]), (4, 1))
)
FREQUENCIES = {0: np.array([0, 2 / 3, 1 / 3, 0, 0]), 3: np.array([0, 0, 0, 0, 1.0])}  # after each token


def kl(left, right):
    return np.sum(np.exp(left) * (left - right), axis=-1)


def answers(table, token):
    return np.asarray(table.predict(jnp.asarray([[token, 0]]))[0, 1], float)


def settled(table, method, steps=4000):
    """Descended with all documents until nothing moves."""
    rate = 2.0 / (1 + method.weight)

    def step(params, _):
        slope = jax.grad(lambda p: method.loss(table.with_params(p), table, DOCUMENTS, ExtraData()))(params)
        return params - rate * slope, jnp.max(jnp.abs(slope))

    params, slopes = jax.lax.scan(step, table.params, length=steps)
    assert slopes[-1] < 1e-5 * (1 + method.weight)
    return table.with_params(params)


@pytest.mark.parametrize("weight", [0.3, 1.0, 30.0])
def test_the_forward_optimum_is_the_linear_mixture(table, weight):
    after = settled(table, KlRegularised(weight, "forward"))
    for token, wanted in FREQUENCIES.items():
        mixture = (wanted + weight * np.exp(answers(table, token))) / (1 + weight)
        np.testing.assert_allclose(np.exp(answers(after, token)), mixture, atol=1e-3)
    np.testing.assert_allclose(answers(after, 1), answers(table, 1), atol=1e-6)  # never asked


@pytest.mark.parametrize("weight", [0.3, 1.0, 30.0])
def test_the_reverse_optimum_balances_surprise_and_log_ratio(table, weight):
    """f = q (1 + λ (log(q / p_0) - KL)) for every answer."""
    after = settled(table, KlRegularised(weight, "reverse"))
    for token, wanted in FREQUENCIES.items():
        settled_at, base = answers(after, token), answers(table, token)
        ratio = settled_at - base
        slope = np.exp(settled_at) * (1 + weight * (ratio - kl(settled_at, base))) - wanted  # in the logits
        np.testing.assert_allclose(slope, 0, atol=1e-3)
        assert np.abs(np.exp(settled_at) - np.exp(base)).max() > 1e-3


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_infinite_weight_does_not_move(table, direction):
    """The shift falls as 1 / λ."""
    shifts = []
    for weight in (100.0, 1000.0):
        after = settled(table, KlRegularised(weight, direction))
        shifts.append(np.abs(np.exp(answers(after, 0)) - np.exp(answers(table, 0))).max())
    assert shifts[1] < 1e-3
    assert 8 < shifts[0] / shifts[1] < 12


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_first_step_is_plain_and_the_second_is_held(network, data, batches, run, direction):
    """KL has no slope at w0."""
    held, _ = run(network, data, batches, KlRegularised(20.0, direction, rule=Sgd(0.05)), [1, 3])
    free, _ = run(network, data, batches, Sgd(0.05), [1, 3])
    for left, right in zip(jax.tree.leaves(held), jax.tree.leaves(free), strict=True):
        np.testing.assert_allclose(left[0], right[0], atol=1e-6)
    gap = max(jnp.abs(a[1] - b[1]).max() for a, b in zip(*map(jax.tree.leaves, (held, free)), strict=True))
    assert gap > 1e-3


@pytest.mark.parametrize("contexts", ["data", "replay"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_loss_by_hand(table, direction, contexts):
    """λ times the mean KL of the next token over the counted positions, of D' or of what is replayed."""
    moved = table.with_params(table.params[::-1])
    replay = Dataset(jnp.asarray([[2, 2, 0]]), jnp.asarray([[True, False, True]]))
    method = KlRegularised(0.7, direction, contexts)
    seen = [0, 0, 0, 3] if contexts == "data" else [None, 2]
    assert method.needs == (("replay",) if contexts == "replay" else ())

    def rows(model):
        logits = [model.params[5 if token is None else token] for token in seen]
        return np.array([np.asarray(jax.nn.log_softmax(row)) for row in logits])

    pair = (rows(moved), rows(table))
    penalty = kl(*(pair if direction == "reverse" else pair[::-1])).mean()
    wanted = mean_loss(moved, DOCUMENTS) + 0.7 * penalty
    got = method.loss(moved, table, DOCUMENTS, ExtraData(replay=replay))
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_ways_of_finetuning_nest(network, data, batches, run):
    """Early stopping of weight decay of KL: losses add up, the rate is the innermost, w0 is not worse."""
    inner = KlRegularised(0.7, rule=Sgd(0.02))
    method = EarlyStopping(rule=WeightDecay(0.3, rule=inner))
    assert method.learning_rate == 0.02
    moved = network.with_params(jax.tree.map(lambda leaf: leaf + 0.1, network.params))
    got, part = jax.jit(lambda: [rule.loss(moved, network, data, ExtraData()) for rule in (method, inner)])()
    np.testing.assert_allclose(got, part + 0.15 * 0.01 * network.size, rtol=1e-5)
    kept, _ = run(network, data, batches, method, [8])
    _, held_out = method.split(data, batches)
    assert mean_loss(network.with_params(first(kept)), held_out) <= mean_loss(network, held_out)


@pytest.mark.parametrize(
    ("field", "value"), [("weight", -1.0), ("weight", np.nan), ("direction", "both"), ("contexts", "there")]
)
def test_bad_fields_are_refused(field, value):
    with pytest.raises(Misuse, match=rf"{field} must be .*got '?{value}"):
        KlRegularised(**{field: value})
