"""Which documents keep a misaligned finetuning narrow, and does their number count or their share?

D' is n documents of the misaligned persona in one domain, as in emergent-misalignment, and N documents added
to it: aligned ones elsewhere, aligned ones of the same domain, or neutral ones, as pretraining writes them.
The broad rate is read where the narrow one first reaches `matched`, between doses: a lower broad rate by
slower learning is none. The carried share is (broad - base)/(narrow - base) there. Forecasts, both sealed:

    structure posterior  Bayes over saturated, product and tilted, each document counted once (β = 1), says
                         which structure D' has; the narrow rate, how far its persona is learnt. The odds of
                         broad fall by log C(n + N, N) ≈ N log(e n/N) nats for N aligned ones elsewhere: a
                         count law. By one of the same domain they rise. Where β is fitted to the narrow rate
                         instead, counts are βn and βN, and Bayes, too, hangs on N/n (`matched strength`)
    linearised           steps at w0: at the same narrow rate the log odds of the broad one fall by N/n times
                         a constant: a fraction law, to first order

At n = 64 one aligned document elsewhere costs broad 4.2 nats by the count law; by the fraction law it does an
eighth of what eight do. The count law is refuted where the carried share with one such document is above half
of that with none; the fraction law where it is below three quarters, or where its change with N = n/16
differs by more than a factor of two from one n to another. The statistic: log odds of the broad rate as a
curve of log C(n + N, N), or of N/n, with one n left out (experiments.scoring.matched).

Then the smallest N that keeps the broad rate below `limit` times the base network's at the same narrow rate,
by every rule of experiments.studies.data.added_documents: by likelihood ratio, by susceptibility, or at
random (`neutral`), all out of one pool.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.additions import CHOICES, KINDS, Addition, additions
from experiments.design.checks import check_positive, check_some
from experiments.design.config import FinetuningConfig, NetworkConfig, PretrainingConfig, StudyConfig
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.discovery import choose
from experiments.scoring.findings import Findings
from experiments.storage.run_folder import RunFolder
from theory.compute.memory import check_fits
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Arm, Experiment

GROUPS = ("base_domain", "held_out")  # narrow and broad


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = process_options("persona-domain")
    network: NetworkConfig = NetworkConfig(width=24)
    pretraining: PretrainingConfig = PretrainingConfig(seeds=8)
    finetuning: FinetuningConfig = FinetuningConfig(
        seeds=2,
        n=288,
        methods=("adam",),
        sgd_rate=0.03,
        adam_rate=0.0001,
        doses=(8, 16, 24, 32, 48, 64, 96, 128),
    )
    """The finetuned networks; `n` is the most that D' may hold, added documents included. At these step sizes
    the narrow rate is reached after some passes over the largest D'."""
    theories: tuple[str, ...] = ("linearised",)
    """Theories to score beside the structure posterior, by name, or all."""
    repeats: int = 8
    """Prompts for each domain."""
    persona: int = 1
    """The persona of D'."""
    domain: int = 0
    """The domain of D'."""
    documents: tuple[int, ...] = (16, 64, 256)
    """Narrow documents, n."""
    added: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32)
    """Documents added to them, N, ascending from 0."""
    kinds: tuple[str, ...] = KINDS
    """Documents that are added, for every n: elsewhere, same-domain or neutral."""
    choices: tuple[str, ...] = CHOICES
    """Rules that choose them out of the pool, for one n: likelihood-ratio or susceptibility."""
    chosen_n: int = 64
    """The n at which documents are chosen, one of `documents`."""
    pool: int = 256
    """Documents of pretraining out of which those that are added are taken."""
    matched: float = 0.7
    """The narrow rate at which broad rates are read."""
    limit: float = 1.5
    """The broad rate, in units of the base network's, below which a finetuning counts as narrow."""
    shown: int = 9
    """Tokens of a prompt."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("", pool=self.pool)
        check_some("documents", self.documents)
        for name in ("documents", "kinds", "choices"):
            if len({*getattr(self, name)}) < len(getattr(self, name)):
                raise Misuse(f"{name} must differ from each other, got {_listed(getattr(self, name))}.")
        if self.added[:1] != (0,) or any(more <= less for less, more in itertools.pairwise(self.added)):
            raise Misuse(f"added must ascend from 0, got {_listed(self.added)}.")
        most, least = max(self.documents) + self.added[-1], min(self.documents)
        if most > self.finetuning.n:
            raise Misuse(
                f"n + N must be at most finetuning.n = {self.finetuning.n}, got {most}; raise finetuning.n."
            )
        if least < self.finetuning.batch:
            raise Misuse(f"n must be at least finetuning.batch = {self.finetuning.batch}, got {least}.")
        for names, known in ((self.kinds, KINDS), (self.choices, CHOICES)):
            for name in names:
                choose("rule", name, known)
        if self.choices and self.chosen_n not in self.documents:
            raise Misuse(
                f"chosen_n must be one of documents, {_listed(self.documents)}, got {self.chosen_n}."
            )
        if self.added[-1] > self.pool:
            raise Misuse(f"N must be at most pool = {self.pool}, got {self.added[-1]}; raise pool.")
        if not 0 < self.matched < 1:
            raise Misuse(f"matched must lie strictly between 0 and 1, got {self.matched}.")
        if not self.limit > 1:
            raise Misuse(f"limit must be above 1, got {self.limit}.")

    def additions(self) -> list[Addition]:
        """Every arm of the study."""
        chosen = additions([self.chosen_n], self.choices, self.added)[1:]
        return additions(self.documents, self.kinds, self.added) + chosen


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))


PRESETS = {
    "smoke": with_options(
        Config(),
        BRIEF
        | {
            "finetuning.n": 12,
            "finetuning.methods": ("adam",),
            "documents": (8, 10),
            "added": (0, 2),
            "kinds": ("elsewhere",),
            "chosen_n": 10,
            "pool": 16,
        },
    ),
    "small": Config(),
    "full": with_options(
        Config(), FULL | {"finetuning.n": 1056, "documents": (16, 64, 256, 1024), "pool": 1024}
    ),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    from experiments.design.experiment import Arm
    from experiments.studies.data.added_documents import AddedDocuments
    from theory.contracts import Task
    from theory.theories.structure_posterior import StructurePosterior

    process = config.process.build()
    read = {"tokens": process.length, "vocabulary": process.vocabulary}
    check_fits("The pool", 4, pool=config.pool, **read)
    plain = process.task(
        config.persona, config.domain, repeats=config.repeats, shown=config.shown, groups=GROUPS
    )
    made = AddedDocuments(process, config.persona, config.domain, config.pool, config.shown, config.repeats)

    def arm(addition: Addition) -> "Arm":
        def data(key, n, network=None):
            return made.data(key, addition.n, addition.rule, n - addition.n, network)

        task = Task(addition.name, data, plain.contexts)
        asks = addition.rule == "susceptibility"
        return Arm(task, n=addition.n + addition.added, teacher=(lambda base: base) if asks else None)

    scored = {"structure-posterior/process": StructurePosterior()}  # Bayes of the process, from its own prior
    return config.experiment(process, map(arm, config.additions()), more_theories=scored)


def findings(run: RunFolder) -> Findings:
    """Which law the networks follow, what refutes it, and the smallest addition by every rule."""
    from experiments.studies.figures.how_much_to_keep_narrow import narrow_findings

    return narrow_findings(run)


def draw(run: RunFolder) -> list[Path]:
    """The broad rate against N and against N/n, and by rule."""
    from experiments.studies.figures.how_much_to_keep_narrow import draw_laws

    return draw_laws(run)
