"""The anchor of theories of hypotheses: the base network, from which they say what changes. Numpy only."""

import numpy as np


def anchor(log_probs: np.ndarray, base: np.ndarray) -> np.ndarray:
    """The change that a theory predicts, from a base network's answers (c, a): base × p_β / p_0, normalised.

    `log_probs` (s, b, c, a) are a theory's ladder, whose first rung is p_0; in its place is the base network.
    An answer with p_0 = 0 has no ratio and keeps the base network's share; one with p_β = 0 is ruled out.
    """
    with np.errstate(invalid="ignore"):
        change = np.where(np.isneginf(log_probs[:, :1]), 0.0, log_probs - log_probs[:, :1])
    logits = base + np.where(np.isnan(log_probs), np.nan, change)
    # not by the sum alone but by its ratio to that of the base network: no change is then none, to the bit
    sums = np.log(np.sum(np.exp(logits), axis=-1, keepdims=True, dtype=np.float64))
    whole = np.log(np.sum(np.exp(base), axis=-1, keepdims=True, dtype=np.float64))
    return (logits - (sums - whole)).astype(np.float32)
