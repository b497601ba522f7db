"""Shares of a shift that the blocks and the read-out of finetuned networks make alone. Numpy only.

    state_share      S = 1 - Σ KL(finetuned ‖ finetuned blocks, base read-out) / Σ shift
    read_out_share   H = 1 - Σ KL(finetuned ‖ base blocks, finetuned read-out) / Σ shift

Sums are over networks, KL is a mean over the contexts of a group, the shift is KL(finetuned ‖ base), all in
nats. The read-out is the matrix from the last stream to the logits: the normalisation before it has no
weights (models.transformer). A theory by which finetuning moves a belief and leaves p(answer | belief) alone
says S = 1, H = 0. Finetuning of the read-out alone has S = 0, H = 1, and any method that leaves the read-out
where it is has S = 1, H = 0: both are exact. Either is below 0 where a part alone takes the answers further
off than the base network is.

The shares do not add up to 1, as KL is of second order in a small change: a part that makes the share a of
the change in log-probabilities, the other part the remaining 1 - a in the same direction, has

    S = 1 - (1 - a)²,   H = 1 - a²,   √(1 - S) + √(1 - H) = 1

so two halves have 3/4 each. In different directions the sum of the roots is larger.
"""

from typing import TypedDict

import numpy as np

from experiments.scoring.networks import Networks
from experiments.scoring.paired import of_the_rest, share
from experiments.storage.records import Interval, Sample


class Shares(TypedDict):
    """The fields of a line of the scorecard."""

    state_share: float
    state_share_interval: Interval | None
    read_out_share: float
    read_out_share_interval: Interval | None


def shares(networks: Networks, sample: Sample) -> Shares | None:
    """Both shares over the networks of a sample; None where a network was not swapped."""
    if networks.base_read_out is None or networks.base_blocks is None:
        return None
    missed = networks.base_read_out, networks.base_blocks
    state, read_out = (share(np.array(part), sample) for part in missed)
    return {
        "state_share": 1 - state.value,
        "state_share_interval": of_the_rest(state),
        "read_out_share": 1 - read_out.value,
        "read_out_share_interval": of_the_rest(read_out),
    }
