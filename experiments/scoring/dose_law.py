"""Dose law: β as a power of the dose, fitted on some doses and seeds and used on others. Numpy only.

log β = a + b log dose is

    fitted on    the first, third, fifth ... dose, of the last half of the finetuning seeds of a base network
    applied to   the other doses, of the first half of the seeds

Each network's β at a dose is that of the grade `fitted`, so a law has two constants for each theory, method,
D' and base network, and has seen neither a dose nor a D' that it is scored on.
"""

from collections.abc import Sequence

import numpy as np

SPLIT = "log β = a + b log dose, fitted on every other dose of half of the seeds; scored on the others"


def held_out_seeds(seeds: int) -> int:
    """The number of seeds, the first ones, that a law is applied to; 0 where nothing is left to fit on."""
    return seeds // 2


def law(doses: Sequence[int] | np.ndarray, betas: np.ndarray) -> np.ndarray | None:
    """β (s', d) of the held-out seeds, nan at doses that were fitted; None without two doses to fit on.

    `betas` (s, d) are fitted strengths; zeros, where no strength was better than none, are omitted.
    """
    held_out = held_out_seeds(len(betas))
    seen = betas[held_out:, ::2]
    x = np.broadcast_to(np.log(doses[::2]), seen.shape)[seen > 0]
    if not held_out or len(np.unique(x)) < 2:
        return None
    slope, start = np.polyfit(x, np.log(seen[seen > 0]), 1)
    line = np.exp(start + slope * np.log(doses))
    line[::2] = np.nan
    return np.broadcast_to(line, (held_out, len(doses)))
