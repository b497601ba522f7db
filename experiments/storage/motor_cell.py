"""Content of a cell of the study `motor`: probes of events in one base network and its finetuned ones.

Axes: e events, n numbers of labels, l depths (the first is the embedding), x depths that are steered at,
m methods, s finetuning seeds, d doses, b `BOUNDS`, r regimes with labels (`LABELLED`), g all regimes
(`REGIMES`), p links (`LINKS`), q qualities of a reading (`QUALITY`), k `BASELINES`, v vectors (`VECTORS`),
u effects of steering (`STEERED`), h shares of a shift (`SHIFT`), i moves of log-odds (`MOVES`), f features of
probes (`experiments.storage.inside_cell.FEATURES`). Nats.
Numpy only.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from experiments.storage.measures import Measures

LABELLED = ("on-policy", "soft", "half", "off-policy", "contrastive", "other writer")
REGIMES = (*LABELLED, "description")
LINKS = ("log-odds", "probability")
BOUNDS = ("prior", "floor", "ceiling")
QUALITY = ("excess", "slope", "intercept", "auc")
BASELINES = ("one step", "outputs", "place", "tokens", "untrained", "exact process")
VECTORS = ("pattern", "filter", "gradient", "means on-policy", "means off-policy", "means contrastive")
STEERED = ("change", "spread", "wrong sign", "score", "per norm")
SHIFT = ("shift", "base read-out", "base blocks")
MOVES = ("moved", "followed", "off before", "off after", "squares", "products")
AXES = {
    **{"events": "e", "labels": "n", "depths": "l", "edited": "x", "methods": "m", "doses": "d"},
    **{"bounds": "eb", "ladder": "ernpq", "by_depth": "eglpq", "baselines": "ekq", "beyond": "el"},
    **{"steering": "evxu", "left": "evx", "shift": "msdh", "moves": "msdei", "tuned_bounds": "msdeb"},
    **{"old": "msdegq", "new": "msdegq"},
}


@dataclass(frozen=True)
class MotorCell(Measures):
    """`ladder` and all of finetuned networks is read at the last depth, the latter by the link of log-odds.
    `by_depth` has the most labels of each regime. `beyond` is the share of what the exact mixed state leaves
    of p(A) that streams tell. `left` is the share of steered contexts in which an edit leaves all that the
    probe of the description read of the process. `old` are the base network's probes in a finetuned network,
    `new` probes that are fitted there. `shift` is mean KL (nats) from the finetuned network to the base
    network, and to itself with the base network's read-out, and blocks, in its own text. `information` is I
    of the network's own chances, of streams and all baselines (experiments.cells.event_baselines); nan for a
    foreign filter that the plan has not."""

    axes: ClassVar[dict[str, str]] = AXES
    optional: ClassVar[dict[str, str]] = {"information": "elf"}
    events: np.ndarray
    labels: np.ndarray
    depths: np.ndarray
    edited: np.ndarray
    methods: np.ndarray
    doses: np.ndarray
    bounds: np.ndarray
    ladder: np.ndarray
    by_depth: np.ndarray
    baselines: np.ndarray
    beyond: np.ndarray
    steering: np.ndarray
    left: np.ndarray
    shift: np.ndarray
    moves: np.ndarray
    tuned_bounds: np.ndarray
    old: np.ndarray
    new: np.ndarray
    information: np.ndarray | None = None
