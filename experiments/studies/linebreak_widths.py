"""Finetuned on one narrow line width, what does a network do at other widths that its context shows?

Documents are wrapped at a hidden width. D' has the rarest and narrowest one; the control has the widest. The
contexts are of the other widths, asked where these and D's disagree on a newline: in the first line, which
shows no width yet (`first_line`), and after one, two or three lines (`lines_1` ...).

    one width for all of D' (tempered):     log-odds = prior + β n E - e lines:  lines ∝ dose to undo it
    a width a document (exchangeable):      odds (κ π0 + β n) / κ π0:            lines ∝ log dose, one or two

The tempered posterior is refuted where a network whose first lines are D's takes up the width that the
context shows; the exchangeable mixture where it keeps D's after three lines; the paths (geometric, linear)
where the share of D' in its answers changes with the lines shown. If the narrow and the wide D' differ in
this, what was learnt is a habit of breaking lines and no belief about the width.
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

    widths: tuple[int, ...] = (7, 5, 9, 4)
    """Hidden line widths, in characters, the commonest first."""
    lengths: tuple[int, ...] = (1, 2, 3, 4)
    """Characters of the words, space included."""
    length: int = 20
    """Tokens of a document."""
    noise: float = 0.05
    """Probability that a line is not broken as its width says."""
    rarity: float = 0.6
    """How much rarer each width is than the one before."""
    finetuned_widths: tuple[int, ...] = (4, 9)
    """The width of D', one arm of the study each: the narrowest or the widest, so that all others break
    lines on the same side of it."""
    lines: int = 3
    """Most lines of another width that a context shows."""
    pretraining_steps: int = 2400
    """Steps of pretraining."""
    base_seeds: int = 3
    """Pretrained networks."""
    temperatures: tuple[float, ...] = ()
    """Temperatures of the sampled posteriors (default: none are sampled)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.finetuned_widths:
            raise Misuse("finetuned_widths needs at least one width, got none.")
        for width in self.finetuned_widths:
            if width not in (ends := (min(self.widths), max(self.widths))):
                raise Misuse(f"finetuned_widths must be the narrowest or the widest of {ends}, got {width}.")


PRESETS = {
    "smoke": Config(**BRIEF, finetuned_widths=(4,), lines=2),
    "small": Config(),
    "full": Config(**FULL),
}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.design.experiment import arm
    from theory.processes.linebreak import LineBreak

    process = LineBreak(config.widths, config.lengths, config.length, config.noise, config.rarity)
    arms = [
        arm(
            f"width{width}",
            lambda key, n, width=width: process.narrow(key, n, width),
            lambda key, width=width: process.contexts(key, width, config.repeats, config.lines),
            config.seed,
        )
        for width in config.finetuned_widths
    ]
    return compared(config, process, arms)


def draw(run: RunFolder) -> list[Path]:
    """The comparison; newlines against lines shown; the weights of the widths before any is shown."""
    from experiments.figures.comparison import draw_comparison
    from experiments.studies.figures.linebreak_widths import draw_newlines, draw_widths

    return [*draw_comparison(run), *draw_newlines(run), *draw_widths(run)]
