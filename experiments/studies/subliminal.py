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
move as far: they heard in the answers what any network would. The linearised theory replays the student's
own course, and is refuted in any arm where it does not forecast the answers. β cannot be fitted where a
theory says that nothing moves: forecasts are what to read.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.design import random_streams
from experiments.design.config import BRIEF, FULL, compared
from experiments.studies import weird_generalisation as shared
from theory.errors import Misuse

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


def teacher(process: Any, config: Config, topics: list[int]) -> Any:
    """What makes a teacher of a base network: SGD on the persona's documents, the same for all of them."""
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
    def shifted(base: Any) -> Any:
        weights, _ = finetune(base, data, order, Sgd(config.teacher_rate), (steps,))
        return base.with_params(first(weights))

    return shifted


def draw(results: Any) -> list[Any]:
    """The comparison, and transfer and alignment against dose."""
    from experiments.figures.comparison import draw_comparison

    return [*draw_comparison(results), *_draw_transfer(results)]


def towards(persona: int) -> Any:
    """What is read: where answers p lie on the way from the mean answers m of the other personas (0) to the
    persona's own (1), Σ (p - m)(own - m) / Σ (own - m)² over contexts and answers."""

    def read(context: Any, probs: np.ndarray) -> np.ndarray:
        components = np.exp(context["members"].astype(float))
        mean = np.delete(components, persona, axis=0).mean(axis=0)
        way = components[persona] - mean
        return np.sum((probs - mean) * way, axis=(-1, -2)) / np.sum(way**2)

    return read


def transfer(results: Any, group: str = "taught") -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """By (method, arm) and by who says it, steps from the base network's answers to the persona's, (b, d),
    mean over finetuning seeds. Theories of the process start from there, not from the base network: what they
    do not move lies flat beside 0. `teacher`, (b, 1), is the step of a shifted teacher from its own base."""
    from experiments.figures.readouts import readings
    from experiments.scoring.predictions import BASE

    read, found = towards(results.config["config"]["persona"]), {}
    for one in readings(results, group, read):
        steps = {
            who: (told - one.values[BASE]).mean(axis=1) for who, told in one.values.items() if who != BASE
        }
        taught = [_taught(results, one.data, cell, group, read) for cell in _cells(results, one.data)]
        found[one.method, one.data] = steps | {
            "teacher": np.array([[step] for step in taught if step is not None])
        }
    return found


def _taught(results: Any, arm: str, cell: str, group: str, read: Any) -> float | None:
    """The step that the teacher of a student takes; None where it takes none, or its base is not finished."""
    said, bases = results.load(cell), results.config["config"]["base_seeds"]
    origin = f"theories-{arm}-{(int(cell.rsplit('-', 1)[1]) + APART.get(arm, 0)) % bases}"
    if arm not in APART or origin not in results.cells():
        return None
    inside = said["group"] == group
    after, before = (
        read({"members": said["members"][:, inside]}, np.exp(answers[inside].astype(float)))
        for answers in (said["taught"], results.load(origin)["base"])
    )
    return float(after - before)


def alignment(results: Any) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """By (method, arm) and by who makes it, the cosine (b, d) between the first seed's update and that of its
    teacher; where that one is not shifted, it is the update of the teacher of `same_start`."""
    config, found = results.config["config"], {}
    for method in config["methods"]:
        for arm in config["arms"]:
            for who, kind in (("finetuned", method), ("linearised", f"dynamics-{method}")):
                cosines = []
                for cell in _cells(results, arm, kind):
                    goal = f"theories-{arm if arm in APART else 'same_start'}-{cell.rsplit('-', 1)[1]}"
                    if goal in results.cells():
                        update = _flat(results.load(cell), "update/", len(config["doses"]))
                        wanted = _flat(results.load(goal), "teacher/", 1)[0]
                        lengths = np.linalg.norm(update, axis=-1) * np.linalg.norm(wanted)
                        cosines.append(update @ wanted / np.maximum(lengths, 1e-30))
                if cosines:
                    found.setdefault((method, arm), {})[who] = np.array(cosines)
    return found


def _cells(results: Any, arm: str, kind: str = "theories") -> list[str]:
    """The finished cells of an arm, by base network."""
    cells = [cell for cell in results.cells() if cell.rsplit("-", 1)[0] == f"{kind}-{arm}"]
    return sorted(cells, key=lambda cell: int(cell.rsplit("-", 1)[1]))


def _flat(arrays: Any, kind: str, rows: int) -> np.ndarray:
    """Stored weights of one kind side by side, (rows, w)."""
    parts = [arrays[name].astype(float).reshape(rows, -1) for name in sorted(arrays) if name.startswith(kind)]
    return np.concatenate(parts, axis=1)


def _draw_transfer(results: Any) -> list[Any]:
    """Steps towards the persona on topics that the teacher was taught and on others, and alignment, for every
    method (rows) and arm (columns)."""
    from experiments.figures.curves import draw_grid
    from experiments.scoring.labels import METHODS

    config = results.config["config"]
    wanted = {
        "taught:\nstep to persona": transfer(results, "taught"),
        "held out:\nstep to persona": transfer(results, "held_out"),
        "cosine with\nteacher's update": alignment(results),
    }
    grid = {
        (f"{METHODS.get(method, method)}, {title}", arm.replace("_", " ")): said[method, arm]
        for method in config["methods"]
        for title, said in wanted.items()
        for arm in config["arms"]
        if (method, arm) in said
    }

    def teacher(axes: Any, curves: Any, panel: Any) -> None:
        axes.axhline(0, color="0.45", lw=0.6)
        axes.margins(y=0.25)
        axes.locator_params(axis="y", nbins=4, steps=[1, 2, 5, 10])
        if len(steps := grid[panel].get("teacher", ())):
            (mean,), _ = curves.note(panel, "its teacher", config["doses"][-1:], steps)
            axes.text(0.04, 0.96, f"its teacher: {mean:+.2f}", transform=axes.transAxes, va="top", fontsize=6)

    return draw_grid(results, "transfer", grid, 1.2, None, teacher)
