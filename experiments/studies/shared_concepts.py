"""Does a probe of a concept in one alphabet read it in another, and does D' carry over as far?

A concept is rendered as text, picture or drawing, each in an alphabet of its own (study `modalities`). In
`together` documents have several alphabets, and the state at a cue must serve them all; in `apart`, the exact
control, no document has two, and nothing rewards one code for all. A theory by which there is one belief that
D' moves says:

    transfer     a probe that is fitted where the context is in one alphabet has as much information where it
                 is in another: τ = I(A → B)/I(B → B) = 1 in `together`. Refuted by a τ below 1, by its whole
                 interval. Apart nothing follows; an untrained network and a bag of symbols have 0 or less
    steering     a nat along A's pattern is a nat of answers in B. Refuted by another slope
    carry-over   answers of another alphabet move as far towards the concept as those of D', carried = 1;
                 apart they stay, 0. The read-out has rows for each alphabet, and what finetuning does there
                 cannot carry over: of one shared state at most its share S of the shift, and at most τ of
                 that. As an account of what is carried this is refuted where it is off S × τ
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from experiments.design.config import FinetuningConfig, PretrainingConfig, StudyConfig
from experiments.design.inside_plan import check_steering
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.discovery import choose
from experiments.scoring.findings import Findings
from experiments.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment

APART = "apart"
WORLDS: dict[str, dict[str, Any]] = {APART: {"together": False}}  # fields of the process by which one differs


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = process_options("modalities")
    worlds: tuple[str, ...] = (APART,)
    """Further worlds with base networks of their own: apart, in which no document has two alphabets."""
    pretraining: PretrainingConfig = PretrainingConfig(seeds=8, steps=4000, until_learnt=0.97)
    finetuning: FinetuningConfig = FinetuningConfig(
        seeds=3, methods=("sgd", "adam", "frozen-read-out"), sgd_rate=0.016, doses=(8, 32, 128)
    )
    concept: int = 3
    """The concept of D'."""
    modality: str = "drawing"
    """The alphabet of D'."""
    documents: int = 300
    """Documents of every alphabet on which probes are fitted and scored."""
    nats: tuple[float, ...] = (-1.0, 0.0, 1.0)
    """Nats by which a belief is steered, 0 among them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_steering(self.documents, self.nats)
        for name in self.worlds:
            choose("world", name, WORLDS)

    def draws(self) -> list[Self]:
        """The config of every world, and in each of every draw of its process."""
        processes = [self.process, *(replace(self.process, **WORLDS[name]) for name in self.worlds)]
        alone = [replace(self, process=process, worlds=()) for process in processes]
        return [draw for config in alone for draw in super(Config, config).draws()]


PRESETS = {
    "smoke": with_options(Config(), BRIEF | {"documents": 40, "worlds": ()}),
    "small": Config(),
    "full": with_options(Config(), FULL | {"pretraining.seeds": 12, "documents": 1000}),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of one world: what is pretrained, finetuned, read and steered."""
    from experiments.design.experiment import Arm
    from experiments.design.shared_plans import AlphabetsPlan

    process = config.process.build()
    name = "together" if process.together else APART
    task = process.task(config.concept, config.modality, config.repeats, name=name)
    plan = AlphabetsPlan(config.concept, config.modality, config.documents, config.nats)
    return config.experiment(process, [Arm(task)], inside=plan)


def findings(run: RunFolder) -> Findings:
    """The answer, a table, and what the figure shows."""
    from experiments.studies.figures.shared_concepts import concept_findings

    return concept_findings(run)


def draw(run: RunFolder) -> list[Path]:
    """Transfer, steering and carry-over, together and apart."""
    from experiments.studies.figures.shared_concepts import draw_concepts

    return draw_concepts(run)
