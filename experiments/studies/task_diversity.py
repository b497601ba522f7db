"""Does a network finetuned on one regression task adopt the task, or go on learning tasks from the context?

Linear regression in context, with M known tasks that pretraining shows again and again and new ones that it
never repeats: a discrete mixture over the M and ridge regression, weighed by the context, are the oracle.
D' is one known task, or one that nobody has seen, on a few inputs. To exact Bayes a known task answers
everywhere once it is known anywhere; a new one says no more than "not one of the M", so inputs that D'
never asks go back to ridge's first answer (the tempered posterior is refuted where the network's answers
there move towards the new task itself). A theory is refuted where it explains less of the shift than
another order of D' would, and all mixtures where even the best in class does: in weights, the
new task can be learnt like any other.

The last figure is the outside check: the same two predictors without bins at the parameters of Raventós et
al., arXiv 2306.15063 (D = 8, noise² = 0.25, K = 16), computed when it is drawn (theory.latent.regression):
on new tasks the discrete mixture falls to ridge as M grows, on the M tasks it rises to it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.checks import check_kinds, known
from experiments.design.config import PretrainingConfig, StudyConfig
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = process_options("task-diversity")
    pretraining: PretrainingConfig = PretrainingConfig(steps=2000)
    task: int = 3
    """The known task of D'."""
    kinds: tuple[str, ...] = ("known", "new")
    """The task of D', a known one or a new one; one arm of the study each."""
    finetuned_inputs: tuple[int, ...] = (0, 1, 2)
    """The inputs of D'."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_kinds(self.kinds)


PRESETS = {
    "smoke": with_options(Config(), BRIEF | {"kinds": ("new",)}),
    "small": Config(),
    "full": with_options(Config(), FULL),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    from experiments.design.experiment import Arm

    process = config.process.build()
    tasks = {"known": known(process.tasks, task=config.task), "new": process.tasks}
    return config.experiment(
        process,
        [
            Arm(process.task(tasks[kind], config.finetuned_inputs, config.repeats, name=kind))
            for kind in config.kinds
        ],
    )


def draw(run: RunFolder) -> list[Path]:
    """The comparison, the weights of known and new tasks against dose, and the outside check."""
    from experiments.figures.comparison import draw_comparison
    from experiments.figures.mixture_weights import draw_beliefs
    from experiments.studies.figures.task_diversity import draw_published

    task, count = run.options["task"], run.options["process"]["tasks"]
    others = tuple(other for other in range(count) if other != task)
    components = {f"task {task}": (task,), "other known": others, "new task": (count,)}
    return [*draw_comparison(run), *draw_beliefs(run, components), *draw_published(run)]
