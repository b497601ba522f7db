"""An output scale with its step sizes: where only the read-out moves, nothing changes."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from models.finetuning.adam import Adam
from models.finetuning.head_only import HeadOnly
from models.finetuning.lora import Lora
from models.finetuning.method import Method, finetune
from models.finetuning.momentum import Momentum
from models.finetuning.muon import Muon
from models.finetuning.sgd import Sgd
from models.network import build, first
from models.step_sizes import follows_size, scaled
from models.transformer import Architecture
from theory.base import Dataset, Misuse

TOKENS = jnp.asarray(np.random.default_rng(0).integers(0, 5, (6, 4)), jnp.int32)


def network(gamma):
    """A network whose read-out weights are γ0 times as large, so that its outputs are those at γ0 = 1."""
    plain = first(build(Architecture(8, 1, 2, output_scale=gamma), 5, 4, [1]))
    head = nnx.filter_state(plain.params, nnx.PathContains("unembed"))
    grown = jax.tree.map(lambda leaf: gamma * leaf, head)
    return plain.with_params(nnx.merge_state(plain.params, grown))


@pytest.mark.slow
@pytest.mark.parametrize("rule", [Sgd(0.5), Adam(0.01)], ids=["sgd", "adam"])
def test_a_read_out_moves_the_outputs_alike_at_any_scale(rule):
    data = Dataset(TOKENS, jnp.ones(TOKENS.shape, bool))
    answers = []
    for gamma in (1.0, 0.25):
        base, method = network(gamma), scaled(HeadOnly(rule=rule), gamma)
        weights, _ = finetune(base, data, jnp.arange(6).reshape(3, 2), method, (3,))
        after = base.with_params(jax.tree.map(lambda leaf: leaf[0], weights)).predict(TOKENS)
        answers.append(np.asarray(after))
        assert np.abs(after - base.predict(TOKENS)).max() > 0.01
    np.testing.assert_allclose(answers[1], answers[0], atol=2e-4)


def test_a_network_divides_its_logits_and_at_one_is_the_program_that_it_was():
    unit, half = (first(build(Architecture(8, 1, 2, output_scale=g), 5, 4, [1])) for g in (1.0, 0.5))
    sharper = jax.nn.log_softmax(2 * unit.predict(TOKENS))
    np.testing.assert_allclose(half.predict(TOKENS), sharper, atol=1e-5)
    programs = [str(jax.make_jaxpr(made.predict)(TOKENS)) for made in (unit, half)]
    assert programs[0] != programs[1] and programs[0].count("div") < programs[1].count("div")


def test_rates_follow_the_size_of_gradients_or_not():
    assert [follows_size(method) for method in (Sgd(), Momentum(), Adam(), Muon(), Lora())] == [
        *(True, True, False, False, False)
    ]
    assert scaled(Sgd(0.1), 3.0).learning_rate == pytest.approx(0.9)
    assert scaled(Adam(0.1), 3.0).learning_rate == pytest.approx(0.3)
    assert scaled(HeadOnly(rule=Sgd(0.1)), 0.5) == HeadOnly(rule=Sgd(0.025))
    method = Lora()
    assert scaled(method, 1.0) is method


def test_scales_and_methods_that_do_not_serve_are_refused():
    with pytest.raises(Misuse, match="output_scale must be finite and above 0, got 0"):
        Architecture(output_scale=0)
    with pytest.raises(Misuse, match="gamma must be"):
        scaled(Sgd(), -1.0)

    @dataclass(frozen=True)
    class Bare(Method):
        """A method whose step size is no field."""

        @property
        def learning_rate(self):
            """The step size."""
            return 0.1

        def optimizer(self):
            """The rule."""
            return optax.sgd(0.1)

    with pytest.raises(Misuse, match="Bare has no field learning_rate"):
        scaled(Bare(), 2.0)
    assert replace(Sgd(), learning_rate=0.2) == scaled(Sgd(0.05), 2.0)
