"""Step sizes of networks whose outputs are divided by γ0: outputs move as fast, and features γ0 times as far.

    f = (logits) / γ0;      a step on the weights moves the outputs by ∝ 1/γ0 of what it did
    rules that follow the gradient's size (SGD, momentum)   η γ0²      gradients, too, are 1/γ0 as large
    rules that normalise it (Adam, Muon)                    η γ0

Small γ0 is lazy, large γ0 rich (Chizat, Oyallon & Bach, arXiv 1812.07956, α = 1/γ0; Atanasov et al., arXiv
2410.04642).
"""

import dataclasses
from typing import Any

from models.finetuning.method import Method, Wrapper
from theory.base import Misuse, check_number


def follows_size(method: Method) -> bool:
    """Whether the steps of a method's innermost rule grow with its gradient: gradient flow in the identity
    metric."""
    while isinstance(method, Wrapper):
        method = method.rule
    return "identity" in method.training_time((1,))


def scaled(method: Method, gamma: float) -> Method:
    """The method for networks whose outputs are divided by `gamma`; itself at 1."""
    check_number("gamma", gamma, above=0)
    if gamma == 1:
        return method
    changed: Any = method
    name = "rule" if isinstance(method, Wrapper) else "learning_rate"
    if name not in {part.name for part in dataclasses.fields(changed)}:
        raise Misuse(
            f"{type(method).__name__} has no field {name}, so its step size cannot follow an output scale of "
            f"{gamma:g}; use an output scale of 1."
        )
    if isinstance(method, Wrapper):
        return dataclasses.replace(changed, rule=scaled(method.rule, gamma))
    power = 2 if follows_size(method) else 1
    return dataclasses.replace(changed, learning_rate=method.learning_rate * gamma**power)
