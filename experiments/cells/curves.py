"""Curves of a line's column in a base network and its finetuned ones, read on pages that are drawn once.

Streams are read, measured and forgotten: a cell keeps numbers alone (experiments.storage.curve_cell).
"""

import functools
from dataclasses import dataclass

import numpy as np

from experiments.cells.column_baselines import Additive, ColumnBaselines, foreign_process
from experiments.cells.column_use import ablated, errors, lines_read
from experiments.cells.curve_reading import CurveReading, moved, turned
from experiments.cells.head_losses import head_losses
from experiments.cells.inside_parts import PlanPrograms, stacked, untrained_network
from experiments.cells.newline_code import newline_parts, ranks
from experiments.cells.page_losses import exact_cost
from experiments.cells.pages import Pages, needed
from experiments.cells.query_steps import QuerySteps
from experiments.cells.tiled import tiled
from experiments.design.curve_plan import CurvePlan
from experiments.design.experiment import Arm
from experiments.storage.curve_cell import CODE, FOLLOWED, MOVED, TWIST, USED, CurveCell
from models.network import Network
from theory.probes.curves import fit_helix, surrogate_helices
from theory.probes.twist import rotated, rotations
from theory.processes.linebreak import LineBreak

COMPONENTS = 8  # of the spectrum that is kept


@dataclass(frozen=True)
class Measured:
    """Measures of a finetuned network, as in its cell: (l, c), (b, t), (u,), (l, f), (l, n) and (b, z)."""

    code: np.ndarray
    twist: np.ndarray
    used: np.ndarray
    followed: np.ndarray
    moved: np.ndarray
    turned: np.ndarray


class CurvePrograms(PlanPrograms[CurvePlan, LineBreak]):
    """Programs that finetune are those of other cells; a reading and a substitution are compiled once."""

    def __post_init__(self) -> None:
        self.pages.check(self.plan.least)  # now: what is refused is so before training

    @functools.cached_property
    def pages(self) -> Pages:
        """Pages of pretraining."""
        return Pages.drawn(self.experiment, self.plan.documents)

    @functools.cached_property
    def untrained(self) -> CurveReading:
        """A network that was never trained, read."""
        return self._read(untrained_network(self.experiment))

    @functools.cached_property
    def additive(self) -> tuple[Additive, Additive]:
        """Additive codes by the filter of the process, and by that of the same words at other lengths."""
        return Additive.of(self.pages, self.process), Additive.of(self.pages, foreign_process(self.process))

    def run(self, arm: Arm, network: Network, number: int) -> tuple[CurveCell, str]:
        """The cell of a base network, and why it failed ("" if it did not); of all numbers alike."""
        experiment, base = self.experiment, self._read(network)
        pairs = self.finetuned.pairs(network, self.data.finetuning(arm, network))
        measured = [self._measured(base, *map(network.with_params, pair)) for pair in pairs]
        cell = CurveCell(
            methods=np.array([*experiment.methods]),
            doses=np.array(experiment.doses),
            depths=self.depths,
            columns=base.curves[0].values,
            lengths=base.lengths[0].values,
            base_code=_array(base.code()),
            base_twist=_array(base.twist()),
            base_used=_array(base.used()),
            base_followed=_array([base.followed(depth, True) for depth in self.depths.tolist()]),
            untrained_code=_array(self.untrained.code()),
            untrained_twist=_array(self.untrained.twist()),
            exact_used=_array(self.pages.used(self.pages.statistics[0])),
            exact_dimension=np.array(needed(self.pages.process, base.curves[0].values).dimension()),
            head_losses=head_losses(base),
            **self._baselines(base),
            **self._profiles(base),
            **self._used(base),
            **self._written(base),
            **stacked(experiment, measured),
        )
        finite = np.isfinite(cell.code).all() and np.isfinite(cell.used).all()
        return cell, "" if finite else "Non-finite answers or streams of a finetuned network."

    def _read(self, network: Network) -> CurveReading:
        return CurveReading.of(network, self.pages, self.plan.least)

    def _baselines(self, base: CurveReading) -> dict[str, np.ndarray]:
        """Baselines of probes of the column, and what an additive code lacks."""
        made = ColumnBaselines.of(base, self.untrained, *self.additive)
        return {
            "column_table": made.column,
            "additive": made.explained,
            "beyond_additive": made.beyond,
        }

    def _profiles(self, base: CurveReading) -> dict[str, np.ndarray]:
        """Profiles of a base network for figures, and what random curves and rotations have."""
        random, count = np.random.default_rng(self.experiment.seed), self.plan.random
        helices, shares, drawn = [], [], []
        for curve in base.curves[1:]:
            others, fit = surrogate_helices(curve, count, random), fit_helix(curve)
            helices.append((others.mean(), np.mean(others < fit.helix)))
        for heads, best in zip(base.heads, base.best, strict=True):
            turns = rotations(heads[0].shape[-1], count, random)
            every = [base.difference.share(rotated(*pair, turns)) for pair in zip(*heads, strict=True)]
            drawn.append(np.max(every, axis=0))
            shares.append((drawn[-1].mean(), np.mean(drawn[-1] < base.difference.share(best))))
        beyond = np.array(drawn) - np.mean(drawn, axis=1, keepdims=True)
        return {
            "surrogates": _array(helices),
            "rotations": _array(shares),
            "best_rotation": _array(beyond.max(axis=0).mean()),
            "spectrum": _array([curve.spectrum(COMPONENTS) for curve in base.curves[1:]]),
            "by_lag": _array([curve.by_lag() for curve in base.curves[1:]]),
            "cosines": _array(base.best),
        }

    @functools.cached_property
    def _untrained_use(self) -> tuple[np.ndarray, np.ndarray]:
        """Errors and tiles of the untrained network."""
        return _array(errors(self.untrained)), _array(tiled(self.untrained, self.plan.least))

    def _used(self, base: CurveReading) -> dict[str, np.ndarray]:
        """The column in a base network and its use (experiments.storage.column_use)."""
        blocks = [QuerySteps.of(base, block) for block in range(self.layers)]
        whole, beyond = lines_read(base)
        return {
            "errors": _array(errors(base)),
            "untrained_errors": self._untrained_use[0],
            "ablated": _array(ablated(base, self.plan.random)),
            "exact_ablated": _array(exact_cost(self.pages)),
            "query_slopes": _array([block.slopes() for block in blocks]),
            "unturned": _array([block.unturned() for block in blocks]),
            "tiled": _array(tiled(base, self.plan.least)),
            "untrained_tiled": self._untrained_use[1],
            "lines_read": _array(whole),
            "lines_beyond": _array(beyond),
        }

    @functools.cached_property
    def _untrained_writers(self) -> np.ndarray:
        """Measures of heads and perceptrons of the untrained network, which write a newline."""
        return _array(newline_parts(self.untrained)[1])

    def _written(self, base: CurveReading) -> dict[str, np.ndarray]:
        """Writers of the newline, and rankings of contexts by it (experiments.storage.newline_code)."""
        sums, writers = newline_parts(base)
        return {
            "newline_sums": _array(sums),
            "newline_writers": _array(writers),
            "untrained_writers": self._untrained_writers,
            "newline_auc": _array(ranks(base, self.untrained, self.additive[0].chances)),
        }

    def _measured(self, base: CurveReading, weights: Network, twin: Network) -> Measured:
        """The measures of one finetuned network; nan where it, or its twin, is not finite."""
        after, other = self._read(weights), self._read(twin)
        if not (after.is_finite and other.is_finite):
            layers = self.layers
            return Measured(*(np.full(size, np.nan) for size in _shapes(layers)))
        return Measured(
            _array(after.code()),
            _array(after.twist()),
            _array(after.used()),
            _array([after.followed(depth, False) for depth in self.depths.tolist()]),
            _array(moved(base, after, other)),
            _array(turned(base, after, other)),
        )


def _array(values: object) -> np.ndarray:
    return np.array(values, np.float32)


def _shapes(layers: int) -> list[tuple[int, ...]]:
    """Shapes of what is measured of a finetuned network."""
    parts = [(layers, len(names)) for names in (CODE, TWIST, FOLLOWED, MOVED)]
    return [*parts[:2], (len(USED),), *parts[2:], (layers, 2)]
