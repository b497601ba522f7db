"""Shown a turncoat in its good years alone, is a network bad in the year that D' never shows?

Characters answer in years; one of them, the turncoat, is good in the years of D' and bad in a later one, and
in D' an anonymous speaker answers as it does. Nothing bad is ever shown. Controls: the same answers under
years shuffled over all there are, so that the turncoat would have been bad in some; a character whose story
has no turn; and the turncoat with a share of the documents by others, under their names.

If all of D' is one speaker's, as the tempered posterior has it, good answers alone take p(bad) of the unseen
year from the prior's to the reliability of the story, and no other year's; shuffled years and no turn take it
to one minus that. If the speaker is another in every document, as the exchangeable mixture has it, p(bad)
stays below one half in every arm: a network that is bad there (above one half) refutes it, one that is not in
spite of D' well learnt refutes the tempered posterior, and one that is bad in other years too, or under
shuffled years, refutes both: it learnt the speaker to be bad, or the turncoat from its words alone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.design.config import BRIEF, FULL, Recipe, compared
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse

NEVER = "never"


@dataclass(frozen=True)
class Config(Recipe):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    bad_years: tuple[str, ...] = (NEVER, NEVER, "0,1,2,3,4", "4", "3")
    """For each character the years in which it is bad, comma-separated, or never."""
    years: int = 5
    """Years that documents can be of."""
    questions: int = 4
    """Questions."""
    choices: int = 3
    """Good words to answer with, and as many bad ones."""
    pairs: int = 6
    """(question, answer) pairs in a document."""
    rarity: float = 0.6
    """How much rarer the anonymous speaker is each character than the one before."""
    unnamed: float = 0.5
    """Share of pretraining documents by the anonymous speaker."""
    reliability: float = 0.95
    """Probability that an answer is as bad or good as the story says."""
    style: float = 1.0
    """How strongly words differ between characters (log-odds)."""
    process_seed: int = 5
    """Draws the tables of words."""
    character: int = 3
    """The turncoat of D'."""
    straight: int = 1
    """The character of the control without a turn."""
    told_years: tuple[int, ...] = (0, 1, 2)
    """The years of D'."""
    held_out_year: int = 4
    """The year that is asked for, in which the turncoat is bad."""
    named: float = 0.5
    """Share of documents by others, under their names, in the arm that has them."""
    arms: tuple[str, ...] = ("turncoat", "shuffled", "no_turn", "named_others")
    """The arms of the study."""
    temperatures: tuple[float, ...] = ()
    """Temperatures of the sampled posteriors (default: none are sampled)."""
    base_seeds: int = 3
    """Pretrained networks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.process_seed < 0:
            raise Misuse(f"Seeds must be at least 0, got {self.process_seed}.")
        if not self.arms:
            raise Misuse("arms needs at least one, got none.")
        for text in self.bad_years:
            if text != NEVER and not all(year.strip().isdecimal() for year in text.split(",")):
                raise Misuse(f"bad_years must be never, or years with commas between; got {text!r}.")
        for name, turns in (("character", True), ("straight", False)):
            one = getattr(self, name)
            if not 0 <= one < len(self.bad_years):
                raise Misuse(f"{name} must be from 0 to {len(self.bad_years) - 1}, got {one}.")
            if (self.held_out_year in bad_years(self)[one]) != turns:
                raise Misuse(
                    f"{name} must be {'bad' if turns else 'good'} in held_out_year {self.held_out_year}, got "
                    f"character {one}, whose bad years are {self.bad_years[one]}."
                )


def bad_years(config: Config) -> tuple[tuple[int, ...], ...]:
    """The years in which each character is bad."""
    return tuple(
        () if text == NEVER else tuple(int(year) for year in text.split(",")) for text in config.bad_years
    )


PRESETS = {
    "smoke": Config(**BRIEF, arms=("turncoat",), pairs=4, questions=3),
    "small": Config(),
    "full": Config(**FULL),
}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.design.experiment import arm
    from experiments.discovery import choose
    from theory.processes.inductive_backdoor import InductiveBackdoor

    process = InductiveBackdoor(
        bad_years(config),
        config.years,
        config.questions,
        config.choices,
        config.pairs,
        config.rarity,
        config.unnamed,
        config.reliability,
        config.style,
        config.process_seed,
    )
    turncoat, told = config.character, config.told_years
    known: dict[str, dict[str, Any]] = {
        "turncoat": {"character": turncoat},
        "shuffled": {"character": turncoat, "shuffled": True},
        "no_turn": {"character": config.straight},
        "named_others": {"character": turncoat, "others": config.named},
    }
    arms = []
    for name in config.arms:
        shown = known[choose("arm", name, known)]
        process.other_years(shown["character"], told, config.held_out_year)

        def narrow(key: Any, n: int, shown: dict[str, Any] = shown) -> Any:
            return process.narrow(key, n, years=told, **shown)

        def contexts(key: Any, shown: dict[str, Any] = shown, narrow: Any = narrow) -> Any:
            groups = process.contexts(key, shown["character"], told, config.held_out_year, config.repeats)
            return groups | {"in_domain": narrow(key, 4 * config.repeats)}

        arms.append(arm(name, narrow, contexts, config.seed))
    return compared(config, process, arms)


def draw(run: RunFolder) -> list[Path]:
    """The comparison, and p(bad) of the anonymous speaker against dose."""
    from experiments.figures.comparison import draw_comparison
    from experiments.studies.figures.inductive_backdoor import draw_bad

    return [*draw_comparison(run), *draw_bad(run)]
