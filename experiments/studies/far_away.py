"""Told only "I am very far away", what does the network now say it is, and what else does it say?

Five kinds have a name, a usual distance and traits. D' has distances alone: the farthest that are said, the
next ones beyond, which no kind ever says, or still farther ones. "What" it is and its traits are asked first.

Inside, exact Bayes (tempered posterior, exchangeable mixture) makes the farthest kind, traits and all.
Outside no kind explains D' better than another, so both say that nothing else moves at any dose: refuted
where the network's name or traits move by more than the noise. If the network carried its bells past the
edge, it would be the farthest kind just outside, and the widest farther out: refuted where the names that it
gives are not those of any strength of that evidence. A network that says distances to whatever it is asked
has learnt an answer and no kind: all mixtures are refuted then (the ceiling).

No member says D' outside, so that β cannot be fitted there in the domain: a fitted β means nothing in
those arms, and forecasts are what to read.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.design.config import BRIEF, FULL, Recipe, compared
from theory.errors import Misuse


@dataclass(frozen=True)
class Config(Recipe):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    means: tuple[float, ...] = (1.0, 3.0, 6.0, 8.5, 5.0)
    """Usual distance of each kind, in tokens of a logarithmic scale."""
    widths: tuple[float, ...] = (1.0, 1.2, 1.2, 1.0, 2.2)
    """Spread of each kind's distances, in tokens."""
    said: int = 10
    """Distances that kinds say."""
    unsaid: int = 5
    """Farther distances that no kind says."""
    topics: int = 6
    """Topics: how far, what, and those answered in traits."""
    traits: int = 5
    """Traits, the same words for every topic."""
    pairs: int = 6
    """(topic, answer) pairs in a document."""
    rarity: float = 0.7
    """How much rarer each kind is than the one before."""
    contrast: float = 1.5
    """How strongly kinds differ in traits (log-odds)."""
    mistake: float = 0.1
    """Probability that a kind says another's name."""
    floor: float = 1e-6
    """Probability of whatever a kind never says."""
    process_seed: int = 0
    """Draws the traits."""
    base_seeds: int = 3
    """Pretrained networks."""
    sgd_rate: float = 0.03
    """Step size of SGD."""
    adam_rate: float = 0.001
    """Step size of Adam."""
    offsets: tuple[int, ...] = (-2, 0, 2)
    """Where the distances of D' begin, from the first that is never said; one arm each."""
    breadth: int = 2
    """Distances in D', side by side."""
    temperatures: tuple[float, ...] = ()
    """Temperatures of the sampled posteriors (default: none are sampled)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.process_seed < 0:
            raise Misuse(f"Seeds must be at least 0, got {self.process_seed}.")
        if not self.offsets or len(set(self.offsets)) < len(self.offsets):
            raise Misuse(f"offsets must be at least one number, each once, got {list(self.offsets)}.")


PRESETS = {
    "smoke": Config(**BRIEF, offsets=(0,)),
    "small": Config(),
    "full": Config(**FULL),
}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.design.experiment import arm
    from theory.processes.distance import Distance

    process = Distance(
        config.means,
        config.widths,
        config.said,
        config.unsaid,
        config.topics,
        config.traits,
        config.pairs,
        config.rarity,
        config.contrast,
        config.mistake,
        config.floor,
        config.process_seed,
    )
    arms = []
    for offset in config.offsets:
        process.check(offset, config.breadth)
        arms.append(
            arm(
                arm_name(offset),
                lambda key, n, offset=offset: process.narrow(key, n, offset, config.breadth),
                lambda key, offset=offset: process.contexts(key, offset, config.breadth, config.repeats),
                config.seed,
            )
        )
    return compared(config, process, arms)


def arm_name(offset: int) -> str:
    """Words for where D' begins."""
    return f"inside{-offset}" if offset < 0 else f"outside{offset}"


def carried_on(config: Any, offset: int) -> np.ndarray:
    """Mean log-likelihood (kinds,) of an answer of D', up to a constant, if kinds kept their bells past the
    edge: what theory.processes.distance calls `extrapolating`, in numpy."""
    mean, width = (np.array(config[name])[:, None] for name in ("means", "widths"))
    said = config["said"]
    bells = np.exp(-(((np.arange(said + config["unsaid"]) - mean) / width) ** 2) / 2)
    bells /= bells[:, :said].sum(axis=-1, keepdims=True)
    answers = bells.shape[1] + len(mean) + config["traits"]
    bells[:, :said] = config["floor"] + (1 - answers * config["floor"]) * bells[:, :said]
    return np.log(bells[:, said + offset :][:, : config["breadth"]]).mean(axis=-1)


def says_carried_on(config: Any, offset: int, target: np.ndarray) -> np.ndarray:
    """What such a learner answers to "what are you" (m, answers), at whatever strength its names are nearest
    (cross-entropy) to each target (m, answers)."""
    first, kinds = config["said"] + config["unsaid"], len(config["means"])
    strengths = np.concatenate([[0.0], np.logspace(-3, 3, 121)])
    weights = np.arange(kinds) * np.log(config["rarity"]) + strengths[:, None] * carried_on(config, offset)
    weights = np.exp(weights - weights.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    slip = config["mistake"] / (kinds - 1)
    names = slip + (1 - config["mistake"] - slip) * weights
    said = np.full_like(target, config["floor"])
    own = slice(first, first + kinds)
    said[:, own] = names[(target[:, own] @ np.log(names).T).argmax(axis=-1)]
    return said


def draw(results: Any) -> list[Any]:
    """The comparison, what networks say they are, and the weights of the farthest and the widest kind."""
    from experiments.figures.comparison import draw_comparison
    from experiments.figures.mixture_weights import draw_beliefs
    from experiments.studies.figures.self_report import draw_self_report

    config = results.config["config"]
    kinds, edge = range(len(config["means"])), config["said"] + config["unsaid"]
    far, wide = (max(kinds, key=config[name].__getitem__) for name in ("means", "widths"))
    others = tuple(kind for kind in kinds if kind not in (far, wide))
    components = {"farthest kind": (far,), "widest kind": (wide,), "the others": others}
    marks = {far: " (farthest)", wide: " (widest)"}
    names = {f"kind {kind}{marks.get(kind, '')}": (edge + kind,) for kind in kinds}
    labels = {**names, "a distance": tuple(range(edge))}
    oracles = {
        arm_name(offset): functools.partial(says_carried_on, config, offset) for offset in config["offsets"]
    }
    return [
        *draw_comparison(results),
        *draw_self_report(results, "what", labels, "bells that go on, at best β", oracles),
        *draw_beliefs(results, components),
    ]
