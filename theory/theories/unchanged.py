"""Nothing changes: p_β = p_0. The yardstick, explained = 0 by definition."""

from dataclasses import dataclass, field

from jaxtyping import PRNGKeyArray

from theory.base import Beta, Dataset, Predictor, check_beta


@dataclass(frozen=True)
class Unchanged:
    """Finetuning leaves the network where it was."""

    breaks: dict[str, str] = field(default_factory=dict)

    def predict(
        self, prior: Predictor, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Predictor:
        """The prior, whatever the data."""
        check_beta(beta)
        return prior


def example() -> Unchanged:
    """The theory."""
    return Unchanged()
