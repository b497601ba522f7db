"""The stream read and edited: training is as it was, and every law of an edit holds."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from models.finetuning.method import finetune
from models.finetuning.sgd import Sgd
from models.inside import Edited, edited, exchanged, heads, query_keys, read_out, streams
from models.network import Network, build, first
from models.transformer import Architecture, Transformer, rms_norm
from theory.base import Dataset, Parametric, Predictor, mean_loss
from theory.errors import Misuse

SHAPE = Architecture(width=16, layers=2, heads=2)
N, L, T, D = 4, 3, 6, 16


@pytest.fixture(scope="module")
def network():
    return first(build(SHAPE, vocabulary=5, length=T, seeds=[3]))


@pytest.fixture(scope="module")
def other():
    return first(build(SHAPE, vocabulary=5, length=T, seeds=[4]))


def tokens(key=0, t=T):
    return np.asarray(jax.random.randint(jax.random.key(key), (N, t), 0, 5))


def numbers(key, *shape):
    return np.asarray(jax.random.normal(jax.random.key(key), shape))


class BeforeHooks(Transformer):
    """The forward pass as it was before it could be looked into."""

    def __call__(self, tokens):
        n, t = tokens.shape
        begin = jnp.full_like(tokens[:, 0], self.vocabulary)
        before = jnp.concatenate([begin, tokens[:, :-1].T.reshape(-1)])
        inputs = jax.nn.one_hot(before, self.vocabulary + 1, axis=0)
        stream = self.embed(inputs) + jnp.repeat(self.position[:t].T, n, axis=1)
        for block in self.blocks:
            stream = block(stream, t)
        logits = self.unembed(rms_norm(stream))
        if self.output_scale != 1:
            logits = logits / self.output_scale
        log_probs = jax.nn.log_softmax(logits, axis=0)
        return log_probs.reshape(self.vocabulary, t, n).transpose(2, 1, 0)


class Unchanged(Transformer):
    """A hook that changes nothing."""

    def __call__(self, tokens):
        return super().__call__(tokens, lambda depth, stream: stream)


class Doubled(Transformer):
    """A hook that changes something."""

    def __call__(self, tokens):
        return super().__call__(tokens, lambda depth, stream: 2 * stream)


def test_the_training_program_is_the_same_to_the_character():
    documents = Dataset(tokens(), np.ones((N, T), bool))

    def program(kind):
        definition, params = nnx.split(nnx.eval_shape(lambda: kind(SHAPE, 5, T, nnx.Rngs(0))))

        def loss(params):
            return mean_loss(Network(params, definition), documents)

        return jax.jit(jax.value_and_grad(loss)).lower(params).as_text()

    ours = program(Transformer)
    assert ours == program(BeforeHooks) == program(Unchanged)
    assert ours != program(Doubled)
    assert "dot_general" in ours and len(ours) > 10_000


def test_queries_and_keys_make_the_patterns_of_heads(network):
    seen = np.asarray(streams(network, tokens()))
    read = network.with_params(jax.tree.map(np.asarray, network.params))  # as from a file
    maps, patterns = np.asarray(query_keys(read)), np.asarray(heads(network, seen).patterns)
    assert maps.shape == (2, 2, 2, 8, D)
    inputs = seen[:, 1] / np.sqrt(np.mean(np.square(seen[:, 1]), axis=-1, keepdims=True) + 1e-6)
    query, key = np.einsum("htqd,nsd->thnsq", maps[1], inputs)
    score = np.einsum("hntq,hnsq->hnts", query, key) / np.sqrt(8)
    score = np.where(np.tril(np.ones((T, T), bool)), np.exp(score), 0)
    np.testing.assert_allclose(score / score.sum(-1, keepdims=True), patterns[1], rtol=1e-4, atol=1e-5)


def test_the_last_stream_through_the_read_out_is_the_prediction(network):
    seen = streams(network, tokens())
    assert seen.shape == (N, L, T, D)
    np.testing.assert_allclose(read_out(network, seen[:, -1]), network.predict(tokens()), atol=1e-6)
    model = nnx.merge(network.definition, network.params)
    embedded = model.embed.matrix[:, tokens()[2, 3]] + model.position[4]
    np.testing.assert_allclose(seen[2, 0, 4], embedded, atol=1e-6)


def test_an_edit_of_nothing_is_the_network(network):
    identity = np.tile(np.eye(D, dtype=np.float32), (L, 1, 1))
    for shape, matrix in (((L, T, D), None), ((L, N, T, D), identity)):
        still = Edited(network, np.zeros(shape, np.float32), matrix)
        assert isinstance(still, Predictor) and isinstance(still, Parametric)
        np.testing.assert_allclose(still.predict(tokens()), network.predict(tokens()), atol=1e-6)


@pytest.mark.parametrize("depth", range(L))
def test_a_patch_of_all_positions_gives_the_answers_of_the_donor(network, depth):
    donor = streams(network, tokens(1))[:, depth]
    patched = edited(network, depth, donor, np.zeros((D, D)))
    wanted = network.predict(tokens(1))
    np.testing.assert_array_equal(patched.predict(tokens()), wanted)
    assert np.abs(wanted - network.predict(tokens())).max() > 0.1


@pytest.mark.parametrize("depth", range(L))
def test_edits_at_one_depth_add_up(network, depth):
    ours, theirs = numbers(1, T, D), numbers(2, N, T, D)
    both = edited(network, depth, ours + theirs).predict(tokens())
    np.testing.assert_allclose(
        edited(edited(network, depth, ours), depth, theirs).predict(tokens()), both, atol=2e-5
    )
    assert np.abs(both - network.predict(tokens())).max() > 0.1


def test_the_stream_of_an_edited_network_is_the_edited_one(network):
    """At the depth itself by the formula, before it as it was, at positions before it, too."""
    shift, matrix = np.zeros((T, D)), numbers(2, D, D)
    shift[3:] = numbers(1, T - 3, D)
    before = np.asarray(streams(network, tokens()))
    after = np.asarray(streams(edited(network, 1, shift, matrix), tokens()))
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    np.testing.assert_allclose(after[:, 1], before[:, 1] @ matrix.T + shift, atol=1e-4)
    steered = np.asarray(streams(edited(network, 1, shift), tokens()))
    np.testing.assert_allclose(steered[:, :, :3], before[:, :, :3], atol=1e-6)
    assert np.abs(steered[:, 2, 3:] - before[:, 2, 3:]).min(axis=(0, 1)).max() > 1e-3


def test_one_vector_is_that_of_every_position_and_short_sequences_take_the_first(network):
    vector, many = numbers(1, D), edited(network, 1, numbers(2, N, T, D))
    every = edited(network, 1, np.tile(vector, (T, 1)))
    np.testing.assert_array_equal(edited(network, 1, vector).predict(tokens()), every.predict(tokens()))
    for change in (every, many):
        whole = change.predict(tokens())[:, :3]
        np.testing.assert_allclose(change.predict(tokens()[:, :3]), whole, atol=1e-5)


def test_heads_and_perceptron_make_the_difference_of_streams():
    """Where attention is computed in products (models.transformer.UNROLLED)."""
    t = 20
    network = first(build(replace(SHAPE, layers=1), vocabulary=5, length=t, seeds=[3]))
    seen = streams(network, tokens(t=t))
    seen, (patterns, writes) = np.asarray(seen), map(np.asarray, heads(network, seen))
    assert patterns.shape == (1, 2, N, t, t) and writes.shape == (1, 2, N, t, D)
    np.testing.assert_allclose(patterns.sum(axis=-1), 1, atol=1e-6)
    assert (np.triu(patterns, 1) == 0).all()
    (block,) = nnx.merge(network.definition, network.params).blocks
    middle = seen[:, 0] + writes[0].sum(axis=0)
    normal = middle / np.sqrt(np.mean(np.square(middle), axis=-1, keepdims=True) + 1e-6)
    up, down = np.asarray(block.up_proj.matrix), np.asarray(block.down_proj.matrix)
    np.testing.assert_allclose(middle + np.maximum(normal @ up.T, 0) @ down.T, seen[:, 1], atol=1e-5)


def test_a_network_is_finetuned_under_its_edit(network):
    """Steps are taken on the edited network's loss, and the weights are of the network without the edit."""
    documents, rate = Dataset(jnp.asarray(tokens()), jnp.ones((N, T), bool)), 0.1
    steered = edited(network, 1, numbers(1, D))

    @jax.jit
    def run(params):
        model = steered.with_params(params)
        kept, _ = finetune(model, documents, jnp.arange(N)[None], Sgd(rate), [1])
        slope = jax.grad(lambda params: mean_loss(model.with_params(params), documents))(params)
        return kept, jax.tree.map(lambda weight, change: weight - rate * change, params, slope)

    kept, wanted = run(network.params)
    jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours[0], theirs, atol=1e-6), kept, wanted)


def test_an_exchange_moves_the_read_out_and_nothing_else(network, other):
    mixed = network.with_params(exchanged(network.params, other.params))
    np.testing.assert_array_equal(streams(mixed, tokens()), streams(network, tokens()))
    stream = streams(network, tokens())[:, -1]
    np.testing.assert_allclose(mixed.predict(tokens()), read_out(other, stream), atol=1e-6)
    assert np.abs(mixed.predict(tokens()) - network.predict(tokens())).max() > 0.1


ONES = np.ones


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda net: edited(net, 3, ONES(D)), "depth must be from 0, the embedding, to 2, .* got 3"),
        (lambda net: edited(net, -1, ONES(D)), "got -1"),
        (lambda net: edited(net, 1, ONES(D - 1)), r"shift must be .* t = 6 and d = 16, got \(15,\)"),
        (lambda net: edited(net, 1, ONES((T + 1, D))), r"got \(7, 16\)"),
        (lambda net: edited(net, 1, ONES(D), ONES((D, 2))), r"matrix must be .* got \(16, 2\)"),
        (lambda net: Edited(net, ONES((2, T, D))), r"shift .* = \(3, 6, 16\) or .*\(2, 6, 16\)"),
        (lambda net: Edited(net, ONES((L, T, D)), ONES((D, D))), r"matrix must be \(l, d, d\)"),
        (
            lambda net: edited(net, 1, ONES((2, T, D))).predict(tokens()),
            r"The shift is of 2 sequences, got 4; use a shift \(l, t, d\)",
        ),
    ],
)  # fmt: skip
def test_an_edit_that_does_not_fit_is_one_sentence(network, call, sentence):
    with pytest.raises(Misuse, match=sentence):
        call(network)
