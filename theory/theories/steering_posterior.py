"""Steering posterior: a shift of the belief in the stream, inferred from D' by the network's own likelihood.

    x_β = argmax_x  β Σ_{d in D'} log p_x(d) + κ Σ_z π0_z log π_x(z),      π_x ∝ π0 e^x

    p_x   the network with Σ_z x_z u_z added to its stream at one depth, at every position
    u_z   the pattern of the belief in z: what a nat of log-odds for z writes there. With h the streams of
          documents of the process, and λ the exact log-odds before the same token, both less their means at
          a position,  U = Σ h λᵀ (Σ λ λᵀ)⁺  (the encoding model of Haufe et al., NeuroImage 87, 2014)
    π0    weights of the hypotheses in pretraining; κ their own count

A shift of log-odds is a change of the prior over hypotheses, π0 to π_x. Pretraining's law says how likely
that is: the second term is the log density of Dirichlet(κπ0) in the coordinates x. So x_β is the mode of a
posterior over K - 1 numbers, each document counted β times, and at β = 1 nothing is fitted. Where the stream
is linear in log-odds and the read-out is Bayesian, p_x is the process with prior π_x, and x_β is the
exchangeable mixture exactly. Elsewhere the network says itself what its stream's shift does to D': a nat that
is written need not be one that is read.

The mode is found by Fisher scoring along the ladder: J, the slope of log p_x in x, gives gradient and
curvature Σ_t Jᵀ diag(p) J. A step is at most `LONGEST` nats, and is halved for good once progress stops.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import Beta, Betas, Cost, Dataset, Key, LogProbs, Misuse, Steerable, check_beta, check_number
from theory.contracts import Process, Scale, Setting, Theory, Training
from theory.latent.mixture import Mixture
from theory.probes.beliefs import beliefs

LEAST = 1e-4  # probability below which log-odds are not told apart
STEPS, TOLERANCE, LONGEST = 40, 2e-5, 2.0  # of scoring: most, nats at which it ends, nats


@dataclass(frozen=True)
class SteeringPosterior(Theory[Steerable]):
    """Beliefs over the hypotheses of `process`, written at `depth`; `concentration` κ > 0. Patterns are
    found on `documents` of the process. `complete` gives both, where they are missing."""

    process: Mixture | None = None
    documents: Dataset | None = None
    depth: int = 1
    concentration: float = 1.0
    breaks: dict[str, str] = field(
        default_factory=lambda: {
            "additive": "after a first pass the prior counts κ + βn documents; a second one takes κ again"
        }
    )
    optional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("depth", self.depth, least=0, whole=True)
        check_number("concentration", self.concentration, above=0)

    def predict(
        self, prior: Steerable, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Steerable:
        """The network with the most likely shift."""
        check_beta(beta)
        written = self.patterns(prior)
        start = jnp.zeros(written.shape[1])
        return prior.shifted(self.depth, written @ self._mode(prior, written, data, jnp.asarray(beta), start))

    def path(self, prior: Steerable, data: Dataset, betas: Betas, *, key: Key | None = None) -> Steerable:
        """Networks over ascending strengths (stacked)."""
        _, vectors = self._searched(prior, data, betas)
        return jax.vmap(lambda vector: prior.shifted(self.depth, vector))(vectors)

    def shifts(self, prior: Steerable, data: Dataset, betas: Betas) -> Float[Array, "b k"]:
        """x_β, the shifts of log-odds themselves (nats, adding to 0) over ascending strengths."""
        return self._searched(prior, data, betas)[0]

    def _searched(self, prior: Steerable, data: Dataset, betas: Betas) -> tuple[Array, Array]:
        """x_β and what it writes; each mode is where the search for the next begins."""
        written = self.patterns(prior)

        def following(start: Array, beta: Array) -> tuple[Array, tuple[Array, Array]]:
            mode = self._mode(prior, written, data, beta, start)
            return mode, (mode, written @ mode)

        return jax.lax.scan(following, jnp.zeros(written.shape[1]), jnp.asarray(betas))[1]

    def patterns(self, prior: Steerable) -> Float[Array, "d k"]:
        """U, in units of the stream for a nat; of log-odds between hypotheses, as their sum is free."""
        process, documents = self._known
        tokens = documents.tokens
        odds = jnp.log(jnp.maximum(beliefs(process, tokens), LEAST))
        odds = odds - odds.mean(axis=-1, keepdims=True)
        streams = prior.streams(tokens)[:, self.depth]
        odds, streams = odds - odds.mean(axis=0), streams - streams.mean(axis=0)
        gram = jnp.einsum("ntk,ntj->kj", odds, odds, precision="highest")
        return jnp.einsum("ntd,ntk->dk", streams, odds, precision="highest") @ jnp.linalg.pinv(
            gram, rtol=1e-5, hermitian=True
        )

    @property
    def _known(self) -> tuple[Mixture, Dataset]:
        if self.process is None or self.documents is None:
            raise Misuse("SteeringPosterior needs a process and documents of it, got None; give it both.")
        return self.process, self.documents

    def _mode(
        self,
        prior: Steerable,
        written: Float[Array, "d k"],
        data: Dataset,
        beta: Float[Array, ""],
        start: Float[Array, " k"],
    ) -> Float[Array, " k"]:
        """x_β, its entries adding to 0."""
        logs = jax.nn.log_softmax(self._known[0].log_weights)
        count, n = len(logs), data.tokens.shape[0]
        total = self.concentration + beta * n

        def log_probs(shift: Array) -> LogProbs:
            return prior.shifted(self.depth, written @ shift).predict(data.tokens)

        def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
            shift, _, size, before, steps = state
            answers, push = jax.linearize(log_probs, shift)
            slopes = jax.vmap(push, out_axes=-1)(jnp.eye(count))
            slopes = jnp.where(jnp.isfinite(answers)[..., None], slopes, 0.0)  # an impossible token stays so
            mask = jnp.asarray(data.mask)[..., None]
            seen = jax.nn.one_hot(data.tokens, answers.shape[-1]) * mask
            score = jnp.einsum("ntv,ntvk->k", seen, slopes)
            fisher = jnp.einsum("ntv,ntvk,ntvj->kj", jnp.exp(answers) * mask, slopes, slopes)
            moved = jax.nn.softmax(logs + shift)
            slope = (beta * score + self.concentration * (jnp.exp(logs) - moved)) / total
            spread = self.concentration * (jnp.diag(moved) - jnp.outer(moved, moved))
            curvature = (beta * fisher + spread) / total + 1 / count  # a constant moves nothing
            change = jnp.linalg.solve(curvature, slope - slope.mean())
            change = change - change.mean()
            gain = slope @ change
            size = jnp.where(gain < before, size, size / 2)
            change = size * change * jnp.minimum(1.0, LONGEST / jnp.maximum(jnp.abs(change).max(), 1e-30))
            return shift + change, jnp.abs(change).max(), size, gain, steps + 1

        def goes_on(state: tuple[Array, ...]) -> Array:
            return (state[1] > TOLERANCE) & (state[4] < STEPS)

        infinite = jnp.asarray(jnp.inf)
        state = start, infinite, jnp.asarray(1.0), infinite, jnp.asarray(0)
        return jax.lax.while_loop(goes_on, step, state)[0]

    @property
    def cost(self) -> Cost:
        """A product of J with each hypothesis in every step of scoring."""
        count = 1 if self.process is None else len(self.process.log_weights)
        return Cost(products=STEPS * count, per="strength", most=True)

    def complete(self, setting: Setting) -> Self:
        """With the exact process, and documents of pretraining."""
        return replace(
            self,
            process=self.process or setting.process,
            documents=self.documents or setting.documents,
        )

    def grid(self, scale: Scale) -> np.ndarray:
        """β multiplies documents, as in the exchangeable mixture; fewer, as each is a search."""
        return np.concatenate([[0.0], np.logspace(-4, 2, 37)]).astype(np.float32)

    def strength(self, training: Training, scale: Scale) -> np.ndarray:
        """Passes over D': each counts a document once."""
        return training.passes


def variants(process: Process) -> dict[str, SteeringPosterior]:
    """Beliefs after the first block."""
    return {"steering-posterior": SteeringPosterior(process.distribution())}


def example() -> SteeringPosterior:
    """The theory on a small process."""
    from theory.processes.persona_topics import example as small

    process = small().distribution()
    tokens = process.sample(jax.random.key(0), 64)
    return SteeringPosterior(process, Dataset(tokens, jnp.ones(tokens.shape, bool)))
