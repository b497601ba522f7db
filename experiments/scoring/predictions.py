"""Predictions of networks and theories at the strengths of the rows: for figures. Numpy only.

A fitted theory is evaluated at the β of its row, so that a picture and its score are of one prediction;
theories that follow a method step by step are as they are on disk. Axes: s seeds, d doses, c contexts, a
answers.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from experiments.scoring.fits import choose, fine_ladder
from experiments.scoring.labels import one_prior
from experiments.scoring.rows import load_outcome
from experiments.storage.contents import Contexts
from experiments.storage.records import Arrays, Cell, Row
from experiments.storage.run import Run
from theory.errors import Misuse

NETWORK, BASE = "finetuned", "base"


def predictions(run: Run, rows: Sequence[Row]) -> Iterator[tuple[Contexts, Arrays]]:
    """Contexts and answers by name, for each base network of `rows` (of one method, D' and group).

    The contexts are those of the group; answers are (s, d, c, a), the finetuned and the base network first.
    """
    for base in sorted({row.base for row in rows}):
        yield _of_base(run, [row for row in rows if row.base == base])


def _of_base(run: Run, rows: list[Row]) -> tuple[Contexts, Arrays]:
    first = rows[0]
    outcome = load_outcome(run, Cell("finetuned", first.data, first.base, first.method))
    if outcome is None:
        raise Misuse(
            f"{run.study} has rows of {first.method} on {first.data}, base {first.base}, but not the cells "
            f"behind them; delete rows.jsonl and {run.anew}."
        )
    every = outcome.theories.contexts
    inside = every.inside(first.group)
    target = outcome.finetuned.finetuned[..., inside, :]
    answers = {NETWORK: target, BASE: np.broadcast_to(every.base[inside], target.shape)}
    if outcome.replays is not None:
        answers |= {
            theory: log_probs[..., inside, :] for theory, log_probs in outcome.replays.predictions.items()
        }
    for theory, prior in sorted({(row.theory, row.prior) for row in one_prior(rows)}):
        fitted = [row for row in rows if (row.theory, row.prior, row.grade) == (theory, prior, "fitted")]
        if fitted:
            by_dose = sorted(fitted, key=lambda row: row.dose)
            fine = fine_ladder(outcome.ladders[f"{theory}/{prior}"], inside)
            wanted = np.array([row.beta for row in by_dose]).T
            second = [row.hyperparameters for row in by_dose if row.hyperparameters is not None]
            rungs = fine.nearest(wanted, np.array(second).T if second else None)
            answers[theory] = choose(fine.rungs, rungs)
    return every.of(first.group), answers
