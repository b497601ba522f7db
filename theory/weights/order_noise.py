"""KL between a network and its reshuffled replica, predicted before finetuning from gradients of documents.

    E KL(replica ‖ replica') = tr(F J Σ Jᵀ),      F the Fisher information of answers, J their Jacobian
    Σ = Cov(w_s) over orders of D';  fresh documents:  dΣ/dτ = -(HΣ + ΣH) + (η/B) C

H and C are curvature and gradient covariance of the mean loss, B documents a batch. A D' that is reshuffled
in every pass meets each document as often as any other, so what a pass has added to Σ is mostly gone when it
ends. With x_ik the displacement at the end of the answers by document i met at step k, less its mean over
documents, a pass of n slots adds (Hoeffding 1951, the variance of Σ_i x_i,π(i) over permutations π)

    1/(n-1) Σ_i [ Σ_slots (x_ik - x̄_i) (x_ik - x̄_i)ᵀ ],      x̄_i the mean over the slots of the pass

where slots not met yet have x = 0 (theory.md, section 9). u_i, the gradient of document i, changes along the
path: x_ik = -(η/B) J (1 - ηH)^(s-1-k) u_i(k), u_i(k) between its values at w0 and at the mean path's end.
Momentum μ replaces the power by the response of the heavy ball. Functions of H by Lanczos; the sum over i by
random signs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import Dataset, Parametric, Params, Tokens, check_number
from theory.compute.descent import check_doses
from theory.divergence.kl import renormalised
from theory.weights.curvature import Metric, gauss_newton, gradient, inverse_root, modes
from theory.weights.document_gradients import check_batch, document_gradients
from theory.weights.taylor import spread


@dataclass(frozen=True)
class Recipe:
    """Steps after which networks are compared, `batch` documents a step, the step size, `momentum` μ of
    v ← μ v + (1 - μ) g (`bias_corrected`: v / (1 - μ^t), as in Adam), and whether every step has `fresh`
    documents instead of reshuffled passes."""

    doses: Sequence[int]
    batch: int
    learning_rate: float
    momentum: float = 0.0
    bias_corrected: bool = False
    fresh: bool = False

    def __post_init__(self) -> None:
        check_doses(self.doses)
        check_number("learning_rate", self.learning_rate, above=0)
        check_number("momentum", self.momentum, least=0, below=1)

    def responses(self, curvatures: Float[Array, " k"], dose: int) -> Float[Array, "steps k"]:
        """Displacement after a dose by a unit gradient met at each step: without momentum -η (1 - ηh)^r, r
        the steps after it.

        The adjoint of v ← μ v + (1 - μ) (h w + gradient), w ← w - η v / (1 - μ^t), from the last step back.
        """

        def back(carry: tuple[Array, Array], step: Array) -> tuple[tuple[Array, Array], Array]:
            of_position, of_speed = carry
            correction = 1 - self.momentum**step if self.bias_corrected else 1.0
            of_gradient = (1 - self.momentum) * (of_speed - self.learning_rate / correction * of_position)
            before = of_position + curvatures * of_gradient
            return (before, self.momentum / (1 - self.momentum) * of_gradient), of_gradient

        end = jnp.ones_like(curvatures), jnp.zeros_like(curvatures)
        return jax.lax.scan(back, end, jnp.arange(1, dose + 1), reverse=True)[1]

    def slots(self, dose: int, documents: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Steps (e,) that a pass has met, the pass of each, and how many of its documents they hold."""
        slots = np.arange(dose * self.batch)
        pairs, counts = np.unique(
            np.stack([slots // self.batch, slots // documents]), axis=1, return_counts=True
        )
        return pairs[0], pairs[1], counts


def order_noise(
    network: Parametric,
    data: Dataset,
    tokens: Tokens,
    answers: slice,
    recipe: Recipe,
    key: PRNGKeyArray | None = None,
    metric: Metric = None,
    probes: int = 32,
    iterations: int = 16,
) -> Float[Array, "d n t"]:
    """Expected KL (nats) between the answers of two orders, after each dose, at every token of contexts.

    `metric` is that of the steps (None: SGD's). `probes` random sums of documents, by `key`; without a key
    every document is a probe and the sum is exact. Refuses a batch that D' cannot fill.
    """
    check_number("probes", probes, least=1, whole=True)
    check_batch(data, recipe.batch)
    count, positions = data.tokens.shape[0], jnp.sum(data.mask)
    scale, curvature = inverse_root(metric), gauss_newton(network, data)
    doses = np.asarray(recipe.doses)
    base, push = jax.linearize(
        lambda params: network.with_params(params).predict(tokens)[..., answers], network.params
    )
    shaped = ravel_pytree(network.params)[1]

    def product(vector: Params) -> Params:
        return jax.tree.map(lambda leaf: leaf / positions, curvature.within(scale).product(vector))

    def followed(vector: Params) -> tuple[Array, Params]:
        """Curvatures (k,) of the modes of a gradient, and the modes as displacements of weights."""
        curvatures, parts = modes(product, vector, iterations)
        return curvatures, jax.vmap(scale)(parts)

    force = jax.tree.map(lambda leaf: leaf / positions, scale(gradient(network, data)))
    curvatures, parts = followed(force)
    gone = jnp.stack([jnp.sum(recipe.responses(curvatures, dose), axis=0) for dose in doses.tolist()])
    forecasts = renormalised(base + jnp.einsum("dk,k...->d...", gone, jax.vmap(push)(parts)))
    end = jax.tree.map(lambda leaf, part: leaf + jnp.tensordot(gone[-1], part, 1), network.params, parts)
    gradients = [
        rows - jnp.mean(rows, axis=0)
        for weights in (network.params, end)
        for rows in [document_gradients(network.with_params(weights), data, recipe.batch, metric)]
    ]

    def probe(sizes: Array) -> Array:
        """The sum over slots for one weighted sum of documents."""
        both = []
        for rows in gradients:
            response, parts = followed(shaped(sizes @ rows))
            both.append((response, jax.vmap(push)(parts)))
        return jnp.stack([at(dose, row, both) for row, dose in enumerate(doses.tolist())])

    def at(dose: int, row: int, both: list[tuple[Array, Array]]) -> Array:
        steps, passes, counts = recipe.slots(dose, count)
        moved = [
            jnp.tensordot(recipe.responses(curvatures, dose), outputs, 1) for curvatures, outputs in both
        ]
        late = jnp.arange(dose).reshape(-1, 1, 1, 1) / doses[-1]
        by_step = ((1 - late) * moved[0] + late * moved[1])[steps]
        sizes = jnp.asarray(counts, base.dtype).reshape(-1, 1, 1)
        variances = jax.vmap(lambda change: spread(change, forecasts[row]))
        if recipe.fresh:
            return jnp.sum(sizes * variances(by_step), axis=0)
        means = jax.ops.segment_sum(sizes[..., None] * by_step, passes, int(passes[-1]) + 1) / count
        left = count - np.bincount(passes, counts)  # slots of the last pass that are still to come
        around = jnp.sum(sizes * variances(by_step - means[passes]), axis=0)
        return around + left[-1] * variances(means[-1:])[0]

    if key is None:
        signs = jnp.sqrt(float(count)) * jnp.eye(count)
    else:
        signs = jax.random.rademacher(key, (probes, count), float)
    return jnp.mean(jax.lax.map(probe, signs), axis=0) / (recipe.batch**2 * (count - 1))
