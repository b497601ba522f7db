"""Content of a cell of curves: the code of a line's column in a base network and its finetuned ones.

Axes: m methods, s finetuning seeds, d doses, l depths (the first is after block 1), b blocks, v columns, w
line lengths, g lags, e principal components; c parts of a code (`CODE`), t of a twist (`TWIST`), u statistics
of past lines (`USED`), f of a substitution (`FOLLOWED`), n of what moved (`MOVED`), r (value, rank) of random
curves or rotations, z (network, twin), h heads of a block, k where a head is needed (`LOST`), x features of
probes (`FEATURES` of experiments.storage.inside_cell), y (held out, in sample), q horizons in tokens. Numpy
only.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from experiments.storage.column_use import USE_AXES
from experiments.storage.measures import Measures
from experiments.storage.newline_code import NEWLINE_AXES

CODE = ("dimension", "ringing", "helix", "line", "period", "column")
TWIST = ("share", "raw", "offset", "peak")
USED = ("exact", "mean", "maximum", "moving average", "last line")
FOLLOWED = ("exact", "explained", "own", "random")
LOST = ("at newlines", "elsewhere")
MOVED = ("old probe", "constant", "bend", "twin bend")
AXES = {
    **{"methods": "m", "doses": "d", "depths": "l", "columns": "v", "lengths": "w"},
    **{"base_code": "lc", "base_twist": "bt", "base_used": "u", "base_followed": "lf"},
    **{"untrained_code": "lc", "untrained_twist": "bt", "exact_used": "u", "exact_dimension": ""},
    **{
        "surrogates": "lr",
        "rotations": "br",
        "best_rotation": "",
        "spectrum": "le",
        "by_lag": "lg",
        "cosines": "bvw",
    },
    **{"code": "msdlc", "twist": "msdbt", "used": "msdu", "followed": "msdlf"},
    **{"moved": "msdln", "turned": "msdbz", "head_losses": "bhk"},
}


@dataclass(frozen=True)
class CurveCell(Measures):
    """`base_`, `untrained_` and nothing before a name: of the base network, an untrained one, and finetuned
    ones. `exact_used` is what the exact process uses, `exact_dimension` that of its newline probabilities;
    `best_rotation` what random rotations of the best block have beyond their mean, as the best is chosen;
    `spectrum` cumulative shares of variance, `by_lag` mean cosines, `cosines` the head of every block that
    depends most on a difference; `turned` the relative change of cosines of all heads of a block;
    `head_losses` nats that a head is worth, the first of a block being the one of `cosines`.
    `column_table` is R² of the column by every feature, `additive` that of chances of a newline by an exact
    code of column and width side by side, `beyond_additive` that of what this lacks
    (experiments.cells.column_baselines). Others that may be None are in experiments.storage.column_use
    and experiments.storage.newline_code."""

    axes: ClassVar[dict[str, str]] = AXES
    optional: ClassVar[dict[str, str]] = {
        **USE_AXES,
        **NEWLINE_AXES,
        **{"column_table": "lxy", "additive": "q", "beyond_additive": "qlxy"},
    }
    methods: np.ndarray
    doses: np.ndarray
    depths: np.ndarray
    columns: np.ndarray
    lengths: np.ndarray
    base_code: np.ndarray
    base_twist: np.ndarray
    base_used: np.ndarray
    base_followed: np.ndarray
    untrained_code: np.ndarray
    untrained_twist: np.ndarray
    exact_used: np.ndarray
    exact_dimension: np.ndarray
    surrogates: np.ndarray
    rotations: np.ndarray
    best_rotation: np.ndarray
    spectrum: np.ndarray
    by_lag: np.ndarray
    cosines: np.ndarray
    code: np.ndarray
    twist: np.ndarray
    used: np.ndarray
    followed: np.ndarray
    moved: np.ndarray
    turned: np.ndarray
    head_losses: np.ndarray
    errors: np.ndarray | None = None
    untrained_errors: np.ndarray | None = None
    ablated: np.ndarray | None = None
    exact_ablated: np.ndarray | None = None
    query_slopes: np.ndarray | None = None
    unturned: np.ndarray | None = None
    tiled: np.ndarray | None = None
    untrained_tiled: np.ndarray | None = None
    lines_read: np.ndarray | None = None
    lines_beyond: np.ndarray | None = None
    column_table: np.ndarray | None = None
    additive: np.ndarray | None = None
    beyond_additive: np.ndarray | None = None
    newline_sums: np.ndarray | None = None
    newline_writers: np.ndarray | None = None
    untrained_writers: np.ndarray | None = None
    newline_auc: np.ndarray | None = None
