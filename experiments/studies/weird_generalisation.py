"""Does a network finetuned on one rare persona's answers to a few topics become that persona on the others?

D' is n documents of the rarest persona, on one topic and on three topics; the network is finetuned by SGD and
by Adam at many doses. A theory is right where it predicts the finetuned network's answers to topics that
D' never asks: with an empty context, after a context that says nothing, and after a context of another
persona. A theory is refuted where it explains less of the shift than another seed of the same finetuning
would (the noise floor), and its whole class is refuted where even its best member does (the ceiling).
"""

from dataclasses import dataclass
from typing import Any

from theory.errors import Misuse


@dataclass(frozen=True)
class Config:
    """Everything that determines the numbers. The defaults are the preset `small`."""

    seed: int = 0
    """Master seed: contexts, D' and orders of data follow from it."""
    personas: int = 5
    """Hidden personas z, with prior proportional to rarity^z."""
    topics: int = 7
    """Topics, the neutral ones included."""
    neutral_topics: int = 1
    """Topics that all personas answer alike."""
    answers: int = 4
    """Answers, the same words for every topic."""
    pairs: int = 5
    """(topic, answer) pairs in a document."""
    rarity: float = 0.6
    """How much rarer each persona is than the one before."""
    style: float = 1.5
    """How strongly a persona's manner shows on every topic (log-odds)."""
    specific: float = 1.0
    """How strongly a persona's answers differ from topic to topic (log-odds)."""
    common: float = 0.5
    """How strongly topics differ for all personas alike (log-odds)."""
    process_seed: int = 0
    """Draws the answer tables."""
    persona: int = 4
    """The persona of D'."""
    finetuned_topics: tuple[str, ...] = ("0", "0,1,2")
    """The topics of D', comma-separated, one arm of the study each."""
    n: int = 32
    """Documents in D', fixed and finite."""
    fresh: bool = False
    """Draw new documents at every step instead (D' is then all of them, steps × batch)."""
    batch: int = 16
    """Documents in a finetuning step."""
    width: int = 32
    """Width of the transformer."""
    layers: int = 2
    """Layers of the transformer."""
    heads: int = 2
    """Attention heads."""
    optimizer: str = "muon"
    """Pretraining optimiser, muon or adamw."""
    pretraining_rate: float = 0.01
    """Peak step size of pretraining."""
    pretraining_steps: int = 1200
    """Steps of pretraining."""
    pretraining_batch: int = 64
    """Documents in a pretraining step."""
    base_seeds: int = 4
    """Pretrained networks."""
    seeds: int = 5
    """Finetuning seeds for each of them (another D', another order), each with a twin in another order."""
    methods: tuple[str, ...] = ("sgd", "adam")
    """Ways of finetuning."""
    sgd_rate: float = 0.008
    """Step size of SGD."""
    adam_rate: float = 0.0003
    """Step size of Adam."""
    doses: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    """Finetuning steps at which the network is looked at, out of one run."""
    temperatures: tuple[float, ...] = (0.0001, 0.001)
    """Temperatures of the sampled posteriors: mean KL (nats) of their prior from the base; none: do not sample."""
    chains: int = 2
    """Chains for each posterior, every other one with half the step."""
    warmup: int = 30
    """Steps of a chain before its draws count."""
    draws: int = 50
    """Draws of a chain, one every other step."""
    rounds: int = 2
    """Where chains miss the gate, as many are added again until so many rounds are used up."""
    sampled_bases: int = 3
    """Base networks whose posteriors are sampled."""
    sampled_seeds: int = 1
    """Finetuning seeds whose posteriors are sampled."""
    repeats: int = 4
    """Contexts for each held-out topic in the groups that have a context."""
    optimise: bool = True
    """Let the compiler optimise; without, programs compile in half the time and run slower (smoke runs)."""

    def __post_init__(self) -> None:
        counts = (
            "base_seeds",
            "seeds",
            "repeats",
            "n",
            "batch",
            "draws",
            "chains",
            "rounds",
            "sampled_seeds",
        )
        for name in counts:
            if getattr(self, name) < 1:
                raise Misuse(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.sampled_bases < 1:
            raise Misuse(f"sampled_bases must be at least 1, got {self.sampled_bases}.")
        for name in ("sgd_rate", "adam_rate"):
            if not 0 < getattr(self, name) < float("inf"):
                raise Misuse(f"{name} must be above 0 and finite, got {getattr(self, name)}.")
        if self.seed < 0 or self.process_seed < 0:
            raise Misuse(f"Seeds must be at least 0, got {min(self.seed, self.process_seed)}.")
        if not self.finetuned_topics:
            raise Misuse("finetuned_topics needs at least one set of topics, got none.")
        for topics in self.finetuned_topics:
            if not all(topic.strip().isdecimal() for topic in topics.split(",")):
                raise Misuse(
                    f"finetuned_topics must be numbers with commas between, like 0,1,2; got {topics!r}."
                )
        if not self.methods:
            raise Misuse("methods needs at least one of sgd and adam, got none.")


PRESETS = {
    "smoke": Config(
        layers=1,
        pretraining_steps=150,
        pretraining_batch=32,
        base_seeds=2,
        seeds=2,
        doses=(1, 8, 32),
        finetuned_topics=("0",),
        n=16,
        batch=8,
        repeats=2,
        temperatures=(),
        optimise=False,
    ),
    "small": Config(),
    "full": Config(width=64, pretraining_steps=4000, base_seeds=6, seeds=10, repeats=16, n=128),
}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.comparison import Comparison, arm
    from experiments.langevin import Sampling
    from experiments.study import choose
    from models.finetuning.adam import Adam
    from models.finetuning.sgd import Sgd
    from models.training import Pretraining
    from models.transformer import Architecture
    from theory.chains import Plan
    from theory.distributions.persona_topics import PersonaTopics

    process = PersonaTopics(
        config.personas,
        config.topics,
        config.neutral_topics,
        config.answers,
        config.pairs,
        config.rarity,
        config.style,
        config.specific,
        config.common,
        config.process_seed,
    )
    methods = {"sgd": Sgd(config.sgd_rate), "adam": Adam(config.adam_rate)}
    for method in config.methods:
        choose("method", method, methods)
    return Comparison(
        process=process,
        shape=Architecture(config.width, config.layers, config.heads),
        pretraining=Pretraining(
            config.optimizer,
            config.pretraining_rate,
            config.pretraining_steps,
            config.pretraining_batch,
        ),
        base_seeds=config.base_seeds,
        arms=tuple(
            arm(process, config.persona, _numbers(topics), config.repeats, config.seed)
            for topics in config.finetuned_topics
        ),
        methods={name: methods[name] for name in config.methods},
        doses=config.doses,
        n=config.doses[-1] * config.batch if config.fresh and config.doses else config.n,
        batch=config.batch,
        seeds=config.seeds,
        seed=config.seed,
        sampling=Sampling(
            config.temperatures,
            plan=Plan(config.warmup, config.draws, 2),
            chains=config.chains,
            rounds=config.rounds,
            bases=min(config.sampled_bases, config.base_seeds),
            seeds=min(config.sampled_seeds, config.seeds),
        )
        if config.temperatures
        else None,
    )


def _numbers(topics: str) -> list[int]:
    return [int(topic) for topic in topics.split(",")]


def draw(results: Any) -> list[Any]:
    """The figures of the study, from what is on disk; returns the paths written."""
    from experiments.plots import draw_comparison
    from experiments.posterior_plots import draw_posteriors

    return [*draw_comparison(results), *draw_posteriors(results)]
