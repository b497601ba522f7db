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
Topics that D' never asks stay in the hull of the personas at any c; those that it asks can leave it.

*c from the network's own first steps.* To first order in β the answers on topic k, Σ_z π_z m_zk, move by

    β [n W_k / κ + T_k / c],    W_k = Σ_z (r_z - π0_z) m_zk,    T_k = Σ_z π0_z r_z (n_k - |n_k| m_zk)

with r at β = 0, and T_k = 0 where D' does not ask. The first step of gradient descent moves the network's
first answers, whose nearest sum of both has a = β/κ and b = β/c a unit of learning-rate time: c = κ a/b, and
κ a is the rate of β. `hierarchical-first-steps` has no number but β, and with the rate none. Derived here
(theory.md, section 3).

*c fitted.* `hierarchical-fitted` has c from a grid, fitted together with β to a network's in-domain answers.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import (
    Beta,
    Cost,
    Dataset,
    Misuse,
    Parametric,
    Params,
    check_beta,
    check_number,
    mean_loss,
)
from theory.contracts import Process, Scale, Setting, Theory
from theory.divergence.kl import renormalised
from theory.latent.answer_tables import PairTable
from theory.latent.mixture import Mixture
from theory.processes.persona_topics import Persona

TOLERANCE, STEPS = 1e-7, 2000  # of the fixed point
LEAST, MOST = 1e-3, 1e6  # of c, where the first step moves tables alone, or weights alone
FITTED = (*np.logspace(-1, 3, 9).tolist(), MOST)  # values of c among which one is fitted
FORMS = {
    "hierarchical-first-steps": "The same, c by the network's first step of gradient descent.",
    "hierarchical-fitted": "The same, c fitted with β to the network's in-domain answers.",
}


@dataclass(frozen=True)
class HierarchicalPersonas(Theory[Mixture]):
    """Counts of personas against `concentration` κ > 0, of answers against `table_concentration` c > 0 (None:
    that of the network's first steps, which `complete` finds). `candidates` are values of c among which a
    comparison fits one together with β."""

    table_concentration: Beta | None = 10.0
    concentration: float = 1.0
    candidates: tuple[float, ...] = ()
    breaks: dict[str, str] = field(
        default_factory=lambda: {
            "additive": "after a first pass the prior counts D', too; a second one takes κ and c again"
        }
    )
    optional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.table_concentration is not None:
            check_number("table_concentration", self.table_concentration, above=0)
        check_number("concentration", self.concentration, above=0)
        for value in self.candidates:
            check_number("a candidate for c", value, above=0)

    @property
    def hyperparameters(self) -> np.ndarray | None:
        """The candidates for c."""
        return np.array(self.candidates, np.float32) if self.candidates else None

    def with_hyperparameter(self, value: Beta) -> Self:
        """With this c."""
        return replace(self, table_concentration=value, candidates=())

    def predict(
        self, prior: Mixture, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Mixture:
        """The mixture with moved weights and tables; refuses hypotheses that are no tables of answers."""
        check_beta(beta)
        _check_tables(prior)
        if self.table_concentration is None:
            raise Misuse("c is found by the first steps of a network on D'; call complete(setting) first.")
        before, tables = jax.nn.softmax(prior.log_weights), jnp.exp(prior.components.answers)
        counts = _counts(data, *tables.shape[1:])
        c, n = self.table_concentration, len(data.tokens)

        def moved(shares: Float[Array, " k"]) -> Mixture:
            """Personas that have written these shares of D', and their weights."""
            weights = (self.concentration * before + beta * n * shares) / (self.concentration + beta * n)
            pseudo = c * tables + beta * shares[:, None, None] * counts
            answers = jnp.log(pseudo) - jnp.log(pseudo.sum(axis=-1, keepdims=True))
            return replace(
                prior, components=replace(prior.components, answers=answers), log_weights=jnp.log(weights)
            )

        def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            shares, _, count = state
            after = _shares(moved(shares), data)
            return after, jnp.abs(after - shares).max(), count + 1

        def goes_on(state: tuple[Array, Array, Array]) -> Array:
            return (state[1] > TOLERANCE) & (state[2] < STEPS)

        shares = jax.lax.while_loop(goes_on, step, (before, jnp.asarray(jnp.inf), jnp.asarray(0)))[0]
        return moved(shares)

    def grid(self, scale: Scale) -> np.ndarray:
        """β multiplies counts of documents and answers, not likelihoods; fewer where each is for every c."""
        count = 33 if self.candidates else 99
        return np.concatenate([[0.0], np.logspace(-5, 3, count)]).astype(np.float32)

    def complete(self, setting: Setting) -> Self:
        """With the c of the network's first steps, from the process's own weights, where it has none."""
        if self.table_concentration is not None:
            return self
        weights, tables = first_steps(setting.process, setting.network, setting.data)
        return replace(self, table_concentration=concentration(weights, tables, self.concentration))

    @property
    def cost(self) -> Cost:
        """A gradient, where c is that of the first steps."""
        return Cost(gradients=int(self.table_concentration is None))

    def rate(self, prior: Mixture, network: Parametric, data: Dataset) -> Float[Array, ""] | None:
        """β for a unit of learning-rate time by the first steps, where c is theirs, too."""
        if self.table_concentration is not None:
            return None
        return self.concentration * first_steps(prior, network, data)[0]


def first_steps(
    prior: Mixture, network: Parametric, data: Dataset
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """a = β/κ and b = β/c, both at least 0, for a unit of learning-rate time of gradient descent from the
    network's weights: by least squares in the Fisher metric over the first answers on all topics."""
    _check_tables(prior)
    before, tables = jax.nn.softmax(prior.log_weights), jnp.exp(prior.components.answers)
    counts = _counts(data, *tables.shape[1:])
    shares, n = _shares(prior, data), len(data.tokens)
    answers = jnp.einsum("z,zka->ka", before, tables)
    by_weights = n * jnp.einsum("z,zka->ka", shares - before, tables)
    missing = counts - tables * counts.sum(axis=-1, keepdims=True)
    by_tables = jnp.einsum("z,zka->ka", before * shares, missing)
    topics, count = answers.shape
    questions = jnp.tile(jnp.asarray([0, topics]), (topics, data.tokens.shape[1] // 2))
    questions = questions.at[:, 0].set(jnp.arange(topics))

    def first_answers(params: Params) -> Float[Array, "topics answers"]:
        return renormalised(network.with_params(params).predict(questions)[:, 1, topics : topics + count])

    gradient = jax.grad(lambda params: mean_loss(network.with_params(params), data))(network.params)
    moved = -jax.jvp(first_answers, (network.params,), (gradient,))[1]
    moved -= jnp.sum(answers * moved, axis=-1, keepdims=True)
    root = jnp.sqrt(answers)
    sides = jnp.stack([by_weights / root, by_tables / root]).reshape(2, -1)
    gram = jnp.matmul(sides, sides.T, precision="highest")
    along = jnp.matmul(sides, (root * moved).ravel(), precision="highest")
    alone = jnp.maximum(along / jnp.diag(gram), 0.0)  # the best of one of them
    both = jnp.stack([gram[1, 1] * along[0], gram[0, 0] * along[1]]) - gram[0, 1] * along[::-1]
    both /= gram[0, 0] * gram[1, 1] - gram[0, 1] ** 2
    weights = jnp.where(both[1] < 0, alone[0], jnp.maximum(both[0], 0.0))
    return weights, jnp.where(both[0] < 0, alone[1], jnp.maximum(both[1], 0.0))


def concentration(weights: Array, tables: Array, kappa: float) -> Float[Array, ""]:
    """c = κ a/b, from `LEAST` where weights do not move to `MOST` where tables do not."""
    return jnp.clip(kappa * weights / jnp.where(tables > 0, tables, 1e-30), LEAST, MOST)


def _shares(prior: Mixture, data: Dataset) -> Float[Array, " k"]:
    """r: the share of D' that each persona is expected to have written, every token counted."""
    counted = Dataset(data.tokens, jnp.ones(data.tokens.shape, bool))
    beliefs = prior.log_weights[:, None] + prior.log_likelihoods(counted)
    return jax.nn.softmax(beliefs, axis=0).mean(axis=1)


def _check_tables(prior: Mixture) -> None:
    if not _has_tables(prior):
        raise Misuse(
            "hierarchical-personas needs hypotheses that are tables of answers to topics, got "
            f"{type(prior.components).__name__}; use exchangeable-mixture."
        )


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
    """At c = 10, at the c of the first steps and with c fitted, where hypotheses are tables of answers; else
    none."""
    if not _has_tables(process.distribution()):
        return {}
    return {
        "hierarchical-personas": HierarchicalPersonas(),
        "hierarchical-first-steps": HierarchicalPersonas(None),
        "hierarchical-fitted": HierarchicalPersonas(candidates=FITTED),
    }


def example() -> HierarchicalPersonas:
    """The theory at its defaults."""
    return HierarchicalPersonas()
