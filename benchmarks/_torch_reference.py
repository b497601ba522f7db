"""`models.transformer` in PyTorch: the same weights in a flat dict, and functions of them.

It gets PyTorch's best: an embedding lookup and `scaled_dot_product_attention`.
"""

from typing import Any

import numpy as np
from flax import nnx

from models.network import Network

PARTS = ("attn_qkv", "out_proj", "up_proj", "down_proj")


def weights(torch: Any, network: Network) -> dict[str, Any]:
    """The weights by name, as tensors that take gradients."""
    model = nnx.merge(network.definition, network.params)

    def tensor(leaf: Any) -> Any:
        return torch.tensor(np.ascontiguousarray(leaf), requires_grad=True)

    tensors = {"embed": tensor(model.embed.matrix.T), "position": tensor(model.position[...])}
    tensors["unembed"] = tensor(model.unembed.matrix)  # functional.linear wants (outputs, inputs)
    for index, block in enumerate(model.blocks):
        tensors |= {f"{name}{index}": tensor(getattr(block, name).matrix) for name in PARTS}
    return tensors


def mean_loss(torch: Any, weights: Any, tokens: Any, layers: int, heads: int) -> Any:
    """Mean negative log-likelihood (nats) of a token, all of them counted."""
    scores = logits(torch, weights, tokens, layers, heads)
    return torch.nn.functional.cross_entropy(scores.flatten(0, 1), tokens.flatten())


def logits(torch: Any, weights: Any, tokens: Any, layers: int, heads: int) -> Any:
    """Unnormalised log-probabilities of every token at every position (n, t, v)."""
    functional = torch.nn.functional
    n, t = tokens.shape
    start = torch.full((n, 1), weights["embed"].shape[0] - 1)
    inputs = torch.cat([start, tokens[:, :-1]], dim=1)
    stream = functional.embedding(inputs, weights["embed"]) + weights["position"]

    def rms_norm(stream: Any) -> Any:
        return stream * torch.rsqrt(stream.square().mean(-1, keepdim=True) + 1e-6)

    for index in range(layers):
        attn_qkv, out_proj, up_proj, down_proj = (weights[f"{name}{index}"] for name in PARTS)
        split = functional.linear(rms_norm(stream), attn_qkv).view(n, t, 3, heads, -1)
        query, key, value = (part.transpose(1, 2) for part in split.unbind(2))
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        stream = stream + functional.linear(mixed.transpose(1, 2).reshape(n, t, -1), out_proj)
        stream = stream + functional.linear(
            functional.relu(functional.linear(rms_norm(stream), up_proj)), down_proj
        )
    return functional.linear(rms_norm(stream), weights["unembed"])
