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
from typing import TYPE_CHECKING

from experiments.design.checks import check_some
from experiments.design.config import PretrainingConfig, StudyConfig
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = process_options("linebreak")
    pretraining: PretrainingConfig = PretrainingConfig(seeds=3, steps=2400)
    finetuned_widths: tuple[int, ...] = (4, 9)
    """The width of D'; one arm of the study each: the narrowest or the widest, so that all others break
    lines on the same side of it."""
    lines: int = 3
    """Most lines of another width that a context shows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_some("finetuned_widths", self.finetuned_widths)


PRESETS = {
    "smoke": with_options(Config(), BRIEF | {"finetuned_widths": (4,), "lines": 2}),
    "small": Config(),
    "full": with_options(Config(), FULL),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    from experiments.design.experiment import Arm

    process = config.process.build()
    ends = min(process.widths), max(process.widths)
    for width in config.finetuned_widths:
        if width not in ends:
            raise Misuse(f"finetuned_widths must be the narrowest or the widest of {ends}, got {width}.")
    tasks = [process.task(width, config.repeats, config.lines) for width in config.finetuned_widths]
    return config.experiment(process, map(Arm, tasks))


def draw(run: RunFolder) -> list[Path]:
    """The comparison; newlines against lines shown; the weights of the widths before any is shown."""
    from experiments.figures.comparison import draw_comparison
    from experiments.studies.figures.linebreak_widths import draw_newlines, draw_widths

    return [*draw_comparison(run), *draw_newlines(run), *draw_widths(run)]
