"""How fast do the linear and the quadratic forecast become exact as finetuning gets shorter?

The networks of weird-generalisation are finetuned for the same number of steps at a step size η and at its
halves. To first order they move by d ∝ η. In a smooth network the expansion to order k errs by d^(k+1) in
log-probability, so its KL falls like η^(2k+2), against a shift like η²: what is left unexplained falls like
η^(2k), η² for the linear forecast (the eNTK) and η⁴ for the quadratic one.

Two things may break that. ReLUs: d moves a share ∝ d of them across their kink, each by ∝ d, an error ∝ d²
that no derivative at w0 knows; the quadratic forecast then falls like η², too. And Adam, whose first steps
are ±η whatever the gradient's size: where a gradient nearly vanishes, its sign is not smooth. What of it is
the ReLUs' shows with networks that have none:

    finebayes run lazy-limit --activation gelu
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.design.config import FULL, SMOKE
from experiments.storage.records import Json
from experiments.storage.run_folder import RunFolder
from experiments.studies import weird_generalisation as shared
from theory.errors import Misuse


@dataclass(frozen=True)
class Config(shared.Config):
    """As in weird-generalisation, at several step sizes and one dose."""

    finetuned_topics: tuple[str, ...] = ("0,1,2",)
    """The topics of D', comma-separated, one arm of the study each."""
    doses: tuple[int, ...] = (32,)
    """Finetuning steps; the figure is of the last."""
    seeds: int = 2
    """Finetuning seeds for each base network."""
    temperatures: tuple[float, ...] = ()
    """None: no posterior is sampled."""
    sgd_rate: float = 0.032
    """Largest step size of SGD."""
    adam_rate: float = 0.0012
    """Largest step size of Adam."""
    halvings: int = 5
    """How often they are halved."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.halvings < 1:
            raise Misuse(f"halvings must be at least 1, got {self.halvings}.")


PRESETS = {
    "smoke": Config(**{**SMOKE, "doses": (8,)}, methods=("sgd",), halvings=2),
    "small": Config(),
    "full": Config(**FULL),
}


def rates(config: Config) -> dict[str, tuple[str, float]]:
    """Every way of finetuning: its rule and its step size."""
    start = {"sgd": config.sgd_rate, "adam": config.adam_rate}
    steps = [
        (rule, start[rule] / 2**halving) for rule in config.methods for halving in range(config.halvings + 1)
    ]
    return {f"{rule}-{rate:g}": (rule, rate) for rule, rate in steps}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from models.finetuning.adam import Adam
    from models.finetuning.sgd import Sgd

    told = shared.comparison(config)
    rules = {"sgd": Sgd, "adam": Adam}
    methods = {name: rules[rule](rate) for name, (rule, rate) in rates(config).items()}
    return replace(told, methods=methods, theories=("quadratic",))


def draw(run: RunFolder) -> list[Path]:
    """The unexplained share against the step size, with the slopes that are expected."""
    from experiments.studies.figures.lazy_limit import draw_unexplained

    options: Json = {
        name: tuple(value) if isinstance(value, list) else value for name, value in run.options.items()
    }
    return draw_unexplained(run, rates(Config(**options)))
