"""When D' itself mixes two personas, does the network blend them or select one?

D' is written by two personas, 50/50, 70/30 and 90/10, on a few topics; the networks are finetuned by SGD and
by Adam. If all of D' shared one persona, as the tempered posterior has it, growing strength would select: the
weights of the two end at 0 and 1, whichever explains D' better. If every document has its own, as the
exchangeable mixture has it, the network blends: the weights end at the mean over D' of the responsibilities
p(z | x) under the prior (one step of EM), which follow the shares of D' but leave some weight on other
personas, as a few answers never tell them apart for sure. A theory is refuted where the finetuned networks'
weights on held-out topics leave its own by more than their error, and both where no mixture of personas
comes near (the best in class).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.design.config import BRIEF, FULL, compared
from experiments.storage.run_folder import RunFolder
from experiments.studies import weird_generalisation as shared
from theory.errors import Misuse


@dataclass(frozen=True)
class Config(shared.Config):
    """As in weird-generalisation, with two personas in D'."""

    persona: int = 4
    """The first persona of D'."""
    rival: int = 3
    """The second persona of D'."""
    shares: tuple[float, ...] = (0.5, 0.7, 0.9)
    """Shares of D' that the first persona writes, one arm of the study each."""
    finetuned_topics: tuple[str, ...] = ("0,1,2",)
    """The topics of D', comma-separated."""
    temperatures: tuple[float, ...] = ()
    """Temperatures of the sampled posteriors (default: none are sampled)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rival == self.persona:
            raise Misuse(f"rival must be another persona than persona, got {self.rival} for both.")
        for share in self.shares:
            if not 0 < share < 1:
                raise Misuse(f"shares must lie strictly between 0 and 1, got {share}.")
        if not self.shares:
            raise Misuse("shares needs at least one, got none.")


PRESETS = {
    "smoke": Config(**BRIEF, shares=(0.7,), finetuned_topics=("0",)),
    "small": Config(),
    "full": Config(**FULL),
}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.design.experiment import arm

    process = shared.told_process(config)
    arms = []
    for text in config.finetuned_topics:
        topics = [int(topic) for topic in text.split(",")]
        for share in config.shares:
            where = f"_topics{'_'.join(map(str, topics))}" * (len(config.finetuned_topics) > 1)
            written = {config.persona: share, config.rival: 1 - share}
            arms.append(
                arm(
                    f"{round(100 * share)}_{round(100 * (1 - share))}{where}",
                    lambda key, n, written=written, topics=topics: process.blend(key, n, written, topics),
                    lambda key, written=written, topics=topics: (
                        process.contexts(key, config.persona, topics, config.repeats)
                        | {"in_domain": process.blend(key, 4 * config.repeats, written, topics)}
                    ),
                    config.seed,
                )
            )
    return compared(config, process, arms)


def draw(run: RunFolder) -> list[Path]:
    """The comparison, and the weights of the two personas against dose."""
    from experiments.figures.comparison import draw_comparison
    from experiments.figures.mixture_weights import draw_beliefs

    personas = [run.options[name] for name in ("persona", "rival")]
    components = {f"persona {persona}": (persona,) for persona in personas}
    return [*draw_comparison(run), *draw_beliefs(run, components)]
