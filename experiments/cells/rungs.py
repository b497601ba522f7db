"""The answers of one theory at every strength for one D', to be traced: process, network and prior are
arguments, so that one program serves all of them."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array

from experiments.design import random_streams
from theory.base import Dataset, Key, Model, ladder
from theory.contracts import Setting, Theory
from theory.divergence.kl import answers_at
from theory.latent.mixture import Mixture

DOCUMENTS = 64  # of pretraining, for the theories that need some


def rungs(
    form: Theory,
    seed: int,
    part: slice,
    process: Mixture,
    network: Model,
    prior: Model,
    data: Dataset,
    words: Array,
    betas: Array,
    tokens: Array,
    together: int,
) -> Array:
    """Log-probabilities (b, n, t, a) of the answers `part` to `tokens`; those at every hyperparameter of the
    form, one after the other, make (m b, n, t, a).

    `seed` is the master seed, `words` are those of the key of this D'; so many strengths are computed
    `together`.
    """
    completed, samples = _setting(seed, process, network, data, words)
    read = functools.partial(answers_at, tokens=tokens, answers=part)

    def along(form: Theory) -> Array:
        whole = form.complete(completed)
        return ladder(whole, prior, data, betas * whole.unit, read, key=samples, together=together)

    if form.hyperparameters is None:
        return along(form)
    every = jax.lax.map(
        lambda value: along(form.with_hyperparameter(value)), jnp.asarray(form.hyperparameters)
    )
    return every.reshape(-1, *every.shape[2:])


def _setting(seed: int, process: Mixture, network: Model, data: Dataset, words: Array) -> tuple[Setting, Key]:
    """The setting that completes a theory, documents of pretraining included, and the key of what the theory
    draws when it predicts."""
    completing, samples = jax.random.split(jax.random.wrap_key_data(words))
    tokens = process.sample(random_streams.stream(seed, random_streams.THEORY_DOCUMENTS), DOCUMENTS)
    pretraining = Dataset(tokens, jnp.ones(tokens.shape, bool))
    return Setting(process, network, data, pretraining, completing), samples
