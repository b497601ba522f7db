"""Content of a cell of the inside: what probes of one base network find in it and its finetuned ones.

Axes: m methods, s finetuning seeds, d doses, l depths (the first is after block 1), e edited depths, p codes
(`CODES`), f features (`FEATURES`), v constant vectors (`VECTORS`), w where it is edited (`WHERE`: everywhere,
or at the position that is read), r parts of a response (`RESPONSE`), b beliefs that are read (`READ`), o
those of theories that know the network (`FORETOLD`), t of a translation (`TRANSLATION`), i of old probes
(`OLD_PROBES`), j slopes (`SLOPES`), g of factors (`FACTORS`), h held out and in sample. Numbers of probes
are log-odds (nats) of all hypotheses. Numpy only.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from experiments.storage.measures import Measures

CODES = ("log-odds", "probability")
FEATURES = ("streams", "outputs", "outputs cubic", "untrained", "tokens", "foreign", "shuffled")
WHERE = ("", ", own position")
VECTORS = ("pattern", "mean difference", "free")
RESPONSE = ("slope", "spread", "wrong", "of_log_odds", "of_probability")
TRANSLATION = ("slope", "spread", "size", "target", "twin")
OLD_PROBES = ("base", "old", "twin", "refitted")
SLOPES = ("exact", "outputs")
READ = ("unchanged", "twin", "tempered posterior", "exchangeable mixture", "any shift")
FORETOLD = ("steering posterior", "linearised")
FACTORS = ("interaction", "joint", "dimensions", "angle")
AXES = {
    **{"methods": "m", "doses": "d", "depths": "l", "edited": "e"},
    **{
        "information": "plfh",
        "response": "ewr",
        "beyond": "e",
        "translation": "msdlt",
        "shift": "msd",
        "missed": "msdv",
    },
    "noise": "msd",
    "read": "msdlb",
    "foretold": "msdlo",
    **{"old_probes": "msdli", "slopes": "msdlj", "base_slopes": "lj", "factors": "lg"},
}


@dataclass(frozen=True)
class InsideCell(Measures):
    """`information` is I of every feature. Mean KL (nats), elsewhere than in-domain: `shift`, `missed` from
    the finetuned network to the base network without and with a constant vector, `noise` to the network that
    met the same D' in another order; `read` from the belief that the base network's probe reads in the
    finetuned network, to those of other networks and of theories, `foretold` to those of theories that know
    the network. `beyond` is the share of steered contexts that the largest edit takes beyond all that the
    probe read where it was fitted. `factors` is nan where the hypotheses have
    no factors, and where factors do not interact."""

    axes: ClassVar[dict[str, str]] = AXES
    methods: np.ndarray
    doses: np.ndarray
    depths: np.ndarray
    edited: np.ndarray
    information: np.ndarray
    response: np.ndarray
    beyond: np.ndarray
    translation: np.ndarray
    shift: np.ndarray
    missed: np.ndarray
    noise: np.ndarray
    read: np.ndarray
    foretold: np.ndarray
    old_probes: np.ndarray
    slopes: np.ndarray
    base_slopes: np.ndarray
    factors: np.ndarray
