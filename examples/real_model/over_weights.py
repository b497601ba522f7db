"""Theories over weights on the network: their forecasts, by their own files, as rows of kind `prediction`.

A theory that replays a finetuning follows its steps; one of a strength is taken at the learning-rate time
η × steps, in the coordinates that move: all weights, or the read-out's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

import jax
import numpy as np
from jaxtyping import Array

from models.finetuning.method import FinetuningRun
from theory.base import LogProbs, Model, Parametric, Params, Tokens, ladder
from theory.contracts import Scale, Theory, Training
from theory.theories.linearised import Linearised
from theory.theories.proximal import Proximal
from theory.theories.relinearised import Relinearised
from theory.theories.spectrum import Spectrum

THEORIES: dict[str, Theory] = {
    "linearised": Linearised(),
    "relinearised": Relinearised(),
    "proximal": Proximal(iterations=240),  # its ladder has few rungs, each from the last
    "spectrum": Spectrum(),
}

LINEAR = ("linearised",)
"""Theories of the read-out alone, whose network is its own expansion: this one is exact."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Moving:
    """The numbers that move as the network's only leaves: a path of theirs is stacked along its leaves."""

    params: Params
    network: Callable[[Params], Model] = field(metadata={"static": True})

    def predict(self, tokens: Tokens) -> LogProbs:
        """The network's log-probabilities in nats."""
        return self.network(self.params).predict(tokens)

    def with_params(self, params: Params) -> Self:
        """The same at other numbers."""
        return replace(self, params=params)


def forecast(
    theory: Theory, network: Parametric, run: FinetuningRun, read: Callable[[Model], Array]
) -> Array:
    """What `read` gives of a theory's networks after every dose, stacked (d, ...)."""
    if hasattr(theory, "follow"):
        return jax.lax.map(read, theory.follow(network, run)[0])
    count, batch = len(run.data.tokens), run.batches.shape[1]  # a document counts one character
    times = run.method.learning_rate * np.asarray(run.doses, float)
    training = Training(tuple(run.doses), batch, count, False, {"identity": times})
    strength = theory.strength(training, Scale(count, times[-1]))
    coordinates = run.coordinates(network)
    moving = Moving(coordinates.params, lambda params: coordinates.with_params(params))
    return ladder(theory, moving, run.data, strength * theory.unit, read)
