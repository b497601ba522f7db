"""Are a pair in the context, a step of finetuning and a nat of steering one currency?

Pairs x → x + k with k hidden, twelve in a document and each of them worth λ = 1.79 nats, half of the answers
wrong: a network that does not add up what it reads loses so much that it learns to. D' has one k. Networks
are asked after pairs of a rival r and steered towards D's k, and what their answers say of k against r is
measured in nats. To exact Bayes the three add up,

    log-odds of k against r = prior + β × evidence(D') - shots × λ + nats of steering

    rates         a pair takes λ back at every number of shots and at every dose, a nat of steering is a nat.
                  Refuted by another rate, by its whole interval
    interactions  the variance of log-odds over dose × shots × steering that no sum of three explains is 0.
                  Of any network it is above 0; it counts beside that of exact answers with the same noise
    closure       N shots undo a dose, x nats of steering undo N shots and y nats that dose: x/y = 1. Refuted
                  by another ratio
    context       under any update of the prior the context keeps its weight: K(s) = K(0)
    prevention    finetuned under x nats of steering, asked without them: D' is evidence at any prior, so as
                  much is learnt of it, 0 nats less for a nat. Refuted by another value; 1, all that steering
                  has done already, is what a learner has that goes to where its answers fit D'
    laws          nats of one pair ahead among N: λ at every N. What falls as N^-α, or as (1 + c0)/(N + c0),
                  an average beside a sink, is fitted on few pairs and scored on more. α = 0 is refuted by its
                  whole interval, and of both laws the one that misses more
    examples      log-odds after N pairs are those after none plus, for each pair alone, what it adds: slope 1
                  and the whole share. Refuted by another slope or share, by its whole interval. (What heads
                  write may be a sum up to a factor: 1 adds, (1 + c0)/(N + c0) averages beside a sink)
    correction    of Bayes sums have no errors, and order has no say: what a pair contributes beyond its
                  evidence does not go with the error of the others, no more for the last than for the first,
                  and a wrong pair counts alike before right ones and after them, 0 nats. Self-correction, as
                  it is reported of a language model, is a correlation below 0 and nats above 0; each is
                  refuted by a whole interval off 0 on the other side, Bayes by one on either
    layers        with two blocks: after the first, the stream at an answer holds its pair's evidence; after
                  the last, that at a question the posterior. Refuted where the first does not have it, or a
                  nat of evidence that is added to every pair shown is not a nat a pair
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.config import FinetuningConfig, NetworkConfig, PretrainingConfig, StudyConfig
from experiments.design.currencies_plan import check_currencies
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.scoring.findings import Findings
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    # with equally likely k a network learnt nothing in 2600 steps
    process: ProcessOptions = process_options("add-k", modulus=7, pairs=12, noise=0.5, rarity=0.8)
    network: NetworkConfig = NetworkConfig(heads=4)
    pretraining: PretrainingConfig = PretrainingConfig(seeds=8, steps=6000, until_learnt=0.98)
    finetuning: FinetuningConfig = FinetuningConfig(
        seeds=3, methods=("sgd", "adam"), sgd_rate=0.02, adam_rate=0.0005, doses=(4, 16, 64)
    )
    shift: int = 1
    """The k of D'."""
    finetuned_questions: tuple[int, ...] = (0, 1, 2, 3)
    """The questions of D'."""
    shots: tuple[int, ...] = (0, 1, 2)
    """Pairs of a rival in the context, 0 among them."""
    nats: tuple[float, ...] = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0)
    """Nats by which a belief is steered, 0 among them."""
    training_nats: tuple[float, ...] = (-2.0, 2.0)
    """Nats by which networks are steered while they are finetuned; they are asked without."""
    documents: int = 300
    """Documents of pretraining on which probes are fitted and scored."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_currencies(self.shots, self.nats, self.documents, self.training_nats)


PRESETS = {
    "smoke": with_options(
        Config(),
        BRIEF
        | {"documents": 24, "nats": (-1.0, 0.0, 1.0), "network.layers": 2, "process.pairs": 5}
        | {"finetuning.doses": (4,), "shots": (0, 1), "training_nats": (1.0,)}
        # a probe of seven answers in so few documents takes a hundred steps of Newton's method
        | {"process.modulus": 4, "finetuned_questions": (0, 1)},
    ),
    "small": Config(),
    "full": with_options(Config(), FULL | {"pretraining.seeds": 12, "documents": 1000}),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned, asked and steered."""
    from experiments.design.currencies_plan import CurrenciesPlan
    from experiments.design.experiment import Arm

    process = config.process.build()
    if config.shots[-1] >= process.pairs:
        raise Misuse(
            f"shots must leave room for the question, at most pairs - 1 = {process.pairs - 1} of them, got "
            f"{config.shots[-1]}."
        )
    task = process.task(config.shift, config.finetuned_questions, config.repeats, (1,))
    plan = CurrenciesPlan(
        config.shift,
        config.finetuned_questions,
        config.shots,
        config.nats,
        config.documents,
        config.training_nats,
    )
    return config.experiment(process, [Arm(task)], inside=plan)


def findings(run: RunFolder) -> Findings:
    """The answer, a table of every rate, and what the figure shows."""
    from experiments.studies.figures.three_currencies import currency_findings

    return currency_findings(run)


def draw(run: RunFolder) -> list[Path]:
    """Rates, interactions and closure; what the layers hold."""
    from experiments.studies.figures.three_currencies import draw_currencies

    return draw_currencies(run)
