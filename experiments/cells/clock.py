"""How far a way of finetuning goes, from its recipe alone: training time at every dose, nothing fitted.

    identity   τ(s) such that gradient flow for the time τ on the mean loss is what s steps approach as η → 0
    adam       the same in the metric of Adam's second moments

    SGD               η s
    momentum μ        η Σ_{k=1..s} (1 - μ^k) / (1 - μ): what a constant gradient moves the weights in s steps
    weight decay λ    (1 - e^{-λ η s}) / λ: gradient flow of a flat mode that is pulled back meanwhile
    Adam              η s, in its own metric: a step divides by √v

The others have none: head-only, early stopping, replay and KL penalties move in a part of the space, stop
where they are told, or descend another loss; the kernel of LoRA and of Muon is not that of the weights. The
linearised theory replays them all as they are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.finetuning.adam import Adam
from models.finetuning.momentum import Momentum
from models.finetuning.sgd import Sgd
from models.finetuning.weight_decay import WeightDecay


def times(method: Any, doses: Sequence[int]) -> dict[str, np.ndarray]:
    """Training time (d,) by metric; a metric in which the method is no flow is left out."""
    steps = np.asarray(doses, float)
    if isinstance(method, Sgd):
        return {"identity": method.learning_rate * steps}
    if isinstance(method, Momentum):
        kept = method.decay
        done = (steps - kept * (1 - kept**steps) / (1 - kept)) / (1 - kept)
        return {"identity": method.learning_rate * done}
    if isinstance(method, WeightDecay) and isinstance(method.rule, Sgd):
        plain, weight = method.learning_rate * steps, method.weight
        return {"identity": -np.expm1(-weight * plain) / weight if weight else plain}
    if isinstance(method, Adam):
        return {"adam": method.learning_rate * steps}
    return {}
