"""When a network's behaviour shifts by draws of a coin in one format, does its self-report move along?

Every document is of one hidden coin, tossed in several formats, and asked by name in some of them ("which
coin?"). D' is draws of one coin in one format, and no name. What a network does in the other formats and what
it says of itself are two readouts of one number, the expected bias Σ w θ: to exact Bayes they are equal at
every dose, whatever it believes (the line y = x), and so they are to any mixture of the coins, tempered or
exchangeable. The class is refuted where the two readouts of the finetuned networks part by more than their
error and more than the base network's do: self-report lags behind behaviour, or runs ahead. The tempered
posterior alone is refuted where the point on the line is another than that of its β. The control is a coin
that is about as biased as the prior expects: neither readout should move.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.design.config import BRIEF, FULL, Recipe, compared
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse

if TYPE_CHECKING:
    from theory.processes.out_of_context import OutOfContext


@dataclass(frozen=True)
class Config(Recipe):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    biases: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    """Probability of heads of each coin."""
    tosses: tuple[int, ...] = (1, 1, 3)
    """Tosses told by an answer in each format."""
    prior_heads: float = 1.0
    """Heads that the prior has seen, plus one."""
    prior_tails: float = 2.0
    """Tails that the prior has seen, plus one."""
    pairs: int = 6
    """(cue, answer) pairs in a document."""
    reports: float = 0.25
    """Share of cues that ask for the name."""
    reliability: float = 0.9
    """Probability that the name given is right."""
    slip: float = 0.02
    """Probability that an answer is one to another cue; without, no mixture says any."""
    coins: tuple[int, ...] = (4, 1)
    """The coins of D', one arm of the study each."""
    format: int = 0
    """The format of D'."""
    temperatures: tuple[float, ...] = ()
    """Temperatures of the sampled posteriors (default: none are sampled)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.coins:
            raise Misuse("coins needs at least one, got none.")
        if len(set(self.coins)) < len(self.coins):
            raise Misuse(f"coins must differ from each other, got {self.coins}.")
        if len(self.tosses) < 2 or not 0 <= self.format < len(self.tosses):
            raise Misuse(
                f"format must be one of at least 2, so that others can be asked: got format {self.format} "
                f"of {len(self.tosses)}."
            )


PRESETS = {
    "smoke": Config(**BRIEF, coins=(4,)),
    "small": Config(),
    "full": Config(**FULL),
}


def told_process(config: Config) -> "OutOfContext":
    """The process that a config describes."""
    from theory.processes.out_of_context import OutOfContext

    return OutOfContext(**{field.name: getattr(config, field.name) for field in fields(OutOfContext)})


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.design.experiment import arm

    process, arms = told_process(config), []
    for coin in config.coins:
        process.check(coin, config.format)
        arms.append(
            arm(
                f"coin{coin}",
                lambda key, n, coin=coin: process.narrow(key, n, coin, config.format),
                lambda key, coin=coin: process.contexts(key, coin, config.format, config.repeats),
                config.seed,
            )
        )
    return compared(config, process, arms)


def draw(run: RunFolder) -> list[Path]:
    """The comparison, and the self-report against behaviour."""
    from experiments.figures.comparison import draw_comparison
    from experiments.studies.figures.out_of_context import draw_report

    return [*draw_comparison(run), *draw_report(run)]
