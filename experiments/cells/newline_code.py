"""Writers of the newline, their code, and how far streams rank contexts by a newline to come.

Parts of the newline's logit less the mean of words' (models.editing.logit_parts), at positions after words of
documents that are held out; lines are fitted in the others:

    share         of the variance of the whole logit that goes with the part; parts add up to 1
    log-odds      R² of a line in the exact log-odds of a newline; `probability`, in its exact probability
    side by side  R² of a code of the column and of the belief over widths side by side
    comparison    nats for a nat of what the exact log-odds are beyond that code: no sum of column and width
                  has it, so whoever writes it has compared both. An exact logit has 1, a sum of both 0

AUC of probes of a newline within 1, 2, ... tokens against the exact chance, in the documents that are held
out. In a band of columns two contexts are compared that have the same column, so that the column alone has
1/2; bands are thirds of the widest line. The exact chance's own AUC is the ceiling.
"""

import numpy as np
from jaxtyping import Float

from experiments.cells.column_baselines import side_by_side
from experiments.cells.curve_reading import CurveReading
from experiments.cells.pages import Pages
from experiments.storage.newline_code import RANKED_BY
from models.editing.logit_parts import logit_parts
from theory.probes.baselines import cubic, outputs, seen_tokens
from theory.probes.codes import fit_linear, r_squared
from theory.probes.readings import ranking
from theory.probes.subspaces import normalise


def codes(
    parts: Float[np.ndarray, "p n t"], whole: Float[np.ndarray, "n t"], pages: Pages
) -> Float[np.ndarray, "p c"]:
    """The measures of parts of a logit, each a share of the whole."""
    exact, fitted, scored = pages.statistics[0], pages.fitted, pages.scored
    chance = 1 / (1 + np.exp(-exact))
    both = side_by_side(pages.column, pages.beliefs)
    features = exact[..., None], chance[..., None], both
    total, sums = whole[scored] - whole[scored].mean(), both[scored]
    beyond = exact[scored] - sums @ np.linalg.lstsq(sums, exact[scored], rcond=None)[0]
    rows = []
    for part in parts:
        read = [fit_linear(known[fitted], part[fitted][:, None]).predict(known[scored]) for known in features]
        explained = [r_squared(part[scored][:, None], values) for values in read]
        centred = part[scored] - part[scored].mean()
        rows.append([centred @ total / (total @ total), *explained, centred @ beyond / (beyond @ beyond)])
    return np.array(rows)


def newline_parts(reading: CurveReading) -> tuple[np.ndarray, np.ndarray]:
    """Measures (S, C) of parts added up, and (b, W, C) of what heads and perceptron of every block write."""
    words = reading.pages.process.vocabulary - 1
    direction = np.append(np.full(words, -1 / words), 1.0)  # the newline is the last token
    start, blocks = (
        np.asarray(part, float) for part in logit_parts(reading.network, reading.streams, direction)
    )
    of_writers = blocks.sum(axis=0)
    whole = start + of_writers.sum(axis=0)
    sums = codes(np.stack([start, *of_writers, whole]), whole, reading.pages)
    writers = codes(blocks.reshape(-1, *whole.shape), whole, reading.pages)
    return sums, writers.reshape(*blocks.shape[:2], -1)


def ranks(reading: CurveReading, untrained: CurveReading, chances: Float[np.ndarray, "n t q"]) -> np.ndarray:
    """AUC (q, l, F, B) by horizon after every block, of what ranks contexts in every band of columns."""
    pages = reading.pages
    fitted, scored = pages.fitted, pages.scored
    answers = outputs(np.asarray(reading.network.predict(pages.tokens), float))
    outside = [cubic(answers), seen_tokens(pages.tokens, pages.process.vocabulary)]

    def areas(features: np.ndarray) -> list[list[float]]:
        read = fit_linear(features[fitted], chances[fitted]).predict(features[scored])
        return banded(read, chances[scored], pages)

    of_outside = [areas(part) for part in outside]
    ceiling = banded(chances[scored], chances[scored], pages)
    every = []
    for depth in range(1, reading.streams.shape[1]):
        inside = [areas(normalise(part.streams[:, depth])) for part in (reading, untrained)]
        every.append([*inside, *of_outside, ceiling])
    assert len(every[0]) == len(RANKED_BY)
    return np.array(every).transpose(2, 0, 1, 3)


def banded(scores: np.ndarray, exact: np.ndarray, pages: Pages) -> list[list[float]]:
    """AUC (q, B) of scores (c, q) for exact chances, at scored positions, in all and in each band."""
    column, widest = pages.column[pages.scored], max(pages.process.widths)
    band = np.minimum((column - 1) * 3 // widest, 2)
    rows = []
    for score, chance in zip(scores.T, exact.T, strict=True):
        chosen = [band == third for third in range(3)]
        within = [ranking(score[part], chance[part], column[part]) for part in chosen]
        rows.append([ranking(score, chance), *within])
    return rows
