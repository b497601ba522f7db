"""LoRA's factors against full gradients, ranks, and the two ways to hold the product."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from models.finetuning.adam import Adam
from models.finetuning.head_only import HeadOnly
from models.finetuning.lora import Lora
from models.finetuning.method import ExtraData, training_plan
from models.finetuning.sgd import Sgd
from models.network import build, first
from models.transformer import Architecture
from theory.base import Misuse
from theory.processes.persona_topics import example
from theory.theories.linearised import Linearised, Linearization

LAYERS = ("attn_qkv", "out_proj", "up_proj", "down_proj")


def flat(params):
    return {path: np.asarray(leaf[...]) for path, leaf in nnx.to_flat_state(params)}


def test_the_first_step_leaves_a_and_moves_w_by_a_projected_gradient(network, data, batches, run, descent):
    """W ← W0 - η (α/r)² A Aᵀ ∇, from B ← -η (α/r) Aᵀ ∇."""
    method, extra = Lora(rank=3, alpha=1.5, rule=Sgd(0.2)), ExtraData(key=jax.random.key(7))
    kept, _ = run(network, data, batches, method, [1], extra)
    factors = method.coordinates(network, extra).params
    slope = flat(descent(network.params, batches[0])[1])
    before, after = flat(network.params), flat(first(kept))
    assert {path[-1] for path in factors} == set(LAYERS)
    for path in before:
        if path[:-1] in factors:
            a, b = map(np.asarray, factors[path[:-1]])
            wide = slope[path].shape != (len(a), b.shape[1])  # a kernel lies with its longer side first
            moved = -0.2 * 0.25 * a @ a.T @ (slope[path].T if wide else slope[path])
            moved = moved.T if wide else moved
            np.testing.assert_allclose(after[path] - before[path], moved, atol=2e-7)
            assert np.abs(moved).max() > 1e-5
        else:
            np.testing.assert_array_equal(after[path], before[path])


@pytest.mark.parametrize("rank", [1, 2])
def test_the_update_has_the_rank_of_its_factors(network, data, batches, run, rank):
    kept, _ = run(network, data, batches, Lora(rank, rule=Adam(0.05)), [8])
    before, after = flat(network.params), flat(first(kept))
    for path in before:
        values = np.linalg.svd(after[path] - before[path], compute_uv=False)
        if path[-2:-1] and path[-2] in LAYERS:
            assert values[rank - 1] > 1e-4
            assert (values[rank:] < 1e-6).all()
        else:
            assert not values.any()


def test_a_product_added_to_the_output_is_that_merged_into_the_kernel(network, data, batches, run):
    extra, losses, weights = ExtraData(key=jax.random.key(1)), [], []
    for merged in (True, False):
        method = Lora(rank=2, alpha=3.0, merged=merged, rule=Sgd(0.3))
        start = method.coordinates(network, extra)
        moved = jax.tree.map(lambda leaf: 0.5 * jnp.ones_like(leaf) + leaf, start.params)
        elsewhere = start.with_params(moved)
        wanted = network.with_params(elsewhere.weights).predict(data.tokens)
        np.testing.assert_allclose(elsewhere.predict(data.tokens), wanted, atol=2e-5)
        assert jnp.abs(wanted - network.predict(data.tokens)).max() > 0.1
        kept, seen = run(network, data, batches, method, [8], extra)
        losses.append(seen)
        weights.append(first(kept))
    np.testing.assert_allclose(*losses, rtol=1e-5)
    for left, right in zip(*map(jax.tree.leaves, weights), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)


def test_the_expansion_of_a_network_has_the_factors_of_the_network(network, data, batches, run):
    """One step of either is the same, and moves what has factors."""
    line, method, extra = (
        Linearization(network, network.params),
        Lora(rank=2, rule=Sgd(0.01)),
        ExtraData(key=jax.random.key(3)),
    )
    for left, right in zip(
        jax.tree.leaves(method.coordinates(line, extra).params),
        jax.tree.leaves(method.coordinates(network, extra).params),
        strict=True,
    ):
        np.testing.assert_array_equal(left, right)
    before = flat(network.params)
    after = [flat(first(run(model, data, batches, method, [1], extra)[0])) for model in (line, network)]
    for path, moved in after[1].items():
        np.testing.assert_allclose(after[0][path], moved, atol=1e-6)
        assert (np.abs(moved - before[path]).max() > 1e-4) == any(name in path for name in LAYERS)


def test_factors_start_at_the_base_and_follow_the_seed(network, data):
    starts = [Lora(rank=64).coordinates(network, ExtraData(key=jax.random.key(seed))) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(starts[0].predict(data.tokens), network.predict(data.tokens))
    for path, (a, b) in starts[0].params.items():
        assert not b.any()
        assert abs(a.shape[0] * np.var(a) - 1) < 0.3  # variance 1 / inputs
        np.testing.assert_array_equal(a, starts[1].params[path][0])
        assert np.abs(a - starts[2].params[path][0]).max() > 0.1


@pytest.mark.slow
def test_the_linearised_theory_replays_it_in_the_factors(data, batches, run):
    """A does not move there (B is zero at the start); half the step size, a quarter of the error: of a smooth
    network, which has no kinks to step over."""
    process, smooth = example(), Architecture(width=8, layers=1, heads=2, activation="gelu")
    network = first(build(smooth, process.vocabulary, process.length, [0]))

    def error(rate):
        method = Lora(rule=Sgd(rate))

        def replay():
            plan = training_plan(network, data, batches, method)
            theory = Linearised(optax.sgd(rate), rate, plan.batches)
            expansion = theory.predict(plan.start, plan.data, 8 * rate)
            return expansion.displacement, expansion.predict(data.tokens)

        displacement, predictions = jax.jit(replay)()
        assert all(not a.any() and b.any() for a, b in displacement.values())
        kept, _ = run(network, data, batches, method, [8])
        gap = predictions - network.with_params(first(kept)).predict(data.tokens)
        return np.linalg.norm(np.asarray(gap, float))

    large, small = error(0.002), error(0.001)
    assert small > 1e-4
    assert abs(large / small - 4) < 0.3


@pytest.mark.parametrize(("field", "value"), [("rank", 0), ("alpha", 0.0), ("alpha", np.nan)])
def test_bad_fields_are_refused(field, value):
    with pytest.raises(Misuse, match=rf"{field} must be .*got {value}"):
        Lora(**{field: value})


@pytest.mark.parametrize("layers", [("attn_qkv", "position"), ("query",)])
def test_a_layer_that_is_no_linear_one_is_refused(network, layers):
    with pytest.raises(Misuse, match="layers must be linear layers of the network"):
        Lora(layers=layers).coordinates(network, ExtraData())


def test_a_rule_that_says_what_moves_is_refused(network):
    with pytest.raises(Misuse, match="moves all weights, got HeadOnly"):
        Lora(rule=HeadOnly()).coordinates(network, ExtraData())


def test_an_expansion_is_adapted_in_the_merged_form_alone(network):
    line = Linearization(network, network.params)
    with pytest.raises(Misuse, match=r"Lora\(merged=False\) needs a transformer, got Linearization"):
        Lora(merged=False).coordinates(line, ExtraData())
