"""The Python API: pretrain, finetune and compare, for notebooks and scripts.

    network = pretrain(process, width=32)                   base networks, and the share of inference learnt
    tuned   = finetune(network, process.task(), Adam())     finetuned networks at every dose
    result  = compare(tuned)                                the score of every theory

Everything stays in memory. What is computed depends on the arguments alone, not on what a session has set in
jax, and is what a study of the same numbers computes; `experiments.runs.study_result` runs studies.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.cells.answers import updated
from experiments.cells.candidates import candidates
from experiments.cells.programs import Executor
from experiments.design.arguments import by_name, check_documents, check_instance
from experiments.design.checks import check_counts, check_seed, check_step_size
from experiments.design.experiment import Arm, Experiment
from experiments.inside import Inside, documents
from experiments.reports.scores import Scores, as_frame
from experiments.runs.base_networks import BaseNetworks, describe
from experiments.runs.environment import fixed_settings, prepare_devices
from experiments.runs.pretraining import train
from experiments.runs.progress import Progress, make_progress
from experiments.storage.contents import FinetunedCell
from experiments.storage.manifests import Quality
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell, Json
from models.finetuning.method import Method
from models.network import Network
from models.pretraining import recipe
from models.transformer import Architecture
from theory.base import LogProbs, Tokens
from theory.contracts import Process, Task, Theory, kebab_case
from theory.errors import Misuse

DOSES = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True, eq=False)
class Pretrained(Inside):
    """Base networks of one shape, pretrained on a process: `networks` are stacked along a leading axis,
    `quality` has their excess (nats) over the exact predictor."""

    experiment: Experiment = field(repr=False)
    networks: Network = field(repr=False)
    quality: Quality

    @property
    def process(self) -> Process:
        """The process."""
        return self.experiment.process

    @property
    def learnt(self) -> float:
        """The share of inference learnt: 1 - excess / excess of a predictor that never infers the hypothesis
        of a document (means over base networks and positions)."""
        return self.quality.learnt

    def network(self, index: int = 0) -> Network:
        """One of the base networks."""
        if not isinstance(index, (int, np.integer)) or not 0 <= index < self.experiment.base_seeds:
            raise Misuse(f"There are {self.experiment.base_seeds} base networks, from 0 on; got {index!r}.")
        return jax.tree.map(lambda leaf: leaf[index], self.networks)

    @fixed_settings()
    def predict(self, tokens: Tokens | Sequence[Sequence[int]], index: int = 0) -> LogProbs:
        """Log-probabilities (nats) of all tokens at every position (n, t, vocabulary), by a base network."""
        return self.network(index).predict(documents(self.process, tokens))

    def __repr__(self) -> str:
        count, size = self.experiment.base_seeds, self.network().size
        return (
            f"Pretrained({count} network{'s' * (count > 1)} of {size} weights on {self.process}; excess "
            f"{self.quality.mean:.4f} nats, learnt {self.learnt:.2f})"
        )


@dataclass(frozen=True, eq=False)
class Finetuned(Inside):
    """Networks finetuned from every base network, at every dose, each with a replica that met the same D' in
    another order."""

    base: Pretrained
    experiment: Experiment = field(repr=False)
    run: MemoryRun = field(repr=False)
    executor: Executor = field(repr=False)

    @property
    def process(self) -> Process:
        """The process."""
        return self.experiment.process

    def network(self, method: str = "", task: str = "", base: int = 0, dose: int | None = None) -> Network:
        """The network of the first finetuning seed, by default of the first method and task at the last dose,
        to rounding."""
        content, doses = self._content(method, task, base), list(self.experiment.doses)
        if dose is not None and dose not in doses:
            raise Misuse(f"There are the doses {', '.join(map(str, doses))}; got {dose!r}.")
        start, index = self.base.network(base), -1 if dose is None else doses.index(dose)
        return start.with_params(updated(start.params, content.update, index))

    def log_probs(self, method: str = "", task: str = "", base: int = 0) -> np.ndarray:
        """Log-probabilities (nats) of the answers (seeds, doses, contexts, answers), by one method on one
        task, by default the first, from one base network."""
        return self._content(method, task, base).finetuned

    def _content(self, method: str, task: str, base: int) -> FinetunedCell:
        methods, tasks = list(self.experiment.methods), [arm.name for arm in self.experiment.arms]
        chosen = task or tasks[0], base, method or methods[0]
        known = chosen in list(itertools.product(tasks, range(self.experiment.base_seeds), methods))
        content = self.run.finetuned(Cell("finetuned", *chosen)) if known else None
        if content is None:
            raise Misuse(
                f"There are the methods {', '.join(methods)}, the tasks {', '.join(tasks)} and the base "
                f"networks 0 to {self.experiment.base_seeds - 1}; got {method!r}, {task!r} and {base}."
            )
        return content

    @fixed_settings()
    def records(self) -> list[Json]:
        """The mean probability of every answer, over base networks, seeds and contexts that end alike, by
        method, task, dose (0: the base networks), group and question, the last token of a context."""
        return [record for arm in self.experiment.arms for record in self._records(arm)]

    def frame(self) -> Any:
        """The records as a pandas DataFrame, or as a list of dicts where pandas is not installed."""
        return as_frame(self.records())

    def _records(self, arm: Arm) -> Iterable[Json]:
        made, questions = self.experiment, self.executor.data.questions(arm)
        tokens = self.executor.answers.padded(questions.tokens)
        bases = range(made.base_seeds)
        started = [self.executor.answers.base(self.base.network(base), tokens) for base in bases]
        before = np.mean([np.exp(questions.at(log_probs)) for log_probs in started], axis=0)
        pairs = list(zip(questions.group.tolist(), questions.questions.tolist(), strict=True))
        for method in made.methods:
            after = np.mean([np.exp(self.log_probs(method, arm.name, b)).mean(axis=0) for b in bases], axis=0)
            for dose, probabilities in zip((0, *made.doses), [before, *after], strict=True):
                for group, question in dict.fromkeys(pairs):
                    inside = np.array([pair == (group, question) for pair in pairs])
                    values = probabilities[inside].mean(axis=0)
                    for answer, value in zip(questions.answers, values, strict=True):
                        yield {
                            "method": method,
                            "task": arm.name,
                            "dose": dose,
                            "group": group,
                            "question": question,
                            "answer": str(answer),
                            "probability": float(value),
                        }

    def __repr__(self) -> str:
        made = self.experiment
        count = made.base_seeds
        return (
            f"Finetuned({', '.join(made.methods)} on {', '.join(arm.name for arm in made.arms)}, D' of "
            f"{made.n} documents; {count} base network{'s' * (count > 1)} × {made.seeds} seeds; doses "
            f"{', '.join(map(str, made.doses))})"
        )


@fixed_settings()
def pretrain(
    process: Process,
    *,
    width: int = 32,
    layers: int = 2,
    heads: int = 2,
    activation: str = "relu",
    steps: int = 1200,
    batch: int = 64,
    rate: float | None = None,
    optimizer: str = "muon",
    targets: str = "exact",
    until_learnt: float | None = None,
    seed: int = 0,
    seeds: int = 1,
    folder: str | Path | None = None,
    progress: bool = True,
) -> Pretrained:
    """Pretrain `seeds` transformers on a process, side by side, as a study does whose master seed is `seed`.

    By default the step size follows `models.pretraining.default_rate`, and all `steps` are taken; with
    `until_learnt` they end once every network has learnt that share of inference. With four or more networks
    scores have intervals over base networks. Nothing is written to disk, unless networks are to be kept, and
    found, in a `folder` (that of a study, results/networks, say). Raises `Misuse` where the loss diverges.
    """
    check_instance("process", process, Process, "processes.PersonaTopics()")
    check_counts(width=width, layers=layers, heads=heads, steps=steps, batch=batch, seeds=seeds)
    if rate is not None:
        check_step_size(rate)
    check_seed(seed)
    experiment = Experiment(
        process=process,
        shape=Architecture(width, layers, heads, activation=activation),
        pretraining=recipe(width, optimizer, rate, steps, batch, targets, until_learnt),
        base_seeds=seeds,
        arms=(),
        methods={},
        doses=(1,),
        n=1,
        batch=1,
        seeds=1,
        seed=seed,
    )
    if not isinstance(folder, str | Path | None):
        raise Misuse(f"folder must be the path of a folder, got {folder!r:.60}.")
    prepare_devices()
    shown = make_progress(progress)
    if folder is not None:
        kept = BaseNetworks(Path(folder))
        networks = kept.pretrained(experiment, shown)
        return Pretrained(experiment, networks, kept.quality(experiment))
    numbers = describe(experiment)["seeds"]
    networks, quality = train(process, experiment.shape, experiment.pretraining, numbers, shown)
    return Pretrained(experiment, networks, Quality(quality))


@fixed_settings()
def finetune(
    base: Pretrained,
    task: Task | Iterable[Task],
    method: Method | Iterable[Method] | Mapping[str, Method],
    *,
    n: int = 32,
    batch: int = 16,
    doses: Iterable[int] = DOSES,
    seeds: int = 4,
    seed: int = 0,
    progress: bool = True,
) -> Finetuned:
    """Finetune every base network on n documents of a task, or of each of several, by one method or several.

    Each of `seeds` finetuning seeds has a D' and an order of its own; `doses` are the steps, of `batch`
    documents each, after which networks are compared. Raises `Misuse` where a network diverges.
    """
    check_instance("pretrained network", base, Pretrained, "pretrain(process)")
    tasks = [task] if isinstance(task, Task) or not isinstance(task, Iterable) else list(task)
    for value in tasks:
        check_instance("task", value, Task, "process.task()")
    if not isinstance(doses, Iterable) or isinstance(doses, str | Mapping) or not tasks:
        raise Misuse(f"finetune needs a task and a list of doses, got {len(tasks)} tasks and doses {doses}.")
    check_counts(n=n, batch=batch, seeds=seeds)
    check_seed(seed)
    experiment = dataclasses.replace(
        base.experiment,
        arms=tuple(Arm(entry) for entry in tasks),
        methods=by_name("method", method, Method, "methods.Adam(3e-4)"),
        doses=tuple(doses),
        n=n,
        batch=batch,
        seeds=seeds,
        seed=seed,
        theories=("unchanged",),
    )
    for arm in experiment.arms:
        prefix = f"The contexts of the task {arm.name}"
        for contexts in experiment.contexts(arm).values():
            check_documents(base.process, np.asarray(contexts.tokens), prefix)
    executor, name = Executor(experiment, base.network()), kebab_case(type(base.process).__name__)
    cells = [cell for cell in experiment.cells() if cell.kind == "finetuned"]
    run = MemoryRun(name, experiment.doses)
    return Finetuned(
        base, experiment, _run_cells(executor, base, run, cells, make_progress(progress)), executor
    )


@fixed_settings()
def compare(
    tuned: Finetuned,
    theories: str | Theory | Iterable[str | Theory] | Mapping[str, Theory] | None = None,
    *,
    measures: bool = False,
    progress: bool = True,
) -> Scores:
    """Score theories on finetuned networks; with `measures` also what might explain the scores.

    Theories are instances, or names (default: all but the costly ones; "all" for every one), or both;
    instances of one class need names, as {name: theory}. That finetuning changes nothing, "unchanged", is
    always among them. A theory of one's own inherits from `Theory` or `WeightTheory`.
    """
    check_instance("finetuned network", tuned, Finetuned, "finetune(network, task, method)")
    given = [theories] if isinstance(theories, str) or not isinstance(theories, Iterable) else theories
    names = [entry for entry in given if isinstance(entry, str) and not isinstance(given, Mapping)]
    more = given if isinstance(given, Mapping) else [entry for entry in given if not isinstance(entry, str)]
    instances = (
        {}
        if theories is None or (not more and names)
        else by_name("theory", more, Theory, "theories.TemperedPosterior()")
    )
    if instances and not names:
        names = ["unchanged"]
    scored = {"theories": tuple(names), "more_theories": instances, "measures": measures}
    experiment = dataclasses.replace(tuned.experiment, **scored)
    candidates(experiment)  # refuses a name that no theory has
    executor = Executor(experiment, tuned.base.network())
    cells = [cell for cell in experiment.cells() if cell.kind in ("theories", "replays")]
    return Scores(_run_cells(executor, tuned.base, tuned.run, cells, make_progress(progress)))


def _run_cells(
    executor: Executor, base: Pretrained, run: MemoryRun, cells: Sequence[Cell], progress: Progress
) -> MemoryRun:
    """A run with these cells as well."""
    with progress.cells(len(cells), 0) as advance:
        for cell in cells:
            content, failure = executor.run(cell, base.network(cell.base))
            if failure:
                raise Misuse(f"{cell.name} failed: {failure} Use a smaller step size or fewer steps.")
            run = run.with_content(cell, content)
            advance(cell.name, "")
    return run
