"""Does a description give a good probe of what a network is about to do, without an example of it?

An event A of the next m tokens is described in words ("newline within 3"). A network draws its tokens
outside itself, so its own p(A | x), a sum over its continuations, is all that anything in it can know of A.
Probes of its stream are fitted in seven regimes (models.probing.labels), with 2^6 ... 2^14 labels, by both
links, and judged on what the network writes itself: excess log loss over the entropy of p(A), calibration,
AUC beside its ceiling. Stated beforehand, with 0.01 nats for nothing:

    description   no label is needed: the probe of the exact process is as good as exact labels of the
                  network. Refuted where it is more than 0.01 nats worse
    policy        in base networks labels of the process's text are as good as those of the network's own.
                  Refuted by a difference beyond 0.01 nats
    detection     a probe of what has just come reads the situation, not the action: it is worse than the bag
                  of tokens at the longest horizon. Refuted where it is better
    plan          streams tell of p(A) what the exact mixed state does not. No prediction; without it,
                  nothing was shown to be a plan rather than a place
    old probe     under an account by which finetuning moves a belief, the base network's probe follows the
                  moves of p(A), context by context: a slope of 1. Refuted by one below 0.9 or above 1.1. It
                  is 0 where the read-out alone is finetuned, exactly
    shift         labels of the process's text are worse than those of the finetuned network's own by an
                  amount that grows with 1 - S, S the state share. Refuted where it does not grow
    steering      patterns steer more like exact conditioning than filters; means of detection less than
                  means of the action. Refuted where the scores are the other way round
    baselines     beside the information of streams stand outputs and their cubes, an untrained network, the
                  tokens, shuffled documents, and the chance of A by a process of settings that pretraining
                  never had. Nothing is shown to be inside where streams are below any of the first four, or
                  tell as much of the foreign chance
    link          p(A) is linear in belief: a probability code reads better by the probability link, a
                  log-odds code by the log-odds link. No prediction

A process of the user's own becomes a world by an entry in WORLDS.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from experiments.design.config import FinetuningConfig, PretrainingConfig, StudyConfig
from experiments.design.motor_plan import check_labels
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.design.worlds import world_processes
from experiments.scoring.findings import Findings
from experiments.storage.run_folder import RunFolder
from experiments.studies.inside_beliefs import WORLDS as BELIEFS

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment
    from theory.contracts import Task


@dataclass(frozen=True)
class World:
    """A process, D' of it, the events, by horizon, the hypothesis that is the other writer, neither the
    commonest nor that of D', and the fields by which a process of settings that pretraining never had
    differs."""

    process: ProcessOptions
    task: "Callable[[Config, Any], Task]"
    events: tuple[str, ...]
    writer: int
    foreign: dict[str, Any]


def _width(config: "Config", process: Any) -> "Task":
    """The narrowest width."""
    return process.task(None, 2 * config.repeats, name="linebreak")


def _setting(config: "Config", process: Any) -> "Task":
    """The rarest setting."""
    return process.task(None, 2 * config.repeats, name=process.family.replace("_", "-"))


def _persona(config: "Config", process: Any) -> "Task":
    """The misaligned persona in the first domain."""
    shown = min(9, process.length - 2)
    return process.task(1, 0, repeats=3 * config.repeats, shown=shown, name="persona-domain")


WORLDS = {  # by the name of the process; one entry adds a world
    "linebreak": World(
        process_options("linebreak"),
        _width,
        ("newline next", "newline within 2", "newline within 3"),
        writer=2,
        foreign={"widths": (6, 8, 10)},
    ),
    "mess3": World(
        process_options("mess3", family="rrxor", settings=((0.5, 0.5), (0.8, 0.3), (0.25, 0.8)), slip=0.05),
        _setting,
        ("1 next", "1 within 2", "1 within 3", "1 within 4"),
        writer=1,
        foreign=BELIEFS["mess3"].foreign,
    ),
    "persona-domain": World(
        process_options("persona-domain", correlation=0.3),
        _persona,
        ("mark 1 | * next", "mark 1 | * within 2"),
        writer=1,
        foreign=BELIEFS["persona-domain"].foreign,
    ),
}


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = WORLDS["linebreak"].process
    worlds: tuple[str, ...] = ()
    """Further worlds, at their defaults, with base networks of their own: mess3 (RRXOR with slip),
    persona-domain."""
    pretraining: PretrainingConfig = PretrainingConfig(seeds=8, steps=2000, batch=128, until_learnt=0.99)
    finetuning: FinetuningConfig = FinetuningConfig(
        seeds=2, n=64, methods=("sgd", "adam", "head-only"), sgd_rate=0.03, adam_rate=0.0006, doses=(16, 128)
    )
    """The finetuned networks; head-only is the control in which no stream moves."""
    labels: tuple[int, ...] = (64, 256, 1024, 4096, 16384)
    """Numbers of labels, one a context, ascending."""
    soft: int = 4096
    """The most exact labels of the network itself."""
    refitted: int = 4096
    """Labels in a finetuned network."""
    judged: int = 64
    """Documents of a network's own that probes are judged in."""
    steered: int = 48
    """Contexts in which a base network is steered."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_labels(self.labels, self.soft, self.refitted, self.judged, self.steered)
        world_processes(self.process, self.worlds, WORLDS)

    def draws(self) -> list[Self]:
        """The config of every world, and in each of every draw of its process."""
        processes = world_processes(self.process, self.worlds, WORLDS)
        alone = [replace(self, process=process, worlds=()) for process in processes]
        return [draw for config in alone for draw in super(Config, config).draws()]


BRIEFLY = {
    "labels": (16, 64),
    "soft": 64,
    "refitted": 64,
    "judged": 8,
    "steered": 8,
    "finetuning.doses": (1, 8),
}
PRESETS = {
    "smoke": with_options(Config(), BRIEF | BRIEFLY | {"process.length": 12}),
    "small": Config(),
    "full": with_options(
        Config(), FULL | {"pretraining.seeds": 12, "worlds": ("mess3", "persona-domain"), "judged": 256}
    ),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of one world: what is pretrained, finetuned, read and steered."""
    from experiments.design.experiment import Arm
    from experiments.design.motor_plan import MotorPlan

    world, process = WORLDS[config.process.entry.name], config.process.build()
    foreign = replace(process, **world.foreign).distribution()
    plan = MotorPlan(
        world.events,
        world.writer,
        config.labels,
        config.soft,
        config.refitted,
        config.judged,
        config.steered,
        foreign,
    )
    return config.experiment(process, [Arm(world.task(config, process))], inside=plan)


def findings(run: RunFolder) -> Findings:
    """The answer, what was stated beforehand, and what the figure shows."""
    from experiments.studies.figures.motor import motor_findings

    return motor_findings(run)


def draw(run: RunFolder) -> list[Path]:
    """Regimes by labels, what is left outside, finetuned networks, and steering."""
    from experiments.studies.figures.motor import draw_motor

    return draw_motor(run)
