"""Writes of the last block's heads at a question, example by example: one sum over the pairs they read.

    w = Σ_s A[t, s] O V h_s    over positions s: a part for every pair, exactly, the rest of where no pair is

    vectors      w(all) against Σ_i w(i alone), each less its mean over contexts: the slope α and the share of
                 variance of w(all) that α Σ_i w(i alone) has. An adder has α = 1, an average beside a sink
                 (1 + c0)/(N + c0), and both a share of 1
    correction   parts read as evidence (a linear map from w to Σ e, fitted in documents of pretraining), each
                 less what its own evidence explains of it: the correlation of what is left of the last part
                 with what is left of the earlier ones. Independent errors have 0, below it later pairs make
                 good what earlier ones got wrong

Axes: n contexts, t positions, i pairs, d width, k hypotheses.
"""

import numpy as np
from jaxtyping import Float

from experiments.cells.addition import Pairs
from experiments.cells.shot_examples import Examples
from models.inside import heads, streams
from models.network import Network
from theory.probes.codes import Linear, fit_linear, r_squared
from theory.probes.subspaces import normalise


def evidence_reader(network: Network, pairs: Pairs) -> Linear:
    """The linear map from what the last block's heads write at questions to the evidence so far."""
    where = pairs.questions & (np.arange(pairs.tokens.shape[1]) > 1) & ~pairs.held[:, None]
    writes = np.asarray(heads(network, streams(network, pairs.tokens)).writes[-1], float).sum(axis=0)
    total = pairs.total - pairs.total.mean(axis=-1, keepdims=True)
    return fit_linear(writes[where], total[where])


def written(network: Network, examples: Examples) -> Float[np.ndarray, "n d"]:
    """Sum of what all heads of the last block write at the question."""
    made = heads(network, streams(network, examples.tokens))
    return np.asarray(made.writes[-1], float).sum(axis=0)[:, examples.position]


def by_position(network: Network, examples: Examples) -> Float[np.ndarray, "n t d"]:
    """Of that what is from each position: the sum over positions is all of it."""
    read = streams(network, examples.tokens)
    made = heads(network, read)
    block = network.params["blocks"][len(network.params["blocks"]) - 1]
    stream = normalise(np.asarray(read[:, -2]))
    qkv, out = (np.asarray(block[name]["kernel"][...], float) for name in ("attn_qkv", "out_proj"))
    looks = np.asarray(made.patterns[-1], float)[:, :, examples.position]  # (v, n, s)
    values = np.split(stream @ qkv[2 * stream.shape[-1] :].T, len(looks), axis=-1)
    maps = np.split(out.T, len(looks), axis=1)
    every = [look[..., None] * (value @ of.T) for look, value, of in zip(looks, values, maps, strict=True)]
    return np.sum(every, axis=0)


def parts(network: Network, examples: Examples) -> Float[np.ndarray, "n i d"]:
    """Of that the part of every pair, from the positions that have just read its question and its answer."""
    shown = examples.pairs.shape[1]
    every = by_position(network, examples)[:, 1 : 1 + 2 * shown]
    return every.reshape(len(every), shown, 2, -1).sum(axis=2)


def vector_sum(network: Network, examples: Examples) -> tuple[float, float]:
    """Slope and share of what is written after all pairs, on the sum of what is written after each alone."""
    whole = written(network, examples)
    alone = np.sum([written(network, examples.of([i])) for i in range(examples.pairs.shape[1])], axis=0)
    y, x = (part - part.mean(axis=0) for part in (whole, alone))
    slope = float(np.sum(x * y) / np.sum(x**2))
    return slope, r_squared(y, slope * x)


def parts_correction(network: Network, examples: Examples, reader: Linear) -> float:
    """The correlation of what is left of the last part and of the earlier ones."""
    return left_correlation(parts(network, examples) @ reader.filters, examples.evidence)


def left_correlation(numbers: Float[np.ndarray, "n i k"], evidence: Float[np.ndarray, "n i k"]) -> float:
    """That of parts as numbers, each less what is linear in its own evidence."""
    left = np.empty_like(numbers)
    for pair in range(numbers.shape[1]):
        known = evidence[:, pair]
        left[:, pair] = numbers[:, pair] - fit_linear(known, numbers[:, pair]).predict(known)
    last, earlier = left[:, -1], left[:, :-1].sum(axis=1)
    size = np.sqrt(np.sum(last**2) * np.sum(earlier**2))
    return float(np.sum(last * earlier) / size) if size > 0 else float("nan")
