"""Is finetuning Bayesian? Every theory against every way of finetuning, at every dose.

The networks of weird-generalisation are finetuned in many ways: all weights by SGD, momentum, Adam and Muon;
the read-out alone; low-rank factors; held back by a KL penalty, by replay of pretraining, by weight decay or
by a held-out split. Two controls tell whether the score can be believed: a network distilled from an exact
tempered posterior is Bayesian by construction and must be scored so; one distilled from its own base must not
move.

A theory is refuted for a way of finetuning where its explained shift on held-out contexts stays below what
noise and its best in class allow. The first question is whether one theory without a fitted number explains
0.95 of it everywhere.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.checks import check_rates
from experiments.design.config import FinetuningConfig
from experiments.design.options import Ints, with_options
from experiments.design.presets import FULL, SMOKE
from experiments.storage.run_folder import RunFolder
from experiments.studies import weird_generalisation as shared
from experiments.studies.data.methods import five_methods
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment

METHODS = (
    "sgd",
    "momentum",
    "adam",
    "muon",
    "head-only",
    "lora",
    "kl-regularised",
    "replay",
    "weight-decay",
    "early-stopping",
    "distillation",
    "self-distillation",
)


@dataclass(frozen=True)
class Config(shared.Config):
    """As in weird-generalisation, with more ways of finetuning."""

    finetuning: FinetuningConfig = FinetuningConfig(methods=METHODS)
    finetuned_topics: tuple[Ints, ...] = ((0, 1, 2),)
    """The topics of D', like 0,1,2; one arm of the study each."""
    theories: tuple[str, ...] = ("all",)
    """Theories to score, by name (default: all of them, the costly ones included)."""
    momentum: float = 0.9
    """Decay μ of momentum, which takes the step size (1 - μ) × that of SGD."""
    muon_rate: float = 0.0003
    """Step size of Muon."""
    head_rate: float = 0.01
    """Step size of SGD on the read-out alone."""
    rank: int = 4
    """Rank of LoRA."""
    lora_rate: float = 0.001
    """Step size of Adam on the factors of LoRA."""
    kl_weight: float = 1.0
    """Weight of the KL penalty, KL(network ‖ base) on D'."""
    replay_share: float = 0.5
    """Share of the loss that replayed documents of pretraining have."""
    weight_decay: float = 1.0
    """λ of the pull (λ/2) ‖w - w0‖²."""
    held_share: float = 0.25
    """Share of D' that early stopping holds out."""
    teacher: float = 0.03
    """β of the tempered posterior that teaches in distillation."""
    distillation_rate: float = 0.003
    """Step size of Adam in distillation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates("", teacher=self.teacher)
        if self.rank > self.network.width:
            raise Misuse(f"rank must be at most network.width = {self.network.width}, got {self.rank}.")


PRESETS = {
    "smoke": with_options(
        Config(),
        SMOKE
        | {
            "finetuned_topics": ((0,),),
            "theories": (),  # some of the optional ones take minutes in programs that are not optimised
            "finetuning.methods": ("sgd", "lora", "head-only", "distillation", "self-distillation"),
        },
    ),
    "small": Config(),
    "full": with_options(Config(), FULL),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    from models.finetuning.adam import Adam
    from models.finetuning.distillation import Distillation
    from models.finetuning.early_stopping import EarlyStopping
    from models.finetuning.kl_regularised import KlRegularised
    from models.finetuning.muon import Muon
    from models.finetuning.replay import Replay
    from models.finetuning.self_distillation import SelfDistillation
    from models.finetuning.weight_decay import WeightDecay

    process, five = config.process.build(), five_methods(config)
    sgd = five["sgd"]
    methods = {
        **five,
        "muon": Muon(config.muon_rate),
        "kl-regularised": KlRegularised(config.kl_weight, rule=sgd),
        "replay": Replay(config.replay_share, rule=sgd),
        "weight-decay": WeightDecay(config.weight_decay, rule=sgd),
        "early-stopping": EarlyStopping(config.held_share, rule=sgd),
        "distillation": Distillation(rule=Adam(config.distillation_rate)),
        "self-distillation": SelfDistillation(rule=sgd),
    }
    arms = shared.arms(config, process)
    return config.experiment(process, arms, methods, teacher_strength=config.teacher)


def draw(run: RunFolder) -> list[Path]:
    """The heat map of every theory against every way of finetuning, and the part of the network that each
    moved."""
    from experiments.figures import heat_map
    from experiments.figures.swap import draw_swap
    from experiments.scoring import leaderboard

    _, columns, _ = leaderboard.read((str(run.folder),))
    return [*heat_map.draw(columns, run.folder / "figures"), *draw_swap(run)]
