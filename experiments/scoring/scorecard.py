"""From rows to the scorecard: the explained part of the shift, with its error. Numpy only.

`explained` is 1 - Σ nats / Σ shift over networks; its standard error is the delta method with base networks
as clusters. It is undefined (None) where Σ shift does not exceed Σ order, the noise of another order of the
data, or is too small for float32; and where a theory was fitted to what it would be scored on.
"""

from collections import defaultdict
from typing import Any

import numpy as np

FITTED_ON = "in_domain"
RESOLUTION = 1e-6  # nats: a shift below it is rounding of float32


def scorecard(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line for each (method, D', dose, theory, prior, grade, group), over all networks."""
    gathered: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    names = ("study", "method", "data", "dose", "theory", "prior", "grade", "group")
    for row in table:
        gathered[tuple(row[name] for name in names)].append(row)
    return [{**dict(zip(names, key, strict=True)), **_score(same)} for key, same in gathered.items()]


def _score(same: list[dict[str, Any]]) -> dict[str, Any]:
    def column(name: str) -> np.ndarray:
        return np.array([value for row in same for value in row[name]], float)

    nats, shift, order = column("nats"), column("shift"), column("order")
    clusters = np.array([row["base"] for row in same for _ in row["nats"]])
    defined = shift.mean() > max(order.mean(), RESOLUTION)
    scored = same[0]["grade"] != "fitted" or same[0]["group"] != FITTED_ON
    seeds = all(row["seed"] is not None for row in same)
    value, error = ratio(nats, shift, clusters)
    betas = column("beta") if same[0]["beta"] is not None else None
    return {
        "explained": 1 - value if defined and scored else None,
        "standard_error": error if defined and scored else None,
        "floor": 1 - order.mean() / shift.mean() if defined else None,
        "seed_floor": 1 - column("seed").mean() / shift.mean() if defined and seeds else None,
        "ceiling": 1 - column("ceiling").mean() / shift.mean() if defined and scored else None,
        "nats": float(nats.mean()),
        "shift": float(shift.mean()),
        "beta": None if betas is None else float(np.median(betas)),
        "trusted": None if same[0].get("trusted") is None else float(column("trusted").mean()),
        "split": same[0].get("split"),
        "seeds": len(nats),
    }


def ratio(above: np.ndarray, below: np.ndarray, clusters: np.ndarray) -> tuple[float, float | None]:
    """Σ above / Σ below and its standard error, with dependent entries inside a cluster.

    Delta method: residuals e = (above - R below) / mean(below), summed in each cluster; with one cluster
    its entries are taken as independent; with one entry there is no error (None).
    """
    if below.sum() <= 0:
        return float("nan"), None
    value = above.sum() / below.sum()
    residual = (above - value * below) / below.mean()
    names = np.unique(clusters)
    sums = np.array([residual[clusters == name].sum() for name in names]) if len(names) > 1 else residual
    if len(sums) < 2:
        return float(value), None
    spread = np.sum(np.square(sums)) * len(sums) / (len(sums) - 1)
    return float(value), float(np.sqrt(spread) / len(above))
