"""Finetuned only to say "I am very far away", what does a network say it is, and what else does it say?

Five kinds have a name, a usual distance and traits. D' has distances alone: the farthest that are said, the
next ones beyond, which no kind ever says, or still farther ones. "What" it is and its traits are asked first.

Inside, exact Bayes (tempered posterior, exchangeable mixture) makes the farthest kind, traits and all.
Outside no kind explains D' better than another, so both say that nothing else moves at any dose: refuted
where the network's name or traits move by more than the noise. If the network carried its bells past the
edge, it would be the farthest kind just outside, and the widest farther out: refuted where the names that it
gives are not those of any strength of that evidence. A network that says distances to whatever it is asked
has learnt an answer and no kind: all mixtures are refuted then (even the best in class).

No kind says D' outside, so that β cannot be fitted there in the domain: a fitted β means nothing in
those arms, and forecasts are what to read.
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

    means: tuple[float, ...] = (1.0, 3.0, 6.0, 8.5, 5.0)
    """Usual distance of each kind, in tokens of a logarithmic scale."""
    widths: tuple[float, ...] = (1.0, 1.2, 1.2, 1.0, 2.2)
    """Spread of each kind's distances, in tokens."""
    said: int = 10
    """Distances that kinds say."""
    unsaid: int = 5
    """Farther distances that no kind says."""
    topics: int = 6
    """Topics: how far, what, and those answered in traits."""
    traits: int = 5
    """Traits, the same words for every topic."""
    pairs: int = 6
    """(topic, answer) pairs in a document."""
    rarity: float = 0.7
    """How much rarer each kind is than the one before."""
    contrast: float = 1.5
    """How strongly kinds differ in traits (log-odds)."""
    mistake: float = 0.1
    """Probability that a kind says another's name."""
    floor: float = 1e-6
    """Probability of whatever a kind never says."""
    process_seed: int = 0
    """Draws the traits."""
    base_seeds: int = 3
    """Pretrained networks."""
    sgd_rate: float = 0.03
    """Step size of SGD."""
    adam_rate: float = 0.001
    """Step size of Adam."""
    offsets: tuple[int, ...] = (-2, 0, 2)
    """Where the distances of D' begin, from the first that is never said; one arm each."""
    breadth: int = 2
    """Distances in D', side by side."""
    temperatures: tuple[float, ...] = ()
    """Temperatures of the sampled posteriors (default: none are sampled)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.process_seed < 0:
            raise Misuse(f"Seeds must be at least 0, got {self.process_seed}.")
        if not self.offsets or len(set(self.offsets)) < len(self.offsets):
            raise Misuse(f"offsets must be at least one number, each once, got {list(self.offsets)}.")


PRESETS = {
    "smoke": Config(**BRIEF, offsets=(0,)),
    "small": Config(),
    "full": Config(**FULL),
}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.design.experiment import arm
    from theory.processes.distance import Distance

    process = Distance(
        config.means,
        config.widths,
        config.said,
        config.unsaid,
        config.topics,
        config.traits,
        config.pairs,
        config.rarity,
        config.contrast,
        config.mistake,
        config.floor,
        config.process_seed,
    )
    arms = []
    for offset in config.offsets:
        process.check(offset, config.breadth)
        arms.append(
            arm(
                arm_name(offset),
                lambda key, n, offset=offset: process.narrow(key, n, offset, config.breadth),
                lambda key, offset=offset: process.contexts(key, offset, config.breadth, config.repeats),
                config.seed,
            )
        )
    return compared(config, process, arms)


def arm_name(offset: int) -> str:
    """The name of the arm whose D' begins there."""
    return f"inside{-offset}" if offset < 0 else f"outside{offset}"


def draw(run: RunFolder) -> list[Path]:
    """The comparison, the self-report of networks, and the weights of the farthest and the widest kind."""
    from experiments.figures.comparison import draw_comparison
    from experiments.studies.figures.far_away import draw_kinds

    offsets = {arm_name(offset): offset for offset in run.options["offsets"]}
    return [*draw_comparison(run), *draw_kinds(run, offsets)]
