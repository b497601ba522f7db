"""Shown a turncoat in its good years alone, is a network bad in the year that D' never shows?

Characters answer in years; one of them, the turncoat, is good in the years of D' and bad in a later one, and
in D' an anonymous speaker answers as it does. Nothing bad is ever shown. Controls: the same answers under
years shuffled over all there are, so that the turncoat would have been bad in some; a character whose story
has no turn; and the turncoat with a share of the documents by others, under their names.

If all of D' is one speaker's, as the tempered posterior has it, good answers alone take p(bad) of the unseen
year from the prior's to the reliability of the story, and no other year's; shuffled years and no turn take it
to one minus that. If the speaker is another in every document, as the exchangeable mixture has it, its
weights end where D' is most likely: p(bad) is as high with the turncoat's D' and as low with no turn. Under
shuffled years documents of the turncoat's bad year are others', most of the rest its own, and p(bad) ends
above one half. So a network that is not bad (above one half) in the unseen year, the turncoat's D' well
learnt, refutes both, and so does one that is bad in other years too: it learnt the speaker to be bad. Under
shuffled years a bad one refutes the tempered posterior, one that is not the exchangeable mixture.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.design.checks import check_some
from experiments.design.config import PretrainingConfig, StudyConfig
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.discovery import choose
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = process_options("inductive-backdoor")
    pretraining: PretrainingConfig = PretrainingConfig(seeds=3)
    character: int = 3
    """The turncoat of D'."""
    straight: int = 1
    """The character of the control without a turn."""
    finetuned_years: tuple[int, ...] = (0, 1, 2)
    """The years of D'."""
    held_out_year: int = 4
    """The year that is asked for, in which the turncoat is bad."""
    named: float = 0.5
    """Share of documents by others, under their names, in the arm that has them."""
    arms: tuple[str, ...] = ("turncoat", "shuffled", "no_turn", "named_others")
    """The arms of the study."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_some("arms", self.arms)
        if not 0 <= self.named < 1:
            raise Misuse(f"named must be at least 0 and below 1, got {self.named}: it is a share.")


PRESETS = {
    "smoke": with_options(
        Config(), BRIEF | {"arms": ("turncoat",), "process.pairs": 4, "process.questions": 3}
    ),
    "small": Config(),
    "full": with_options(Config(), FULL),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    from experiments.design.experiment import Arm

    process = config.process.build()
    for name, turns in (("character", True), ("straight", False)):
        character = getattr(config, name)
        if not 0 <= character < len(process.bad_years):
            raise Misuse(f"{name} must be from 0 to {len(process.bad_years) - 1}, got {character}.")
        years = process.bad_years[character]
        if (config.held_out_year in years) != turns:
            raise Misuse(
                f"{name} must be {'bad' if turns else 'good'} in held_out_year {config.held_out_year}, got "
                f"character {character}, whose bad years are {', '.join(map(str, years)) or 'none'}."
            )
    variants: dict[str, dict[str, Any]] = {
        "turncoat": {"character": config.character},
        "shuffled": {"character": config.character, "shuffled": True},
        "no_turn": {"character": config.straight},
        "named_others": {"character": config.character, "others": config.named},
    }
    tasks = [
        process.task(
            **variants[choose("arm", name, variants)],
            years=config.finetuned_years,
            held_out=config.held_out_year,
            repeats=config.repeats,
            name=name,
        )
        for name in config.arms
    ]
    return config.experiment(process, map(Arm, tasks))


def draw(run: RunFolder) -> list[Path]:
    """The comparison, and p(bad) of the anonymous speaker against dose."""
    from experiments.figures.comparison import draw_comparison
    from experiments.studies.figures.inductive_backdoor import draw_bad

    return [*draw_comparison(run), *draw_bad(run)]
