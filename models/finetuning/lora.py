"""Low-rank adaptation: W = W0 + (α/r) A B, where only A and B move (Hu et al., arXiv 2106.09685).

    A  inputs × r, normal with variance 1 / inputs at the start, drawn from `ExtraData.key`
    B  r × outputs, zero at the start, so that W is W0
    r  the rank     α  the scale

The first step of gradient descent leaves A and moves W by -η (α/r)² A Aᵀ ∇: also at full rank this is another
kernel than that of all weights. Whether the product is merged into W0 or added to the layer's output changes
nothing but rounding; `merged` chooses the form that is trained, and the weights returned are merged.
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from models.finetuning.adam import Adam
from models.finetuning.method import ExtraData, Method, Wrapper, check_layers
from models.network import Network
from models.reparametrised import Reparametrised
from models.transformer import Linear
from theory.base import LogProbs, Misuse, Parametric, Params, Tokens, check_number


@dataclass(frozen=True)
class Lora(Wrapper):
    """Linear layers named in `layers` get factors of rank `rank`; all other weights stay."""

    rank: int = 4
    alpha: float = 4.0
    layers: tuple[str, ...] = ("attn_qkv", "out_proj", "up_proj", "down_proj")
    merged: bool = True
    rule: Method = field(default_factory=lambda: Adam(0.003))

    def __post_init__(self) -> None:
        check_number("rank", self.rank, least=1, whole=True)
        check_number("alpha", self.alpha, above=0)
        check_layers(self.layers)

    def coordinates(self, network: Parametric, extra: ExtraData) -> Parametric:
        """The factors, {path of a layer: (A, B)}; refuses a layer that the network does not have."""
        self.check_rule(network, extra)
        kernels = {path[:-1]: leaf for path, leaf in nnx.to_flat_state(network.params)}
        adapted = {path: leaf for path, leaf in kernels.items() if path and path[-1] in self.layers}
        if not adapted or set(self.layers) - {path[-1] for path in adapted}:
            raise Misuse(f"layers must be linear layers of the network, got {self.layers}.")
        key = jax.random.key(0) if extra.key is None else extra.key
        keys = jax.random.split(key, len(adapted))
        factors = {}
        for key, (path, leaf) in zip(keys, adapted.items(), strict=True):
            inputs = leaf.get_metadata("inputs")
            drawn = inputs**-0.5 * jax.random.normal(key, (inputs, self.rank))
            factors[path] = (drawn, jnp.zeros((self.rank, leaf.size // inputs)))
        if self.merged:
            return Reparametrised(network, factors, self.weights)
        if not isinstance(network, Network):
            raise Misuse(
                f"Lora(merged=False) needs a transformer, got {type(network).__name__}; use merged=True."
            )
        return UnmergedNetwork(network, factors, self.weights, self.alpha / self.rank)

    def weights(self, frozen: Params, factors: Params) -> Params:
        """Full weights: W0 + (α/r) A B where there are factors, W0 elsewhere."""
        kernels, moved = dict(nnx.to_flat_state(frozen)), {}
        for path, (a, b) in factors.items():
            kernel, product = kernels[*path, "kernel"], a @ b
            # a kernel lies with its longer side first (models.transformer.Linear), factors do not
            product = product if product.shape == kernel.shape else product.T
            moved[*path, "kernel"] = kernel.replace(kernel[...] + self.alpha / self.rank * product)
        return nnx.merge_state(frozen, nnx.from_flat_state(moved))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class UnmergedNetwork(Reparametrised):
    """The network with the product added to each layer's output: x W0 + (x A) ((α/r) B)."""

    network: Network
    scale: float = field(metadata={"static": True}, default=1.0)

    def predict(self, tokens: Tokens) -> LogProbs:
        """Next-token log-probabilities (nats), with the adapted layers wrapped in `AdaptedLinear`."""
        model = nnx.merge(self.network.definition, self.network.params)
        layers: dict[tuple, Any] = dict(nnx.iter_modules(model))
        for path, (a, b) in self.params.items():
            setattr(layers[path[:-1]], path[-1], AdaptedLinear(layers[path], a, self.scale * b))
        return model(tokens)


class AdaptedLinear(nnx.Module):
    """A linear layer of columns (models.transformer) plus a product of factors."""

    def __init__(self, layer: Linear, a: Float[Array, "inputs r"], b: Float[Array, "r outputs"]):
        self.layer, self.a, self.b = layer, nnx.Param(a), nnx.Param(b)

    def __call__(self, columns: Float[Array, "inputs tn"]) -> Float[Array, "outputs tn"]:
        return self.layer(columns) + self.b[...].T @ (self.a[...].T @ columns)


def example() -> Lora:
    """The method at its defaults."""
    return Lora()
