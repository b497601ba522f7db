"""The column in the stream of a network: how well it is read, what it costs to lose it, and past lines at
newlines."""

import numpy as np

from experiments.cells.curve_reading import CurveReading
from experiments.cells.page_losses import losses
from experiments.cells.pages import LINES, RATES
from experiments.cells.steering import along, steered
from theory.probes.ablation import Subspace
from theory.probes.number_errors import number_errors
from theory.probes.partial import partial_r_squared
from theory.probes.subspaces import normalise

ROWS = 3000  # positions that a probe with a class a column is fitted on, at most
SUBSPACES = 10  # random ones, at most
RATE = RATES.index(0.5)  # of the moving average at newlines


def errors(reading: CurveReading) -> np.ndarray:
    """Errors (O, E) in characters of the column after a word, from the embedding on, of columns that the
    curve has."""
    pages = reading.pages
    known = pages.word & np.isin(pages.column, reading.curves[0].values)
    fitted = np.flatnonzero(known & pages.fitted)
    random = np.random.default_rng(pages.seed)
    chosen = random.permutation(fitted)[:ROWS]
    rows = np.concatenate([np.sort(chosen), np.flatnonzero(known & pages.scored)])
    numbers, is_fitted = pages.column.reshape(-1)[rows], np.arange(len(rows)) < len(chosen)
    return np.array(
        [
            number_errors(normalise(stream.reshape(-1, stream.shape[-1])[rows]), numbers, is_fitted)
            for stream in reading.streams.swapaxes(0, 1)
        ]
    )


def ablated(reading: CurveReading, count: int) -> np.ndarray:
    """Nats (l, A, k) that pages cost more after every block without the column's subspace, and without
    `count` random ones, on average: at positions after words, all at once."""
    pages, network = reading.pages, reading.network
    random = np.random.default_rng(pages.seed)
    tokens, read = pages.tokens[pages.held], reading.streams[pages.held]
    word = pages.word[pages.held][..., None]
    whole = losses(pages, np.asarray(network.predict(tokens)))
    every = []
    for depth in range(1, read.shape[1]):
        streams, rows = normalise(read[:, depth]), normalise(reading.streams[:, depth][pages.fitted])

        def cost(subspace: Subspace, factor: float, depth: int = depth, streams: np.ndarray = streams):
            steps = np.where(word, subspace.steps(streams), 0)
            answers = steered(network, tokens, along(read, depth, steps, factor))
            return losses(pages, np.asarray(answers)) - whole

        column = Subspace.of_curve(reading.curves[depth], rows.mean(axis=0))
        others = column.others(rows, min(count, SUBSPACES), random)
        drawn = [[cost(other, size) for size in (1.0, factor)] for other, factor in others]
        every.append([cost(column, 1.0), *np.mean(drawn, axis=0)])
    return np.array(every)


def lines_read(reading: CurveReading) -> np.ndarray:
    """R² (2, l, P) after every block of statistics of past lines, read after a newline: whole, and beyond the
    others."""
    pages = reading.pages
    rows = (pages.ended > 0) & (pages.lines >= LINES)
    mean, longest, last, averages = pages.statistics[1], *pages.statistics[2:4], pages.statistics[4:]
    statistics = np.stack([part[rows] for part in (mean, longest, averages[RATE], last)], axis=1)
    fitted = np.broadcast_to(~pages.held[:, None], rows.shape)[rows]
    read = [
        partial_r_squared(normalise(reading.streams[:, depth][rows]), statistics, fitted)
        for depth in range(1, reading.streams.shape[1])
    ]
    return np.array(read).swapaxes(0, 1)
