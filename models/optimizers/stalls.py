"""Networks that have stopped learning short of the inference that is wanted, and how they go on.

    stalled     the share of inference not learnt fell by less than a fifth over the last PATIENCE steps,
                and at this pace, by the same factor every PATIENCE steps, would not get where it is wanted
    goes on     w ← SHRINK w, with new moments and a new average

A network can come to ignore a part of its documents: attention has saturated there and leaves no gradient,
and a step size that stays does not get it out. (Of eight networks of `wordings` one read three of eight pairs
after 3000 steps. Trained alone its seed had 0.74 of inference from step 450 to 1000, and 0.98 at step 1150.)
Smaller weights open attention again, and most of what they held is soon back (Ash and Adams 2020, arXiv
1910.08475; theirs are also perturbed). It is the same network, of the same seed: none is dropped or drawn
anew, and nothing of a finetuning is looked at.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

PATIENCE = 500  # steps
FALL = 0.8  # of the share not learnt, which is measured to about a tenth
SHRINK = 0.3


class Watch(NamedTuple):
    """The step at which a network began or was last shrunk, and the share that it had `missing` when last
    looked at (∞ before)."""

    start: Integer[Array, "*n"]
    missing: Float[Array, "*n"]

    @classmethod
    def of(cls, count: int) -> "Watch":
        """Networks at their beginning."""
        return cls(jnp.zeros(count, jnp.int32), jnp.full(count, jnp.inf, jnp.float32))


def look(
    watch: Watch, step: Integer[Array, ""], missing: Float[Array, ""], wanted: float, last: int
) -> tuple[Watch, Bool[Array, ""]]:
    """Whether a network has stalled at a step, `missing` a share of inference; never with fewer than PATIENCE
    steps left until the `last`, as it needs some to recover. What is not a number is no stall."""
    due = ((step - watch.start) % PATIENCE == 0) & (step + PATIENCE <= last)
    pace = missing / watch.missing
    at_last = missing * pace ** ((last - step) / PATIENCE)
    stalled = due & (jnp.minimum(missing, at_last) > 1 - wanted) & (pace > FALL)
    seen = jnp.where(due, missing, watch.missing)
    return Watch(jnp.where(stalled, step, watch.start), jnp.where(stalled, jnp.inf, seen)), stalled
