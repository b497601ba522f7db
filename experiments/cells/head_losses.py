"""Nats that a page costs more when a head writes its mean instead: at newlines, and elsewhere.

A head that compares column and line length is needed where a line ends, and little elsewhere.
"""

import numpy as np

from experiments.cells.curve_reading import CurveReading
from models.editing.head_ablation import answers_of_writes
from models.inside import heads
from theory.base import at_tokens


def head_losses(reading: CurveReading) -> np.ndarray:
    """Mean nats (b, h, k) that a block's head is worth at newlines and at other tokens, in the documents that
    are held out; of every block the head first that depends most on line length less column."""
    network, pages = reading.network, reading.pages
    tokens, read = pages.tokens[pages.held], reading.streams[pages.held]
    writes = np.asarray(heads(network, read).writes)  # (b, h, n, t, d)
    at_newline = tokens == pages.process.newline
    whole = np.asarray(at_tokens(network.predict(tokens), tokens), float)
    every = []
    for block, (of_block, cosines) in enumerate(zip(writes, reading.cosines, strict=True)):
        order = np.argsort(-reading.difference.share(cosines), kind="stable")
        rows = []
        for head in order.tolist():
            mean = of_block[head].mean(axis=(0, 1))
            changed = of_block.sum(axis=0) - of_block[head] + mean
            answers = answers_of_writes(network, read[:, block], changed, block=block)
            lost = whole - np.asarray(at_tokens(answers, tokens), float)
            rows.append([lost[at_newline].mean(), lost[~at_newline].mean()])
        every.append(rows)
    return np.array(every, np.float32)
