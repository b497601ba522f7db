"""Content of a cell of alphabets: how far probes of a concept, and D', reach from one to another.

Axes: m methods, s finetuning seeds, d doses, l depths (the first is after block 1), u what is read
(`SOURCES`), x further baselines (`BASELINES`), c (as it is, up to one constant), a alphabet of the fit, b
alphabet that is read, g groups (`GROUPS`), z networks (`PARTS`). Numpy only.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from experiments.storage.measures import Measures

SOURCES = ("streams", "untrained", "tokens")
BASELINES = ("outputs", "outputs cubic", "foreign", "shuffled")
GROUPS = ("in_domain", "held_out")
PARTS = ("finetuned", "base read-out", "base blocks")  # the finetuned network, and with a part of the base's
AXES = {
    **{"methods": "m", "doses": "d", "depths": "l", "home": ""},
    **{"information": "luab", "shifted": "luab", "overlap": "lab", "slopes": "ab", "beyond": "ab"},
    **{"toward": "msdgz", "whole": "g", "shift": "msd", "missed": "msd"},
}


@dataclass(frozen=True)
class AlphabetsCell(Measures):
    """`home` is the number of D's alphabet. `information` is I of a probe on documents of another alphabet,
    held out; `shifted` the same up to one constant, `overlap` the mean squared cosine of both alphabets'
    patterns in whitened coordinates, less that of chance; `slopes` nats of answers in b for a nat along a's
    pattern, `beyond` the share of edits that leave all that a's probe read where it was fitted.

    `baselines` are I of what stands beside the streams, that of the foreign filter beyond what the own one
    tells of it.

    `toward` is Σ (p - base)(concept's own - base) over answers, `whole` that of the concept's own answers;
    `shift` and `missed` are mean KL (nats) in-domain from the finetuned network to the base network, and to
    itself with the base network's read-out.
    """

    axes: ClassVar[dict[str, str]] = AXES
    optional: ClassVar[dict[str, str]] = {"baselines": "lxcab"}
    methods: np.ndarray
    doses: np.ndarray
    depths: np.ndarray
    home: np.ndarray
    information: np.ndarray
    shifted: np.ndarray
    overlap: np.ndarray
    slopes: np.ndarray
    beyond: np.ndarray
    toward: np.ndarray
    whole: np.ndarray
    shift: np.ndarray
    missed: np.ndarray
    baselines: np.ndarray | None = None
