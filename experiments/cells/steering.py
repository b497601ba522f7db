"""Steering of a base network: answers after edits along a pattern, and the constant vector that comes nearest
to a finetuned network."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import minimize

from experiments.cells.data import Questions
from experiments.scoring.axioms import judged
from models.inside import Edited, edited
from models.network import Network
from theory.base import Dataset, LogProbs, Params
from theory.divergence.kl import answers_at
from theory.probes.subspaces import sizes

ROUNDS = 60  # steps of L-BFGS


class Weighed(NamedTuple):
    """Contexts `tokens` (n, t) with the weights (n, t) of those that are in-domain, and of those that are
    judged, each adding to 1."""

    tokens: np.ndarray
    inside: np.ndarray
    outside: np.ndarray

    @classmethod
    def of(cls, questions: Questions, like: Dataset) -> "Weighed":
        """Every counted position of fresh documents `like` D', and the contexts of an arm that are judged."""
        chosen = questions.group == judged([*dict.fromkeys(questions.group.tolist())])
        outside = np.zeros(questions.tokens.shape, np.float32)
        outside[questions.rows[chosen], questions.positions[chosen]] = 1 / chosen.sum()
        inside = np.asarray(like.mask, np.float32)
        return cls(
            np.concatenate([np.asarray(like.tokens), questions.tokens]),
            np.concatenate([inside / inside.sum(), np.zeros_like(outside)]),
            np.concatenate([np.zeros_like(inside), outside]),
        )


class ConstantVectors:
    """One program: how far a network with a constant vector at one depth is from a finetuned one."""

    def __init__(self, template: Network, part: slice):
        self.template, self.part = template, part
        self.answers = jax.jit(lambda params, tokens: answers_at(template.with_params(params), tokens, part))
        self.distance = jax.jit(jax.value_and_grad(self._distance, has_aux=True), static_argnames="depth")

    def missed(
        self,
        base: Params,
        finetuned: Array,
        contexts: Weighed,
        depth: int,
        vector: Float[np.ndarray, " d"],
    ) -> float:
        """Mean KL (nats) elsewhere from the finetuned answers (n, t, a) to those of the base network with a
        vector."""
        (_, outside), _ = self.distance(vector, np.eye(len(vector)), base, finetuned, contexts, depth=depth)
        return float(outside)

    def fitted(
        self,
        base: Params,
        finetuned: Array,
        contexts: Weighed,
        depth: int,
        basis: Float[np.ndarray, "d r"],
    ) -> Float[np.ndarray, " d"]:
        """The vector in the span of a basis that is best in-domain; columns of 0 count for nothing."""

        def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
            (inside, _), slope = self.distance(
                values.astype(np.float32), basis, base, finetuned, contexts, depth=depth
            )
            return float(inside), np.asarray(slope, float)

        start = np.zeros(basis.shape[1])
        best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ROUNDS}).x
        return basis @ best

    def _distance(
        self,
        values: Float[Array, " r"],
        basis: Float[Array, "d r"],
        base: Params,
        finetuned: LogProbs,
        contexts: Weighed,
        depth: int,
    ) -> tuple[Array, Array]:
        network = edited(self.template.with_params(base), depth, jnp.asarray(basis) @ values)
        answers = answers_at(network, contexts.tokens, self.part)
        nats = jnp.sum(jnp.exp(finetuned) * (finetuned - answers), axis=-1)
        return jnp.sum(nats * contexts.inside), jnp.sum(nats * contexts.outside)


@jax.jit
def steered(network: Network, tokens: Array, shifts: Float[Array, "l n t d"]) -> LogProbs:
    """Answers after edits of every position."""
    return Edited(network, shifts).predict(tokens)


@jax.jit
def steered_alone(network: Network, tokens: Array, shifts: Float[Array, "l n t d"]) -> LogProbs:
    """Answers at every position after an edit of that position alone."""

    def at(position: Array) -> Array:
        here = jnp.arange(shifts.shape[2]) == position
        return Edited(network, shifts * here[:, None]).predict(tokens)[:, position]

    return jax.lax.map(at, jnp.arange(shifts.shape[2])).swapaxes(0, 1)


def along(
    streams: Float[np.ndarray, "n l t d"], depth: int, direction: Float[np.ndarray, "*n_t d"], nats: float
) -> Float[np.ndarray, "l n t d"]:
    """Shifts by so many nats along a direction of normalised streams, at one depth: raw streams are longer
    by their root mean square."""
    shifts = np.zeros((streams.shape[1], streams.shape[0], *streams.shape[2:]), np.float32)
    shifts[depth] = nats * sizes(streams[:, depth]) * direction
    return shifts
