"""Noise: how far two orders of one D' end apart, before anything is finetuned; of the mean it says nothing.

    E KL(replica ‖ replica') = tr(F J Σ Jᵀ),      Σ = Cov(w_s) over orders of D'

It is the KL that the noise ceiling of a scorecard is made of (theory.weights.order_noise, theory.md section
9), predicted from the gradients of single documents at the base network instead of measured on replicas. As a
prediction of answers it is the base network's own, at any strength. Under Adam the metric is √v̂ at the base
network with a smaller floor than that of a posterior, which a noise over many small steps would feel.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import Beta, Cost, Dataset, Key, Parametric, Tokens, check_beta, check_number
from theory.contracts import Theory
from theory.theories.adam_gibbs import AdamGibbs
from theory.weights.order_noise import Recipe, order_noise


@dataclass(frozen=True)
class Noise(Theory[Parametric]):
    """`probes` random sums of documents, each by `iterations` of Lanczos; `floor` is a share of the mean of
    Adam's metric that is added."""

    probes: int = 16
    iterations: int = 16
    floor: float = 0.01
    breaks: dict[str, str] = field(default_factory=dict)
    optional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("probes", "iterations"):
            check_number(name, getattr(self, name), least=1, whole=True)
        check_number("floor", self.floor, above=0)

    def predict(
        self, prior: Parametric, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Parametric:
        """The prior."""
        check_beta(beta)
        return prior

    def between_orders(
        self,
        network: Parametric,
        data: Dataset,
        tokens: Tokens,
        answers: slice,
        recipe: Recipe,
        metric: str,
        key: Key,
    ) -> Float[Array, "d n t"]:
        """Expected KL (nats) between two orders after each dose of a recipe, at every token of contexts;
        `metric` is that of its steps, "identity" or "adam"."""
        made = None
        if metric == "adam":
            made = replace(AdamGibbs(), batch=recipe.batch, floor=self.floor).metric(network, data, key)
        return order_noise(network, data, tokens, answers, recipe, key, made, self.probes, self.iterations)

    @property
    def cost(self) -> Cost:
        """Gradients of documents at both ends of the mean path and their mean, Lanczos for it and for every
        probe at both ends."""
        return Cost(gradients=3, products=self.iterations * (1 + 2 * self.probes))


def example() -> Noise:
    """The theory at its defaults."""
    return Noise()
