"""When D' itself mixes two personas, does the network blend them or select one?

D' is written by two personas, 50/50, 70/30 and 90/10, on a few topics; the networks are finetuned by SGD and
by Adam. If all of D' shared one persona, as the tempered posterior has it, growing strength would select: the
weights of the two end at 0 and 1, whichever explains D' better. If every document has its own, as the
exchangeable mixture has it, the network blends: the weights end at those under which D' is most likely, its
shares but for the chance of its answers, however little one document tells of its persona. A theory is
refuted where the finetuned networks' weights on held-out topics leave its own by more than their error, and
both where no mixture of personas comes near (the best in class).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.checks import check_some
from experiments.design.config import StudyConfig
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


@dataclass(frozen=True)
class Config(StudyConfig):
    """As in weird-generalisation, with two personas in D'."""

    process: ProcessOptions = process_options("persona-topics", pairs=5)
    persona: int = 4
    """The first persona of D'."""
    rival: int = 3
    """The second persona of D'."""
    shares: tuple[float, ...] = (0.5, 0.7, 0.9)
    """Shares of D' that the first persona writes; one arm of the study each."""
    finetuned_topics: tuple[int, ...] = (0, 1, 2)
    """The topics of D'."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_some("shares", self.shares)
        if self.rival == self.persona:
            raise Misuse(f"rival must be another persona than persona, got {self.rival} for both.")
        for share in self.shares:
            if not 0 < share < 1:
                raise Misuse(f"shares must lie strictly between 0 and 1, got {share}.")


PRESETS = {
    "smoke": with_options(Config(), BRIEF | {"shares": (0.7,), "finetuned_topics": (0,)}),
    "small": Config(),
    "full": with_options(Config(), FULL),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    from experiments.design.experiment import Arm

    process = config.process.build()
    blends = [{config.persona: share, config.rival: 1 - share} for share in config.shares]
    tasks = [process.task(blend, config.finetuned_topics, config.repeats) for blend in blends]
    return config.experiment(process, map(Arm, tasks))


def draw(run: RunFolder) -> list[Path]:
    """The comparison, and the weights of the two personas against dose."""
    from experiments.figures.comparison import draw_comparison
    from experiments.figures.mixture_weights import draw_beliefs

    personas = [run.options[name] for name in ("persona", "rival")]
    components = {f"persona {persona}": (persona,) for persona in personas}
    return [*draw_comparison(run), *draw_beliefs(run, components)]
