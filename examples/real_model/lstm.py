"""textgenrnn's character LSTM in jax: a predictor with weights, so that theories over weights can expand it.

    x_t = E[token_t],   h¹ = LSTM(x),   h² = LSTM(h¹),   z_t = (x_t, h¹_t, h²_t)
    a_t ∝ exp(z_t W),   p(next) = softmax(Σ_t a_t z_t V + b)

textgenrnn 2.0.0 (Max Woolf, MIT) reads a window of 40 characters, filled up with token 0 from the left. The
prediction at position t here is of all tokens before it, so that of the last position of 41 tokens is
textgenrnn's. Its weights are those of a cuDNN LSTM: gates i, f, c, o, each with its kernels transposed and a
second bias (Keras, hdf5_format.py).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theory.base import LogProbs, Tokens, compiled

Weights = dict[str, Float[Array, "..."]]
WINDOW = 40
FILES = ("textgenrnn_weights.hdf5", "textgenrnn_vocab.json")


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class CharacterLstm:
    """Two LSTM layers under a weighted average; `params` are its weights by name."""

    params: Weights

    @compiled()
    def predict(self, tokens: Tokens) -> LogProbs:
        """Next-token log-probabilities in nats."""
        w = self.params
        embedded = w["embedding"][jnp.asarray(tokens)[:, :-1]]
        first = _layer(embedded, w["kernel_1"], w["recurrent_1"], w["bias_1"])
        second = _layer(first, w["kernel_2"], w["recurrent_2"], w["bias_2"])
        state = jnp.concatenate([embedded, first, second], axis=-1)
        score = jnp.exp(state @ w["attention"])  # of every position: weights of later ones do not count yet
        average = jnp.cumsum(score[..., None] * state, axis=1) / jnp.cumsum(score, axis=1)[..., None]
        average = jnp.pad(average, ((0, 0), (1, 0), (0, 0)))
        return jax.nn.log_softmax(average @ w["read_out"] + w["read_out_bias"], axis=-1)

    def with_params(self, params: Weights) -> Self:
        """The network with other weights."""
        return replace(self, params=params)

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))


def _layer(
    inputs: Float[Array, "n t d"],
    kernel: Float[Array, "d g"],
    recurrent: Float[Array, "h g"],
    bias: Float[Array, " g"],
) -> Float[Array, "n t h"]:
    """One LSTM layer: sigmoid gates, tanh cells."""
    driven = inputs @ kernel + bias

    def step(carry: tuple[Array, Array], row: Array) -> tuple[tuple[Array, Array], Array]:
        hidden, cell = carry
        gates = jnp.split(row + hidden @ recurrent, 4, axis=-1)
        enter, keep, leave = (jax.nn.sigmoid(gates[index]) for index in (0, 1, 3))
        cell = keep * cell + enter * jnp.tanh(gates[2])
        hidden = leave * jnp.tanh(cell)
        return (hidden, cell), hidden

    start = jnp.zeros((len(inputs), len(recurrent)))
    _, states = jax.lax.scan(step, (start, start), jnp.swapaxes(driven, 0, 1))
    return jnp.swapaxes(states, 0, 1)


def from_keras(arrays: Mapping[str, np.ndarray]) -> CharacterLstm:
    """The network of textgenrnn's arrays, by the names of its layers."""
    weights = {
        "embedding": arrays["embedding/embeddings"],
        "attention": arrays["attention/attention_W"][:, 0],
        "read_out": arrays["output/kernel"],
        "read_out_bias": arrays["output/bias"],
    }
    for layer in (1, 2):
        kernel, recurrent, bias = (
            arrays[f"rnn_{layer}/{name}"] for name in ("kernel", "recurrent_kernel", "bias")
        )
        gates = [part.T.reshape(part.shape, order="F") for part in np.split(kernel, 4, axis=1)]
        weights[f"kernel_{layer}"] = np.concatenate(gates, axis=1)
        transposed = [part.T for part in np.split(recurrent, 4, axis=1)]
        weights[f"recurrent_{layer}"] = np.concatenate(transposed, axis=1)
        weights[f"bias_{layer}"] = np.sum(np.split(bias, 2), axis=0)
    return CharacterLstm({name: jnp.asarray(value, jnp.float32) for name, value in weights.items()})


def load(folder: str | Path) -> tuple[CharacterLstm, dict[str, int]]:
    """The pretrained network and its characters by token, from the folder of the package's files."""
    import h5py  # pyright: ignore[reportMissingImports] (fetched by make real-model)

    weights, names = (Path(folder) / name for name in FILES)
    arrays = {}
    with h5py.File(weights) as file:
        for layer in ("embedding", "rnn_1", "rnn_2", "attention", "output"):
            arrays |= {
                f"{layer}/{name.split(':')[0]}": value[:] for name, value in file[layer][layer].items()
            }
    return from_keras(arrays), json.loads(names.read_text(encoding="utf-8"))
