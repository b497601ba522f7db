"""The localised Gibbs posterior over a network's weights, as a NumPyro model.

    p(w) ∝ exp( -β Σ_{D'} ℓ(x; w) - (γ/2) (w - w0)ᵀ Λ (w - w0) - α Σ_D ℓ(x; w) )

ℓ is the negative log-likelihood (nats) of a document's counted positions, w0 the prior network's weights, Λ a
positive diagonal metric. α replays pretraining documents D: sequential Bayes. Every weight is a site
Normal(w0, (γΛ)^-½), named by its path in the tree; documents lie in plates, so `batch` makes unbiased
minibatches. The strengths belong to the model, not to a sampler, and they may be traced, zero included.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax.core import Tracer
from jaxtyping import Array
from numpyro.distributions import Distribution, Normal

from theory.base import Beta, Dataset, Misuse, Parametric, Params, check_beta, log_likelihood


@dataclass(frozen=True, eq=False)
class Posterior:
    """A NumPyro model (call it) of the posterior of `network` given `data`.

    `metric` is Λ, a pytree like the weights (None: identity). `batch` documents of `data`, and as many of
    `replay`, make a minibatch (None: all). `prior(name, shape)` replaces the Gaussian of every weight.
    """

    network: Parametric
    data: Dataset
    beta: Beta
    gamma: Beta = 1.0
    metric: Params = None
    alpha: Beta = 0.0
    replay: Dataset | None = None
    batch: int | None = None
    prior: Callable[[str, tuple[int, ...]], Distribution | None] | None = None

    def __post_init__(self) -> None:
        check_beta(self.beta)
        for name, value, least in (("gamma", self.gamma, "above 0"), ("alpha", self.alpha, "at least 0")):
            if isinstance(value, Tracer):
                continue
            low = float(value) <= 0 if least == "above 0" else float(value) < 0
            if low or not float(value) < float("inf"):
                raise Misuse(f"{name} must be finite and {least}, got {float(value)}.")
        for which, documents in (("D'", self.data), ("replay", self.replay)):
            count = 0 if documents is None else documents.tokens.shape[0]
            if documents is not None and self.batch is not None and not 1 <= self.batch <= count:
                raise Misuse(f"batch must be from 1 to the {count} documents of {which}, got {self.batch}.")
        if self.replay is None and not isinstance(self.alpha, Tracer) and float(self.alpha) > 0:
            raise Misuse(f"alpha = {float(self.alpha)} replays pretraining documents; pass them as replay.")
        self._check_metric()

    def __call__(self) -> None:
        """The model: sites, then the likelihoods."""
        precision = jax.tree.leaves(self._metric())
        sites = {}
        for (name, leaf), diagonal in zip(self.weights().items(), precision, strict=True):
            prior = Normal(leaf, (self.gamma * diagonal) ** -0.5).to_event()
            if self.prior is not None:
                prior = self.prior(name, leaf.shape)
                if prior is None or prior.shape() != leaf.shape:
                    raise Misuse(
                        f"The prior must give a distribution of shape {leaf.shape} for the weight {name}, "
                        f"got {None if prior is None else prior.shape()}."
                    )
            sites[name] = numpyro.sample(name, prior)
        network = self.network.with_params(self.params(sites))
        self._likelihood("documents", self.beta, network, self.data)
        if self.replay is not None:
            self._likelihood("replayed", self.alpha, network, self.replay)

    def weights(self) -> dict[str, Array]:
        """w0 by site name: the first position of a chain."""
        leaves = jax.tree_util.tree_leaves_with_path(self.network.params)
        named = {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
        assert len(named) == len(leaves), "no two weights share a site"
        return named

    def params(self, sites: dict[str, Array]) -> Params:
        """The network's tree of weights, from the values of the sites."""
        return jax.tree.unflatten(
            jax.tree.structure(self.network.params), [sites[name] for name in self.weights()]
        )

    def scale(self) -> dict[str, Array]:
        """(γΛ)^-½ by site name: in these units the prior is a standard normal, and so is the step size."""
        leaves = jax.tree.leaves(self._metric())
        return {name: (self.gamma * leaf) ** -0.5 for name, leaf in zip(self.weights(), leaves, strict=True)}

    def _likelihood(self, name: str, strength: Beta, network: Parametric, documents: Dataset) -> None:
        count = documents.tokens.shape[0]
        with numpyro.plate(name, count, subsample_size=self.batch) as rows:
            # With all documents, indexing would only copy D'.
            chosen = documents
            if self.batch not in (None, count):
                chosen = jax.tree.map(lambda leaf: jnp.asarray(leaf)[rows], documents)
            numpyro.factor(f"{name}.likelihood", strength * log_likelihood(network, chosen))

    def _metric(self) -> Params:
        return jax.tree.map(jnp.ones_like, self.network.params) if self.metric is None else self.metric

    def _check_metric(self) -> None:
        if self.metric is None:
            return
        weights, given = (
            {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
            for tree in (self.network.params, self.metric)
        )
        wrong = [name for name in weights if name not in given or given[name].shape != weights[name].shape]
        if wrong or len(given) > len(weights):
            raise Misuse(
                f"The metric must have an entry for every weight; it does not fit at {wrong or 'extra ones'}."
            )
        for name, leaf in given.items():
            # In numpy: under jit, jax would trace this even for concrete metrics.
            if not isinstance(leaf, Tracer) and not (np.isfinite(leaf) & (np.asarray(leaf) > 0)).all():
                raise Misuse(
                    f"The metric must be positive and finite everywhere, got other entries at {name}."
                )
