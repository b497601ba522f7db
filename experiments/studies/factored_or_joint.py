"""Is a belief about two factors held as two beliefs or as one, and does that foretell how broad D' becomes?

Persona and domain are hidden Markov factors (process `persona-domain`), each value neutral or marked: 4 and 6
states. Two beliefs side by side have 3 + 5 = 8 dimensions, one belief over both 23; a stream of width 32 has
room for either. Given the context factors are independent where persona and domain are so in pretraining
(correlation 0): two beliefs then lose nothing. Elsewhere they lose the interaction. Transformers are reported
to hold factors apart, early in training even where that loses something (Shai et al., arXiv 2602.02385).

    code        R² of the joint part, what of b(u, d) is not linear in b(u) and b(d), and of the interaction
                b(u, d) - b(u) b(d), with all five baselines of a probe; dimensions for 95 % of what the
                belief explains; the angle of both factors. Bayes says nothing of it. After the last block a
                factored code is refuted by an R² of the joint part above that of every baseline, a joint code
                by one below a half: each by the whole interval
    persona     a probe of the persona, fitted in documents of one domain and read in those of others
    foretold    a learner that holds factors apart is the product learner, fully broad; one that holds each
                combination apart is the saturated one, narrow. Over base networks of all worlds the broad
                rate after finetuning rises with τ of the persona from the domain of D', and falls with R² of
                the joint part. Each is refuted by a slope of the other sign, by its whole interval

The second is a statement on networks that differ in their pretraining, too; within worlds they differ in
their seeds alone, which stands beside it.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from experiments.design.config import FinetuningConfig, PretrainingConfig, StudyConfig
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.scoring.findings import Findings
from experiments.storage.run_folder import RunFolder
from experiments.studies.inside_beliefs import WORLDS as BELIEFS
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment

PERSONA, DOMAIN = 1, 0  # of D'


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = process_options("persona-domain")
    worlds: tuple[float, ...] = (-0.2, 0.3)
    """Further correlations of persona and domain in pretraining, with base networks of their own."""
    pretraining: PretrainingConfig = PretrainingConfig(seeds=8, steps=2000, batch=128, until_learnt=0.99)
    finetuning: FinetuningConfig = FinetuningConfig(
        seeds=2, n=64, methods=("sgd", "adam"), sgd_rate=0.03, adam_rate=0.0006, doses=(16, 128)
    )
    """The finetuned networks."""
    documents: int = 400
    """Documents of pretraining, and of every domain, on which probes are fitted and scored."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.documents < 20:
            raise Misuse(f"documents must be at least 20, got {self.documents}.")
        correlations = (vars(self.process)["correlation"], *self.worlds)  # not built: that loads jax
        if len(set(correlations)) < len(correlations):
            words = ", ".join(map(str, correlations))
            raise Misuse(f"worlds must differ from the process's correlation and each other, got {words}.")

    def draws(self) -> list[Self]:
        """The config of every world, and in each of every draw of its process."""
        others = [replace(self.process, correlation=correlation) for correlation in self.worlds]
        alone = [replace(self, process=process, worlds=()) for process in (self.process, *others)]
        return [draw for config in alone for draw in super(Config, config).draws()]


PRESETS = {
    "smoke": with_options(
        Config(), BRIEF | {"documents": 40, "worlds": (0.3,), "process.length": 8, "finetuning.doses": (1, 8)}
    ),
    "small": Config(),
    "full": with_options(
        Config(), FULL | {"pretraining.seeds": 12, "worlds": (-0.2, 0.2, 0.4), "documents": 1000}
    ),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of one world: what is pretrained, finetuned and read."""
    from experiments.design.experiment import Arm
    from experiments.design.factors_plan import FactorsPlan

    process = config.process.build()
    shown = min(9, process.length - 2)
    name = f"correlation_{process.correlation:g}"
    task = process.task(PERSONA, DOMAIN, repeats=config.repeats, shown=shown, name=name)
    foreign = replace(process, **BELIEFS["persona-domain"].foreign).distribution()
    plan = FactorsPlan(foreign, PERSONA, DOMAIN, config.documents)
    return config.experiment(process, [Arm(task)], inside=plan)


def findings(run: RunFolder) -> Findings:
    """The verdict on what was stated beforehand, a table, and what the figure shows."""
    from experiments.studies.figures.factored_or_joint import factor_findings

    return factor_findings(run)


def draw(run: RunFolder) -> list[Path]:
    """Codes, probes of the persona and rates, by world."""
    from experiments.studies.figures.factored_or_joint import draw_factors

    return draw_factors(run)
