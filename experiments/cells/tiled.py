"""Looks and writes of the heads of every block, by the characters that remain of a line."""

import numpy as np

from experiments.cells.curve_reading import CurveReading
from experiments.cells.pages import Pages
from models.inside import heads
from theory.probes.curves import longest_run
from theory.probes.tiling import Tiles, tiles


def remaining(pages: Pages, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Characters (n, t) from the column to the posterior mean of the width, counted from the least value that
    is kept, and where they are kept: after a word and a past line, of the longest run of values that so many
    positions have."""
    number = np.rint(pages.statistics[1]).astype(int) - pages.column
    rows = pages.word & (pages.lines > 0)
    number = number - number[rows].min()
    run = longest_run(number[rows], least)
    return number - run[0], rows & np.isin(number, run)


def tiled(reading: CurveReading, least: int) -> np.ndarray:
    """Measures (b, T) of the heads of every block; nan where there are too few heads or values."""
    pages = reading.pages
    number, rows = remaining(pages, least)
    values = number[rows]
    documents, positions = np.nonzero(rows)
    steps = np.arange(pages.tokens.shape[1])
    last = np.maximum.accumulate(np.where(pages.ended > 0, steps, 0), axis=1)[rows]
    half = documents % 2
    every = []
    patterns, writes = heads(reading.network, reading.streams)
    for pattern, write in zip(patterns, writes, strict=True):
        # over what a head has that looks everywhere alike
        weights = np.asarray(pattern)[:, documents, positions, last] * (1 + positions)
        count = values.max() + 1
        profiles = np.stack([_means(weights.T[half == part], values[half == part], count) for part in (0, 1)])
        written = np.stack([_means(part[rows], values, count).T for part in np.asarray(write)])
        enough = len(pattern) > 1 and profiles.shape[-1] > 2 and np.isfinite(profiles).all()
        every.append(tiles(profiles, written) if enough else [np.nan] * len(Tiles._fields))
    return np.array(every, float)


def _means(rows: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Means (k, r) of rows (n, k) by value, of which there are so many."""
    counts = np.bincount(values, minlength=count)
    sums = np.stack([np.bincount(values, column, count) for column in rows.T])
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums / counts
