"""Gaussian process: functions with the tangent kernel, seen at D' with noise 1/β; softmax is averaged.

    prior        f ~ N(f_0, K/γ)
    mean         f_0 + K(x, D') (K + γ/β)⁻¹ (y - p)
    covariance   (K(x, x') - K(x, D') (K + γ/β)⁻¹ K(D', x')) / γ
    prediction   p_β(x) = E [softmax f(x)]

f are centred logits, K their tangent kernel at w0 and y - p the residuals of cross-entropy, as in
`kernel_predictor`: regression on the targets f_0 + y - p, each seen with the noise variance 1/β. γ/β alone
decides where the mean goes: the ridge (K + γ/β)⁻¹ takes the place of early stopping. 1/γ is the temperature:
how far f varies. `laplace` with samples is the same with the noise (diag(p) - ppᵀ)⁻¹/β of a softmax in place
of 1/β (Khan et al., arXiv 1906.01930), and shares the code. β as in `proximal`.

Functions are drawn by their weights, f_0 + J δ with δ ~ N(-(γ + βJᵀJ)⁻¹ βg, (γ + βJᵀJ)⁻¹): they have
exactly this mean and covariance at all x together, and K is never made. The prediction is the average over
`samples` of them in opposite pairs; a probability that varies by σ from sample to sample is known to about
σ/√samples.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from jaxtyping import PRNGKeyArray

from theory.base import Beta, Cost, Dataset, Misuse, Parametric, PyTree, check_beta
from theory.contracts import Process, Setting, WeightTheory
from theory.latent.mixture import Average
from theory.theories.laplace import Gaussian, averaged, check_samples
from theory.theories.spectrum import check_filter, filter_cost, made, to_weights
from theory.weights.curvature import gradient, squared


@dataclass(frozen=True)
class GaussianProcess(WeightTheory):
    """`prior_precision` is γ; `metric` Λ, as in `spectrum`, makes the kernel J Λ⁻¹ Jᵀ (None: identity);
    `samples` of functions (even); `iterations` of Lanczos for each."""

    prior_precision: float = 1e4
    metric: PyTree = None
    samples: int = 32
    iterations: int = 32
    breaks: dict[str, str] = field(
        default_factory=lambda: {
            "prior": "at β = 0 functions still vary about f_0, by (K/γ)^½",
            "additive": "the second pass starts from the average of the first, not from its posterior",
        }
    )
    optional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_filter(self.prior_precision, self.iterations, self.metric)
        check_samples(self.samples)
        if self.samples == 0:
            raise Misuse("A Gaussian process is averaged over samples, got 0 of them.")

    def predict(
        self, prior: Parametric, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Average:
        """The linearised network averaged (in probability) over samples of its displacement."""
        check_beta(beta)
        if key is None:
            raise Misuse("gaussian-process draws at random and needs a key, got None.")
        return averaged(prior, self.gaussian(prior, data, beta).samples(key, self.samples))

    def gaussian(self, prior: Parametric, data: Dataset, beta: Beta) -> Gaussian:
        """The posterior in weights."""
        scale, time = to_weights(self.metric), beta / self.prior_precision
        product, pull = squared(prior, data).within(scale).product, scale(gradient(prior, data))
        return Gaussian(product, pull, scale, time, time, self.prior_precision, self.iterations)

    @property
    def cost(self) -> Cost:
        """A gradient, and Lanczos for the mean and for every pair of samples."""
        return filter_cost(self.metric, self.iterations, self.samples)

    def complete(self, setting: Setting) -> Self:
        """With the metric that it names."""
        return replace(self, metric=made(self.metric, setting))


def variants(process: Process) -> dict[str, GaussianProcess]:
    """The kernel of gradient flow, at a low temperature."""
    return {"gaussian-process/identity": GaussianProcess(prior_precision=1e5, samples=16)}


def example() -> GaussianProcess:
    """Few samples at a high temperature."""
    return GaussianProcess(prior_precision=10.0, samples=16)
