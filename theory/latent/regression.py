"""Linear regression in context, as published: ridge, and the discrete mixture over M tasks. Numpy only.

    w ~ N(0, I_D),   x_k ~ N(0, I_D),   y_k = w · x_k + N(0, noise²),   k = 1 ... K
    ridge             ŷ_k = x_k · (XᵀX + noise² I)⁻¹ Xᵀy,     X, y the k - 1 examples before   (their eq. 3)
    discrete mixture  ŷ_k = x_k · Σ_i w_i p(w_i | X, y),      w_1 ... w_M alike before         (their eq. 2)

Raventós et al., arXiv 2306.15063: D = 8, noise² = 0.25, K = 16. Their loss is the mean over k of
(ŷ_k - y_k)², over D. Ours (`losses`), to 0.005 and the first to 0.02:

    M               2       2^5     2^6     2^10    2^12    2^15    ridge
    on new tasks    1.71    1.01    0.92    0.63    0.55    0.47    0.376
    on the M tasks  0.07    0.17    0.19    0.26    0.29    0.32    -

Theirs are curves without digits (figure 2, left). What their text says of them, that the mixture falls to
ridge from above on new tasks, rises to it from below on the M, and is still well above it at M = 2^15, is
tested. theory.processes.task_diversity is the same question with tokens.
"""

from functools import cache
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

Examples: TypeAlias = Float[np.ndarray, "n k d"]
Outputs: TypeAlias = Float[np.ndarray, "n k"]

DIMENSION, EXAMPLES, VARIANCE = 8, 16, 0.25  # D, K and noise² of the paper


def ridge(inputs: Examples, outputs: Outputs, variance: float = VARIANCE) -> Outputs:
    """Ridge predictions: every output from the examples before it, w ~ N(0, I); `variance` is noise²."""
    gram = inputs[..., :, None] * inputs[..., None, :]
    cross = inputs * outputs[..., None]
    gram, cross = (np.cumsum(term, axis=1) - term for term in (gram, cross))
    mean = np.linalg.solve(gram + variance * np.eye(inputs.shape[-1]), cross[..., None])[..., 0]
    return np.sum(mean * inputs, axis=-1)


def discrete_mmse(
    inputs: Examples, outputs: Outputs, tasks: Float[np.ndarray, "m d"], variance: float = VARIANCE
) -> Outputs:
    """Posterior means of every output given the examples before it, w uniform over `tasks`."""
    inputs, outputs, tasks = (np.asarray(array, np.float32) for array in (inputs, outputs, tasks))
    total, predictions = np.zeros((len(inputs), len(tasks)), np.float32), []
    for k in range(inputs.shape[1]):
        belief = np.exp(total - total.max(axis=-1, keepdims=True))
        means = inputs[:, k] @ tasks.T
        predictions.append(np.einsum("nm,nm->n", belief, means) / belief.sum(axis=-1))
        total -= (means - outputs[:, k, None]) ** 2 / np.float32(2 * variance)
    return np.stack(predictions, axis=1)


def examples(
    random: np.random.Generator, n: int, tasks: Float[np.ndarray, "m d"] | None = None
) -> tuple[Examples, Outputs]:
    """Draw n rows of the paper's inputs and outputs: w from `tasks`, or new in every row."""
    inputs = random.normal(size=(n, EXAMPLES, DIMENSION))
    w = random.normal(size=(n, DIMENSION)) if tasks is None else tasks[random.integers(len(tasks), size=n)]
    noise = np.sqrt(VARIANCE) * random.normal(size=(n, EXAMPLES))
    return inputs, np.einsum("nkd,nd->nk", inputs, w) + noise


def losses(
    random: np.random.Generator, count: int, rows: int, pools: int
) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, " 2"]]:
    """Loss of the discrete mixture over `count` tasks on [new tasks, the tasks themselves], and its standard
    error: `rows` rows for each of `pools` draws of the tasks. Ridge on the same rows, whose expected loss is
    known, is the control variate (tasks are drawn as new ones are, so it is the same on both)."""
    both = []
    for _ in range(pools):
        tasks = random.normal(size=(count, DIMENSION))
        for pool in (None, tasks):
            inputs, outputs = examples(random, rows, pool)
            predictions = (discrete_mmse(inputs, outputs, tasks), ridge(inputs, outputs))
            both.append(
                [np.mean((prediction - outputs) ** 2, axis=1) / DIMENSION for prediction in predictions]
            )
    errors = np.array(both).reshape(pools, 2, 2, rows).transpose(1, 2, 0, 3)  # contexts, predictor, pool, row
    adjusted = [
        discrete - np.cov(discrete.ravel(), control.ravel())[0, 1] / control.var() * (control - expected())
        for discrete, control in errors
    ]
    adjusted = np.array(adjusted)
    between = adjusted.mean(axis=-1).std(axis=1) / np.sqrt(pools)  # pools differ beyond their rows
    within = adjusted.std(axis=(1, 2)) / np.sqrt(pools * rows)
    return adjusted.mean(axis=(1, 2)), np.hypot(between, within)


@cache
def expected() -> float:
    """The loss of ridge: the mean of `ridge_losses`."""
    return float(ridge_losses(np.random.default_rng(0), 4000).mean())


def ridge_losses(random: np.random.Generator, rows: int) -> Float[np.ndarray, " k"]:
    """Expected loss of ridge after k = 0 ... K-1 examples, noise² (1 + E tr (XᵀX + noise² I)⁻¹) / D."""
    inputs = random.normal(size=(rows, EXAMPLES, DIMENSION))
    gram = np.cumsum(inputs[..., :, None] * inputs[..., None, :], axis=1)[:, :-1]
    values = np.linalg.eigvalsh(gram + VARIANCE * np.eye(DIMENSION))
    traces = np.append(DIMENSION / VARIANCE, np.mean(np.sum(1 / values, axis=-1), axis=0))
    return VARIANCE * (1 + traces) / DIMENSION
