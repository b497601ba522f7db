"""How networks are pretrained, finetuned and judged: what the configs of all studies share.

A study's config is a `Recipe` with the fields of its process; `compared` makes the comparison of it, out of
the process and its arms. No jax at the top, so that `--help` answers at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from theory.errors import Misuse


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the numbers, but for the process. The defaults are the preset `small`."""

    seed: int = 0
    """Master seed: contexts, D' and orders of data follow from it."""
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
    activation: str = "relu"
    """What bends the perceptrons, relu or gelu (smooth)."""
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
    """Temperatures of the sampled posteriors: mean KL (nats) of their prior from the base; none: do not
    sample."""
    chains: int = 2
    """Chains for each posterior, every other one with half the step."""
    warmup: int = 30
    """Steps of a chain before its draws count."""
    samples: int = 80
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
        for name in AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise Misuse(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("sgd_rate", "adam_rate"):
            if not 0 < getattr(self, name) < float("inf"):
                raise Misuse(f"{name} must be above 0 and finite, got {getattr(self, name)}.")
        if self.seed < 0:
            raise Misuse(f"Seeds must be at least 0, got {self.seed}.")
        if not self.methods:
            raise Misuse("methods needs at least one of sgd and adam, got none.")


AT_LEAST_ONE = (
    *("base_seeds", "seeds", "repeats", "n", "batch", "samples", "chains", "rounds"),
    *("sampled_seeds", "sampled_bases"),
)
# A run of seconds: small networks, few seeds, no chains, programs that compile fast.
SMOKE: dict[str, Any] = {
    "layers": 1,
    "pretraining_steps": 150,
    "pretraining_batch": 32,
    "base_seeds": 2,
    "seeds": 2,
    "doses": (1, 8, 32),
    "n": 16,
    "batch": 8,
    "repeats": 2,
    "temperatures": (),
    "optimise": False,
}
# Shorter still, for the many studies of phenomena: one method, narrow networks, few steps.
BRIEF: dict[str, Any] = SMOKE | {
    "width": 8,
    "pretraining_steps": 50,
    "methods": ("sgd",),
    "doses": (1, 4, 8),
    "repeats": 1,
}
# A run of hours: wider networks, longer pretraining, more seeds.
FULL: dict[str, Any] = {
    "width": 64,
    "pretraining_steps": 4000,
    "base_seeds": 6,
    "seeds": 10,
    "repeats": 16,
    "n": 128,
}


def compared(recipe: Recipe, process: Any, arms: Any, methods: Mapping[str, Any] | None = None) -> Any:
    """The comparison of a recipe: `methods` are all that its field may name (default: sgd and adam)."""
    from experiments.design.experiment import Comparison
    from experiments.design.sampling import Sampling
    from experiments.discovery import choose
    from models.finetuning.adam import Adam
    from models.finetuning.sgd import Sgd
    from models.pretraining import Pretraining
    from models.transformer import Architecture
    from theory.mcmc.chains import Plan

    known = methods or {"sgd": Sgd(recipe.sgd_rate), "adam": Adam(recipe.adam_rate)}
    chosen = {choose("method", name, known): known[name] for name in recipe.methods}
    sampling = Sampling(
        recipe.temperatures,
        plan=Plan(recipe.warmup, recipe.samples, 2),
        chains=recipe.chains,
        rounds=recipe.rounds,
        bases=min(recipe.sampled_bases, recipe.base_seeds),
        seeds=min(recipe.sampled_seeds, recipe.seeds),
    )
    return Comparison(
        process=process,
        shape=Architecture(recipe.width, recipe.layers, recipe.heads, activation=recipe.activation),
        pretraining=Pretraining(
            recipe.optimizer, recipe.pretraining_rate, recipe.pretraining_steps, recipe.pretraining_batch
        ),
        base_seeds=recipe.base_seeds,
        arms=tuple(arms),
        methods=chosen,
        doses=recipe.doses,
        n=recipe.doses[-1] * recipe.batch if recipe.fresh and recipe.doses else recipe.n,
        batch=recipe.batch,
        seeds=recipe.seeds,
        seed=recipe.seed,
        sampling=sampling if recipe.temperatures else None,
    )
