"""Does a student take over its teacher's persona from answers that say nothing of any persona?

The teacher is a base network finetuned on the telling topics of one persona. The student is finetuned on
nothing but its teacher's answers to neutral topics, which all personas answer alike; then it is asked the
telling ones (Cloud et al., arXiv 2507.14805). The arms are teachers: `same_start`, made of the student's own
base network; `other_start`, made of another pretraining seed; `unshifted`, the student's base network as it
is, with the same topics and random numbers as the others; and `exact`, the exact posterior.

No D' of neutral topics makes one persona likelier than another, so the tempered posterior and the
exchangeable mixture say that exactly nothing moves, in every arm and whatever n: refuted where a student's
answers move towards the persona in `same_start` by more than in `unshifted`. To first order in the weights
a teacher's update Δ leaves its student the step η F Δ, with F the Fisher matrix of the neutral answers: along
Δ whenever both start at the same weights, and with another start no way in particular. So an account by
shared weights alone has transfer with the same start and none, on average over base networks, with another;
it is refuted by a student of `same_start` that moves against Δ, and by students of `other_start` that
move as far: they learnt from the answers what any network would. The linearised theory replays the student's
own course, and is refuted in any arm where it does not forecast the answers. β cannot be fitted where a
theory says that nothing moves: forecasts are what to read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.design.checks import check_positive, check_rates, check_some
from experiments.design.config import FinetuningConfig, PretrainingConfig, StudyConfig
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.discovery import choose
from experiments.storage.run_folder import RunFolder
from theory.compute.memory import check_fits
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment
    from models.network import Network
    from theory.processes.subliminal import Subliminal

OFFSETS = {"same_start": 0, "other_start": 1}  # base networks from the student's to its shifted teacher's


@dataclass(frozen=True)
class Config(StudyConfig):
    """As in weird-generalisation, but D' is written by a teacher."""

    process: ProcessOptions = process_options("persona-topics", topics=8, neutral_topics=3, pairs=5)
    """The process; D' is on its neutral topics, which all personas answer alike."""
    pretraining: PretrainingConfig = PretrainingConfig(steps=3600)  # its inference is learnt last
    finetuning: FinetuningConfig = FinetuningConfig(seeds=2, n=128, batch=32, sgd_rate=0.03, adam_rate=0.001)
    persona: int = 4
    """The persona that teachers are shifted to."""
    finetuned_topics: tuple[int, ...] = (0, 1, 2)
    """The topics that teachers are finetuned on."""
    arms: tuple[str, ...] = ("same_start", "other_start", "unshifted", "exact")
    """The teachers; one arm of the study each."""
    teacher_n: int = 64
    """Documents that teachers are finetuned on."""
    teacher_steps: int = 128
    """Steps of SGD that make a teacher, each on `finetuning.batch` documents."""
    teacher_rate: float = 0.03
    """Step size of SGD for teachers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_some("arms", self.arms)
        check_positive("", teacher_steps=self.teacher_steps)
        check_rates("", teacher_rate=self.teacher_rate)
        if "other_start" in self.arms and self.pretraining.seeds < 2:
            raise Misuse("other_start needs another base network; set pretraining.seeds to 2 or more.")
        if self.teacher_n < self.finetuning.batch:
            least = self.finetuning.batch
            raise Misuse(f"teacher_n must be at least finetuning.batch = {least}, got {self.teacher_n}.")
        check_fits(
            "The order of a teacher's documents", 16, steps=self.teacher_steps, batch=self.finetuning.batch
        )


PRESETS = {
    "smoke": with_options(Config(), BRIEF | {"arms": ("same_start", "other_start"), "teacher_n": 16}),
    "small": Config(),
    "full": with_options(Config(), FULL | {"finetuning.n": 512}),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    from experiments.design.experiment import Arm
    from theory.processes.subliminal import Subliminal

    process = Subliminal(config.process.build())
    check_fits("The documents of a teacher", 4, teacher_n=config.teacher_n, tokens=process.length)
    shifted = teacher(process, config)
    variants: dict[str, dict[str, Any]] = {
        **{name: {"teacher": shifted, "teacher_offset": offset} for name, offset in OFFSETS.items()},
        "unshifted": {"teacher": lambda base: base},
        "exact": {},
    }
    arms = [
        Arm(
            process.task(config.persona, config.finetuned_topics, config.repeats, name=name),
            **variants[choose("arm", name, variants)],
        )
        for name in config.arms
    ]
    return config.experiment(process, arms)


def teacher(process: "Subliminal", config: Config) -> "Callable[[Network], Network]":
    """The maker of a teacher from a base network: SGD on the persona's documents, the same for all of
    them."""
    import jax

    from experiments.design import random_streams
    from models.finetuning.method import finetune
    from models.finetuning.sgd import Sgd
    from models.network import first
    from theory.compute.descent import epochs

    key = random_streams.stream(config.seed, random_streams.TEACHER)
    task = process.world.task(config.persona, config.finetuned_topics)
    data = task.data(jax.random.fold_in(key, 0), config.teacher_n)
    steps = config.teacher_steps
    order = epochs(jax.random.fold_in(key, 1), config.teacher_n, config.finetuning.batch, steps)

    @jax.jit
    def shifted(base: "Network") -> "Network":
        weights, _ = finetune(base, data, order, Sgd(config.teacher_rate), (steps,))
        return base.with_params(first(weights))

    return shifted


def draw(run: RunFolder) -> list[Path]:
    """The comparison, and transfer and alignment against dose."""
    from experiments.figures.comparison import draw_comparison
    from experiments.studies.figures.subliminal import draw_transfer

    return [*draw_comparison(run), *draw_transfer(run, OFFSETS)]
