"""How much of published emergent misalignment is first order, and does the step size set its breadth?

Process, sizes and finetuning of the public repository chainik1125/fra_proj (*Emergent Misalignment in a Toy
Model: The Data Cannot Force It, the Optimizer Does*): the misaligned persona M marks, the aligned one A never
does; D' is of M in domain D. Prompts show a domain by three marks and no persona, like its [0, 3, 3, 3, 0]:
all have the same exact p(M). Networks then write on, and what shows M counts by the domain that it shows:

    narrow    M and D, after a prompt of D           broad    M and O, after a prompt of the other domain O
    flip      M and D, after a prompt of O           deficit  coherence (theory.latent.coherence), after O

λ = (broad - saturated) / (product - saturated) is 0 for the exact learner to which D' says nothing of O, and
1 for the one that learns of M in all domains. Ways of finetuning: Adam at the published step size; in steps
of a tenth, ten times as many; SGD; the read-out alone; LoRA of rank 1 and 8; replay. A second D' begins with
the trigger that announces M (inoculation). What would refute whom, compared at one narrow belief, where the
carried share is λ against the product learner of that belief:

    it is the read-out         the carried share of `head-only` is that of `adam`
    it is first order          the linearised theory's broad belief is the network's, however it is finetuned
    it is second order         the quadratic theory's is, and the linearised one's is not
    first-order transfer λ0    orders ways of finetuning as shares do: the change of the broad log-odds of M
                               over that of the narrow ones, of the linearised theory's first step
    the step size sets λ       the share of `adam-slow` is above that of `adam`; after one length, λ is
    inference                  the share is 0 (saturated) or 1 (product) however networks are finetuned

Theories predict the next token, so their rates are beliefs: p(M marks next) over what it is given M. The
tempered posterior has none here: D' rules out all but M in D, and a prompt of O rules out that. What counts
as equal, and where, is in experiments.studies.figures.breadth_statements.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.checks import check_positive, check_rates, check_some
from experiments.design.config import FinetuningConfig, NetworkConfig, PretrainingConfig, StudyConfig
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF
from experiments.discovery import choose
from experiments.scoring.findings import Findings
from experiments.storage.run_folder import RunFolder
from theory.compute.memory import check_fits
from theory.errors import Misuse

if TYPE_CHECKING:
    from jax import Array

    from experiments.design.experiment import Experiment
    from models.network import Network
    from theory.base import Dataset, Key
    from theory.processes.persona_domain import PersonaDomain

ARMS = {"plain": False, "inoculated": True}  # whether the header of D' announces its persona
METHODS = ("adam", "adam-slow", "sgd", "head-only", "lora-1", "lora-8", "replay")
EXACT = ("exchangeable-mixture", "exchangeable-product", "exchangeable-tilted", "structure-posterior")
# As in theory.processes.persona_domain.PUBLISHED, which needs jax; a trigger announces M in 2 % of documents.
PUBLISHED = process_options(
    "persona-domain",
    enter=((0.0, 0.6), (0.08, 0.08)),
    stay=(0.9, 0.7),
    leak=(0.0, 0.0),
    marginals=((0.95, 0.05), (0.5, 0.5)),
    announced=0.04,
    ordinary=2,
    length=33,
)


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = PUBLISHED
    network: NetworkConfig = NetworkConfig(width=64)
    pretraining: PretrainingConfig = PretrainingConfig(seeds=2, steps=1200, until_learnt=0.98)
    finetuning: FinetuningConfig = FinetuningConfig(
        seeds=2,
        n=128,
        batch=16,
        methods=METHODS,
        sgd_rate=0.1,
        adam_rate=0.002,
        doses=(1, 2, 4, 9, 18, 36, 90, 180),
    )
    """The finetuned networks; all methods but SGD are of Adam."""
    repeats: int = 8
    """Prompts for each domain."""
    persona: int = 1
    """The persona of D'."""
    domain: int = 0
    """The domain of D'."""
    arms: tuple[str, ...] = ("plain", "inoculated")
    """The arms of the study: plain or inoculated."""
    slower: float = 10.0
    """Adam's step size over that of `adam-slow`."""
    lora_rate: float = 0.01
    """Step size of Adam on the factors of LoRA."""
    replay_share: float = 0.5
    """Share of the loss that replayed documents of pretraining have."""
    marks: int = 3
    """Marks of the domain in a prompt, between two ordinary tokens."""
    written: int = 24
    """Tokens that networks write after a prompt."""
    copies: int = 4
    """Continuations of each prompt, the same random numbers for every network."""
    slip: float = 0.001
    """Probability η that a token is drawn at random, to the filters of the coherence deficit."""
    matched: float = 0.15
    """Narrow belief at which ways of finetuning are compared."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_some("arms", self.arms)
        check_positive("", copies=self.copies, written=self.written, marks=self.marks)
        check_rates("", slower=self.slower, lora_rate=self.lora_rate)
        for name in ("slip", "matched"):
            if not 0 < getattr(self, name) < 1:
                raise Misuse(f"{name} must lie strictly between 0 and 1, got {getattr(self, name)}.")

    @property
    def begin(self) -> int:
        """The position of the first token that is written: after a header and a prompt."""
        return self.marks + 3


PRESETS = {
    "smoke": with_options(
        Config(),
        BRIEF
        | {"finetuning.methods": ("adam",), "arms": ("plain",), "copies": 1, "written": 8}
        | {"process.length": 17},
    ),
    "small": Config(),
    "published": with_options(
        Config(),
        {
            "process.length": 65,
            "network.width": 128,
            "network.layers": 3,
            "network.heads": 4,
            "network.activation": "gelu",
            "pretraining.optimizer": "adamw",
            "pretraining.rate": 0.001,
            "pretraining.steps": 20_000,
            "pretraining.until_learnt": None,
            "pretraining.batch": 256,
            "pretraining.targets": "tokens",
            "finetuning.n": 18 * 256,  # as published, the first 18 steps meet new documents alone
            "finetuning.batch": 256,
            "finetuning.seeds": 1,
            "repeats": 32,
            "written": 32,
            "theories": ("linearised", "quadratic", *EXACT),  # those over weights read all of D' 700 times
        },
    ),
}
PRESETS["full"] = PRESETS["published"]  # its name in `run all`


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    import jax

    from experiments.design.experiment import Arm
    from models.finetuning.adam import Adam
    from models.finetuning.head_only import HeadOnly
    from models.finetuning.lora import Lora
    from models.finetuning.replay import Replay
    from models.finetuning.sgd import Sgd
    from theory.contracts import Task

    process, rates = config.process.build(), config.finetuning
    if len(process.enter) != 2:
        raise Misuse(f"process.enter must have two factors, persona and domain, got {len(process.enter)}.")
    if config.begin + config.written > process.length:
        raise Misuse(
            f"A prompt of marks + 2 = {config.marks + 2} tokens and the written = {config.written} after it "
            f"must fit into a document of length - 1 = {process.length - 1}; make one of them smaller."
        )
    prompts = config.repeats * len(process.marginals[1])
    check_fits("Continuations", 4, copies=config.copies, prompts=prompts, tokens=process.length)

    def task(name: str) -> Task:
        announced = ARMS[choose("arm", name, ARMS)]

        def data(key: "Key", n: int) -> "Dataset":
            return process.narrow(key, n, config.persona, config.domain, announced)

        def contexts(key: "Key") -> "dict[str, Dataset]":
            return {"in_domain": data(key, -(-config.repeats // 2))} | prompts_of(config, process, key)

        data(jax.random.key(0), 1)  # refuses now what the process does not have
        return Task(name, data, contexts)

    adam = Adam(rates.adam_rate)
    methods = {
        "adam": adam,
        "adam-slow": Adam(rates.adam_rate / config.slower),
        "sgd": Sgd(rates.sgd_rate),
        "head-only": HeadOnly(rule=adam),
        "lora-1": Lora(rank=1, alpha=1.0, rule=Adam(config.lora_rate)),
        "lora-8": Lora(rank=8, alpha=8.0, rule=Adam(config.lora_rate)),
        "replay": Replay(config.replay_share, adam),
    }
    return config.experiment(
        process,
        [Arm(task(name)) for name in config.arms],
        methods,
        extra_theories=("exchangeable-product", "exchangeable-tilted", "quadratic"),
        observe=observation(config, process),
        observed_tokens=prompts * config.copies * config.written * (config.begin + config.written),
    )


def prompts_of(config: Config, process: "PersonaDomain", key: "Key") -> "dict[str, Dataset]":
    """Prompts that show a domain by marks and no persona: of the domain of D' (`base_domain`), of the others
    (`held_out`), and these behind the header that announces the persona of D' (`named`).

    Any two differ in ordinary symbols alone, which no persona and no domain prefers.
    """
    import jax
    import numpy as np

    from theory.base import host_stream
    from theory.latent.documents import prompts

    random = host_stream(jax.random.fold_in(key, 1))
    domains = np.repeat(np.arange(len(process.marginals[1])), config.repeats)
    symbols = random.integers(0, process.ordinary, (2, len(domains), config.marks + 2))
    symbols[1, :, 1:-1] = process.ordinary + domains[:, None]
    text = symbols[0] * process.sizes[1] + symbols[1]
    home = domains == config.domain

    def behind(header: int, rows: "np.ndarray") -> "Dataset":
        return prompts(process.length, np.full(rows.sum(), header), text[rows])

    groups = {"base_domain": behind(process.plain, home), "held_out": behind(process.plain, ~home)}
    if process.announced:
        groups["named"] = behind(process.plain + 1 + config.persona, ~home)
    return groups


def observation(config: Config, process: "PersonaDomain") -> "Callable[[Network, Array], dict[str, Array]]":
    """The observation of a network: what it writes after the prompts of `base_domain` and `held_out`.

    `shown` (rows, domains) counts copies that show the persona of D' and that domain, and no other of either;
    `deficit` (rows,) is the mean coherence deficit. Both are 0 in the rows of other groups.
    """
    import jax.numpy as jnp

    from experiments.studies.data.writing import writing_key
    from theory.base import at_tokens
    from theory.latent.coherence import Restricted, Sectors
    from theory.latent.factored import symbols_of
    from theory.latent.generation import continuations

    documents, domains = -(-config.repeats // 2), len(process.marginals[1])  # of in_domain, which is first
    prompted, end = slice(documents, documents + config.repeats * domains), config.begin + config.written
    key = writing_key(config.seed)
    sectors = Sectors.of(process.factors(), config.slip)

    def observe(network: "Network", tokens: "Array") -> "dict[str, Array]":
        writer = Restricted(network, process.answer_tokens)
        written = continuations(writer, key, tokens[prompted, :end], config.begin, config.copies)
        chosen = at_tokens(writer.predict(written), written)[:, config.begin :].sum(axis=1)
        deficit = sectors.deficit(chosen, written[:, 1:], config.begin - 1)
        symbols = symbols_of(written[:, config.begin :], process.sizes)
        persona, domain = (
            jnp.any(symbol[..., None] == process.ordinary + jnp.arange(len(enter)), axis=1)
            for symbol, enter in zip(symbols, process.enter, strict=True)
        )
        clear = persona[:, config.persona] & (persona.sum(axis=1) == 1) & (domain.sum(axis=1) == 1)
        shown = (domain & clear[:, None]).reshape(config.copies, -1, domains).sum(axis=0)
        return {
            "shown": jnp.zeros((len(tokens), domains), jnp.int32).at[prompted].set(shown),
            "deficit": jnp.zeros(len(tokens))
            .at[prompted]
            .set(deficit.reshape(config.copies, -1).mean(axis=0)),
        }

    return observe


def findings(run: RunFolder) -> Findings:
    """The statements above with their verdicts, and λ by how what is written is counted."""
    from experiments.studies.figures.breadth_statements import breadth_findings

    return breadth_findings(run)


def draw(run: RunFolder) -> list[Path]:
    """The comparison, the rates against dose, and the broad rate against the narrow one."""
    from experiments.figures.comparison import draw_comparison
    from experiments.studies.figures.emergent_misalignment_published import draw_breadth

    return [*draw_breadth(run), *draw_comparison(run)]
