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

from experiments.design import random_streams
from experiments.design.config import BRIEF, FULL, compared
from experiments.storage.run_folder import RunFolder
from experiments.studies import weird_generalisation as shared
from theory.errors import Misuse

if TYPE_CHECKING:
    from models.network import Network
    from theory.processes.subliminal import Subliminal

APART = {"same_start": 0, "other_start": 1}  # base networks from the student's to its shifted teacher's


@dataclass(frozen=True)
class Config(shared.Config):
    """As in weird-generalisation, but what it finetunes on is the teacher's."""

    topics: int = 8
    """Topics, the neutral ones included."""
    neutral_topics: int = 3
    """Topics that all personas answer alike, those of D'."""
    finetuned_topics: tuple[str, ...] = ("0,1,2",)
    """The topics that teachers are finetuned on, comma-separated, one set."""
    arms: tuple[str, ...] = ("same_start", "other_start", "unshifted", "exact")
    """The teachers, one arm of the study each."""
    teacher_n: int = 64
    """Documents that teachers are finetuned on."""
    teacher_steps: int = 128
    """Steps of SGD that make a teacher, each on `batch` documents."""
    teacher_rate: float = 0.03
    """Step size of SGD for teachers."""
    n: int = 128
    """Documents in D', fixed and finite."""
    batch: int = 32
    """Documents in a finetuning step."""
    seeds: int = 2
    """Finetuning seeds for each base network, each with a twin in another order."""
    sgd_rate: float = 0.03
    """Step size of SGD."""
    adam_rate: float = 0.001
    """Step size of Adam."""
    temperatures: tuple[float, ...] = ()
    """Temperatures of the sampled posteriors (default: none are sampled)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.arms:
            raise Misuse("arms needs at least one teacher, got none.")
        if len(self.finetuned_topics) > 1:
            raise Misuse(f"finetuned_topics must be one set of topics, got {len(self.finetuned_topics)}.")
        if "other_start" in self.arms and self.base_seeds < 2:
            raise Misuse("other_start needs another base network; set base_seeds to 2 or more.")
        if self.teacher_steps < 1:
            raise Misuse(f"teacher_steps must be at least 1, got {self.teacher_steps}.")
        if not 0 < self.teacher_rate < float("inf"):
            raise Misuse(f"teacher_rate must be above 0 and finite, got {self.teacher_rate}.")
        if self.teacher_n < self.batch:
            raise Misuse(f"teacher_n must be at least batch = {self.batch}, got {self.teacher_n}.")


PRESETS = {
    "smoke": Config(**BRIEF, arms=("same_start", "other_start"), teacher_n=16),
    "small": Config(),
    "full": Config(**{**FULL, "n": 512}),
}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.design.experiment import arm
    from experiments.discovery import choose
    from theory.processes.subliminal import Subliminal

    process = Subliminal(shared.told_process(config))
    persona, topics = config.persona, [int(topic) for topic in config.finetuned_topics[0].split(",")]
    process.world.check(persona, topics)
    process.world.held_out(topics)
    shifted = teacher(process, config, topics)
    known: dict[str, dict[str, Any]] = {
        **{name: {"teacher": shifted, "apart": apart} for name, apart in APART.items()},
        "unshifted": {"teacher": lambda base: base},
        "exact": {},
    }

    def narrow(key: Any, n: int, teacher: Any = None) -> Any:
        return process.narrow(key, n, persona, topics, teacher)

    def contexts(key: Any) -> Any:
        return process.contexts(key, persona, topics, config.repeats)

    arms = [
        arm(name, narrow, contexts, config.seed, **known[choose("arm", name, known)]) for name in config.arms
    ]
    return compared(config, process, arms)


def teacher(process: "Subliminal", config: Config, topics: list[int]) -> "Callable[[Network], Network]":
    """The function from a base network to its teacher: SGD on the persona's documents, the same for all."""
    import jax

    from models.finetuning.method import finetune
    from models.finetuning.sgd import Sgd
    from models.network import first
    from theory.compute.descent import epochs

    key = jax.random.fold_in(jax.random.key(config.seed), random_streams.TEACHER)
    data = process.world.narrow(jax.random.fold_in(key, 0), config.teacher_n, config.persona, topics)
    steps = config.teacher_steps
    order = epochs(jax.random.fold_in(key, 1), config.teacher_n, config.batch, steps)

    @jax.jit
    def shifted(base: "Network") -> "Network":
        weights, _ = finetune(base, data, order, Sgd(config.teacher_rate), (steps,))
        return base.with_params(first(weights))

    return shifted


def draw(run: RunFolder) -> list[Path]:
    """The comparison, and transfer and alignment against dose."""
    from experiments.figures.comparison import draw_comparison
    from experiments.studies.figures.subliminal import draw_transfer

    return [*draw_comparison(run), *draw_transfer(run, APART)]
