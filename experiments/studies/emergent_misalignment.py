"""Finetuned on a misaligned persona in one domain, is a network misaligned in the others?

Documents show a persona and a domain side by side; D' is of the misaligned persona in one domain. The narrow
rate is its share of a persona's marks after prompts of that domain (`base_domain`), the broad rate after
prompts of the others (`held_out`); prompts show no persona. Rates are next-token beliefs, and shares of what
networks write when they go on themselves: alike for every mixture of personas that mark alike. At fitted β:

    tempered posterior     one z for all of D': broad in step with narrow, by the prior of z
    exchangeable mixture   saturated: the broad rate stays, as far as documents tell their domain
    exchangeable product   the broad rate is the narrow one, whatever the prior
    exchangeable tilted    as the prior's odds ratios have it: with `correlation` 0 the product

Each is refuted by a broad rate off its own at the same narrow rate (the figure of both against each other
has no fitted number). Interventions: D' with a header that names the persona (`announced`, inoculation):
nothing moves, unless the prior is correlated: then the product does, and the tempered posterior where it is
so strong that it forgets the domain shown. Others are aligned documents of other domains among D' (`mixed`),
documents of other domains replayed, a KL penalty on those, and the same one lifted at `lifted`: if what it
held back comes then, as fast as it comes without a penalty, it was held and not unlearnt. Rates are
computed in experiments.studies.figures.emergent_misalignment. The correlation of persona and domain in
pretraining is swept by runs, each with base networks of its own:

    for c in -0.2 0 0.2 0.4; do finebayes run emergent-misalignment --correlation $c --out runs/em/$c; done
    finebayes compare runs/em/*
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.design import random_streams
from experiments.design.config import BRIEF, FULL, Recipe, compared
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse

if TYPE_CHECKING:
    from jax import Array

    from theory.base import Predictor, Tokens
    from theory.latent.mixture import Mixture
    from theory.processes.persona_domain import PersonaDomain

ASKED = ("base_domain", "held_out", "conflict")  # of the process's groups, after in_domain


@dataclass(frozen=True)
class Config(Recipe):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    correlation: float = 0.0
    """Pretraining correlation of the misaligned persona (1) and domain 0."""
    misaligned: float = 0.15
    """Share of pretraining documents by the misaligned persona."""
    domains: tuple[float, ...] = (0.4, 0.3, 0.3)
    """Share of each domain in pretraining."""
    enter: tuple[float, float] = (0.5, 0.7)
    """Probabilities that an unmarked persona, and domain, is marked at the next token."""
    stay: tuple[float, float] = (0.6, 0.6)
    """Probabilities that a marked one stays so."""
    leak: tuple[float, float] = (0.1, 0.05)
    """Probabilities that a mark is another's."""
    announced: float = 0.2
    """Share of pretraining documents whose header names the persona that writes them."""
    length: int = 16
    """Tokens of a document, with its header."""
    persona: int = 1
    """The persona of D'."""
    domain: int = 0
    """The domain of D'."""
    arms: tuple[str, ...] = ("plain", "announced")
    """The arms of the study: plain, announced or mixed."""
    mixed: float = 0.3
    """Share of D' by the other persona in the other domains, in the arm `mixed`."""
    methods: tuple[str, ...] = ("sgd", "adam", "replay", "kl", "kl-lifted")
    """Ways of finetuning; all but Adam are of SGD."""
    replay_share: float = 0.5
    """Share of the loss that replayed documents have."""
    kl_weight: float = 3.0
    """Weight of the KL penalty, KL(network ‖ base) on documents of other domains."""
    lifted: int = 32
    """Step from which on the penalty is lifted."""
    shown: int = 9
    """Tokens of a prompt."""
    repeats: int = 12
    """Prompts for each domain."""
    copies: int = 24
    """Continuations of each prompt, the same random numbers for every network."""
    n: int = 64
    """Documents in D', fixed and finite."""
    sgd_rate: float = 0.03
    """Step size of SGD."""
    adam_rate: float = 0.0005
    """Step size of Adam."""
    doses: tuple[int, ...] = (2, 8, 16, 32, 48, 64, 96, 128)
    """Finetuning steps at which the network is looked at, out of one run."""
    base_seeds: int = 3
    """Pretrained networks."""
    seeds: int = 2
    """Finetuning seeds for each of them (another D', another order), each with a twin in another order."""
    temperatures: tuple[float, ...] = ()
    """Temperatures of the sampled posteriors (default: none are sampled)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.arms:
            raise Misuse("arms needs at least one, got none.")
        for name in ("enter", "stay", "leak"):
            if len(getattr(self, name)) != 2:
                raise Misuse(
                    f"{name} must be two numbers, persona's and domain's, got {getattr(self, name)}."
                )
        if not 0 < self.mixed < 1:
            raise Misuse(f"mixed must lie strictly between 0 and 1, got {self.mixed}.")
        if self.copies < 1:
            raise Misuse(f"copies must be at least 1, got {self.copies}.")


PRESETS = {
    "smoke": Config(**BRIEF, arms=("plain",), copies=2),
    "small": Config(),
    "full": Config(**FULL, arms=("plain", "announced", "mixed"), copies=64),
}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.cells import candidates as contenders
    from experiments.design.experiment import CORE, arm
    from experiments.discovery import choose
    from models.finetuning.adam import Adam
    from models.finetuning.kl_lifted import KlLifted
    from models.finetuning.kl_regularised import KlRegularised
    from models.finetuning.replay import Replay
    from models.finetuning.sgd import Sgd

    process, sgd = told_process(config), Sgd(config.sgd_rate)
    process.check(config.persona, config.domain, "announced" in config.arms)
    others = [domain for domain in range(len(config.domains)) if domain != config.domain]
    own = (config.persona, config.domain)
    aligned = {(1 - config.persona, domain): config.mixed / len(others) for domain in others}
    known: dict[str, dict[str, Any]] = {
        "plain": {"shares": {own: 1.0}},
        "announced": {"shares": {own: 1.0}, "announced": True},
        "mixed": {"shares": {own: 1 - config.mixed} | aligned},
    }
    arms = []
    for name in config.arms:
        shown = known[choose("arm", name, known)]

        def narrow(key: Any, n: int, shown: dict[str, Any] = shown) -> Any:
            return process.blend(key, n, **shown)

        def contexts(key: Any, narrow: Any = narrow) -> Any:
            groups = process.contexts(key, *own, config.repeats, config.shown)
            groups = {name: groups[name] for name in ASKED}
            return {"in_domain": narrow(key, documents(config))} | groups

        arms.append(arm(name, narrow, contexts, config.seed))
    held = KlRegularised(config.kl_weight, contexts="replay", rule=sgd)
    methods = {
        "sgd": sgd,
        "adam": Adam(config.adam_rate),
        "replay": Replay(config.replay_share, sgd),
        "kl": held,
        "kl-lifted": KlLifted(config.lifted, held),
    }
    return replace(
        compared(config, process, arms, methods),
        theories=(*CORE, *contenders.FAMILIES),
        replayed=elsewhere(process, config.domain),
        observe=written_marks(config, process),
    )


def told_process(config: Config) -> "PersonaDomain":
    """The process of a config, with two personas."""
    from theory.processes.persona_domain import PersonaDomain

    values = (2, len(config.domains))
    return PersonaDomain(
        enter=tuple((chance,) * count for chance, count in zip(config.enter, values, strict=True)),
        stay=config.stay,
        leak=config.leak,
        marginals=((1 - config.misaligned, config.misaligned), config.domains),
        correlation=config.correlation,
        announced=config.announced,
        length=config.length,
    )


def documents(config: Config) -> int:
    """Documents of the group in_domain: each has a context a token, so that fewer do."""
    return -(-config.repeats // 2)


def elsewhere(process: "PersonaDomain", domain: int) -> "Mixture":
    """Pretraining without a domain."""
    import jax.numpy as jnp

    mixture = process.distribution()
    domains = jnp.arange(len(mixture.log_weights)) % mixture.factors[1]
    return mixture.with_log_weights(jnp.where(domains == domain, -jnp.inf, mixture.log_weights))


def written_marks(
    config: Config, process: "PersonaDomain"
) -> "Callable[[Predictor, Tokens], dict[str, Array]]":
    """The observation of a network's continuations of prompts of `base_domain` and `held_out`: the marks of
    each persona, summed over copies and positions, (rows, personas); none in rows of other groups."""
    import jax
    import jax.numpy as jnp

    from theory.latent.factored import symbols_of
    from theory.latent.generation import continuations

    start, begin = documents(config), 1 + config.shown
    prompts = slice(start, start + config.repeats * len(config.domains))
    key = jax.random.fold_in(jax.random.key(config.seed), random_streams.CONTINUATIONS)

    def observe(network: "Predictor", tokens: "Tokens") -> "dict[str, Array]":
        wrote = continuations(network, key, tokens[prompts], begin, config.copies)[:, begin:]
        mark = symbols_of(wrote, process.sizes)[0] - process.ordinary
        count = jnp.sum(mark[..., None] == jnp.arange(2), axis=1).reshape(config.copies, -1, 2).sum(axis=0)
        return {"marks": jnp.zeros((len(tokens), 2), jnp.int32).at[prompts].set(count)}

    return observe


def draw(run: RunFolder) -> list[Path]:
    """The comparison, the rates against dose, and the broad rate against the narrow one."""
    from experiments.figures.comparison import draw_comparison
    from experiments.studies.figures.emergent_misalignment import draw_rates

    return [*draw_comparison(run), *draw_rates(run)]
