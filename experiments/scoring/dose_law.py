"""β as a law of the dose: log β = a + b log dose, fitted on some doses and seeds, used on others. Numpy only.

    fitted on   the first, third, fifth ... dose, of the last half of the finetuning seeds of a base network
    told of     the other doses, of the first half of the seeds

Each network's β at a dose is that of the grade `fitted`, so a law has two constants for each theory, way of
finetuning, D' and base network, and has seen neither a dose nor a D' that it is scored on.
"""

import numpy as np

SPLIT = "log β = a + b log dose, fitted on every other dose of half of the seeds; scored on the others"


def told_seeds(seeds: int) -> int:
    """How many seeds, the first ones, a law is told of; 0 where there is nothing left to fit on."""
    return seeds // 2


def law(doses: np.ndarray, betas: np.ndarray) -> np.ndarray | None:
    """β (s', d) of the seeds that are told, nan at doses that were fitted; None without two doses to fit on.

    `betas` (s, d) are fitted strengths; zeros, where no strength was better than none, are left out.
    """
    told = told_seeds(len(betas))
    seen = betas[told:, ::2]
    x = np.broadcast_to(np.log(np.asarray(doses, float)[::2]), seen.shape)[seen > 0]
    if not told or len(np.unique(x)) < 2 or len(doses) < 2:
        return None
    slope, start = np.polyfit(x, np.log(seen[seen > 0]), 1)
    line = np.exp(start + slope * np.log(np.asarray(doses, float)))
    line[::2] = np.nan
    return np.broadcast_to(line, (told, len(doses)))
