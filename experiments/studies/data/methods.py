"""The ways of finetuning that studies of several compare, at the step sizes of their config."""

from typing import TYPE_CHECKING, Protocol

from experiments.design.config import FinetuningConfig

if TYPE_CHECKING:
    from models.finetuning.method import Method


class StepSizes(Protocol):
    """A config with the fields that make them."""

    @property
    def finetuning(self) -> FinetuningConfig: ...
    @property
    def momentum(self) -> float: ...
    @property
    def head_rate(self) -> float: ...
    @property
    def rank(self) -> int: ...
    @property
    def lora_rate(self) -> float: ...


def five_methods(config: StepSizes, factor: float = 1.0) -> "dict[str, Method]":
    """SGD, momentum with (1 - μ) times its step size, Adam, LoRA by Adam, and SGD on the read-out alone; all
    step sizes times a factor."""
    from models.finetuning.adam import Adam
    from models.finetuning.head_only import HeadOnly
    from models.finetuning.lora import Lora
    from models.finetuning.momentum import Momentum
    from models.finetuning.sgd import Sgd
    from theory.base import check_number

    check_number("momentum", config.momentum, least=0, below=1)  # 1 leaves no step size
    rate = factor * config.finetuning.sgd_rate
    return {
        "sgd": Sgd(rate),
        "momentum": Momentum((1 - config.momentum) * rate, config.momentum),
        "adam": Adam(factor * config.finetuning.adam_rate),
        "lora": Lora(config.rank, float(config.rank), rule=Adam(factor * config.lora_rate)),
        "head-only": HeadOnly(rule=Sgd(factor * config.head_rate)),
    }
