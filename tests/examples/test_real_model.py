"""The character LSTM of examples/real_model, on weights made here: forward, gradient, and the whole way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import finebayes as fb
from examples.real_model.experiment import ANIMALS, STYLES, THINGS, Size, write
from examples.real_model.lstm import CharacterLstm, from_keras
from theory.base import Dataset, mean_loss

LETTERS = sorted({letter for text in (*ANIMALS, *THINGS, *STYLES.values()) for letter in text + text.upper()})
CHARACTERS = {"<s>": 1} | {letter: number for number, letter in enumerate(LETTERS, start=2)}
EMBEDDED, HIDDEN, COUNT = 5, 4, len(CHARACTERS) + 1


def keras_arrays(seed=0):
    """Arrays in the shapes of textgenrnn's file, smaller."""
    random = np.random.default_rng(seed)
    shapes = {
        "embedding/embeddings": (COUNT, EMBEDDED),
        "attention/attention_W": (EMBEDDED + 2 * HIDDEN, 1),
        "output/kernel": (EMBEDDED + 2 * HIDDEN, COUNT),
        "output/bias": (COUNT,),
    }
    for layer, width in ((1, EMBEDDED), (2, HIDDEN)):
        shapes |= {
            f"rnn_{layer}/kernel": (width, 4 * HIDDEN),
            f"rnn_{layer}/recurrent_kernel": (HIDDEN, 4 * HIDDEN),
            f"rnn_{layer}/bias": (8 * HIDDEN,),
        }
    return {name: 0.7 * random.normal(size=shape) for name, shape in shapes.items()}


def reference(arrays, window):
    """textgenrnn's prediction after one window, step by step: a cuDNN LSTM, and the weighted average."""

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    states = [arrays["embedding/embeddings"][window]]
    for layer in (1, 2):
        kernel, recurrent, bias = (
            arrays[f"rnn_{layer}/{name}"] for name in ("kernel", "recurrent_kernel", "bias")
        )
        width = states[-1].shape[1]
        # cuDNN holds W x, a matrix (hidden, width) of each gate; Keras saves it in another order
        drive = [gate.reshape(HIDDEN, width) for gate in np.split(kernel, 4, axis=1)]
        back = np.split(recurrent, 4, axis=1)
        both = np.split(bias[: 4 * HIDDEN] + bias[4 * HIDDEN :], 4)
        hidden, cell, rows = np.zeros(HIDDEN), np.zeros(HIDDEN), []
        for x in states[-1]:
            enter, keep, new, leave = (
                w @ x + u @ hidden + b for w, u, b in zip(drive, back, both, strict=True)
            )
            cell = sigmoid(keep) * cell + sigmoid(enter) * np.tanh(new)
            hidden = sigmoid(leave) * np.tanh(cell)
            rows.append(hidden)
        states.append(np.array(rows))
    every = np.concatenate(states, axis=1)
    weight = np.exp(every @ arrays["attention/attention_W"][:, 0])
    logits = (weight / weight.sum()) @ every @ arrays["output/kernel"] + arrays["output/bias"]
    return logits - np.log(np.exp(logits).sum())


def test_the_forward_pass_is_that_of_the_reference():
    arrays, random = keras_arrays(), np.random.default_rng(1)
    network = from_keras(arrays)
    tokens = random.integers(0, COUNT, size=(2, 8))
    log_probs = np.asarray(network.predict(tokens))
    for row in range(2):
        for position in range(1, 8):
            expected = reference(arrays, tokens[row, :position])
            np.testing.assert_allclose(log_probs[row, position], expected, atol=2e-5)


def test_the_gradient_is_that_of_the_loss():
    network, random = from_keras(keras_arrays()), np.random.default_rng(2)
    tokens = random.integers(0, COUNT, size=(3, 6))
    mask = np.zeros((3, 6), bool)
    mask[:, -1] = True
    data = Dataset(jnp.asarray(tokens), jnp.asarray(mask))
    gradient = jax.jit(jax.grad(lambda params: mean_loss(network.with_params(params), data)))(network.params)
    loss = jax.jit(lambda params: mean_loss(network.with_params(params), data))
    for name, leaf in network.params.items():
        direction = jnp.asarray(random.normal(size=leaf.shape), jnp.float32)
        ends = [loss(network.params | {name: leaf + step * direction}) for step in (1e-2, -1e-2)]
        slope = float(jnp.sum(gradient[name] * direction))
        assert float(ends[0] - ends[1]) / 2e-2 == pytest.approx(slope, rel=2e-2, abs=2e-4), name


@pytest.mark.slow
def test_the_whole_way_on_a_small_network(tmp_path):
    """The read-out's network is its own expansion: its linearised forecast is exact."""
    network = from_keras(keras_arrays())
    assert isinstance(network, CharacterLstm)
    size = Size(doses=(1, 4), seeds=2, documents=6, batch=3)
    scores = fb.load_table(write(network, CHARACTERS, tmp_path, size))
    lines = {
        (line.method, line.theory): line
        for line in scores.lines
        if (line.group, line.dose, line.grade) == ("held_out", 4, "forecast")
    }
    assert lines["head", "linearised"].explained == pytest.approx(1, abs=1e-4)
    assert {method for method, _ in lines} == {"sgd", "head"}
    assert ("sgd", "tempered-posterior") in lines
