"""Minibatches of a NumPyro model: the rows that its subsampled plates take, all of them or a random few."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.primitives import Messenger

from theory.compute.random import rows
from theory.errors import Misuse


class Rows(Messenger):
    """A model whose subsampled plates take all their rows (`whole`), or else may hold no latent site: its
    value would belong to other rows in every step."""

    def __init__(self, model: Callable[..., object], *, whole: bool):
        super().__init__(model)
        self.whole, self.sizes = whole, {}

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "plate":
            size, chosen = msg["args"]
            if chosen is not None and chosen > size:
                raise Misuse(
                    f"Plate {msg['name']!r} has {size} rows, got a subsample_size of {chosen} of them."
                )
            self.sizes[msg["name"]] = size
            if self.whole:
                msg["args"], msg["value"] = (size, size), jnp.arange(size)
            elif jax.default_backend() == "cpu":
                msg["fn"] = rows  # NumPyro's rows bit for bit, drawn at once instead of one by one
        elif msg["type"] == "sample" and not msg["is_observed"]:
            for plate in msg["cond_indep_stack"]:
                if plate.size != self.sizes.get(plate.name, plate.size):
                    raise Misuse(
                        f"Site {msg['name']!r} lies in the subsampled plate {plate.name!r}, got a minibatch "
                        "kernel; use one of the whole potential like MALA, or a plate of all rows."
                    )
