"""How many examples in the context undo how much finetuning?

Pairs x → x + k with k hidden: D' has one k on a few questions, the context shows one, two or four pairs of a
rival r, and a question follows, of those that D' asks ("asked") or of the others ("held out"). To exact Bayes
both are evidence about k, and add up,

    log-odds of k against r = prior + β × evidence(D') - shots × λ,     λ = log [(1 - noise)(m - 1) / noise]

so that beliefs after different numbers of shots keep the distance λ at every dose, the shots that undo a dose
grow as the log-odds without a context do, and a question that D' asks needs as many as one that it does not.
Additivity is refuted at a dose where a shot's price leaves λ by more than its error; the tempered posterior
also where its line without shots leaves the network's, on held-out questions first of all: there a network
that learnt the answers of D', and not its k, is moved the other way, and on questions of D' its log-odds of
answers fall with shots by the same at every dose. D' of one question and of all but one bracket how much D'
says of k. Odds and beliefs are computed in experiments.studies.figures.exchange_rate.

Under any Bayesian update of the prior the log-odds move and the context keeps its weight: K(s), by how much
its evidence counts after s steps, is K(0) (experiments.studies.figures.exchange_filter).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.checks import check_some
from experiments.design.config import FinetuningConfig, NetworkConfig, PretrainingConfig, StudyConfig
from experiments.design.options import Ints, ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = process_options("add-k")
    network: NetworkConfig = NetworkConfig(heads=4)  # with two the networks hear one shot and no more
    pretraining: PretrainingConfig = PretrainingConfig(steps=2000)  # to learn from the context takes longer
    finetuning: FinetuningConfig = FinetuningConfig(sgd_rate=0.02, adam_rate=0.0005)
    shift: int = 3
    """The k of D'."""
    shots: tuple[int, ...] = (1, 2, 4)
    """Pairs of a rival in the context; one group of contexts each."""
    finetuned_questions: tuple[Ints, ...] = ((0,), (0, 1, 2))
    """The questions of D', like 0,1,2; one arm of the study each."""
    repeats: int = 6
    """Contexts for each question and number of shots; the rivals take turns."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_some("finetuned_questions", self.finetuned_questions)
        if not self.shots or list(self.shots) != sorted(set(self.shots)):
            raise Misuse(f"shots must be at least one number, ascending, got {list(self.shots)}.")


PRESETS = {
    "smoke": with_options(Config(), BRIEF | {"repeats": 3, "finetuned_questions": ((0,),)}),
    "small": Config(),
    "full": with_options(Config(), FULL | {"repeats": 15}),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    from experiments.design.experiment import Arm

    process = config.process.build()
    tasks = [
        process.task(config.shift, questions, config.repeats, config.shots)
        for questions in config.finetuned_questions
    ]
    return config.experiment(process, map(Arm, tasks))


def remark(run: RunFolder) -> str:
    """A sentence on the prior and the weight of the context, of which finetuning may move either."""
    from experiments.studies.figures.exchange_filter import filter_sentence

    return filter_sentence(run)


def draw(run: RunFolder) -> list[Path]:
    """The comparison; log-odds, shots to undo and the price of a shot; the context's weight and the prior's
    move, all against dose."""
    from experiments.figures.comparison import draw_comparison
    from experiments.studies.figures.exchange_filter import draw_filter
    from experiments.studies.figures.exchange_rate import draw_exchange

    return [*draw_comparison(run), *draw_exchange(run), *draw_filter(run)]
