"""Forecasts: how far every theory expects finetuning to move the answers, before any network is finetuned.

    shift = mean over contexts, finetuning seeds and base networks of KL(theory ‖ base network), nats

A theory follows a method step by step, or forecasts its strength; one that must be fitted has no forecast,
nor has one past the end of its grid. One whose answers are not numbers for some networks has failed for them.
Numpy only.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.scoring.fits import divergence, finer, nearest_rungs, off_grid
from experiments.scoring.labels import FITTED_ON, failed_for
from experiments.storage.records import Cell
from experiments.storage.run import Run

SILENT = -1.0  # in place of a shift, where a theory says nothing


@dataclass(frozen=True)
class Forecast:
    """The `shift` (nats) in a group of contexts that a theory expects of a method on a D' at a dose, over
    `networks`; None where it `failed` for some of them."""

    method: str
    data: str
    theory: str
    prior: str
    group: str
    dose: int
    shift: float | None
    networks: int
    failed: int = 0

    @property
    def failing(self) -> str:
        """Words for the networks that it fails for; empty without any."""
        return failed_for(self.failed, self.networks)


def forecasts(run: Run) -> list[Forecast]:
    """Everything that is expected of what is finished, by method, D', theory, group and dose."""
    shifts: dict[tuple[str, str, str, str, str], list[np.ndarray]] = defaultdict(list)
    for cell in run.cells("replays"):
        theories = run.theories(cell)
        if theories is None:
            continue
        contexts = theories.contexts
        for theory, prior, log_probs, silent in _expected(run, cell):
            moved = divergence(log_probs, contexts.base)  # (s, d, c)
            for group in contexts.groups:
                inside = np.where(silent, SILENT, moved[..., contexts.inside(group)].mean(axis=-1))
                shifts[cell.method, cell.arm, theory, prior, group].append(inside)
    return [
        line
        for names, values in sorted(shifts.items())
        for dose, moved in zip(run.doses, np.concatenate(values).T, strict=True)
        if (line := _forecast(names, dose, moved[moved != SILENT]))
    ]


def _forecast(names: tuple[str, str, str, str, str], dose: int, moved: np.ndarray) -> Forecast | None:
    """From the shifts of networks; None where a theory says nothing of any."""
    failed = int(np.isnan(moved).sum())
    if not len(moved):
        return None
    return Forecast(*names, dose, None if failed else float(f"{moved.mean():.4g}"), len(moved), failed)


def judged(lines: Sequence[Forecast]) -> list[Forecast]:
    """Those in the first group that theories are judged on, held_out where there is one."""
    groups = sorted({line.group for line in lines}, key=lambda name: (name == FITTED_ON, name != "held_out"))
    return [line for line in lines if line.group == groups[0]]


def _expected(run: Run, cell: Cell) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Theory, prior and answers (s, d, c, a) of every forecast of a replay cell, and where (s, d) it says
    nothing."""
    replays, theories, posteriors = run.replays(cell), run.theories(cell), run.posteriors(cell)
    if replays is None or theories is None:
        return
    for theory, log_probs in replays.predictions.items():
        yield theory, "network", log_probs, np.zeros(log_probs.shape[:2], bool)
    for ladder in (*theories.ladders, *(posteriors.ladders if posteriors else ())):
        strengths = replays.strength(ladder)
        if strengths is not None and ladder.hyperparameters is None:
            betas, rungs = finer(ladder.betas, ladder.log_probs)
            wanted = np.broadcast_to(strengths, (len(rungs), len(strengths)))
            answers = nearest_rungs(betas, rungs, wanted)[1]
            yield ladder.theory, ladder.prior, answers, off_grid(betas, wanted)
