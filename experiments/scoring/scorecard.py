"""Scorecard: the explained part of the shift for each theory, dose and group, with its error. Numpy only.

`explained` is 1 - Σ nats / Σ shift over networks; its standard error is the delta method with base networks
as clusters. It is undefined (None) where Σ shift does not exceed Σ replica, the noise of another order of the
data, or is too small for float32; and where a theory was fitted to what it would be scored on. It is -∞,
without an error, where the theory rules out an answer that a network gives.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from experiments.storage.records import Grade, Json, Numbers, Row, ScoreLine

FITTED_ON = "in_domain"
RESOLUTION = 1e-6  # nats: a shift below it is rounding of float32
Key = tuple[str, str, str, int, str, str, Grade, str]


def scorecard(rows: Iterable[Row]) -> list[ScoreLine]:
    """One line for each (study, method, D', dose, theory, prior, grade, group), over all networks."""
    gathered: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        key = row.study, row.method, row.data, row.dose, row.theory, row.prior, row.grade, row.group
        gathered[key].append(row)
    return [_line(part) for part in gathered.values()]


def score_json(lines: Iterable[ScoreLine]) -> list[Json]:
    """Lines as plain values; old names (`floor`, `ceiling`) stand beside the new ones."""
    return [line.to_json() for line in lines]


def _line(rows: Sequence[Row]) -> ScoreLine:
    """Rows of one theory, at one dose, on one group, put together over networks."""
    first = rows[0]
    nats, shift, replica = (
        _column(getattr(row, name) for row in rows) for name in ("nats", "shift", "replica")
    )
    clusters = np.array([row.base for row in rows for _ in row.nats])
    defined = shift.mean() > max(replica.mean(), RESOLUTION)
    scored = first.grade != "fitted" or first.group != FITTED_ON
    value, error = ratio(nats, shift, clusters)
    other_base = [row.other_base for row in rows if row.other_base is not None]
    betas = [row.beta for row in rows if row.beta is not None]
    converged = [row.converged for row in rows if row.converged is not None]

    def score(parts: Iterable[Numbers]) -> float:
        return 1 - float(_column(parts).mean() / shift.mean())

    return ScoreLine(
        study=first.study,
        method=first.method,
        data=first.data,
        dose=first.dose,
        theory=first.theory,
        prior=first.prior,
        grade=first.grade,
        group=first.group,
        explained=1 - value if defined and scored else None,
        standard_error=error if defined and scored else None,
        noise_ceiling=score(row.replica for row in rows) if defined else None,
        other_base=score(other_base) if defined and len(other_base) == len(rows) else None,
        best_in_class=score(row.best_in_class for row in rows) if defined and scored else None,
        nats=float(nats.mean()),
        shift=float(shift.mean()),
        beta=float(np.median(_column(betas))) if betas else None,
        converged=float(_column(converged).mean()) if converged else None,
        split=first.split,
        networks=len(nats),
    )


def _column(parts: Iterable[Sequence[float]]) -> np.ndarray:
    """The values of all networks."""
    return np.array([value for part in parts for value in part], float)


def ratio(above: np.ndarray, below: np.ndarray, clusters: np.ndarray) -> tuple[float, float | None]:
    """Σ above / Σ below and its standard error, with dependent entries inside a cluster.

    Delta method: residuals e = (above - R below) / mean(below), summed in each cluster; with one cluster
    its entries are independent; with one entry there is no error (None).
    """
    if below.sum() <= 0:
        return float("nan"), None
    value = above.sum() / below.sum()
    if np.isinf(value):
        return float(value), None
    residual = (above - value * below) / below.mean()
    names = np.unique(clusters)
    sums = np.array([residual[clusters == name].sum() for name in names]) if len(names) > 1 else residual
    if len(sums) < 2:
        return float(value), None
    spread = np.sum(np.square(sums)) * len(sums) / (len(sums) - 1)
    return float(value), float(np.sqrt(spread) / len(above))
