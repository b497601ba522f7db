"""The Python API: pretrain, finetune, compare, run and load, for notebooks and scripts.

    network = pretrain(process, width=32)                       base networks, and the share of inference
    learnt tuned   = finetune(network, process.task(), Adam(3e-4))     finetuned networks at every dose
    result  = compare(tuned)                                    every theory's score, as a table, figure or
    records
    run     = run("weird-generalisation", preset="smoke")       a study, exactly as the command line runs it

`pretrain`, `finetune` and `compare` keep everything in memory and have no global state; `run` writes a
folder.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import jax
import numpy as np

from experiments.cells.candidates import kebab_case
from experiments.cells.programs import Executor
from experiments.design.experiment import Arm, Experiment
from experiments.runs.base_networks import Quality, train
from experiments.scoring.rows import rows
from experiments.scoring.scorecard import scorecard
from experiments.storage.memory import MemoryRun
from experiments.storage.records import CellKind, Json, Row, ScoreLine
from models.finetuning.method import Method
from models.network import Network
from models.pretraining import Pretraining
from models.transformer import Architecture
from theory.base import LogProbs, Tokens
from theory.contracts import Process, Task, Theory
from theory.errors import Misuse

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOSES = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True, eq=False)
class Pretrained:
    """Base networks of one shape, pretrained on a process from seeds of their own.

    `networks` are stacked along a leading axis. `quality` has the excess (nats) of each over the exact
    predictor.
    """

    process: Process
    shape: Architecture
    pretraining: Pretraining
    seeds: tuple[int, ...]
    networks: Network
    quality: Quality

    @property
    def learnt(self) -> float:
        """The share of inference learnt: 1 - excess / excess of a predictor that never infers the
        hypothesis (mean
        over base networks)."""
        return self.quality.learnt

    def network(self, index: int = 0) -> Network:
        """One of the base networks."""
        if not 0 <= index < len(self.seeds):
            raise Misuse(f"There are {len(self.seeds)} base networks, from 0 on; got {index}.")
        return jax.tree.map(lambda leaf: leaf[index], self.networks)

    def predict(self, tokens: Tokens) -> LogProbs:
        """Log-probabilities (nats) of every token at every position, by the first base network."""
        _check_tokens(self.process, tokens)
        return self.network().predict(tokens)

    def __repr__(self) -> str:
        size = self.network().size
        return (
            f"Pretrained({len(self.seeds)} networks of {size} weights on {type(self.process).__name__}, "
            f"excess {self.quality.mean:.4f} nats, learnt {self.learnt:.2f})"
        )


@dataclass(frozen=True, eq=False)
class Finetuned:
    """Networks finetuned from every base network, at every dose, each with a reshuffled replica."""

    base: Pretrained
    experiment: Experiment
    executor: Executor = field(repr=False)
    run: MemoryRun = field(repr=False)

    def answers(self, base: int = 0) -> dict[str, np.ndarray]:
        """Log-probabilities of the answers (seeds, doses, contexts, answers) by method, from one base
        network."""
        cells = [cell for cell in self.run.cells("finetuned") if cell.base == base]
        return {cell.method: content.finetuned for cell in cells if (content := self.run.finetuned(cell))}

    def __repr__(self) -> str:
        made = self.experiment
        return (
            f"Finetuned({', '.join(made.methods)}; {made.base_seeds} base networks × {made.seeds} seeds; D' "
            f"of {made.n} documents, {', '.join(arm.name for arm in made.arms)}; doses {made.doses})"
        )


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of theories on finetuned networks: `rows` per base network, `lines` over all of them."""

    run: MemoryRun = field(repr=False)
    rows: tuple[Row, ...] = field(repr=False)

    @cached_property
    def lines(self) -> list[ScoreLine]:
        """One line for each method, D', dose, theory, prior, grade and group of contexts."""
        return scorecard(self.rows)

    def records(self) -> list[Json]:
        """The lines as plain dicts."""
        return [dataclasses.asdict(line) for line in self.lines]

    def frame(self):
        """The lines as a pandas DataFrame, or as a list of dicts where pandas is not installed."""
        return as_frame(self.records())

    def table(self, group: str | None = None) -> "Table":
        """Theories × doses on a group of contexts (default: the one judged first, held-out): explained ±
        s.e."""
        from experiments.reports.tables import dose_table

        return Table(dose_table(self.lines, group))

    def plot(self) -> "Figure":
        """The explained part of the shift against dose, as a matplotlib figure."""
        from experiments.figures.comparison import explained_figure

        return explained_figure(self.run, self.lines)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def pretrain(
    process: Process,
    *,
    width: int = 32,
    layers: int = 2,
    heads: int = 2,
    activation: str = "relu",
    steps: int = 1200,
    batch: int = 64,
    rate: float = 0.01,
    optimizer: str = "muon",
    seed: int = 0,
    seeds: int = 1,
    progress: bool = True,
) -> Pretrained:
    """Pretrain `seeds` transformers on a process, side by side, from `seed` on; nothing is written to disk.

    `seeds` of four or more give error bars over base networks. Raises `Misuse` where the loss diverges.
    """
    if seeds < 1:
        raise Misuse(f"seeds must be at least 1, got {seeds}.")
    shape = Architecture(width, layers, heads, activation=activation)
    recipe = Pretraining(optimizer, rate, steps, batch)
    numbers = tuple(range(seed, seed + seeds))
    prepare_devices()
    params = train(process, shape, recipe, numbers, make_progress(progress))
    networks, exact = template(process, shape).with_params(params), process.distribution()
    quality = Quality(measure(exact, networks, numbers), uninformed_nats(exact))
    return Pretrained(process, shape, recipe, numbers, networks, quality)


def finetune(
    base: Pretrained,
    task: Task | Sequence[Task],
    method: Method | Mapping[str, Method],
    *,
    n: int = 32,
    batch: int = 16,
    doses: Sequence[int] = DOSES,
    seeds: int = 4,
    seed: int = 0,
    progress: bool = True,
) -> Finetuned:
    """Finetune every base network on n documents of a task (or of each of several), by one method or by
    several.

    Each of `seeds` finetuning seeds has a D' and an order of its own; `doses` are steps of `batch` documents.
    """
    tasks = [task] if isinstance(task, Task) else list(task)
    for given in tasks:
        if not isinstance(given, Task):
            raise Misuse(f"finetune needs a task, like process.task(), got {type(given).__name__}.")
    experiment = Experiment(
        process=base.process,
        shape=base.shape,
        pretraining=base.pretraining,
        base_seeds=len(base.seeds),
        arms=tuple(Arm(given) for given in tasks),
        methods=dict(method) if isinstance(method, Mapping) else {_method_name(method): method},
        doses=tuple(doses),
        n=n,
        batch=batch,
        seeds=seeds,
        seed=seed,
        theories=("unchanged",),
    )
    executor = Executor(experiment, base.network())
    run = _run_cells(
        experiment, executor, base, MemoryRun("finetune", experiment.doses), "finetuned", progress
    )
    return Finetuned(base, experiment, executor, run)


def compare(
    tuned: Finetuned, theories: Sequence[Theory | str] | None = None, *, progress: bool = True
) -> Scores:
    """Score theories on finetuned networks: instances of theories, or names (default: all but the costly
    ones;
    "all" for every one). The base network itself, "unchanged", is always among them."""
    experiment = dataclasses.replace(tuned.experiment, theories=tuple(theories or ()))
    executor = Executor(experiment, tuned.base.network())
    run = tuned.run
    for kind in ("theories", "replays"):
        run = _run_cells(experiment, executor, tuned.base, run, kind, progress)
    return Scores(run, tuple(rows(run)))


def _run_cells(
    experiment: Experiment,
    executor: Executor,
    base: Pretrained,
    run: MemoryRun,
    kind: CellKind,
    progress: bool,
) -> MemoryRun:
    """A run with its cells of a kind; those that it has are made anew, as theories may be others."""
    cells = [cell for cell in experiment.cells() if cell.kind == kind]
    with make_progress(progress).cells(len(cells), 0, kind) as advance:
        for cell in cells:
            content, failure = executor.run(cell, base.network(cell.base))
            if failure:
                raise Misuse(f"{cell.name} failed: {failure} Use a smaller step size or fewer steps.")
            run = run.with_content(cell, content)
            advance(cell.name, "")
    return run


def _method_name(method: Method) -> str:
    if not isinstance(method, Method):
        raise Misuse(f"finetune needs a method, like methods.Adam(3e-4), got {type(method).__name__}.")
    return kebab_case(type(method).__name__)


def _check_tokens(process: Process, tokens: Tokens) -> None:
    shape, top = np.shape(tokens), int(np.max(tokens, initial=0))
    if len(shape) != 2 or shape[1] > process.length or top >= process.vocabulary:
        raise Misuse(
            f"tokens must have shape (n, at most {process.length}) and be below {process.vocabulary}, got "
            f"shape {shape} and a largest token of {top}."
        )
