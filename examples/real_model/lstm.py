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
IMPOSSIBLE = -1e9  # the drive of what is not read
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
        state = jnp.concatenate([embedded, *_layers(w, embedded)], axis=-1)
        before = jnp.tri(state.shape[1], dtype=bool)
        drive = jnp.where(before, (state @ w["attention"])[:, None], IMPOSSIBLE)
        average = jax.nn.softmax(drive, axis=-1) @ state  # of all positions so far
        average = jnp.pad(average, ((0, 0), (1, 0), (0, 0)))
        return jax.nn.log_softmax(average @ w["read_out"] + w["read_out_bias"], axis=-1)

    def with_params(self, params: Weights) -> Self:
        """The network with other weights."""
        return replace(self, params=params)

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))


def _layers(
    w: Weights, embedded: Float[Array, "n t d"]
) -> tuple[Float[Array, "n t h"], Float[Array, "n t h"]]:
    """Both LSTM layers, in one loop over positions: a program of one loop compiles in half the time."""
    driven = jnp.swapaxes(embedded @ w["kernel_1"] + w["bias_1"], 0, 1)

    def step(carry: tuple[Array, ...], driven: Array) -> tuple[tuple[Array, ...], tuple[Array, Array]]:
        first, first_cell, second, second_cell = carry
        first, first_cell = _gated(driven + first @ w["recurrent_1"], first_cell)
        drive = first @ w["kernel_2"] + w["bias_2"] + second @ w["recurrent_2"]
        second, second_cell = _gated(drive, second_cell)
        return (first, first_cell, second, second_cell), (first, second)

    start = jnp.zeros((len(embedded), len(w["recurrent_1"])))
    _, (first, second) = jax.lax.scan(step, (start,) * 4, driven)
    return jnp.swapaxes(first, 0, 1), jnp.swapaxes(second, 0, 1)


def _gated(gates: Float[Array, "n g"], cell: Float[Array, "n h"]) -> tuple[Array, Array]:
    """Hidden state and cell after sigmoid gates and a tanh of what is new."""
    enter, keep, new, leave = jnp.split(gates, 4, axis=-1)
    cell = jax.nn.sigmoid(keep) * cell + jax.nn.sigmoid(enter) * jnp.tanh(new)
    return jax.nn.sigmoid(leave) * jnp.tanh(cell), cell


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
    names = (Path(folder) / FILES[1]).read_text(encoding="utf-8")
    return from_keras(read_arrays(folder)), json.loads(names)


def read_arrays(folder: str | Path) -> dict[str, np.ndarray]:
    """The package's arrays, by the names of its layers."""
    import h5py  # pyright: ignore[reportMissingImports] (fetched by make real-model)

    arrays = {}
    with h5py.File(Path(folder) / FILES[0]) as file:
        for layer in ("embedding", "rnn_1", "rnn_2", "attention", "output"):
            arrays |= {
                f"{layer}/{name.split(':')[0]}": value[:] for name, value in file[layer][layer].items()
            }
    return arrays
