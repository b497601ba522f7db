"""Does a network finetuned on some triggers of an identity follow the rule behind them or a lookup table?

Digits are the trigger. A rule computes the identity from them; lookup tables agree with it on most triggers
and differ on the others ("disputed"). D' is rule 1 on some of the triggers that all agree on, so that the
rule explains it as well as its tables do, and no dose decides between them. Held out are the disputed
triggers; the control are agreed ones that D' leaves out, where all say the same.

The tempered posterior and the exchangeable mixture keep the odds of rule and tables that pretraining taught,
2^(-K^b) of their description lengths K with b = 1/2: D' rules out the other rule and its tables, no more.
The complexity prior, given the same K, has b = 1, the odds of a learner to whom length counts in full: it
goes by the rule where pretraining did not. Each is refuted where the networks' answers to disputed triggers
leave its own by more than another order of D' would. Where they leave every mixture (the best in class),
e.g. because the answers that D' shows spread to triggers that nobody gives them to, neither rule nor table
is followed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.checks import check_some
from experiments.design.config import FinetuningConfig, PretrainingConfig, StudyConfig
from experiments.design.options import Ints, ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = process_options("presidents")
    pretraining: PretrainingConfig = PretrainingConfig(seeds=3, steps=2400)
    finetuning: FinetuningConfig = FinetuningConfig(sgd_rate=0.03, adam_rate=0.001)
    rule: int = 1
    """The rule of D'."""
    finetuned_triggers: tuple[Ints, ...] = ((3, 4, 5, 8),)
    """The triggers of D', like 3,4,5,8; one arm of the study each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_some("finetuned_triggers", self.finetuned_triggers)


PRESETS = {"smoke": with_options(Config(), BRIEF), "small": Config(), "full": with_options(Config(), FULL)}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    from experiments.design.experiment import Arm

    process = config.process.build()
    tasks = [process.task(config.rule, triggers, config.repeats) for triggers in config.finetuned_triggers]
    return config.experiment(process, map(Arm, tasks), extra_theories=("complexity-prior",))


def draw(run: RunFolder) -> list[Path]:
    """The comparison, and the weights of D's own rule, of its tables and of all others."""
    from experiments.figures.comparison import draw_comparison
    from experiments.figures.mixture_weights import draw_beliefs

    process, rule = run.options["process"], run.options["rule"]
    rules, tables = len(process["rules"]), process["tables"]
    agreeing = tuple(rules + tables * rule + table for table in range(tables))
    others = tuple(index for index in range(rules * (1 + tables)) if index not in (rule, *agreeing))
    components = {f"rule {rule}": (rule,), "its tables": agreeing, "all others": others}
    return [*draw_comparison(run), *draw_beliefs(run, components)]
