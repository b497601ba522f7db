"""Does finetuning move a belief inside the network, by a constant, in log-odds?

Probes read the exact posterior over hypotheses from the stream of the base network, after every block, on
documents that they were not fitted on; beside each stand five baselines (docs/theory.md, section 10). A
theory by which D' moves the weights of hypotheses, and nothing else, says:

    T1 translation   a probe's log-odds after finetuning are those before plus a constant: slope 1, no spread.
                     Refuted by another slope (belief overwritten or tempered), or a spread of the order of
                     the shift
    T2 sufficiency   one constant vector along the probe's patterns, added after the first block of the base
                     network, makes the whole shift: C = 1, fitted in-domain and scored elsewhere. Refuted
                     by a loss beyond the distance between two orders of D'. Where no free vector does,
                     what finetuning did depends on the context
    T3 calibration   x nats along the pattern are x nats of answers: slope 1 in every context, whether every
                     position is steered or only that whose answer is read. Refuted after
                     the first block by a slope far below 1 (not the copy that is used, or another path
                     supplies it again) or by contexts of the wrong sign; after the last block it is near
                     trivial
    T4 code          evidence adds, so a log-odds code: its probe has more information, and steering adds
                     constant log-odds. Refuted if the probability code reads better and steering adds
                     constant probability
    T5 old probes    D' says nothing of the filter: the base network's probe has as much information in the
                     finetuned network, up to one constant. Refuted by a loss beyond that of two orders of D'
    T7 posteriors    the belief that the base network's probe reads elsewhere is that of a posterior over
                     hypotheses, its strength fitted in-domain: explained = 1. Refuted where an interval is
                     below 1; any constant shift, a number for every hypothesis, is as far as one could go.
                     Beside them the linearised network, read by the same probe, which is no posterior
    T6 factors       no prediction. A factored code (persona and domain apart) lacks the interaction of both
                     and has few dimensions, a joint one has it

T6 is measured where the hypotheses are combinations of two factors. A process of the user's own becomes a
world by an entry in WORLDS.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from experiments.design.config import FinetuningConfig, PretrainingConfig, StudyConfig
from experiments.design.inside_plan import check_steering
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.design.worlds import world_processes
from experiments.scoring.findings import Findings
from experiments.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment
    from theory.contracts import Task


@dataclass(frozen=True)
class World:
    """A process, D' of it, and the fields by which a process of settings that pretraining never had differs:
    the filter of that is of no use to the network."""

    process: ProcessOptions
    task: "Callable[[Config, Any], Task]"
    foreign: dict[str, Any]


def _persona(config: "Config", process: Any) -> "Task":
    """The misaligned persona in the first domain."""
    shown = min(9, process.length - 2)
    return process.task(1, 0, repeats=3 * config.repeats, shown=shown, name="persona-domain")


def _setting(config: "Config", process: Any) -> "Task":
    """The rarest setting."""
    return process.task(None, 2 * config.repeats, name=process.family.replace("_", "-"))


def _width(config: "Config", process: Any) -> "Task":
    """The narrowest width."""
    return process.task(None, 2 * config.repeats, name="linebreak")


WORLDS = {  # by the name of the process; one entry adds a world
    "persona-domain": World(
        process_options("persona-domain", correlation=0.3),
        _persona,
        {"enter": ((0.2, 0.8), (0.3, 0.9, 0.5)), "stay": (0.3, 0.8), "leak": (0.3, 0.2)},
    ),
    "mess3": World(
        process_options("mess3", family="rrxor", settings=((0.5, 0.5), (0.8, 0.3), (0.25, 0.8)), slip=0.05),
        _setting,
        {"settings": ((0.1, 0.9), (0.6, 0.1), (0.9, 0.6))},
    ),
    "linebreak": World(process_options("linebreak"), _width, {"widths": (6, 8, 10, 11)}),
}


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = WORLDS["persona-domain"].process
    worlds: tuple[str, ...] = ()
    """Further worlds, at their defaults, with base networks of their own: mess3 (RRXOR with slip),
    linebreak."""
    pretraining: PretrainingConfig = PretrainingConfig(seeds=8, steps=2000, batch=128, until_learnt=0.99)
    finetuning: FinetuningConfig = FinetuningConfig(
        seeds=3, n=64, methods=("sgd", "adam"), sgd_rate=0.03, adam_rate=0.0006, doses=(16, 128)
    )
    """The finetuned networks."""
    documents: int = 400
    """Documents of pretraining on which probes are fitted and scored."""
    nats: tuple[float, ...] = (-1.0, -0.5, 0.0, 0.5, 1.0)
    """Nats by which a belief is steered, 0 among them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_steering(self.documents, self.nats)
        world_processes(self.process, self.worlds, WORLDS)

    def draws(self) -> list[Self]:
        """The config of every world, and in each of every draw of its process."""
        processes = world_processes(self.process, self.worlds, WORLDS)
        alone = [replace(self, process=process, worlds=()) for process in processes]
        return [draw for config in alone for draw in super(Config, config).draws()]


PRESETS = {
    "smoke": with_options(Config(), BRIEF | {"documents": 60, "nats": (-1.0, 0.0, 1.0), "process.length": 8}),
    "small": Config(),
    "full": with_options(Config(), FULL | {"pretraining.seeds": 12, "documents": 1000}),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of one world: what is pretrained, finetuned, read and steered."""
    from experiments.design.experiment import Arm
    from experiments.design.inside_plan import InsidePlan

    world, process = WORLDS[config.process.entry.name], config.process.build()
    foreign = replace(process, **world.foreign).distribution()
    plan = InsidePlan(foreign, config.documents, config.nats)
    return config.experiment(process, [Arm(world.task(config, process))], inside=plan)


def findings(run: RunFolder) -> Findings:
    """The answer, a table of every test, and what the figure shows."""
    from experiments.studies.figures.inside_beliefs import inside_findings

    return inside_findings(run)


def draw(run: RunFolder) -> list[Path]:
    """A row a test."""
    from experiments.studies.figures.inside_beliefs import draw_inside

    return draw_inside(run)
