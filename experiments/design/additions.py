"""Arms of a study that adds documents to a narrow D': n, N, and the rule that chooses them. No jax."""

from collections.abc import Sequence
from dataclasses import dataclass

KINDS = ("elsewhere", "same-domain", "neutral")  # rules that look at neither D' nor a network
CHOICES = ("likelihood-ratio", "susceptibility")


@dataclass(frozen=True, order=True)
class Addition:
    """`added` documents, N, chosen by a `rule`, beside `n` narrow ones; without any there is no rule."""

    n: int
    rule: str
    added: int

    @property
    def name(self) -> str:
        """The name of its arm."""
        return f"n{self.n}-{self.rule}-{self.added}" if self.added else f"n{self.n}"


def additions(documents: Sequence[int], rules: Sequence[str], added: Sequence[int]) -> list[Addition]:
    """Every n alone, then with every rule and number of documents."""
    alone = [Addition(n, "", 0) for n in documents]
    return alone + [Addition(n, rule, more) for n in documents for rule in rules for more in added if more]
