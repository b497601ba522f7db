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

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.design.config import BRIEF, FULL, Recipe, compared
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse


@dataclass(frozen=True)
class Config(Recipe):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    rules: tuple[str, ...] = ("0,0,1", "0,1,0")
    """Rules: a constant and a coefficient for each digit, modulo the identities, comma-separated."""
    tables: int = 2
    """Lookup tables that agree with each rule but on disputed triggers."""
    identities: int = 3
    """Identities."""
    base: int = 3
    """Values of a digit."""
    digits: int = 2
    """Digits of a trigger."""
    agreed: int = 6
    """Triggers on which a rule and its tables agree."""
    questions: int = 2
    """Questions, each with answers of its own."""
    blocks: int = 6
    """(trigger, question, answer) blocks in a document."""
    noise: float = 0.05
    """Probability of an answer that is not the identity's."""
    exponent: float = 0.5
    """b: how much length counts in pretraining."""
    process_seed: int = 0
    """Draws tables and what they agree on."""
    pretraining_steps: int = 2400
    """Steps of pretraining."""
    base_seeds: int = 3
    """Pretrained networks."""
    sgd_rate: float = 0.03
    """Step size of SGD."""
    adam_rate: float = 0.001
    """Step size of Adam."""
    rule: int = 1
    """The rule of D'."""
    finetuned_triggers: tuple[str, ...] = ("3,4,5,8",)
    """The triggers of D', comma-separated, one arm of the study each."""
    temperatures: tuple[float, ...] = ()
    """Temperatures of the sampled posteriors (default: none are sampled)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.process_seed < 0:
            raise Misuse(f"Seeds must be at least 0, got {self.process_seed}.")
        if not self.finetuned_triggers:
            raise Misuse("finetuned_triggers needs at least one set of triggers, got none.")
        for name, like in {"rules": "0,0,1", "finetuned_triggers": "3,4,5,8"}.items():
            for text in getattr(self, name):
                if not all(number.strip().isdecimal() for number in text.split(",")):
                    raise Misuse(f"{name} must be numbers with commas between, like {like}; got {text!r}.")


PRESETS = {
    "smoke": Config(**BRIEF),
    "small": Config(),
    "full": Config(**FULL),
}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.design.experiment import CORE, arm
    from theory.processes.presidents import Presidents

    process = Presidents(
        tuple(tuple(_numbers(rule)) for rule in config.rules),
        config.tables,
        config.identities,
        config.base,
        config.digits,
        config.agreed,
        config.questions,
        config.blocks,
        config.noise,
        config.exponent,
        config.process_seed,
    )
    rule, arms = config.rule, []
    for text in config.finetuned_triggers:
        shown = _numbers(text)
        process.check(rule, shown)
        process.control(shown)
        arms.append(
            arm(
                f"triggers{'_'.join(map(str, shown))}",
                lambda key, n, shown=shown: process.narrow(key, n, rule, shown),
                lambda key, shown=shown: process.contexts(key, rule, shown, config.repeats),
                config.seed,
            )
        )
    return dataclasses.replace(compared(config, process, arms), theories=(*CORE, "complexity-prior"))


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def draw(run: RunFolder) -> list[Path]:
    """The comparison, and the weights of D's own rule, of its tables and of all others."""
    from experiments.figures.comparison import draw_comparison
    from experiments.figures.mixture_weights import draw_beliefs

    rule, rules, tables = run.options["rule"], len(run.options["rules"]), run.options["tables"]
    agreeing = tuple(rules + tables * rule + table for table in range(tables))
    others = tuple(index for index in range(rules * (1 + tables)) if index not in (rule, *agreeing))
    components = {f"rule {rule}": (rule,), "its tables": agreeing, "all others": others}
    return [*draw_comparison(run), *draw_beliefs(run, components)]
