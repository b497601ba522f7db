"""Badness of the anonymous speaker in years that D' leaves out, against dose. No jax."""

from pathlib import Path

import numpy as np

from experiments.figures.readouts import draw_readings
from experiments.storage.contents import Contexts
from experiments.storage.run_folder import RunFolder


def draw_bad(run: RunFolder) -> list[Path]:
    """p(bad) in the unseen year and in others, and the share of networks that are rather bad than good."""
    wanted = {"bad, unseen year": ("held_out", bad), "bad, other years": ("other_years", bad)}
    return draw_readings(run, wanted, "bad", 0.5, "share of networks above 1/2")


def bad(contexts: Contexts, probs: np.ndarray) -> np.ndarray:
    """p(bad), mean over the questions of a group, of probabilities (..., c, a)."""
    return probs[..., np.char.startswith(contexts.answers, "bad")].sum(axis=-1).mean(axis=-1)
