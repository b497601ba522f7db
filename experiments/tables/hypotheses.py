"""Hypotheses of a table as a mixture: theories read them like those of a process.

A context and a document of D' are each one token, its number in the table: contexts from 0 on, documents
after all contexts and answers. So a sequence of one token stands for a context, whose answers are predicted,
or for a document, whose log-likelihood is known. Answers to a document are nan: a theory that reads D' token
by token finds no numbers here.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from theory.base import Beta, Dataset, LogProbs, Tokens
from theory.latent.mixture import Mixture
from theory.theories.narrow_or_broad import NarrowOrBroad


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TableModel:
    """Answers (c, a) of one model, its log-probabilities of contexts (c,) and of documents (n,), in nats."""

    answers: Float[Array | np.ndarray, "*batch c a"]
    contexts: Float[Array | np.ndarray, "*batch c"]
    documents: Float[Array | np.ndarray, "*batch n"]

    def predict(self, tokens: Tokens) -> LogProbs:
        """Log-probabilities (nats) of the answers in contexts (n, 1), by number: (n, 1, a)."""
        return jnp.asarray(self.answers).at[tokens].get(mode="fill", fill_value=jnp.nan)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TableMixture(Mixture):
    """Models as hypotheses, `components` stacked along a leading axis k."""

    def component_log_probs(self, tokens: Tokens) -> Float[Array, "k n t a"]:
        """Answers of every hypothesis by itself, in contexts by number."""
        return jnp.asarray(self.components.answers).at[:, tokens].get(mode="fill", fill_value=jnp.nan)

    def evidence(self, tokens: Tokens) -> Float[Array, "k n t"]:
        """log p(context | hypothesis), of contexts by number."""
        return jnp.asarray(self.components.contexts).at[:, tokens].get(mode="fill", fill_value=jnp.nan)

    def log_likelihoods(self, data: Dataset) -> Float[Array, "k n"]:
        """log p(document | hypothesis), of documents by number."""
        documents = data.tokens[:, 0] - first_document(self.components.answers)
        return jnp.where(data.mask[:, 0], self.components.documents[:, documents], 0.0)


def numbered(count: int, first: int = 0) -> Tokens:
    """The numbers of contexts or documents, from `first` on, as sequences of one token, (count, 1)."""
    return np.arange(first, first + count, dtype=np.int32)[:, None]


def first_document(answers: Array | np.ndarray) -> int:
    """The number of the first document beside answers (..., c, a): no context's, and no answer's."""
    return max(answers.shape[-2:])


def scoped(
    prior: TableMixture, data: Dataset, beta: Beta, there: Bool[Array | np.ndarray, " c"]
) -> Float[Array, "c a"]:
    """Narrow or broad (theory.theories.narrow_or_broad): D' changes contexts like its own, `there`, or all.

    Along a context their odds follow their log-probabilities of it: those of the prior, and after D'.
    """
    contexts, after, broad = numbered(len(there)), prior.condition(data, beta), NarrowOrBroad().broad
    before, changed = (mixture.predict(contexts)[:, 0] for mixture in (prior, after))
    evidence = prior.evidence(contexts)[..., 0]
    seen = [
        jax.nn.logsumexp(jax.nn.log_softmax(mixture.log_weights)[:, None] + evidence, axis=0)
        for mixture in (prior, after)
    ]
    odds = jax.nn.log_softmax(jnp.stack([jnp.log1p(-broad) + seen[0], jnp.log(broad) + seen[1]]), axis=0)
    narrow = jnp.where(there[:, None], changed, before)
    return jnp.logaddexp(odds[0][:, None] + narrow, odds[1][:, None] + changed)
