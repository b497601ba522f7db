"""Content of a cell of the inside: what probes of one base network find in it and its finetuned ones.

Axes: m methods, s finetuning seeds, d doses, l depths (the first is after block 1), e edited depths, p codes
(`CODES`), f features (`FEATURES`), v constant vectors (`VECTORS`), w where it is edited (`WHERE`: everywhere,
or at the position that is read), r parts of a response (`RESPONSE`), t of a
translation (`TRANSLATION`), i of old probes (`OLD_PROBES`), j slopes (`SLOPES`), g of factors (`FACTORS`), h
held out and in sample. Numbers of probes are log-odds (nats) of all hypotheses. Numpy only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from experiments.storage.contexts import check_axes
from experiments.storage.records import Arrays
from theory.errors import Misuse

CODES = ("log-odds", "probability")
FEATURES = ("streams", "outputs", "outputs cubic", "untrained", "tokens", "foreign", "shuffled")
WHERE = ("", ", own position")
VECTORS = ("pattern", "mean difference", "free")
RESPONSE = ("slope", "spread", "wrong", "of_log_odds", "of_probability")
TRANSLATION = ("slope", "spread", "size", "target", "twin")
OLD_PROBES = ("base", "old", "twin", "refitted")
SLOPES = ("exact", "outputs")
FACTORS = ("interaction", "joint", "dimensions", "angle")
AXES = {
    **{"methods": "m", "doses": "d", "depths": "l", "edited": "e"},
    **{"information": "plfh", "response": "ewr", "translation": "msdlt", "shift": "msd", "missed": "msdv"},
    "noise": "msd",
    **{"old_probes": "msdli", "slopes": "msdlj", "base_slopes": "lj", "factors": "lg"},
}


@dataclass(frozen=True)
class InsideCell:
    """`information` is I of every feature; `shift` and `missed` are mean KL (nats) elsewhere than in-domain,
    from the finetuned network to the base network without and with a constant vector, `noise` that to the
    network that met the same D' in another order; `factors` is nan
    where the hypotheses have no factors, and where factors do not interact."""

    methods: np.ndarray
    doses: np.ndarray
    depths: np.ndarray
    edited: np.ndarray
    information: np.ndarray
    response: np.ndarray
    translation: np.ndarray
    shift: np.ndarray
    missed: np.ndarray
    noise: np.ndarray
    old_probes: np.ndarray
    slopes: np.ndarray
    base_slopes: np.ndarray
    factors: np.ndarray

    def to_arrays(self) -> Arrays:
        """Everything by name; `from_arrays` is the inverse."""
        return {entry.name: np.asarray(getattr(self, entry.name)) for entry in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse; raises `Misuse` for arrays that are missing or do not fit."""
        missing = [name for name in AXES if name not in arrays]
        if missing:
            raise Misuse(f"The arrays {', '.join(missing)} are missing.")
        picked = {name: arrays[name] for name in AXES}
        check_axes(picked, AXES)
        return cls(**picked)
