"""Content of a cell of currencies: context, finetuning and steering of one base network, as numbers.

Axes: m methods, s finetuning seeds, d doses (0, the base network, first), n numbers of shots, w where
steering is (`WHERE`), x nats, z nats by which a network is steered while it is finetuned, q questions
(`QUESTIONS`), r rivals, b beliefs (`BELIEFS`); of the base network alone t numbers of pairs, l depths (the
first is after block 1), c what is read where (`READ`), f features and h held out and in sample
(experiments.storage.inside_cell), a heads and all of them together, j what a head adds up (`SUMS`), i
frequencies, p pairs shown, u blocks, v heads, e numbers of pairs whose parts are summed, o parts of that sum
(`ADDED`), g of the sum of what heads write (`VECTORS`), y corrections (`CORRECTED`), k pairs of the right k.
Numpy only.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from experiments.storage.measures import Measures

QUESTIONS = ("asked by D′", "held out")
BELIEFS = ("k of D′", "rival")
WHERE = ("question", "pairs")  # after the last block, in the answer's frame; before it, at every answer shown
READ = ("pair, at its answer", "answer, at the question", "k, at the question", "k, at the answer before")
SUMS = ("sum", "mean", "last")
ADDED = ("slope", "share", "slope on the exact sum", "resolved")
VECTORS = ("slope", "share")
CORRECTED = ("last", "first", "parts")
AXES = {
    **{"methods": "m", "doses": "d", "shots": "n", "nats": "x", "totals": "t", "depths": "l"},
    "price": "",
    **{"beliefs": "msdnwxqrb", "wrong": "msdw", "weight": "msdq", "ahead": "trb"},
    **{"information": "clfh", "sums": "aj", "sinks": "a", "attention": "ap", "dimensions": "a"},
    **{"frequencies": "ai", "overlap": "a", "kept": "ua", "without": "uv"},
    **{"beyond": "msdwx", "training_nats": "z", "under": "msdwznqrb"},
}


@dataclass(frozen=True)
class CurrenciesCell(Measures):
    """`price` is λ, the nats of a pair. `beliefs` are weights in answers; `wrong` is the share of contexts
    that steering moves to the wrong side, `weight` the efficiency K of the context
    (experiments.scoring.context_filter), and `beyond` the share of contexts that an edit takes beyond all
    that the probe read where it was fitted. `under` are weights in answers without steering, of networks
    that were finetuned under it. `ahead` are beliefs after `totals` pairs of which the rival has one more.

    `information` is I; `sums` R² of what heads add to the stream, by a linear function of evidence; `sinks`
    c0 of attention A N/(N + c0) on N pairs; `dimensions` components for 95 % of what heads add by k, and
    `frequencies` their shares; `overlap` the mean squared cosine between what a head reads by its values and
    the probe of a pair, less that of chance. `kept` is the share of a pair's nats that the best 0, 1, ...
    heads of a block keep, `without` that which is left without one head.

    Of `examples`, numbers of pairs: `added` is the sum of log-odds after each alone, `vectors` that of what
    heads write, `corrected` are correlations of what pairs contribute with the error of the others; `recency`
    nats by which a wrong pair counts less if it comes before `right` pairs of the right k
    (experiments.cells.shot_examples, experiments.cells.head_parts).
    """

    axes: ClassVar[dict[str, str]] = AXES
    optional: ClassVar[dict[str, str]] = {
        **{"examples": "e", "added": "eo", "vectors": "eg", "corrected": "ey", "right": "k", "recency": "k"}
    }
    methods: np.ndarray
    doses: np.ndarray
    shots: np.ndarray
    nats: np.ndarray
    totals: np.ndarray
    depths: np.ndarray
    price: np.ndarray
    beliefs: np.ndarray
    wrong: np.ndarray
    weight: np.ndarray
    ahead: np.ndarray
    information: np.ndarray
    sums: np.ndarray
    sinks: np.ndarray
    attention: np.ndarray
    dimensions: np.ndarray
    frequencies: np.ndarray
    overlap: np.ndarray
    kept: np.ndarray
    without: np.ndarray
    beyond: np.ndarray
    training_nats: np.ndarray
    under: np.ndarray
    examples: np.ndarray | None = None
    added: np.ndarray | None = None
    vectors: np.ndarray | None = None
    corrected: np.ndarray | None = None
    right: np.ndarray | None = None
    recency: np.ndarray | None = None
