"""Injected beliefs, by read-out: what a network says of its coin and what it does. Numpy only.

    injection    changes of the expected bias over those of a belief with the injected nats more: said (the
                 name), done (formats, mean); said over done; shares of the wrong sign; of a control
                 direction, root mean square changes over those of the pattern; the share of injections
                 beyond all that the probe read where it was fitted
    finetuning   said over done of what D' moves, ratios of sums
    probe        I of the stream after the first block, with baselines

`group` is where nats are injected. Base networks have method "" and dose 0.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from experiments.scoring.inside_cells import inside_cells
from experiments.scoring.intervals import clusters, ratio
from experiments.scoring.measure_line import MeasureLine, mean_of_known
from experiments.storage.injection_cell import WHERE, InjectionCell
from experiments.storage.inside_cell import FEATURES
from experiments.storage.records import Cell
from experiments.storage.run import Run

INJECTED, FINETUNED, PROBE = "injection", "finetuning", "probe"
SAID_OVER_DONE = "said / done"
Cells = Sequence[tuple[Cell, InjectionCell]]


def injection_lines(run: Run) -> list[MeasureLine]:
    """Every measure, from the finished cells."""
    cells = inside_cells(run, InjectionCell)
    return [*_bases(cells), *_networks(cells)] if cells else []


def _bases(cells: Cells) -> Iterator[MeasureLine]:
    keys = [(cell.base, 0) for cell, _ in cells]
    bases = [cell.base for cell, _ in cells]
    for w, where in enumerate(WHERE):
        slopes = np.array([cell.slopes[w] for _, cell in cells], float)
        done, named = slopes[:, :-1].mean(axis=1), slopes[:, -1]
        wrong = np.array([cell.wrong[w] for _, cell in cells], float)
        sizes = np.array([cell.sizes[w] for _, cell in cells], float)  # (b, c, o)
        last = w == 0  # nats at one answer are so many nats; at several a sum or a mean of them
        for measure, values, bayes in (
            ("said", named, 1.0 if last else None),
            ("done", done, 1.0 if last else None),
            ("said, wrong sign", wrong[:, -1], None),
            ("done, wrong sign", wrong[:, :-1].mean(axis=1), None),
            ("said, control", sizes[:, 1, -1] / sizes[:, 0, -1], None),
            ("done, control", (sizes[:, 1, :-1] / sizes[:, 0, :-1]).mean(axis=1), None),
        ):
            value, count = mean_of_known(values, keys)
            if count:
                yield MeasureLine(INJECTED, measure, value, count, where, depth=1, bayes=bayes)
        both = ratio(named, done, [bases])
        yield MeasureLine(INJECTED, SAID_OVER_DONE, both, len(keys), where, depth=1, bayes=1.0)
    value, count = mean_of_known([float(cell.beyond) for _, cell in cells], keys)
    if count:
        yield MeasureLine(INJECTED, "beyond the span", value, count, depth=1)
    for f, feature in enumerate(FEATURES):
        value, count = mean_of_known([cell.information[f, 0] for _, cell in cells], keys)
        if count:
            yield MeasureLine(PROBE, f"I: {feature}", value, count, depth=1)


def _networks(cells: Cells) -> Iterator[MeasureLine]:
    first = cells[0][1]
    seeds = first.moved.shape[1]
    keys = [(cell.base, seed) for cell, _ in cells for seed in range(seeds)]
    ways = clusters([0] * len(keys), *zip(*keys, strict=True))
    for m, method in enumerate(first.methods.tolist()):
        for d, dose in enumerate(first.doses.tolist()):
            moved = np.concatenate([cell.moved[m, :, d] for _, cell in cells]).astype(float)
            named, done = moved[:, -1], moved[:, :-1].mean(axis=1)
            sign = np.sign(done.sum()) or 1.0
            value = ratio(sign * named, sign * done, ways)
            yield MeasureLine(FINETUNED, SAID_OVER_DONE, value, len(keys), "", method, dose, bayes=1.0)
