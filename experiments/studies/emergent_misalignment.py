"""Finetuned on a misaligned persona in one domain, is a network misaligned in the others?

Documents show a persona and a domain side by side; D' is of the misaligned persona in one domain. The narrow
rate is its share of a persona's marks after prompts of that domain (`base_domain`), the broad rate after
prompts of the others (`held_out`); prompts show no persona. Rates are next-token beliefs, and shares of what
networks write when they go on themselves: alike for every mixture of personas that mark alike. At fitted β:

    tempered posterior     one z for all of D': broad in step with narrow, by the prior of z
    exchangeable mixture   saturated: the broad rate stays, as far as documents tell their domain
    exchangeable product   the broad rate is the narrow one, whatever the prior
    exchangeable tilted    as the prior's odds ratios have it: with `process.correlation` 0 the product

Each is refuted by a broad rate off its own at the same narrow rate (the figure of both against each other
has no fitted number). Interventions: D' with a header that names the persona (`announced`, inoculation):
nothing moves, unless the prior is correlated: then the product does, and the tempered posterior where it is
so strong that it forgets the domain shown. Others are aligned documents of other domains among D' (`mixed`),
documents of other domains replayed, a KL penalty on those, and the same one lifted at `lifted`: if what it
held back comes then, as fast as it comes without a penalty, it was held and not unlearnt. Rates are
computed in experiments.studies.figures.emergent_misalignment. The correlation of persona and domain in
pretraining is swept by runs, each with base networks of its own:

    for c in -0.2 0 0.2 0.4; do
        finebayes run emergent-misalignment --process.correlation $c --out runs/em/$c
    done
    finebayes compare runs/em/*
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.design.checks import check_positive, check_some
from experiments.design.config import FinetuningConfig, PretrainingConfig, StudyConfig
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.discovery import choose
from experiments.storage.run_folder import RunFolder
from theory.compute.memory import check_fits
from theory.errors import Misuse

if TYPE_CHECKING:
    from jax import Array

    from experiments.design.experiment import Experiment
    from models.network import Network
    from theory.latent.mixture import Mixture
    from theory.processes.persona_domain import PersonaDomain


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = process_options("persona-domain")
    pretraining: PretrainingConfig = PretrainingConfig(seeds=3)
    finetuning: FinetuningConfig = FinetuningConfig(
        seeds=2,
        n=64,
        methods=("sgd", "adam", "replay", "kl", "kl-lifted"),
        sgd_rate=0.03,
        adam_rate=0.0005,
        doses=(2, 8, 16, 32, 48, 64, 96, 128),
    )
    """The finetuned networks; all methods but Adam are of SGD."""
    persona: int = 1
    """The persona of D'."""
    domain: int = 0
    """The domain of D'."""
    arms: tuple[str, ...] = ("plain", "announced")
    """The arms of the study: plain, announced or mixed."""
    mixed: float = 0.3
    """Share of D' by the other persona in the other domains, in the arm `mixed`."""
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

    def __post_init__(self) -> None:
        super().__post_init__()
        check_some("arms", self.arms)
        check_positive("", copies=self.copies)
        if not 0 < self.mixed < 1:
            raise Misuse(f"mixed must lie strictly between 0 and 1, got {self.mixed}.")


PRESETS = {
    "smoke": with_options(Config(), BRIEF | {"arms": ("plain",), "copies": 2}),
    "small": Config(),
    "full": with_options(Config(), FULL | {"arms": ("plain", "announced", "mixed"), "copies": 64}),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    from experiments.design.experiment import Arm
    from models.finetuning.adam import Adam
    from models.finetuning.kl_lifted import KlLifted
    from models.finetuning.kl_regularised import KlRegularised
    from models.finetuning.replay import Replay
    from models.finetuning.sgd import Sgd

    process, sgd = config.process.build(), Sgd(config.finetuning.sgd_rate)
    variants: dict[str, dict[str, Any]] = {
        "plain": {},
        "announced": {"announced": True},
        "mixed": {"mixed": config.mixed},
    }
    prompts = config.repeats * len(process.marginals[1])
    check_fits("Continuations", 4, copies=config.copies, prompts=prompts, tokens=process.length)
    tasks = [
        process.task(
            config.persona,
            config.domain,
            **variants[choose("arm", name, variants)],
            repeats=config.repeats,
            shown=config.shown,
            name=name,
        )
        for name in config.arms
    ]
    held = KlRegularised(config.kl_weight, contexts="replay", rule=sgd)
    methods = {
        "sgd": sgd,
        "adam": Adam(config.finetuning.adam_rate),
        "replay": Replay(config.replay_share, sgd),
        "kl": held,
        "kl-lifted": KlLifted(config.lifted, held),
    }
    return config.experiment(
        process,
        map(Arm, tasks),
        methods,
        extra_theories=("exchangeable-product", "exchangeable-tilted"),
        replayed=without_domain(process.distribution(), config.domain),
        observe=continuation_marks(config, process),
    )


def without_domain(process: "Mixture", domain: int) -> "Mixture":
    """Pretraining without the documents of a domain."""
    import jax.numpy as jnp

    domains = jnp.arange(len(process.log_weights)) % process.factors[1]
    return process.with_log_weights(jnp.where(domains == domain, -jnp.inf, process.log_weights))


def continuation_marks(
    config: Config, process: "PersonaDomain"
) -> "Callable[[Network, Array], dict[str, Array]]":
    """The observation of a network: the marks of each persona in its continuations of prompts of
    `base_domain` or
    `held_out`, summed over copies and positions, (rows, personas); none in rows of other groups."""
    import jax.numpy as jnp

    from experiments.studies.data.writing import writing_key
    from theory.latent.factored import symbols_of
    from theory.latent.generation import continuations

    documents = -(-config.repeats // 2)  # of the group in_domain, whose rows come first
    begin = 1 + config.shown
    prompted = slice(documents, documents + config.repeats * len(process.marginals[1]))
    key = writing_key(config.seed)

    def observe(network: "Network", tokens: "Array") -> "dict[str, Array]":
        continued = continuations(network, key, tokens[prompted], begin, config.copies)[:, begin:]
        mark = symbols_of(continued, process.sizes)[0] - process.ordinary
        count = jnp.sum(mark[..., None] == jnp.arange(2), axis=1).reshape(config.copies, -1, 2).sum(axis=0)
        return {"marks": jnp.zeros((len(tokens), 2), jnp.int32).at[prompted].set(count)}

    return observe


def draw(run: RunFolder) -> list[Path]:
    """The comparison, the rates against dose, and the broad rate against the narrow one."""
    from experiments.figures.comparison import draw_comparison
    from experiments.studies.figures.emergent_misalignment import draw_rates

    return [*draw_comparison(run), *draw_rates(run)]
