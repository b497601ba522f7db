"""The character LSTM of examples/real_model, on weights made here: forward, gradient, and the whole way."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import finebayes as fb
from examples.real_model.experiment import ANIMALS, STYLES, THINGS, Size, write
from examples.real_model.lstm import WINDOW, CharacterLstm, from_keras, load, read_arrays
from examples.real_model.over_weights import LINEAR, THEORIES
from theory.base import Dataset, mean_loss

LETTERS = sorted({letter for text in (*ANIMALS, *THINGS, *STYLES.values()) for letter in text + text.upper()})
CHARACTERS = {"<s>": 1} | {letter: number for number, letter in enumerate(LETTERS, start=2)}
EMBEDDED, HIDDEN, COUNT = 5, 4, len(CHARACTERS) + 1
FETCHED = Path(__file__).parents[2] / "build" / "real-model" / "textgenrnn-2.0.0" / "textgenrnn"


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
        width, size = states[-1].shape[1], len(recurrent)
        # cuDNN holds W x, a matrix (hidden, width) of each gate; Keras saves it in another order
        drive = [gate.reshape(size, width) for gate in np.split(kernel, 4, axis=1)]
        back = np.split(recurrent, 4, axis=1)
        both = np.split(bias[: 4 * size] + bias[4 * size :], 4)
        hidden, cell, rows = np.zeros(size), np.zeros(size), []
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


@pytest.mark.skipif(not FETCHED.is_dir(), reason="the network is not fetched; make real-model does")
def test_the_forward_pass_is_that_of_the_reference_on_the_weights_of_the_package(monkeypatch):
    monkeypatch.syspath_prepend(str(FETCHED.parents[1] / "packages"))
    arrays, (network, characters) = read_arrays(FETCHED), load(FETCHED)
    assert network.size == 461_693
    window = np.zeros(WINDOW + 1, np.int32)
    text = [characters[letter] for letter in "my dog is "]
    window[WINDOW - len(text) : WINDOW] = text
    log_probs = np.asarray(network.predict(window[None]))[0, -1]
    np.testing.assert_allclose(log_probs, reference(arrays, window[:-1]), atol=1e-4)
    assert characters[" "] != int(log_probs.argmax())  # a word begins after a space


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
    """The read-out's network is its own expansion: its linearised forecast is exact. Small steps are gradient
    flow, which all theories over weights approach."""
    network = from_keras(keras_arrays())
    assert isinstance(network, CharacterLstm)
    size = Size(doses=(1, 4), seeds=2, documents=6, batch=6)
    scores = fb.load_table(write(network, CHARACTERS, tmp_path, size))
    lines = {
        (line.method, line.theory): line
        for line in scores.lines
        if (line.group, line.dose, line.grade) == ("held_out", 4, "forecast")
    }
    assert lines["head", "linearised"].explained == pytest.approx(1, abs=1e-4)
    over_weights = {key: line.explained for key, line in lines.items() if key[1] in THEORIES}
    methods = {"sgd": THEORIES, "head": LINEAR}
    assert over_weights.keys() == {(method, name) for method, names in methods.items() for name in names}
    assert min(over_weights.values()) > 0.95, over_weights
    assert ("sgd", "tempered-posterior") in lines
