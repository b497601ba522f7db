"""Axioms of Bayes by method and D': every violation over networks, with its interval. Numpy only.

    share     Σ violation / Σ shift: 0 of a Bayesian update; about 1 if the violation is as large as the shift
    noise     Σ noise / Σ shift
    excess    share - noise on the same networks; its interval says whether the axiom is violated

Intervals of 95 % are by base networks and D' (experiments.scoring.intervals); by base networks alone of the
martingale, whose documents are each network's own, and of retrained networks, which met one D'. Draws of a
process are one line.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from experiments.scoring import violations
from experiments.scoring.intervals import Estimate, clusters, ratio
from experiments.scoring.labels import FITTED_ON
from experiments.scoring.violations import Violation
from experiments.storage.axiom_cell import AxiomCell
from experiments.storage.records import Cell, Json, Ladder
from experiments.storage.run import Run

HELD_OUT, EVERY = "held_out", "all"  # groups: the one that is judged, and all contexts together
Measured: TypeAlias = tuple[Cell, Violation]


@dataclass(frozen=True)
class Axiom:
    """An axiom: its name, a short title, the words for what is fitted ("" where nothing is)."""

    name: str
    title: str
    fitted: str = ""


AXIOMS = (
    Axiom("exchangeable", "another order of D′"),
    Axiom("commutes", "A then B = B then A"),
    Axiom("pools", "one after the other = mixed"),
    Axiom("additive", "s + s = 2s steps"),
    Axiom("martingale", "mean over own D′ = base"),
    Axiom("context", "D′ read = D′ finetuned", "steps a pair"),
    Axiom("filter", "prior moves, filter stays", "K(s)/K(0)"),
    Axiom("retrained", "D, then D′ = both from scratch", "share of D′"),
)


@dataclass(frozen=True)
class AxiomLine:
    """One axiom for one method on one D' in one group of contexts, over all `networks`.

    `nats`, `noise_nats` and `shift` are means (nats); `share`, `noise` and `excess` are in units of the
    shift. `fitted` is the mean of what was fitted; None where nothing is.
    """

    method: str
    data: str
    axiom: str
    group: str
    nats: float
    noise_nats: float
    shift: float
    share: Estimate
    noise: float
    excess: Estimate
    fitted: float | None
    networks: int

    @property
    def violated(self) -> bool:
        """Whether the whole interval of the violation is above its noise."""
        return self.excess.above

    def record(self) -> Json:
        """Plain values by column."""
        low, high = self.share.interval or (None, None)
        excess_low, excess_high = self.excess.interval or (None, None)
        return {
            **{name: getattr(self, name) for name in ("data", "method", "axiom", "group", "nats")},
            **{"noise_nats": self.noise_nats, "shift_nats": self.shift, "share": self.share.value},
            **{"share_low": low, "share_high": high, "noise": self.noise, "excess": self.excess.value},
            **{"excess_low": excess_low, "excess_high": excess_high, "violated": self.violated},
            **{"fitted": self.fitted, "networks": self.networks},
        }


def judged(groups: Sequence[str]) -> str:
    """The group that axioms are judged on: held-out contexts, or the first that are not of D'."""
    others = [group for group in groups if group not in (FITTED_ON, EVERY)]
    return HELD_OUT if HELD_OUT in others or not others else others[0]


def axiom_lines(run: Run) -> list[AxiomLine]:
    """Every axiom by D', method and group of contexts, from the finished cells."""
    panels: dict[tuple[str, str], list[tuple[Cell, AxiomCell]]] = {}
    for cell in sorted(run.cells("axioms"), key=lambda cell: (cell.base, cell.method)):
        content = run.read(cell)
        assert isinstance(content, AxiomCell)
        panels.setdefault((cell.arm, cell.method), []).append((cell, content))
    return [line for panel, cells in panels.items() for line in _panel(run, panel, cells)]


def _panel(run: Run, panel: tuple[str, str], cells: Sequence[tuple[Cell, AxiomCell]]) -> Iterator[AxiomLine]:
    """The lines of one D' and method."""
    contexts = cells[0][1].contexts
    others = _companions(run, cells)
    for axiom in AXIOMS:
        measure = MEASURES[axiom.name]
        groups = contexts.groups
        if axiom.name == "filter":
            groups = [EVERY]
        elif axiom.name in ("context", "retrained"):
            groups = [judged(groups)]
        for group in groups:
            measured = [
                (cell, violation)
                for (cell, content), other in zip(cells, others, strict=True)
                if (violation := measure(content, group, other)) is not None
            ]
            if measured:
                yield _line(run, panel, axiom.name, group, measured)


def _line(
    run: Run, panel: tuple[str, str], axiom: str, group: str, measured: Sequence[Measured]
) -> AxiomLine:
    """Sum violations over networks."""
    nats, noise, shift = (
        np.concatenate([getattr(violation, name) for _, violation in measured])
        for name in ("nats", "noise", "shift")
    )
    networks = [
        (run.draw(cell.base), cell.base, seed)
        for cell, violation in measured
        for seed in range(len(violation.nats))
    ]
    draws, bases, seeds = zip(*networks, strict=True)
    ways = clusters(draws, bases, seeds)
    if len(set(seeds)) == 1:  # the martingale's documents are a base network's own; one D' is retrained on
        ways = ways[:-1]
    fitted = [violation.fitted for _, violation in measured if violation.fitted is not None]
    return AxiomLine(
        method=panel[1],
        data=panel[0],
        axiom=axiom,
        group=group,
        nats=float(nats.mean()),
        noise_nats=float(noise.mean()),
        shift=float(shift.mean()),
        share=ratio(nats, shift, ways),
        noise=float(noise.sum() / shift.sum()) if shift.sum() > 0 else float("nan"),
        excess=ratio(nats - noise, shift, ways),
        fitted=float(np.concatenate(fitted).mean()) if fitted else None,
        networks=len(nats),
    )


def _companions(run: Run, cells: Sequence[tuple[Cell, AxiomCell]]) -> list["Companions"]:
    """For every cell the next base network of its draw, cyclically, and the networks that were retrained."""
    result: list[Companions] = []
    for cell, _ in cells:
        mates = [(c, content) for c, content in cells if run.draw(c.base) == run.draw(cell.base)]
        index = [c for c, _ in mates].index(cell)
        other = mates[(index + 1) % len(mates)][1].contexts.base.astype(float) if len(mates) > 1 else None
        retrained = run.retrained(cell)
        result.append(Companions(other, retrained.ladder if retrained else None))
    return result


@dataclass(frozen=True)
class Companions:
    """Networks beside those of a cell: answers (c, a) of another base network, None of one alone, and the
    ladder of those pretrained from scratch, None without."""

    other_base: np.ndarray | None
    retrained: Ladder | None


Measure: TypeAlias = Callable[[AxiomCell, str, Companions], Violation | None]


def _of_group(measure: Callable[..., Violation], *names: str) -> Measure:
    """A measure of arrays of a cell and its base network, in one group of contexts."""

    def measured(cell: AxiomCell, group: str, companions: Companions) -> Violation:
        inside = cell.contexts.inside(group)
        arrays = [getattr(cell, name)[:, inside].astype(float) for name in names]
        return measure(*arrays, cell.contexts.base[inside].astype(float))

    return measured


def _martingale(cell: AxiomCell, group: str, companions: Companions) -> Violation:
    inside = cell.contexts.inside(group)
    base = cell.contexts.base[inside].astype(float)
    return violations.martingale(base, cell.drawn[:, inside], cell.drawn_evidence[:, inside])


def _context(cell: AxiomCell, group: str, companions: Companions) -> Violation | None:
    """None where nothing can be shown in the context."""
    if cell.shown is None:
        return None
    assert cell.taught is not None and cell.rows is not None
    assert cell.doses is not None and cell.pairs is not None
    contexts, rows = cell.contexts, cell.rows
    of_data = contexts.group[rows] == FITTED_ON
    base = contexts.base[rows].astype(float)
    measured = violations.context(cell.shown, cell.taught, base, cell.doses, of_data)
    assert measured.fitted is not None
    return replace(measured, fitted=measured.fitted / float(cell.pairs))


def _filter(cell: AxiomCell, group: str, companions: Companions) -> Violation:
    contexts = cell.contexts
    outside = contexts.group != FITTED_ON
    return violations.filter_stays(
        cell.ordered[:, outside].astype(float),
        cell.reordered[:, outside].astype(float),
        contexts.base[outside].astype(float),
        contexts.components[:, outside],
        contexts.evidence[:, outside],
    )


def _retrained(cell: AxiomCell, group: str, companions: Companions) -> Violation | None:
    """None where nothing was retrained; of the first D' alone."""
    ladder, contexts = companions.retrained, cell.contexts
    if ladder is None:
        return None
    networks = ladder.log_probs
    return violations.retrained(
        cell.ordered[: len(networks)].astype(float),
        networks,
        companions.other_base,
        ladder.betas,
        contexts.calibration,
        contexts.inside(group),
    )


SEQUENCES = ("forward", "backward", "pooled", "pooled_reordered")
MEASURES: dict[str, Measure] = {
    "exchangeable": _of_group(violations.exchangeable, "ordered", "reordered"),
    "commutes": _of_group(violations.commutes, *SEQUENCES),
    "pools": _of_group(violations.pools, *SEQUENCES),
    "additive": _of_group(violations.additive, "ordered", "resumed", "reordered"),
    "martingale": _martingale,
    "context": _context,
    "filter": _filter,
    "retrained": _retrained,
}
