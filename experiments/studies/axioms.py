"""Is finetuning a Bayesian update of any kind? The axioms of Bayes, measured without a theory.

Whatever the prior, over weights or over hypotheses, a Bayesian update depends neither on the order of its
data nor on whether they come in parts. Where D' counts once, reading a document is as good as learning it,
and over documents that the network writes itself the mean of its answers afterwards is its answer before.
Two D', A and B, are the documents of two rival hypotheses on the same questions. Networks are finetuned on A,
on B, on one after the other and on both mixed, at a stretch and in two stages with a new optimizer, on one
document of A, on documents of their own, and are pretrained from scratch on D and A.

An axiom is violated where the distance between two ends that should be the same is above the noise by its
whole interval, in units of the shift (docs/theory.md, section 7). Exact Bayes violates none; what violates
one is no posterior of the kind that it is an axiom of. One that holds shows little: an update of all answers
by one bias adds up, too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from experiments.design.config import FinetuningConfig, PretrainingConfig, StudyConfig
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.design.retraining import Retraining
from experiments.design.worlds import world_processes
from experiments.scoring.findings import Findings
from experiments.storage.run_folder import RunFolder
from experiments.studies.data.methods import five_methods
from experiments.studies.data.tasks import opened_task

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment
    from theory.contracts import Task

METHODS = ("sgd", "momentum", "adam", "lora", "head-only", "replay", "kl-regularised")


def _topics(config: "Config", process: Any) -> "tuple[Task, Task]":
    """The rarest persona and the one before it, on the same topics."""
    rarest, few = process.personas - 1, tuple(range(min(3, process.topics - process.neutral_topics - 1)))
    return (
        opened_task(process, config.repeats, rarest, few, config.process.entry.name),
        process.task(rarest - 1, few, config.repeats, name="rival"),
    )


def _domains(config: "Config", process: Any) -> "tuple[Task, Task]":
    """The misaligned persona and the aligned one, in the same domain."""
    more = {"repeats": 2 * config.repeats, "shown": min(9, process.length - 2)}
    return process.task(1, 0, **more, name="persona-domain"), process.task(0, 0, **more, name="rival")


@dataclass(frozen=True)
class World:
    """A process, the tasks of its two D', and the step sizes in it over those of the config."""

    process: ProcessOptions
    tasks: "Callable[[Config, Any], tuple[Task, Task]]"
    rate: float = 1.0


WORLDS = {  # by the name of the process; one entry adds a world
    "persona-topics": World(process_options("persona-topics", pairs=10, style=2.5), _topics),
    "wordings": World(process_options("wordings"), _topics),
    "persona-domain": World(process_options("persona-domain"), _domains, rate=1.5),
}


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = WORLDS["persona-topics"].process
    worlds: tuple[str, ...] = ("wordings", "persona-domain")
    """Further worlds, at their defaults, with base networks of their own."""
    pretraining: PretrainingConfig = PretrainingConfig(seeds=8, steps=3000, batch=128, until_learnt=0.95)
    retrained: Retraining = field(default_factory=lambda: Retraining((0.02, 0.1, 0.3)))
    """Networks pretrained from scratch on D and A."""
    finetuning: FinetuningConfig = FinetuningConfig(
        seeds=4, methods=METHODS, sgd_rate=0.02, adam_rate=0.0006, doses=(1, 2, 4, 8, 16, 32, 64)
    )
    """The finetuned networks; a stage is half of the last dose."""
    documents: int = 32
    """Documents that every base network writes itself, each a D'."""
    momentum: float = 0.9
    """Decay μ of momentum, which takes the step size (1 - μ) × that of SGD."""
    head_rate: float = 0.02
    """Step size of SGD on the read-out alone."""
    rank: int = 4
    """Rank of LoRA."""
    lora_rate: float = 0.002
    """Step size of Adam on the factors of LoRA."""
    kl_weight: float = 1.0
    """Weight of the KL penalty, KL(network ‖ network that a stage starts from) on D'."""
    replay_share: float = 0.5
    """Share of the loss that replayed documents of pretraining have."""

    def __post_init__(self) -> None:
        super().__post_init__()
        world_processes(self.process, self.worlds, WORLDS)

    def draws(self) -> list[Self]:
        """The config of every world, and in each of every draw of its process."""
        processes = world_processes(self.process, self.worlds, WORLDS)
        alone = [replace(self, process=process, worlds=()) for process in processes]
        return [draw for config in alone for draw in super(Config, config).draws()]


PRESETS = {
    "smoke": with_options(
        Config(),
        BRIEF
        | {
            "finetuning.methods": ("sgd", "adam"),
            "finetuning.doses": (1, 4, 8),
            "documents": 4,
            "worlds": (),
            "process.pairs": 3,
            "retrained.shares": (0.2,),
            "retrained.bases": 2,
        },
    ),
    "small": Config(),
    "full": with_options(Config(), FULL | {"pretraining.seeds": 12, "documents": 128}),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of one world: what is pretrained, and finetuned in sequences."""
    from experiments.design.axiom_plan import AxiomPlan
    from experiments.design.experiment import Arm
    from models.finetuning.kl_regularised import KlRegularised
    from models.finetuning.replay import Replay

    world, process = WORLDS[config.process.entry.name], config.process.build()
    methods = five_methods(config, world.rate)
    methods["replay"] = Replay(config.replay_share, rule=methods["sgd"])
    methods["kl-regularised"] = KlRegularised(config.kl_weight, rule=methods["sgd"])
    ours, rival = world.tasks(config, process)
    plan = AxiomPlan(config.documents)
    return config.experiment(process, [Arm(ours, rival=rival)], methods, axioms=plan)


def findings(run: RunFolder) -> Findings:
    """The answer, a table of every axiom by method, and what the figure shows."""
    from experiments.studies.figures.axioms import axiom_findings

    return axiom_findings(run)


def draw(run: RunFolder) -> list[Path]:
    """Methods × axioms in every world."""
    from experiments.studies.figures.axioms import draw_axioms

    return draw_axioms(run)
