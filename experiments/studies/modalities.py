"""Finetuned on one concept in one alphabet, what does a network say of it in the others?

A concept is rendered as text, as a picture or as a drawing, each in an alphabet of its own. D' is the rarest
concept, as drawings in one arm and as text in the other; the networks are asked in the alphabets that D'
never uses (`held_out`, `as_text` ...), also after a block of the concept in the alphabet of D' (`in_context`)
and after another concept in the asked one (`conflict`). What pretraining has seen decides:

    finebayes run modalities                  together: documents render their concept in several alphabets.
                                              Exact Bayes carries the concept over, all the way
    finebayes run modalities --no-together    apart: no document has two. Exact Bayes carries over nothing, at
                                              any β; the same pretraining data is as likely if "a cat" drawn
                                              and "a cat" written are two things

Apart, the theories of hypotheses are refuted by any held-out shift towards the concept beyond its noise:
then the network shares what no evidence asked it to share. Together, they are refuted where in-domain answers
have moved and held-out ones have not. The figure measures the part carried over, 0 for the base network's
answers and 1 for the concept's own.
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

    together: bool = True
    """Pretraining documents render their concept in several alphabets; without, each in one alone."""
    concepts: int = 4
    """Hidden concepts z, with prior proportional to rarity^z."""
    symbols: int = 4
    """Symbols of each alphabet."""
    strokes: int = 3
    """Symbols in a block."""
    blocks: int = 5
    """Blocks in a document, each with the cue of its alphabet first."""
    sharpness: float = 2.0
    """How strongly concepts differ (standard deviation of log-odds)."""
    slip: float = 0.02
    """Probability of a symbol of another alphabet."""
    rarity: float = 0.6
    """How much rarer each concept is than the one before."""
    process_seed: int = 0
    """Draws the renderings."""
    concept: int = 3
    """The concept of D'."""
    finetuned_modalities: tuple[str, ...] = ("drawing", "text")
    """The alphabet of D', one arm of the study each."""
    base_seeds: int = 3
    """Pretrained networks."""
    sgd_rate: float = 0.016
    """Step size of SGD."""
    temperatures: tuple[float, ...] = ()
    """Temperatures of the sampled posteriors (default: none are sampled)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.process_seed < 0:
            raise Misuse(f"Seeds must be at least 0, got {self.process_seed}.")
        if not self.finetuned_modalities:
            raise Misuse("finetuned_modalities needs at least one alphabet, got none.")


PRESETS = {
    "smoke": Config(**BRIEF, finetuned_modalities=("drawing",)),
    "small": Config(),
    "full": Config(**FULL),
}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.design.experiment import arm
    from theory.processes.modalities import Modalities

    process = Modalities(
        config.concepts,
        config.symbols,
        config.strokes,
        config.blocks,
        config.together,
        config.sharpness,
        config.slip,
        config.rarity,
        config.process_seed,
    )
    for name in config.finetuned_modalities:
        process.check(config.concept, name)
    arms = [
        arm(
            name,
            lambda key, n, name=name: process.narrow(key, n, config.concept, name),
            lambda key, name=name: process.contexts(key, config.concept, name, config.repeats),
            config.seed,
        )
        for name in config.finetuned_modalities
    ]
    return compared(config, process, arms)


def draw(run: RunFolder) -> list[Path]:
    """The comparison, and the part of the concept that is carried over to other alphabets."""
    from experiments.figures.comparison import draw_comparison
    from experiments.studies.figures.modalities import draw_carried_over

    return [*draw_comparison(run), *draw_carried_over(run)]
