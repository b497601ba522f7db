"""A NumPyro model as a kernel evaluates it: the rows that its subsampled plates take, the sites that it has.

A plate takes all its rows or a random few. Every latent site takes its value from the chain's position: one
that it lacks would be drawn from its prior anew in every step, so that the chain has another target.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import biject_to
from numpyro.handlers import seed
from numpyro.infer.initialization import init_to_mean, init_to_median
from numpyro.infer.util import initialize_model, potential_energy
from numpyro.primitives import Messenger

from theory.base import PyTree
from theory.compute.random import rows
from theory.errors import Misuse

Potential: TypeAlias = Callable[[PyTree, PRNGKeyArray | None], Float[Array, ""]]


class Rows(Messenger):
    """A model whose subsampled plates take all their rows (`whole`), or else may hold no latent site: its
    value would belong to other rows in every step. Its latent sites are those of `position`, if given."""

    def __init__(self, model: Callable[..., object], *, whole: bool, position: PyTree = None):
        super().__init__(model)
        self.whole, self.position, self.sizes, self.latent = whole, position, {}, set()
        if position is not None and not isinstance(position, Mapping):
            raise Misuse(
                "The first position of a model is a dict, {site: unconstrained value}; got init_params of "
                "another kind."
            )

    def __call__(self, *args: object, **kwargs: object) -> object:
        self.latent = set()
        result = super().__call__(*args, **kwargs)
        if self.position is not None and self.latent != self.position.keys():
            missing, unknown = self.latent - self.position.keys(), self.position.keys() - self.latent
            raise Misuse(
                "init_params must have a value for every latent site of the model and no other; missing: "
                f"{', '.join(sorted(missing)) or 'none'}; unknown: {', '.join(sorted(unknown)) or 'none'}."
            )
        return result

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "plate":
            self._plate(msg)
        elif msg["type"] == "sample" and not msg["is_observed"]:
            self._latent(msg)
        elif msg["type"] == "param" and not msg["args"] and msg["value"] is None:
            raise Misuse(
                f"Param {msg['name']!r} would be drawn anew in every step; give it a value, or make it a "
                "sample site."
            )

    def _plate(self, msg: dict[str, Any]) -> None:
        size, chosen = msg["args"]
        if chosen is not None and chosen > size:
            raise Misuse(f"Plate {msg['name']!r} has {size} rows, got a subsample_size of {chosen} of them.")
        self.sizes[msg["name"]] = size
        if self.whole:
            msg["args"], msg["value"] = (size, size), jnp.arange(size)
        elif jax.default_backend() == "cpu":
            msg["fn"] = rows  # NumPyro's rows bit for bit, drawn at once instead of one by one

    def _latent(self, msg: dict[str, Any]) -> None:
        name, distribution = msg["name"], msg["fn"]
        if distribution.support.is_discrete:
            raise Misuse(
                f"Site {name!r} is discrete, which no gradient moves; sum it out in the model (as NumPyro's "
                "MixtureSameFamily does), or use another kernel, such as NumPyro's DiscreteHMCGibbs."
            )
        for plate in msg["cond_indep_stack"]:
            if plate.size != self.sizes.get(plate.name, plate.size):
                raise Misuse(
                    f"Site {name!r} lies in the subsampled plate {plate.name!r}, got a minibatch "
                    "kernel; use one of the whole potential like MALA, or a plate of all rows."
                )
        self.latent.add(name)
        if self.position is None or msg["value"] is not None:
            return
        shape = distribution.shape(msg["kwargs"].get("sample_shape", ()))
        if name not in self.position:
            msg["value"] = jnp.zeros(shape)  # lets the model run to its end, where all such sites are named
            return
        wanted, got = biject_to(distribution.support).inverse_shape(shape), jnp.shape(self.position[name])
        if wanted != got:
            raise Misuse(
                f"Site {name!r} has unconstrained values of shape {wanted}, got {got} in init_params."
            )


def model_potential(
    model: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, Any], *, whole: bool
) -> Potential:
    """U as a function of (z, key): over all rows, or over those that the key draws."""

    def energy(z: PyTree, key: PRNGKeyArray | None) -> Float[Array, ""]:
        bound = model if whole else seed(model, key)
        return jnp.asarray(potential_energy(Rows(bound, whole=whole, position=z), args, kwargs, z))

    return energy


def first_position(
    model: Callable[..., object],
    key: Array,
    strategy: Callable[..., Any],
    args: tuple[object, ...],
    kwargs: dict[str, Any],
    *,
    whole: bool,
) -> PyTree:
    """The first position (unconstrained) by one of NumPyro's strategies, for each key of a batch."""
    rows = Rows(model, whole=whole)
    made = initialize_model(key, rows, init_strategy=strategy, model_args=args, model_kwargs=kwargs)
    return made.param_info.z


def init_to_centre(site: dict[str, Any] | None = None) -> Any:
    """A strategy for NumPyro: the prior's mean, and its median where the mean is not finite."""
    if site is None:
        return partial(init_to_centre)
    mean: Any = init_to_mean(site)
    if mean is None:
        return None
    median: Any = init_to_median(site)
    return jnp.where(jnp.isfinite(mean), mean, median)


def spare(key: Array) -> Array:
    """A third key besides the two of `split(key)`; fold_in(key, 1) would be the second of them."""
    return jax.random.fold_in(key, 2)
