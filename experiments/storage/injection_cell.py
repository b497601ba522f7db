"""Content of a cell of injection: what injected nats of a coin do to what a network says and does.

Axes: m methods, s finetuning seeds, d doses, w where nats are injected (`WHERE`), o cues (every format, then
the name), c directions (`DIRECTIONS`), f features, h held out and in sample
(experiments.storage.inside_cell). Numpy only.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from experiments.storage.measures import Measures

WHERE = ("last answer", "every answer")
DIRECTIONS = ("pattern", "control")
AXES = {
    **{"methods": "m", "doses": "d"},
    **{"information": "fh", "slopes": "wo", "wrong": "wo", "sizes": "wco", "moved": "msdo"},
    "beyond": "",
}


@dataclass(frozen=True)
class InjectionCell(Measures):
    """`information` is I of the stream after the first block where an answer was read. `slopes` are changes
    of the expected bias, over those of a belief with so many nats more, `wrong` the share of changes of the
    other sign, `sizes` root mean square changes; `moved` are changes of the expected bias by finetuning, a
    cue first; `beyond` is the share of injections that leave all that the probe read where it was fitted."""

    axes: ClassVar[dict[str, str]] = AXES
    methods: np.ndarray
    doses: np.ndarray
    information: np.ndarray
    slopes: np.ndarray
    wrong: np.ndarray
    sizes: np.ndarray
    moved: np.ndarray
    beyond: np.ndarray
