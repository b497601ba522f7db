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
from typing import Any

from experiments.design.config import BRIEF, FULL, Recipe, compared
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse


@dataclass(frozen=True)
class Config(Recipe):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    tasks: int = 4
    """M, the known tasks, with prior proportional to rarity^i."""
    inputs: int = 8
    """Inputs, points on a half circle."""
    bins: int = 8
    """Bins of the output."""
    pairs: int = 6
    """(input, output) pairs in a document."""
    noise: float = 0.6
    """Standard deviation of the outputs."""
    new: float = 0.3
    """Share of pretraining documents whose task is new."""
    rarity: float = 0.7
    """How much rarer each known task is than the one before."""
    process_seed: int = 0
    """Draws the tasks."""
    task: int = 3
    """The known task of D'."""
    kinds: tuple[str, ...] = ("known", "new")
    """What D' is, the known task or a new one, one arm of the study each."""
    finetuned_inputs: tuple[int, ...] = (0, 1, 2)
    """The inputs of D'."""
    temperatures: tuple[float, ...] = ()
    """Temperatures of the sampled posteriors (default: none are sampled)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.process_seed < 0:
            raise Misuse(f"Seeds must be at least 0, got {self.process_seed}.")
        if not self.kinds or not {*self.kinds} <= {"known", "new"} or len({*self.kinds}) < len(self.kinds):
            raise Misuse(f"kinds must be known, new or both, got {list(self.kinds)}.")
        if not 0 <= self.task < self.tasks:
            raise Misuse(
                f"task must be one of the known ones, 0 to {self.tasks - 1}, got {self.task}: the new one "
                "is the other arm."
            )


PRESETS = {
    "smoke": Config(kinds=("new",), **BRIEF),
    "small": Config(),
    "full": Config(**FULL),
}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.design.experiment import arm
    from theory.processes.task_diversity import TaskDiversity

    process = TaskDiversity(
        config.tasks,
        config.inputs,
        config.bins,
        config.pairs,
        config.noise,
        config.new,
        config.rarity,
        seed=config.process_seed,
    )
    asked, arms = config.finetuned_inputs, []
    for name in config.kinds:
        task = config.task if name == "known" else config.tasks
        process.check(task, asked)
        process.held_out(asked)
        arms.append(
            arm(
                name,
                lambda key, n, task=task: process.narrow(key, n, task, asked),
                lambda key, task=task: process.contexts(key, task, asked, config.repeats),
                config.seed,
            )
        )
    return compared(config, process, arms)


def draw(run: RunFolder) -> list[Path]:
    """The comparison, the weights of known and new tasks against dose, and the outside check."""
    from experiments.figures.comparison import draw_comparison
    from experiments.figures.mixture_weights import draw_beliefs
    from experiments.studies.figures.task_diversity import draw_published

    task, count = run.options["task"], run.options["tasks"]
    others = tuple(other for other in range(count) if other != task)
    components = {f"task {task}": (task,), "other known": others, "new task": (count,)}
    return [*draw_comparison(run), *draw_beliefs(run, components), *draw_published(run)]
