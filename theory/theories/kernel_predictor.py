"""Kernel predictor: regression by the tangent kernel, stopped early.

    f_τ = f_0 + K(x, D') K⁻¹ (1 - e^{-τK}) (y - p)

    f        centred logits: log-probabilities less their mean at a position; softmax makes f_τ a prediction
    K        J Jᵀ at w0 over counted positions and tokens of D', J the Jacobian of f; (N v) × (N v), not made
    y - p    one-hot answers less probabilities at w0: minus the gradient of cross-entropy in f

It is gradient flow on the squared loss ½ ‖f_δ - (f_0 + y - p)‖² of the linearised network (Jacot et al.,
arXiv 1806.07572; for finetuning Malladi et al., arXiv 2210.05643). It starts as cross-entropy does, but the
residual decays as if S = diag(p) - ppᵀ, the curvature of cross-entropy at a position, were the identity
(its eigenvalues are ½ at most). In weights δ = -Q⁻¹ (1 - e^{-τQ}) g with Q = JᵀJ: by the code of
`spectrum`, with another curvature. With S^½J in J's place and S^-½ (y - p) for the residual the formula is
exactly `spectrum`'s early stopping; `linearised` keeps the true cross-entropy. β is as there: τ = β/γ, and
N τ = η × steps.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from jaxtyping import PRNGKeyArray

from theory.base import Beta, Cost, Dataset, Parametric, PyTree, check_beta
from theory.contracts import Process, Setting, WeightTheory
from theory.theories.linearised import Tangent
from theory.theories.spectrum import check_filter, early_stopping, filter_cost, filtered, made
from theory.weights.curvature import squared


@dataclass(frozen=True)
class KernelPredictor(WeightTheory):
    """`prior_precision` is γ; `metric` Λ, as in `spectrum`, makes the kernel J Λ⁻¹ Jᵀ (None: identity);
    `iterations` of Lanczos."""

    prior_precision: float = 1.0
    metric: PyTree = None
    iterations: int = 32
    breaks: dict[str, str] = field(
        default_factory=lambda: {
            "additive": "the second pass takes its residual from the first one's softmax"
        }
    )
    optional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_filter(self.prior_precision, self.iterations, self.metric)

    def predict(
        self, prior: Parametric, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Tangent:
        """The linearised network at the weights whose outputs are f_τ."""
        check_beta(beta)
        time, kernel = beta / self.prior_precision, squared(prior, data)
        return filtered(prior, data, time, kernel, early_stopping, self.metric, self.iterations)

    @property
    def cost(self) -> Cost:
        """A gradient and the products of Lanczos, whatever the strengths."""
        return filter_cost(self.metric, self.iterations)

    def complete(self, setting: Setting) -> Self:
        """With the metric that it names."""
        return replace(self, metric=made(self.metric, setting))


def variants(process: Process) -> dict[str, KernelPredictor]:
    """The kernel of gradient flow."""
    return {"kernel-predictor/identity": KernelPredictor()}


def example() -> KernelPredictor:
    """The theory at its defaults."""
    return KernelPredictor()
