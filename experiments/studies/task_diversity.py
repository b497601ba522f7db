"""Does a network finetuned on one regression task adopt the task, or go on learning tasks from the context?

Linear regression in context, with M known tasks that pretraining shows again and again and new ones that it
never repeats: a discrete mixture over the M and ridge regression, weighed by the context, are the oracle.
D' is one known task, or one that nobody has seen, on a few inputs. To exact Bayes a known task answers
everywhere once it is known anywhere; a new one says no more than "not one of the M", so inputs that D'
never asks go back to ridge's first answer (the tempered posterior is refuted where the network's answers
there move towards the new task itself). A theory is refuted where it explains less of the shift than
another order of D' would, and all mixtures where even the best of them does (the ceiling): in weights, the
new task can be learnt like any other.

The last figure is the outside check: the same two predictors without bins at the parameters of Raventós et
al., arXiv 2306.15063 (D = 8, noise² = 0.25, K = 16), computed when it is drawn (theory.latent.regression):
on new tasks the discrete mixture falls to ridge as M grows, on the M tasks it rises to it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.design.config import BRIEF, FULL, Recipe, compared
from theory.errors import Misuse

CHECKED, BUDGET = 2 ** np.arange(1, 16, 2), 2**20  # numbers of tasks M; rows × M that each may cost


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


def draw(results: Any) -> list[Any]:
    """The comparison, the weights of known and new tasks against dose, and the outside check."""
    from experiments.figures.comparison import draw_comparison
    from experiments.figures.mixture_weights import draw_beliefs

    config = results.config["config"]
    own, count = config["task"], config["tasks"]
    components = {
        f"task {own}": (own,),
        "other known": tuple(task for task in range(count) if task != own),
        "new task": (count,),
    }
    return [*draw_comparison(results), *draw_beliefs(results, components), *draw_check(results)]


def draw_check(results: Any) -> list[Any]:
    """Loss over D of the discrete mixture and of ridge against M, at the published parameters."""
    from matplotlib.figure import Figure

    from experiments.figures.comparison import INKS
    from experiments.figures.style import legend, save, style
    from theory.latent.regression import expected, losses

    random = np.random.default_rng(0)
    found = [losses(random, int(count), *cost(int(count))) for count in CHECKED]
    mean, error = (np.array(each) for each in zip(*found, strict=True))
    with style():
        figure = Figure(figsize=(3.5, 2.7))
        axes = figure.add_axes((0.15, 0.15, 0.8, 0.66))
        looks: dict[str, dict[str, Any]] = {
            "discrete mixture, new tasks": {"color": INKS[5], "marker": "o"},
            "discrete mixture, the M tasks": {"color": INKS[1], "marker": "s"},
            "ridge, new tasks": {"color": "black", "ls": "--"},
        }
        for index, look in enumerate(list(looks.values())[:2]):
            axes.plot(CHECKED, mean[:, index], **look)
            low, high = mean[:, index] - error[:, index], mean[:, index] + error[:, index]
            axes.fill_between(CHECKED, low, high, color=look["color"], alpha=0.2, lw=0)
        axes.axhline(expected(), color="black", ls="--")
        axes.set_xscale("log", base=2)
        axes.set_ylim(0, None)
        axes.set_xlabel("number of tasks M")
        axes.set_ylabel("loss over D")
        legend(figure, looks, 1)
        return save(results, {f"{results.study}-published": figure})


def cost(count: int) -> tuple[int, int]:
    """Rows and pools for M = `count`: as many as the budget allows, within bounds."""
    rows = int(np.clip(BUDGET // count, 24, 256))
    return rows, int(np.clip(BUDGET // (count * rows), 2, 20))
