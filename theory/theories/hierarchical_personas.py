"""Hierarchical personas: D' moves the weights of personas, and their answers on the topics that it asks.

    π_z = (κ π0_z + β N_z) / (κ + β n),      m'_zk = (c m_zk + β r_z n_k) / (c + β r_z |n_k|)
    N_z = Σ_{x in D'} π_z p'(x | z) / Σ_y π_y p'(x | y),      r_z = N_z / n

    m_zk   persona z's answers on topic k before D', m'_zk after it; p' is the likelihood under m'
    n_k    counts (a,) of the answers that D' gives on topic k, |n_k| their sum; n its documents
    κ, c   documents, and answers on a topic, that the prior of weights and of a table counts

A persona of pretraining is the mean of a population, Dirichlet(c m_zk) on every topic. Where one persona
wrote D', m' is the posterior mean of its tables, exactly. Where several may have, each is taken to have
written the same share r_z of every answer: no persona gets documents of its own, so that D' is not split into
clusters. π, m' and r are a common fixed point, from r = π0 on. c → ∞ is the exchangeable mixture. c → 0: on
topics of D' all personas answer as D' does, so that D' no longer tells them apart, and nothing else moves.
Topics that D' never asks stay in the hull of the personas at any c; those that it asks can leave it. Derived
here (theory.md, section 3).
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import Beta, Dataset, Misuse, check_beta, check_number
from theory.contracts import Process, Scale, Theory
from theory.latent.answer_tables import PairTable
from theory.latent.mixture import Mixture
from theory.processes.persona_topics import Persona

TOLERANCE, STEPS = 1e-7, 2000  # of the fixed point


@dataclass(frozen=True)
class HierarchicalPersonas(Theory[Mixture]):
    """Counts of personas against `concentration` κ > 0, of answers against `table_concentration` c > 0."""

    table_concentration: float = 10.0
    concentration: float = 1.0
    breaks: dict[str, str] = field(
        default_factory=lambda: {
            "additive": "after a first pass the prior counts D', too; a second one takes κ and c again"
        }
    )
    optional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("table_concentration", self.table_concentration, above=0)
        check_number("concentration", self.concentration, above=0)

    def predict(
        self, prior: Mixture, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Mixture:
        """The mixture with moved weights and tables; refuses hypotheses that are no tables of answers."""
        check_beta(beta)
        if not _has_tables(prior):
            raise Misuse(
                "hierarchical-personas needs hypotheses that are tables of answers to topics, got "
                f"{type(prior.components).__name__}; use exchangeable-mixture."
            )
        before, tables = jax.nn.softmax(prior.log_weights), jnp.exp(prior.components.answers)
        counts = _counts(data, *tables.shape[1:])
        counted, n = Dataset(data.tokens, jnp.ones(data.tokens.shape, bool)), len(data.tokens)

        def moved(shares: Float[Array, " k"]) -> Mixture:
            """Personas that have written these shares of D', and their weights."""
            weights = (self.concentration * before + beta * n * shares) / (self.concentration + beta * n)
            pseudo = self.table_concentration * tables + beta * shares[:, None, None] * counts
            answers = jnp.log(pseudo) - jnp.log(pseudo.sum(axis=-1, keepdims=True))
            return replace(
                prior, components=replace(prior.components, answers=answers), log_weights=jnp.log(weights)
            )

        def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            shares, _, count = state
            mixture = moved(shares)
            beliefs = mixture.log_weights[:, None] + mixture.log_likelihoods(counted)
            after = jax.nn.softmax(beliefs, axis=0).mean(axis=1)
            return after, jnp.abs(after - shares).max(), count + 1

        def goes_on(state: tuple[Array, Array, Array]) -> Array:
            return (state[1] > TOLERANCE) & (state[2] < STEPS)

        shares = jax.lax.while_loop(goes_on, step, (before, jnp.asarray(jnp.inf), jnp.asarray(0)))[0]
        return moved(shares)

    def grid(self, scale: Scale) -> np.ndarray:
        """β multiplies counts of documents and answers, not likelihoods."""
        return np.concatenate([[0.0], np.logspace(-5, 3, 99)]).astype(np.float32)


def _has_tables(prior: Mixture) -> bool:
    """Whether hypotheses are tables of answers to topics, (topic, answer) over and over."""
    return isinstance(prior.components, Persona | PairTable)


def _counts(data: Dataset, topics: int, answers: int) -> Float[Array, "topics answers"]:
    """Counted answers of D' by topic: a topic is the token before its answer."""
    counted = jnp.asarray(data.mask) & (jnp.arange(data.tokens.shape[1]) % 2 == 1)
    topic = jax.nn.one_hot(jnp.roll(data.tokens, 1, axis=-1), topics)
    answer = jax.nn.one_hot(data.tokens - topics, answers) * counted[..., None]
    return jnp.einsum("ntk,nta->ka", topic, answer, precision="highest")


def variants(process: Process) -> dict[str, HierarchicalPersonas]:
    """The theory, where the hypotheses of a process are tables of answers; else none."""
    return {"hierarchical-personas": HierarchicalPersonas()} if _has_tables(process.distribution()) else {}


def example() -> HierarchicalPersonas:
    """The theory at its defaults."""
    return HierarchicalPersonas()
