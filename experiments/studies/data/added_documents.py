"""Documents added to a narrow D' to keep its finetuning narrow, by a rule that orders a pool of pretraining.

D' is n documents of a persona in a domain (persona-domain process), and the first N of the pool's order:

    elsewhere         those of other personas in other domains, as they come
    same-domain       those of other personas in the domain of D', as they come
    neutral           all, as they come: at random
    likelihood-ratio  all, by log p(x | D', saturated) - log p(x | D', product): what speaks most for narrow
                      in the structure posterior (theory.theories.structure_posterior, κ = 1, D' counted once)
    susceptibility    all, by χ_N(x) χ_B/χ_N - χ_B(x): what lowers the broad rate most at the same narrow rate

χ_O(x) = -∇O · ∇ℓ(x) is the response of the log odds O of a rate, narrow N or broad B, to the document x, of
D' without x: linear response (theory.theories.linear_response) as γ → ∞. A network that moves until O_N has
risen by a set amount has moved O_B by (χ_B + χ_B(x))/(χ_N + χ_N(x)) of it; the score is -χ_N times the
derivative with respect to the weight of x. Prompts are fresh ones, not those that rates are read from.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from theory.base import Dataset, Key, Misuse, Model, host_stream
from theory.latent.documents import writers
from theory.latent.factored import symbols_of
from theory.latent.mixture import Mixture
from theory.processes.persona_domain import PersonaDomain
from theory.theories.structure_posterior import Fit, StructurePosterior
from theory.weights.document_gradients import gradient_rows

NARROW_OR_BROAD = StructurePosterior(("saturated", "product"))


@dataclass(frozen=True)
class AddedDocuments:
    """D' of a persona and a domain with documents added out of a pool of this size, drawn once for a seed."""

    process: PersonaDomain
    persona: int
    domain: int
    pool: int
    shown: int
    repeats: int

    def data(self, key: Key, n: int, rule: str, added: int, network: Model | None = None) -> Dataset:
        """n narrow documents and the first `added` ones by a rule; a susceptibility is the network's."""
        narrow_key, pool_key, shuffle_key, prompt_key = jax.random.split(key, 4)
        narrow = self.process.narrow(narrow_key, n, self.persona, self.domain)
        if not added:
            return narrow
        joint = self.process.joint()
        shares = {cell: float(joint[cell].sum()) for cell in np.ndindex(joint.shape[:2])}
        order = host_stream(shuffle_key).permutation(self.pool)
        pool = _rows(self.process.blend(pool_key, self.pool, shares), order)
        persona, domain = writers(shares, self.pool)[order].T
        if rule == "likelihood-ratio":
            chosen = np.argsort(-self.likelihood_ratio(narrow, pool), kind="stable")
        elif rule == "susceptibility":
            assert network is not None  # the arm has a teacher, the base network itself
            chosen = np.argsort(-self.susceptibility(prompt_key, network, narrow, pool), kind="stable")
        else:
            others = persona != self.persona
            home = domain == self.domain
            kept = {"elsewhere": others & ~home, "same-domain": others & home}.get(rule, others | True)
            chosen = np.flatnonzero(kept)
        if len(chosen) < added:
            raise Misuse(
                f"pool must hold {added} documents for {rule}, got {len(chosen)} of {self.pool}; raise pool."
            )
        return jax.tree.map(
            lambda ours, more: jnp.concatenate([ours, more]), narrow, _rows(pool, chosen[:added])
        )

    def likelihood_ratio(self, narrow: Dataset, pool: Dataset) -> np.ndarray:
        """log p(x | D', saturated) - log p(x | D', product) (n,) of documents, in nats."""
        prior = self.process.distribution()
        whole = prior.log_likelihoods(Dataset(pool.tokens, jnp.ones(pool.tokens.shape, bool)))
        saturated, product = (
            jax.nn.logsumexp(jnp.log(fit.weights)[:, None] + whole, axis=0) for fit in _fits(prior, narrow)
        )
        return np.asarray(saturated - product)

    def susceptibility(self, key: Key, network: Model, narrow: Dataset, pool: Dataset) -> np.ndarray:
        """χ_N(x) χ_B/χ_N - χ_B(x) (n,) of documents, with the prompts that a key draws."""
        task = self.process.task(self.persona, self.domain, repeats=self.repeats, shown=self.shown)
        prompts = task.contexts(key)
        return np.asarray(self._scores(network, narrow, pool, prompts["base_domain"], prompts["held_out"]))

    @functools.cached_property
    def _scores(self) -> Callable[[Model, Dataset, Dataset, Dataset, Dataset], Float[Array, " n"]]:
        """The program of `susceptibility`."""
        tokens = np.arange(self.process.plain)
        mark = symbols_of(tokens, self.process.sizes)[0] - self.process.ordinary
        ours, others = tokens[mark == self.persona], tokens[(mark >= 0) & (mark != self.persona)]

        def log_odds(network: Model, prompts: Dataset) -> Float[Array, ""]:
            """The log odds of the rate that `PersonaDomain.rates` reads."""
            log_probs = jnp.where(prompts.mask[..., None], network.predict(prompts.tokens), -jnp.inf)
            return jax.nn.logsumexp(log_probs[..., ours]) - jax.nn.logsumexp(log_probs[..., others])

        def responses(network: Model, documents: Dataset, prompts: Dataset) -> Float[Array, " n"]:
            slope = jax.grad(lambda params: log_odds(network.with_params(params), prompts))(network.params)
            return -gradient_rows(network, documents) @ ravel_pytree(slope)[0]

        def scores(
            network: Model, narrow: Dataset, pool: Dataset, home: Dataset, away: Dataset
        ) -> Float[Array, " n"]:
            ratio = jnp.sum(responses(network, narrow, away)) / jnp.sum(responses(network, narrow, home))
            return responses(network, pool, home) * ratio - responses(network, pool, away)

        return jax.jit(scores)


@jax.jit
def _fits(prior: Mixture, narrow: Dataset) -> list[Fit]:
    return NARROW_OR_BROAD.fits(prior, narrow, 1.0)


def _rows(data: Dataset, rows: np.ndarray | slice) -> Dataset:
    return jax.tree.map(lambda leaf: leaf[rows], data)
