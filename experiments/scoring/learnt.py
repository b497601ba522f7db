"""Shares of D' that the networks learnt, and that a null could learn. Numpy only.

    share = (L_base - L) / (L_base - L_best),      sums over base networks and finetuning seeds

    L         loss on D' itself, in nats an answer
    L_base    that of the base network: 0 %
    L_best    that of the hypothesis of the process under which D' is most likely, told from the first answer
              on which it is: 100 %

The null is the base network with the one bias for each answer that fits D' best (experiments.scoring.nulls).
A network that remembers the documents of a small D' can pass 100 %, and so can a null, by a little. Where a
null could learn most of D', networks may have learnt nothing else, and a theory of hypotheses is hardly
tested.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.scoring.labels import panel_name
from experiments.storage.run import Run

ABOUT = (
    "How much of D′ was learnt, by the loss on D′ itself: 0 % is the base network, 100 % the hypothesis of "
    "the process under which D′ is most likely; the null is the base network with the best bias for each "
    "answer."
)


@dataclass(frozen=True)
class Learnt:
    """One method on one D': shares of the best null and, at every dose, of the networks; None where the base
    network is no worse on D' than the best hypothesis, and of a null that is not known."""

    method: str
    data: str
    doses: tuple[int, ...]
    null: float | None
    networks: tuple[float | None, ...]

    def at(self, dose: int) -> float | None:
        """The networks' share at a dose."""
        return self.networks[self.doses.index(dose)]

    @property
    def sentence(self) -> str:
        """At the last dose, in words."""
        name = panel_name(self.method, self.data)
        if self.networks[-1] is None:
            return f"{name}: the base network is no worse on D′ than the best hypothesis."
        null = (
            f"; one bias for each answer could learn {100 * self.null:.0f} %" if self.null is not None else ""
        )
        share = f"{100 * self.networks[-1]:.0f} % of D′ in {self.doses[-1]} steps"
        return f"{name}: the networks learnt {share}{null}."


def learnt(run: Run) -> list[Learnt]:
    """Every method and D' whose cells know of it, in the order of their names."""
    every = []
    panels = dict.fromkeys((cell.method, cell.arm) for cell in run.cells("finetuned"))
    for method, data in sorted(panels):
        before, biased, best, after = [], [], [], []
        for cell in run.cells("finetuned", data, method):
            theories, networks = run.theories(cell), run.finetuned(cell)
            if theories is None or theories.reachable is None:
                continue
            if networks is None or networks.data_loss is None:
                continue
            for losses, column in zip((before, biased, best), theories.reachable.T, strict=True):
                losses.append(column)
            after.append(networks.data_loss)
        if after:
            shares = _shares(*map(np.concatenate, (before, biased, best, after)))
            every.append(Learnt(method, data, run.doses, *shares))
    return every


def notes(run: Run) -> list[str]:
    """Notes of theories on themselves and D', in sentences: the first base network's, once for each D'."""
    known = {}
    for cell in run.cells("theories"):
        content = run.theories(cell)
        for ladder in content.ladders if content else ():
            if ladder.note:
                known.setdefault((cell.arm, ladder.theory), ladder.note)
    return [f"{theory}, D′ {arm}: {note}" for (arm, theory), note in known.items()]


def table(every: Sequence[Learnt]) -> list[list[str]]:
    """Header and rows."""
    doses = every[0].doses if every else ()
    header = ["method", "best null", *(f"dose {dose}" for dose in doses)]
    rows = [(panel_name(entry.method, entry.data), entry.null, *entry.networks) for entry in every]
    return [header, *([name, *map(percent, shares)] for name, *shares in rows)]


def _shares(
    before: np.ndarray, biased: np.ndarray, best: np.ndarray, after: np.ndarray
) -> tuple[float | None, tuple[float | None, ...]]:
    """Of losses (m,) and those of networks (m, d)."""
    whole = np.sum(before - best, dtype=float)
    if not whole > 0:
        return None, (None,) * after.shape[1]
    networks = np.sum(before[:, None] - after, axis=0, dtype=float) / whole
    null = float(np.sum(before - biased, dtype=float) / whole)
    return None if np.isnan(null) else null, tuple(map(float, networks))


def record(entry: Learnt | None, dose: int) -> dict[str, float | None]:
    """The shares at a dose as columns of a table."""
    return {
        "data_learnt": entry.at(dose) if entry else None,
        "data_learnt_by_best_null": entry.null if entry else None,
    }


def percent(share: float | None) -> str:
    """A share as text."""
    return "-" if share is None else f"{100 * share:.0f} %"
