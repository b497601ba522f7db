"""Rows: KL of the finetuned networks from every theory, by dose and group of contexts. Numpy only.

A row is one (finetuned cell, dose, theory, prior, grade, group) with a value for each seed, in nats:

    nats            mean over the group's contexts of KL(finetuned ‖ theory)
    shift           the same for the base network: what there is to explain
    replica         the same for the replica that met D' in another order: the noise (None without one)
    other_base      the same for a network pretrained from another seed, finetuned on the same D'
    best_in_class   the same for the best member of the theory's class, fitted to this very group
    base_error      mean KL(exact process ‖ base network), for all seeds alike
    resolution      the least shift that can be told from none, where it was measured
    base_read_out   the same for the finetuned blocks with the base network's read-out, and
    base_blocks     for the base network's blocks with the finetuned read-out: in rows of “unchanged” alone
    predicted_shift mean KL(theory ‖ base network): how far the theory says that the network moves
    predicted_noise mean KL between two orders of D', predicted before finetuning: in rows of “unchanged”
    hyperparameters values of a second number, of a theory that has one: fitted together with β

A theory that rules out an answer which the network gives has nats = ∞, and so has one that fails for the
network: its answers are not numbers, which `failures` says. One that says nothing of a dose has no row.

A `fitted` β is chosen for each network and dose on in-domain contexts alone, and is scored on the other
groups alone; so are the nulls (experiments.scoring.nulls) and a yardstick (experiments.scoring.yardsticks). A
`law` has two constants, fitted on other doses and seeds (experiments.scoring.dose_law). A `forecast` has no
fitted number. experiments.scoring.scorecard puts rows together over networks.
"""

import contextlib
import itertools
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, NamedTuple

import numpy as np

from experiments.scoring.dose_law import SPLIT, law
from experiments.scoring.fits import (
    FineLadder,
    Mixtures,
    Refined,
    choose,
    converged_at,
    fit,
    kl,
    least_on_path,
    mean_kl,
    nearest_rungs,
    off_grid,
    refined,
)
from experiments.scoring.labels import BY_RATE, LAST_DOSE, UNCHANGED
from experiments.scoring.nulls import nulls
from experiments.scoring.yardsticks import last_dose
from experiments.storage.contents import ORDER_NOISE, FinetunedCell, ReplayCell, TheoryCell
from experiments.storage.files import write
from experiments.storage.records import SWAP, Cell, Grade, Ladder, Numbers, Row
from experiments.storage.row_file import BUFFER, RowFile, scratch, write_row
from experiments.storage.run import Run
from experiments.storage.run_folder import ROWS, RunFolder
from experiments.storage.seal import check

FAILED = "its answers are not numbers"
DIGITS = "{:.7g}".format  # of a number in a row: the precision of float32


def table(run: Run) -> list[Row] | RowFile:
    """The rows that were saved, or else those of what is finished; refused under a broken seal."""
    if not isinstance(run, RunFolder):
        return rows(run)
    check(run)
    return run.rows() or rows(run)


def rows(run: Run) -> list[Row]:
    """The table of everything that is finished, by method, D' and base network."""
    scored = {cell: list(part) for cell, part in _by_cell(run)}
    order = sorted(scored, key=lambda cell: (cell.method, cell.arm, cell.base))
    return [row for cell in order for row in scored[cell]]


def save(run: RunFolder) -> None:
    """Make and keep the same table, of any number of cells: the rows of one of them are held at a time."""
    with contextlib.ExitStack() as stack:
        parts: dict[str, IO[bytes]] = {}  # of each method: cells come by D' and base network
        for cell, part in _by_cell(run):
            if cell.method not in parts:
                parts[cell.method] = stack.enter_context(scratch(run.folder))
            for row in part:
                write_row(parts[cell.method], row)

        def together(file: IO[bytes]) -> None:
            for method in sorted(parts):
                parts[method].seek(0)
                shutil.copyfileobj(parts[method], file, BUFFER)

        write(run.folder / ROWS, together)


def _by_cell(run: Run) -> Iterator[tuple[Cell, Iterator[Row]]]:
    """The rows of every cell that can be scored, by D', base network and method."""
    cells = run.cells("finetuned")
    others = _others(run, cells)
    for _, group in itertools.groupby(cells, lambda cell: (cell.arm, cell.base)):
        fine: Refined | None = None  # of ladders, which all methods share
        for cell in group:
            outcome = load_outcome(run, cell)
            if outcome is not None:
                fine = fine or refined(outcome.ladders.values())
                other = run.finetuned(others[cell]) if cell in others else None
                answers = None if other is None else other.finetuned
                yield cell, _rows(run, cell, outcome, fine, answers)


class Prediction(NamedTuple):
    """A theory's answers `log_probs` (s, d, c, a) at every dose, nan where it fails or says nothing.

    `silent` (s, d) says where it says nothing: at doses that a law has seen, past the end of its grid. None:
    nowhere. `betas` (s, d) are its strengths, None without any; `best_in_class` has by group the least nats
    (s, d) that its class reaches, None without a class; `converged` (s, d) says whether the chains behind β
    converged, None without chains; `hyperparameters` (s, d) are a second number that was fitted, None without
    one. A sampled theory may predict the first finetuning seeds alone.
    """

    theory: str
    prior: str
    grade: Grade
    log_probs: np.ndarray
    betas: np.ndarray | None = None
    best_in_class: Mapping[str, np.ndarray] | None = None
    converged: np.ndarray | None = None
    silent: np.ndarray | None = None
    hyperparameters: np.ndarray | None = None


@dataclass(frozen=True)
class Outcome:
    """Networks of one method, arm and base network, with all that theories predict of them.

    `ladders` are those of theory and posterior cells by name; `replays` is None until that cell is finished.
    """

    doses: tuple[int, ...]
    finetuned: FinetunedCell
    theories: TheoryCell
    ladders: Mapping[str, Ladder]
    replays: ReplayCell | None

    def predictions(self, fine: Refined) -> Iterator[Prediction]:
        """Those of every theory in a fixed order; `fine` are its refined ladders."""
        contexts, target = self.theories.contexts, self.finetuned.finetuned
        base = np.broadcast_to(contexts.base, target.shape)
        yield Prediction(UNCHANGED, "network", "forecast", base)
        for null in nulls(target, contexts):
            yield Prediction(null.name, "network", "fitted", null.log_probs, None, null.best_in_class)
        last = last_dose(target, contexts)
        parts = last.log_probs, last.scales, last.best_in_class, None, last.undefined
        yield Prediction(LAST_DOSE, "network", "fitted", *parts)
        if self.replays is not None:
            for theory in sorted(self.replays.predictions):
                yield Prediction(theory, "network", "forecast", self.replays.predictions[theory])
        mixtures = Mixtures(target, contexts)
        for name in sorted(self.ladders):
            yield from self._of_ladder(self.ladders[name], fine(name), mixtures)

    def _of_ladder(self, ladder: Ladder, fine: FineLadder, mixtures: Mixtures) -> Iterator[Prediction]:
        """Fitted, by a law of the dose, and forecast; with a second number, fitted alone."""
        betas, rungs, second = fine
        target, contexts = self.finetuned.finetuned[: len(rungs)], self.theories.contexts
        inside = contexts.calibration
        chosen = fit(target[..., inside, :], rungs[..., inside, :])
        log_probs, fitted = choose(rungs, chosen), betas[chosen]
        least = {}
        for group in contexts.groups:
            inside = contexts.inside(group)
            ours = target[..., inside, :]
            if ladder.bound == "mixture":
                least[group] = np.minimum(
                    mixtures.least(group, ladder.reference)[: len(ours)],
                    mean_kl(ours, log_probs[..., inside, :]),
                )
            else:
                least[group] = least_on_path(ours, rungs[..., inside, :])

        def prediction(
            grade: Grade,
            betas: np.ndarray,
            log_probs: np.ndarray,
            theory: str = ladder.theory,
            silent: np.ndarray | None = None,
        ) -> Prediction:
            few = {group: values[: len(betas)] for group, values in least.items()}
            converged = converged_at(ladder.problems, ladder.betas, betas)
            return Prediction(theory, ladder.prior, grade, log_probs, betas, few, converged, silent)

        def at(grade: Grade, wanted: np.ndarray, theory: str = ladder.theory) -> Prediction:
            """At strengths (s, d) that are not fitted to a network."""
            nearest = nearest_rungs(betas, rungs[: len(wanted)], wanted)
            return prediction(grade, *nearest, theory, off_grid(betas, wanted))

        if second is not None:
            yield prediction("fitted", fitted, log_probs)._replace(hyperparameters=second[chosen])
            return
        yield prediction("fitted", fitted, log_probs)
        by_law = law(self.doses, fitted)
        if by_law is not None:
            yield at("law", by_law)
        strengths = self.replays.strength(ladder) if self.replays is not None else None
        if strengths is not None:
            yield at("forecast", np.broadcast_to(strengths, (len(rungs), len(strengths))))
        times = self.replays.times.get("identity") if self.replays is not None else None
        if ladder.rate is not None and times is not None:
            yield at("forecast", ladder.rate[: len(rungs), None] * times, ladder.theory + BY_RATE)


def load_outcome(run: Run, cell: Cell) -> Outcome | None:
    """Everything finished at a cell's method, arm and base network; None without networks or theories."""
    finetuned, theories = run.finetuned(cell), run.theories(cell)
    if finetuned is None or theories is None:
        return None
    posteriors, retrained = run.posteriors(cell), run.retrained(cell)
    ladders = [*theories.ladders, *(posteriors.ladders if posteriors else ())]
    ladders += [retrained.ladder] if retrained else []
    by_name = {ladder.name: ladder for ladder in ladders}
    return Outcome(run.doses, finetuned, theories, by_name, run.replays(cell))


def _rows(
    run: Run, cell: Cell, outcome: Outcome, fine: Refined, other_base: np.ndarray | None
) -> Iterator[Row]:
    """Rows of one cell; `other_base` are the answers (s, d, c, a) of another pretraining seed."""
    target, contexts = outcome.finetuned.finetuned, outcome.theories.contexts
    draw, study = run.draw(cell.base), run.study
    groups = {group: np.flatnonzero(contexts.inside(group)) for group in contexts.groups}

    def nats(log_probs: np.ndarray) -> np.ndarray:
        """KL(finetuned ‖ log_probs) at every context, (s, d, c), for as many seeds as are predicted."""
        ours = target[: len(log_probs)] if log_probs.ndim == target.ndim else target
        return kl(ours, log_probs)

    def means(gap: np.ndarray) -> dict[str, list[Numbers]]:
        """By group and dose, a value for each seed."""
        return {
            group: _numbers(gap[..., inside].sum(axis=-1) / len(inside)) for group, inside in groups.items()
        }

    shift, noise = means(nats(contexts.base)), outcome.finetuned.replica
    replica = None if np.isnan(noise).any() else means(nats(noise))
    other = None if other_base is None else means(nats(other_base))
    expected = None if outcome.replays is None else outcome.replays.measures.get(ORDER_NOISE)
    base_error = kl(contexts.exact, contexts.base)
    base_errors = {group: _number(base_error[inside].mean()) for group, inside in groups.items()}
    resolution = outcome.theories.resolution
    resolutions = {
        group: None if resolution is None else _number(resolution[inside].mean())
        for group, inside in groups.items()
    }
    once = {name: means(values) for name in SWAP if (values := getattr(outcome.finetuned, name)) is not None}
    if expected is not None:
        once["predicted_noise"] = means(expected)
    for prediction in outcome.predictions(fine):
        gap, seeds = nats(prediction.log_probs), len(prediction.log_probs)
        silent = prediction.silent
        missed = means(_finite(gap))
        sizes = means(_finite(kl(prediction.log_probs, contexts.base)))
        predicts = np.ones(gap.shape[1], bool) if silent is None else ~silent.any(axis=0)
        betas = None if prediction.betas is None else _numbers(prediction.betas)
        second = None if prediction.hyperparameters is None else _numbers(prediction.hyperparameters)
        converged = None if prediction.converged is None else prediction.converged.T.tolist()
        fails, measured = np.isnan(gap), once if prediction.theory == UNCHANGED else {}
        failing = fails.any()
        for group, inside in groups.items():
            least = prediction.best_in_class
            best = missed[group] if least is None else _numbers(_finite(least[group]))
            failures = _failures(fails[..., inside]) if failing else None
            for index in np.flatnonzero(predicts).tolist():
                yield Row(
                    study=study,
                    method=cell.method,
                    data=cell.arm,
                    draw=draw,
                    base=cell.base,
                    dose=outcome.doses[index],
                    theory=prediction.theory,
                    prior=prediction.prior,
                    grade=prediction.grade,
                    split=SPLIT if prediction.grade == "law" else None,
                    group=group,
                    beta=None if betas is None else betas[index],
                    nats=missed[group][index],
                    shift=shift[group][index][:seeds],
                    replica=None if replica is None else replica[group][index][:seeds],
                    other_base=None if other is None else other[group][index][:seeds],
                    best_in_class=best[index],
                    converged=None if converged is None else tuple(converged[index]),
                    base_error=base_errors[group],
                    **{name: values[group][index] for name, values in measured.items()},
                    failures=None if failures is None else failures[index],
                    predicted_shift=sizes[group][index],
                    resolution=resolutions[group],
                    hyperparameters=None if second is None else second[index],
                )


def _others(run: Run, cells: list[Cell]) -> dict[Cell, Cell]:
    """For every cell, where there is any, that of the next base network of the same draw, cyclically: the
    same D', another pretraining seed."""
    alike: dict[tuple[str, str, int], list[Cell]] = {}
    for cell in cells:
        alike.setdefault((cell.arm, cell.method, run.draw(cell.base)), []).append(cell)
    several = [group for group in alike.values() if len(group) > 1]
    return {
        cell: other for group in several for cell, other in zip(group, group[1:] + group[:1], strict=True)
    }


def _failures(fails: np.ndarray) -> list[tuple[str, ...] | None]:
    """By dose the reason for each seed at which a theory fails in a context (s, d, c), "" for others; None
    where it fails at none."""
    by_dose: list[list[bool]] = fails.any(axis=-1).T.tolist()  # pyright: ignore[reportAssignmentType]
    return [tuple(FAILED * failed for failed in dose) if any(dose) else None for dose in by_dose]


def _finite(nats: np.ndarray) -> np.ndarray:
    """Nats with ∞ where they are not numbers."""
    return np.where(np.isnan(nats), np.inf, nats)


def _numbers(values: np.ndarray) -> list[Numbers]:
    """Of (s, d) numbers those of every dose."""
    return [tuple(map(float, map(DIGITS, dose))) for dose in values.T.tolist()]


def _number(value: float) -> float:
    return float(DIGITS(value))
