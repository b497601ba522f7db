"""Content of a cell of factors: how a network holds a belief about two factors, and how broad it becomes.

Axes: m methods, s finetuning seeds, d doses, l depths (the first is after block 1), t targets (`TARGETS`), f
features of probes (`experiments.storage.inside_cell.FEATURES`), h (held out, in sample), c (as it is, up to
one constant), a domain of the fit, b domain that is read, g groups (`GROUPS`), k codes (`CODES`). Numpy only.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from experiments.storage.measures import Measures

TARGETS = ("interaction", "joint")
CODES = ("factored", "joint")
GROUPS = ("base_domain", "held_out")  # narrow and broad
AXES = {
    **{"methods": "m", "doses": "d", "depths": "l", "correlation": "", "home": ""},
    **{"table": "tlfh", "dimensions": "l", "exact_dimensions": "k", "angle": "l", "chance_angle": ""},
    **{"transfer": "lfcab", "base_rates": "g", "rates": "msdg"},
}


@dataclass(frozen=True)
class FactorsCell(Measures):
    """`correlation` is that of persona and domain in pretraining, `home` the domain of D'. `table` is R² of
    the interaction of the states of both factors, and of what of their joint belief is not linear in the
    beliefs about each; nan where there is nothing to explain. `dimensions` are principal components for 95 %
    of what the belief explains of the stream, `exact_dimensions` those of exact codes. Angles are degrees.
    `transfer` is I of a probe of the persona, fitted in one domain and read in another. Rates are shares of
    D's persona among the marks of personas that may come next."""

    axes: ClassVar[dict[str, str]] = AXES
    methods: np.ndarray
    doses: np.ndarray
    depths: np.ndarray
    correlation: np.ndarray
    home: np.ndarray
    table: np.ndarray
    dimensions: np.ndarray
    exact_dimensions: np.ndarray
    angle: np.ndarray
    chance_angle: np.ndarray
    transfer: np.ndarray
    base_rates: np.ndarray
    rates: np.ndarray
