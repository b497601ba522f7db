"""Tests of the inside by world, method, dose and depth: every measure over networks, with its interval.

    T1 translation   slope; spread and twin, in units of the shift's size; target, the nats that D's
                     hypothesis gains on the mean of the others
    T2 sufficiency   C = 1 - Σ KL(finetuned ‖ base + vector) / Σ KL(finetuned ‖ base), elsewhere; the same
                     of the twin, another order of D'; what a vector loses beyond the twin; the shift
    T3 calibration   slope, its spread over contexts, share of contexts of the wrong sign; share of those
                     that the largest edit takes beyond all that the probe read where it was fitted
    T4 code          I of streams and baselines in both codes; variation of what steering adds
    T5 old probes    I up to one constant; the loss of the old probe, less the difference to the twin; slopes
                     against the exact posterior and the network's own answers
    T7 posteriors    explained = 1 - Σ KL(b of finetuned ‖ b of theory) / Σ KL(b of finetuned ‖ b of base),
                     elsewhere, b read by the base network's probe, a theory's strength fitted in-domain;
                     twin; the same of the steering posterior, and of the linearised network, which follows
                     the finetuning, fits nothing and is no posterior
    T6 factors       R² of the interaction and of the joint part, dimensions, angle (degrees)

Base networks have method "" and dose 0; what has no depth has depth 0. `bayes` is what a theory says by which
D' moves weights of hypotheses and nothing else. Numpy only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from experiments.scoring.inside_cells import cells_by_arm
from experiments.scoring.intervals import Estimate, clusters, mean, ratio
from experiments.storage.inside_cell import (
    CODES,
    FACTORS,
    FEATURES,
    FORETOLD,
    OLD_PROBES,
    READ,
    RESPONSE,
    SLOPES,
    TRANSLATION,
    VECTORS,
    WHERE,
    InsideCell,
)
from experiments.storage.records import Cell, Json
from experiments.storage.run import Run

TESTS = {
    "T1": "translation",
    "T2": "sufficiency",
    "T3": "calibration",
    "T4": "code",
    "T5": "old probes",
    "T6": "factors",
    "T7": "posteriors",
}
BAYES = {  # by test and measure
    ("T1", "slope"): 1.0,
    ("T1", "spread"): 0.0,
    **{("T2", vector): 1.0 for vector in VECTORS},
    **{("T2", f"lost: {vector}"): 0.0 for vector in VECTORS},
    ("T3", "slope"): 1.0,
    ("T3", "slope, own position"): 1.0,
    ("T3", "spread"): 0.0,
    ("T3", "wrong"): 0.0,
    ("T4", "of_log_odds"): 0.0,
    ("T5", "loss"): 0.0,
    **{("T7", theory): 1.0 for theory in (*READ[2:], FORETOLD[0])},
}
BEYOND = "beyond the span"  # share of contexts, by the largest edit
BOUNDED = ("spread", "wrong", "of_log_odds", *VECTORS)  # which chance alone puts off what Bayes says
LOSSES = ("loss", *(f"lost: {vector}" for vector in VECTORS))  # which refute above 0 alone
Cells = Sequence[tuple[Cell, InsideCell]]


@dataclass(frozen=True)
class InsideLine:
    """One measure of one test, over `networks`: of `data`, with a `method` and a `dose` where networks are
    finetuned, at a `depth` where there is one."""

    data: str
    test: str
    measure: str
    method: str
    dose: int
    depth: int
    value: Estimate
    networks: int

    @property
    def bayes(self) -> float | None:
        """The value that Bayes says, if any."""
        return BAYES.get((self.test, self.measure))

    @property
    def refuted(self) -> bool:
        """Whether the whole interval is off what Bayes says; a loss, where it is above."""
        if not self.judged or self.bayes is None or self.value.interval is None:
            return False
        low, high = self.value.interval
        return low > self.bayes or (high < self.bayes and self.measure not in LOSSES)

    @property
    def judged(self) -> bool:
        """Whether an interval can refute what Bayes says: not where that is the end of what there is."""
        return self.bayes is not None and self.measure not in BOUNDED

    def record(self) -> Json:
        """Plain values by column."""
        low, high = self.value.interval or (None, None)
        return {
            **{name: getattr(self, name) for name in ("data", "test", "measure", "method", "dose", "depth")},
            **{"value": self.value.value, "low": low, "high": high, "bayes": self.bayes},
            "networks": self.networks,
        }


def inside_lines(run: Run) -> list[InsideLine]:
    """Every measure, from the finished cells; without those that were measured of no network."""
    worlds = cells_by_arm(run, InsideCell)
    return [
        line for data, cells in worlds.items() for line in (*_bases(data, cells), *_networks(data, cells))
    ]


def _bases(data: str, cells: Cells) -> Iterator[InsideLine]:
    """Measures of base networks alone."""
    first = cells[0][1]
    depths = first.depths.tolist()
    for row, depth in enumerate(first.edited.tolist()):
        yield from _base(data, "T3", BEYOND, depth, cells, [c.beyond[row] for _, c in cells])
        for (alone, where), (part, name) in product(enumerate(WHERE), enumerate(RESPONSE)):
            test = "T4" if name.startswith("of_") else "T3"
            values = [c.response[row, alone, part] for _, c in cells]
            yield from _base(data, test, name + where, depth, cells, values)
    for row, depth in enumerate(depths):
        for code, feature in np.ndindex(len(CODES), len(FEATURES)):
            for side, where in enumerate(("", ", in sample")):
                name = f"{CODES[code]}: {FEATURES[feature]}{where}"
                values = [c.information[code, row, feature, side] for _, c in cells]
                yield from _base(data, "T4", name, depth, cells, values)
        for part, name in enumerate(SLOPES):
            values = [c.base_slopes[row, part] for _, c in cells]
            yield from _base(data, "T5", f"slope: {name}", depth, cells, values)
        for part, name in enumerate(FACTORS):
            yield from _base(data, "T6", name, depth, cells, [c.factors[row, part] for _, c in cells])


def _base(
    data: str, test: str, measure: str, depth: int, cells: Cells, values: Sequence[float]
) -> Iterator[InsideLine]:
    """The mean over the base networks of which it was measured."""
    array = np.asarray(values, float)
    known = np.isfinite(array)
    if known.any():
        bases = [cell.base for (cell, _), has in zip(cells, known, strict=True) if has]
        yield InsideLine(data, test, measure, "", 0, depth, mean(array[known], [bases]), len(bases))


def _networks(data: str, cells: Cells) -> Iterator[InsideLine]:
    """Measures of finetuned networks."""
    first = cells[0][1]
    seeds = first.shift.shape[1]
    keys = [(cell.base, seed) for cell, _ in cells for seed in range(seeds)]
    bases, rows = zip(*keys, strict=True)
    ways = clusters([0] * len(keys), bases, rows)

    def flat(name: str, method: int, dose: int, *index: int) -> np.ndarray:
        parts = [getattr(cell, name)[(method, slice(None), dose, *index)] for _, cell in cells]
        return np.concatenate(parts).astype(float)

    for m, method in enumerate(first.methods.tolist()):
        for d, dose in enumerate(first.doses.tolist()):

            def line(
                test: str, measure: str, depth: int, value: Estimate, method: str = method, dose: int = dose
            ) -> InsideLine:
                return InsideLine(data, test, measure, method, dose, depth, value, len(keys))

            shift = flat("shift", m, d)
            yield line("T2", "shift", 0, mean(shift, ways))
            noise = flat("noise", m, d)
            yield line("T2", "twin", 0, ratio(shift - noise, shift, ways))
            for part, name in enumerate(VECTORS):
                missed = flat("missed", m, d, part)
                yield line("T2", name, 0, ratio(shift - missed, shift, ways))
                yield line("T2", f"lost: {name}", 0, ratio(missed - noise, shift, ways))
            for row, depth in enumerate(first.depths.tolist()):
                slope, spread, size, target, twin = (
                    flat("translation", m, d, row, part) for part in range(len(TRANSLATION))
                )
                yield line("T1", "slope", depth, mean(slope, ways))
                yield line("T1", "spread", depth, ratio(spread, size, ways))
                yield line("T1", "twin", depth, ratio(twin, size, ways))
                yield line("T1", "target", depth, mean(target, ways))
                unchanged, *read = (flat("read", m, d, row, part) for part in range(len(READ)))
                for name, nats in zip(READ[1:], read, strict=True):
                    yield line("T7", name, depth, ratio(unchanged - nats, unchanged, ways))
                for part, name in enumerate(FORETOLD):
                    nats = flat("foretold", m, d, row, part)
                    if np.isfinite(nats).all():
                        yield line("T7", name, depth, ratio(unchanged - nats, unchanged, ways))
                kept = [flat("old_probes", m, d, row, part) for part in range(len(OLD_PROBES))]
                for name, values in zip(OLD_PROBES, kept, strict=True):
                    yield line("T5", name, depth, mean(values, ways))
                base, old, twin, _ = kept
                yield line("T5", "loss", depth, mean(base - old - abs(old - twin), ways))
                for part, name in enumerate(SLOPES):
                    yield line("T5", f"slope: {name}", depth, mean(flat("slopes", m, d, row, part), ways))
