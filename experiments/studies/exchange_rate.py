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
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.design.config import BRIEF, FULL, Recipe, compared
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse


@dataclass(frozen=True)
class Config(Recipe):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    modulus: int = 4
    """m: questions x and answers y are 0 ... m-1."""
    pairs: int = 6
    """Pairs (x, y) in a document."""
    noise: float = 0.2
    """Probability that y is not x + k."""
    rarity: float = 0.6
    """How much rarer each k is than the one before."""
    shift: int = 3
    """The k of D'."""
    shots: tuple[int, ...] = (1, 2, 4)
    """Pairs of a rival in the context, one group of contexts each."""
    finetuned_questions: tuple[str, ...] = ("0", "0,1,2")
    """The questions of D', comma-separated, one arm of the study each."""
    repeats: int = 6
    """Contexts for each question and number of shots; the rivals take turns."""
    heads: int = 4
    """Attention heads: with two the networks hear one shot and no more."""
    pretraining_steps: int = 2000
    """Steps of pretraining: learning from the context takes longer than elsewhere."""
    sgd_rate: float = 0.02
    """Step size of SGD."""
    adam_rate: float = 0.0005
    """Step size of Adam."""
    temperatures: tuple[float, ...] = ()
    """Temperatures of the sampled posteriors (default: none are sampled)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.finetuned_questions:
            raise Misuse("finetuned_questions needs at least one set of questions, got none.")
        for text in self.finetuned_questions:
            if not all(question.strip().isdecimal() for question in text.split(",")):
                raise Misuse(
                    f"finetuned_questions must be numbers with commas between, like 0,1; got {text!r}."
                )
        if not self.shots or list(self.shots) != sorted(set(self.shots)):
            raise Misuse(f"shots must be at least one number, ascending, got {list(self.shots)}.")


PRESETS = {
    "smoke": Config(**{**BRIEF, "repeats": 3}, finetuned_questions=("0",)),
    "small": Config(),
    "full": Config(**{**FULL, "repeats": 15}),
}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.design.experiment import arm
    from theory.processes.add_k import AddK

    process, arms = AddK(config.modulus, config.pairs, config.noise, config.rarity), []
    for text in config.finetuned_questions:
        asked = [int(question) for question in text.split(",")]
        process.check(config.shift, asked)
        arms.append(
            arm(
                f"questions{'_'.join(map(str, asked))}",
                lambda key, n, asked=asked: process.narrow(key, n, config.shift, asked),
                lambda key, asked=asked: process.contexts(
                    key, config.shift, asked, config.repeats, config.shots
                ),
                config.seed,
            )
        )
    return compared(config, process, arms)


def draw(run: RunFolder) -> list[Path]:
    """The comparison; and log-odds, shots to undo and the price of a shot against dose."""
    from experiments.figures.comparison import draw_comparison
    from experiments.studies.figures.exchange_rate import draw_exchange

    return [*draw_comparison(run), *draw_exchange(run)]
