"""How fast do the linear and the quadratic forecast become exact as finetuning gets shorter?

The networks of weird-generalisation are finetuned for the same number of steps at a step size η and at its
halves. To first order they move by d ∝ η. In a smooth network the expansion to order k errs by d^(k+1) in
log-probability, so its KL falls like η^(2k+2), against a shift like η²: what is left unexplained falls like
η^(2k), η² for the linear forecast (the eNTK) and η⁴ for the quadratic one.

Two things may break that. ReLUs: d moves a share ∝ d of them across their kink, each by ∝ d, which no
derivative at w0 knows. Where these errors point the same way they add up to d², and the quadratic forecast
then falls like η², too; where they are independent their squares add up to d³, and what is left unexplained
falls like η alone, for both forecasts. And Adam, whose first steps are ±η whatever the gradient's size: where
a gradient nearly vanishes, its sign is not smooth. What of it is the ReLUs' shows with networks that have
none:

    finebayes run lazy-limit --network.activation gelu
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.checks import check_positive
from experiments.design.config import FinetuningConfig, SamplingConfig
from experiments.design.options import Ints, from_json, with_options
from experiments.design.presets import FULL, SMOKE
from experiments.discovery import choose
from experiments.storage.run_folder import RunFolder
from experiments.studies import weird_generalisation as shared
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment

MOST_HALVINGS = 20  # to a millionth of the step size: shorter steps are lost in the rounding of weights


@dataclass(frozen=True)
class Config(shared.Config):
    """As in weird-generalisation, at several step sizes and one dose."""

    finetuning: FinetuningConfig = FinetuningConfig(doses=(32,), seeds=2, sgd_rate=0.032, adam_rate=0.0012)
    """The finetuned networks: the largest step sizes of SGD and of Adam, and the dose of the figure."""
    sampling: SamplingConfig = SamplingConfig()
    finetuned_topics: tuple[Ints, ...] = ((0, 1, 2),)
    """The topics of D', like 0,1,2; one arm of the study each."""
    theories: tuple[str, ...] = ("linearised", "proximal", "quadratic")
    """Theories to score, by name."""
    halvings: int = 5
    """How often the step sizes are halved."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("", halvings=self.halvings)
        if self.halvings > MOST_HALVINGS:
            raise Misuse(f"halvings must be at most {MOST_HALVINGS}, got {self.halvings}.")


PRESETS = {
    "smoke": with_options(
        Config(), SMOKE | {"finetuning.doses": (8,), "finetuning.methods": ("sgd",), "halvings": 2}
    ),
    "small": Config(),
    "full": with_options(Config(), FULL),
}


def rates(config: Config) -> dict[str, tuple[str, float]]:
    """Every way of finetuning: its rule and its step size."""
    tuned = config.finetuning
    start = {"sgd": tuned.sgd_rate, "adam": tuned.adam_rate}
    steps = [
        (choose("method", rule, start), start[rule] / 2**halving)
        for rule in tuned.methods
        for halving in range(config.halvings + 1)
    ]
    return {f"{rule}-{rate:g}": (rule, rate) for rule, rate in steps}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    from models.finetuning.adam import Adam
    from models.finetuning.sgd import Sgd

    process, rules = config.process.build(), {"sgd": Sgd, "adam": Adam}
    methods = {name: rules[rule](rate) for name, (rule, rate) in rates(config).items()}
    return replace(config.experiment(process, shared.arms(config, process)), methods=methods)


def draw(run: RunFolder) -> list[Path]:
    """The unexplained share against the step size, with the slopes that are expected."""
    from experiments.figures.swap import draw_swap
    from experiments.studies.figures.lazy_limit import draw_unexplained

    return [*draw_unexplained(run, rates(from_json(Config(), run.options))), *draw_swap(run)]
