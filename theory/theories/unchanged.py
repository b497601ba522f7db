"""Unchanged: p_β = p_0, the reference, whose explained part is 0 by definition.

Its answers are those of the base network, from which every shift is measured: `replay` gives them at every
dose, but a comparison that has the base network's answers needs no run for it.
"""

from dataclasses import dataclass, field

from jaxtyping import PRNGKeyArray

from theory.base import Beta, Dataset, Parametric, Params, Predictor, check_beta
from theory.contracts import Theory, TrainingRun
from theory.theories.linearised import stacked


@dataclass(frozen=True)
class Unchanged(Theory[Predictor]):
    """Finetuning leaves the network where it was."""

    breaks: dict[str, str] = field(default_factory=dict)

    def predict(
        self, prior: Predictor, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Predictor:
        """The prior, whatever the data."""
        check_beta(beta)
        return prior

    def follow(self, network: Parametric, run: TrainingRun) -> tuple[Parametric, Params]:
        """The base network and its weights after each dose (d, ...)."""
        networks = stacked(network, len(run.doses))
        return networks, networks.params


def example() -> Unchanged:
    """The theory."""
    return Unchanged()
