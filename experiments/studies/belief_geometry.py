"""Finetuned to one hidden Markov process of a family, does a network still track the others' states?

Documents are of a Mess3 process at one of a few settings, which the context shows. D' is of one setting: a
rare one, a common one, and one that pretraining never had. The contexts are of the other settings: their
second half, which shows the setting (`held_out`); their first tokens, which hardly do (`early`); documents
that turn to D's process half-way (`switch`).

Within a setting D' says nothing of the filter: under every Bayesian theory the mixed states stay as they
are, and D' moves the belief about the setting alone. If all of D' had one setting, as the tempered posterior
has it, contexts of others are read by D's filter however clearly they show their own; if every document has
its own, as the exchangeable mixture has it, `early` moves and `held_out` hardly does. The tempered posterior
is refuted by networks that keep to the setting shown, the exchangeable mixture by networks whose `held_out`
moves as far as `early`, and all mixtures of settings by a D' that none of them can write (the third), by a
low best in class, or where the states of the setting shown are lost (no affine map of the answers restores
them).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.checks import check_some
from experiments.design.config import PretrainingConfig, StudyConfig
from experiments.design.options import Floats, ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = process_options("mess3")
    pretraining: PretrainingConfig = PretrainingConfig(seeds=3)
    finetuned_settings: tuple[Floats, ...] = ((0.45, 0.9), (0.15, 0.6), (0.3, 0.8))
    """The setting of D', like 0.45,0.9, of pretraining's or another; one arm of the study each."""
    repeats: int = 16
    """Documents for each setting that contexts are taken of."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_some("finetuned_settings", self.finetuned_settings)


PRESETS = {
    "smoke": with_options(Config(), BRIEF | {"finetuned_settings": ((0.45, 0.9),), "process.length": 12}),
    "small": Config(),
    "full": with_options(Config(), FULL | {"repeats": 32}),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    from experiments.design.experiment import Arm

    process = config.process.build()
    if process.rules_out():
        raise Misuse(
            f"A process of {process.family} never shows some tokens, from which every network is ∞ nats "
            f"away; got process.slip = {process.slip:g}: set it above 0, such as --process.slip 0.01."
        )
    tasks = [process.task(setting, config.repeats) for setting in config.finetuned_settings]
    return config.experiment(process, map(Arm, tasks))


def draw(run: RunFolder) -> list[Path]:
    """The comparison; weights of the settings; the states that answers keep."""
    from experiments.figures.comparison import draw_comparison
    from experiments.figures.mixture_weights import draw_beliefs
    from experiments.studies.figures.belief_geometry import draw_recovered, draw_states

    settings = run.options["process"]["settings"]
    components = {",".join(map(str, setting)): (index,) for index, setting in enumerate(settings)}
    return [
        *draw_comparison(run),
        *draw_states(run),
        *draw_recovered(run),
        *draw_beliefs(run, components, "early", "beliefs-early"),
        *draw_beliefs(run, components, "held_out", "beliefs-held-out"),
    ]
