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
from typing import Any

from experiments.design.config import BRIEF, FULL, Recipe, compared
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse


@dataclass(frozen=True)
class Config(Recipe):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    family: str = "mess3"
    """The family: mess3, rrxor, zero_one_random, golden_mean or even."""
    settings: tuple[str, ...] = ("0.05,0.85", "0.15,0.6", "0.45,0.9")
    """Settings that pretraining has (the family's parameters, comma-separated), the commonest first."""
    length: int = 20
    """Tokens of a document."""
    rarity: float = 0.6
    """How much rarer each setting is than the one before."""
    slip: float = 0.0
    """Probability that a token is drawn at random; above 0 for families that never show some tokens."""
    finetuned_settings: tuple[str, ...] = ("0.45,0.9", "0.15,0.6", "0.3,0.8")
    """The setting of D', of pretraining's or another, one arm of the study each."""
    base_seeds: int = 3
    """Pretrained networks."""
    repeats: int = 16
    """Documents for each setting that contexts are taken of."""
    temperatures: tuple[float, ...] = ()
    """Temperatures of the sampled posteriors (default: none are sampled)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.finetuned_settings:
            raise Misuse("finetuned_settings needs at least one setting, got none.")
        for text in (*self.settings, *self.finetuned_settings):
            numbers(text)


def numbers(text: str) -> tuple[float, ...]:
    """The parameters of a setting."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise Misuse(
            f"A setting must be numbers with commas between, such as 0.05,0.85; got {text!r}."
        ) from None


PRESETS = {
    "smoke": Config(**BRIEF, finetuned_settings=("0.45,0.9",), length=12),
    "small": Config(),
    "full": Config(**{**FULL, "repeats": 32}),
}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.design.experiment import arm
    from theory.processes.mess3 import BeliefGeometry

    settings = tuple(numbers(text) for text in config.settings)
    process = BeliefGeometry(config.family, settings, config.length, config.rarity, config.slip)
    if process.rules_out():
        raise Misuse(
            f"A process of {config.family} never shows some tokens, from which every network is ∞ nats away; "
            f"got slip = {config.slip:g}: set it above 0, such as --slip 0.01."
        )
    arms = []
    for text in config.finetuned_settings:
        process.check(numbers(text))
        arms.append(
            arm(
                text.replace(",", "_"),
                lambda key, n, text=text: process.narrow(key, n, numbers(text)),
                lambda key, text=text: process.contexts(key, numbers(text), config.repeats),
                config.seed,
            )
        )
    return compared(config, process, arms)


def draw(run: RunFolder) -> list[Path]:
    """The comparison; weights of the settings; the states that answers keep."""
    from experiments.figures.comparison import draw_comparison
    from experiments.figures.mixture_weights import draw_beliefs
    from experiments.studies.figures.belief_geometry import draw_recovered, draw_states

    components = {text: (index,) for index, text in enumerate(run.options["settings"])}
    return [
        *draw_comparison(run),
        *draw_states(run),
        *draw_recovered(run),
        *draw_beliefs(run, components, "early", "beliefs-early"),
        *draw_beliefs(run, components, "held_out", "beliefs-held-out"),
    ]
