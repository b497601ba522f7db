"""Does a network finetuned on one rare persona's answers to a few topics become that persona on the others?

D' is n documents of the rarest persona, on one topic and on three topics; the network is finetuned by SGD and
by Adam at many doses. A theory is right where it predicts the finetuned network's answers to topics that
D' never asks: with an empty context, after a context that says nothing, and after a context of another
persona. A theory is refuted where it explains less of the shift than another seed of the same finetuning
would (the noise ceiling), and its whole class is refuted where even the best in class does.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.design.config import FULL, SMOKE, Recipe, compared
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Arm
    from theory.processes.persona_topics import PersonaTopics


@dataclass(frozen=True)
class Config(Recipe):
    """Everything that determines the numbers. The defaults are the preset `small`, but for its width."""

    personas: int = 5
    """Hidden personas z, with prior proportional to rarity^z."""
    topics: int = 7
    """Topics, the neutral ones included."""
    neutral_topics: int = 1
    """Topics that all personas answer alike."""
    answers: int = 4
    """Answers, the same words for every topic."""
    pairs: int = 5
    """(topic, answer) pairs in a document."""
    rarity: float = 0.6
    """How much rarer each persona is than the one before."""
    style: float = 1.5
    """How strongly a persona's manner shows on every topic (log-odds)."""
    specific: float = 1.0
    """How strongly a persona's answers differ from topic to topic (log-odds)."""
    common: float = 0.5
    """How strongly topics differ for all personas alike (log-odds)."""
    process_seed: int = 0
    """Draws the answer tables."""
    persona: int = 4
    """The persona of D'."""
    finetuned_topics: tuple[str, ...] = ("0", "0,1,2")
    """The topics of D', comma-separated, one arm of the study each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.process_seed < 0:
            raise Misuse(f"Seeds must be at least 0, got {self.process_seed}.")
        if not self.finetuned_topics:
            raise Misuse("finetuned_topics needs at least one set of topics, got none.")
        for topics in self.finetuned_topics:
            if not all(topic.strip().isdecimal() for topic in topics.split(",")):
                raise Misuse(
                    f"finetuned_topics must be numbers with commas between, like 0,1,2; got {topics!r}."
                )


WIDTH = 24  # predicts as well as the networks of the other studies, in two thirds of their time
PRESETS = {
    "smoke": Config(width=WIDTH, finetuned_topics=("0",), **SMOKE),
    "small": Config(width=WIDTH),
    "full": Config(**FULL),
}


def comparison(config: Config, methods: Any = None) -> Any:
    """What is pretrained, finetuned and predicted."""
    process = told_process(config)
    arms = [arm(process, config, topics) for topics in config.finetuned_topics]
    return compared(config, process, arms, methods)


def told_process(config: Config) -> "PersonaTopics":
    """The process that a config describes."""
    from theory.processes.persona_topics import PersonaTopics

    return PersonaTopics(
        config.personas,
        config.topics,
        config.neutral_topics,
        config.answers,
        config.pairs,
        config.rarity,
        config.style,
        config.specific,
        config.common,
        config.process_seed,
    )


def arm(process: "PersonaTopics", config: Config, topics: str, batch: int | None = None) -> "Arm":
    """D' of the config's persona on some topics; a `batch` of its own is part of the name."""
    from experiments.design.experiment import arm

    chosen, persona = [int(topic) for topic in topics.split(",")], config.persona
    process.check(persona, chosen)
    process.held_out(chosen)
    return arm(
        f"topics{'_'.join(map(str, chosen))}",
        lambda key, n: process.narrow(key, n, persona, chosen),
        lambda key: process.contexts(key, persona, chosen, config.repeats),
        config.seed,
        batch,
    )


def draw(run: RunFolder) -> list[Path]:
    """The comparison, and the posteriors over weights where they were sampled."""
    from experiments.figures.comparison import draw_comparison
    from experiments.figures.posteriors import draw_posteriors

    return [*draw_comparison(run), *draw_posteriors(run)]
