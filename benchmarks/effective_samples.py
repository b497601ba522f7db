"""Effective samples of the finetuning loss for each gradient evaluation, samplers against plain SGLD.

The posterior is that of a small transformer, trained for 300 steps on the spot, given 64 documents of one
persona: localised at the trained weights so that the prior costs T = 10⁻³ nats, and at τ = 0.5. A
minibatch gradient of 8 documents counts one evaluation, a control variate two, the whole gradient eight.

Each sampler takes the largest step, on a grid of half octaves down from its limit of stability, whose mean
loss of D' is off by less than `tolerance` times the posterior's spread (standard deviation) of that loss. The
truth is a long run of `HarmonicLangevin` on whole gradients; its error and acceptance are printed. All chains
start at draws of it, anchors and centres at the trained weights, and leave out their first fifth. Every try
takes the same number of evaluations. Ranges are over four groups of chains; of a bias, ± a standard error.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._timing import row
from models.network import Network, build, first
from models.pretraining import Pretraining, pretrain
from models.transformer import Architecture
from theory.base import Dataset, mean_loss
from theory.compute.devices import sharded
from theory.mcmc.diagnostics import bulk_ess
from theory.mcmc.langevin import Langevin
from theory.processes.persona_topics import PersonaTopics
from theory.samplers.control_variate_sgld import ControlVariateSGLD
from theory.samplers.harmonic_langevin import HarmonicLangevin
from theory.samplers.sghmc import SGHMC
from theory.samplers.sgld import SGLD
from theory.weights.gibbs import Posterior
from theory.weights.tuning import curvature, prior_costs, prior_precision_for

DOCUMENTS, BATCH = 64, 8
TEMPERATURE, TIME = 1e-3, 0.5
GROUPS, TRIES = 4, 14
PLAIN, WHOLE = "SGLD", "HarmonicLangevin, whole gradient"


def measure(
    seconds: float = 15.0,
    *,
    tolerance: float = 0.25,
    evaluations: int = 2000,
    reference: int = 800,
    chains: int = 16,
    training: int = 300,
) -> list[dict[str, Any]]:
    """Effective samples for a thousand evaluations; `seconds` is of no use here."""
    network, model, bend = _problem(training)
    start = model.weights()

    def loss(z: Any) -> Any:
        return mean_loss(network.with_params(model.params(z)), model.data)

    exact = HarmonicLangevin(replace(model, batch=None), scale=model.scale())
    origin = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (chains, *leaf.shape)), start)
    run = _running(exact, loss, start, origin, reference, 1)
    losses, accepted, positions = run(0.5 / np.sqrt(1 + bend))
    losses = losses[:, reference // 5 :]
    centre, spread, error = losses.mean(), losses.std(), float(bulk_ess(losses)) ** -0.5
    rows = [
        row("curvature λ of the likelihood, in units of the prior's", bend, ""),
        row("spread of the finetuning loss", spread, "nats"),
        row("reference: error of its mean", error, "spreads"),
        row("reference: acceptance", accepted.mean(), ""),
    ]
    plain = None
    for name, (kernel, limit, cost) in _cases(model, bend).items():
        thin = 4 if cost == 1 else 1  # the loss of D' costs more than SGLD's step, which moves little
        run = _running(kernel, loss, start, positions, evaluations // cost // thin, thin)
        step, samples = _largest(run, limit, centre, tolerance * spread)
        groups = np.split(samples, min(GROUPS, chains))
        rates = 1e3 * np.array([float(bulk_ess(group)) / (group.size * thin * cost) for group in groups])
        plain = rates if plain is None else plain
        against = (None, None, None) if name == PLAIN else (PLAIN, rates / plain, "≥ 3")
        bias, error = abs(samples.mean() - centre) / spread, float(bulk_ess(samples)) ** -0.5
        rows.append(row(f"{name}, step {step:.2g}", rates, "per 1000 gradients", *against))
        span = [bias - error, bias, bias + error]
        rows.append(row(f"{name}, bias of the loss", span, "spreads", goal=f"≤ {tolerance:g}"))
    return rows


def _problem(training: int) -> tuple[Network, Posterior, float]:
    """A trained network, its posterior given D', and the likelihood's curvature λ in units of the prior's."""
    process, shape = PersonaTopics(pairs=3), Architecture(width=16, layers=1, heads=2)
    sizes = process.vocabulary, process.length
    recipe = Pretraining(optimizer="adamw", steps=training, batch=32)
    *_, last = pretrain(process.distribution(), shape, recipe, (0,), *sizes)
    network = first(build(shape, *sizes, [0])).with_params(first(last.params))
    data = process.narrow(jax.random.key(0), DOCUMENTS, persona=4, topics=[0, 1, 2])
    tokens = process.distribution().sample(jax.random.key(1), DOCUMENTS)
    metric = jax.tree.map(jnp.ones_like, network.params)
    costs = prior_costs(network, Dataset(tokens, jnp.ones(tokens.shape, bool)), metric, jax.random.key(2))
    gamma = prior_precision_for(costs, [TEMPERATURE], metric)[0]
    beta = TIME * gamma / float(np.sum(data.mask))
    bend = TIME * float(curvature(network, data, metric, TIME, jax.random.key(3)))
    return network, Posterior(network, data, beta, gamma, batch=BATCH), bend


def _cases(model: Posterior, bend: float) -> dict[str, tuple[Langevin, float, int]]:
    """Kernels by name, the limit of stability of their steps, and the evaluations that one takes."""
    scale, whole = model.scale(), replace(model, batch=None)
    overdamped, underdamped = 2 / (1 + bend), 2 / np.sqrt(1 + bend)
    varied = {"scale": scale, "control_variate": True}
    return {
        PLAIN: (SGLD(model, scale=scale), overdamped, 1),
        "ControlVariateSGLD": (ControlVariateSGLD(model, scale=scale), overdamped, 2),
        "SGHMC (BAOAB), control variate": (SGHMC(model, **varied), underdamped, 2),
        "HarmonicLangevin, control variate": (HarmonicLangevin(model, **varied), underdamped, 2),
        WHOLE: (HarmonicLangevin(whole, scale=scale), underdamped, DOCUMENTS // BATCH),
    }


def _running(
    kernel: Langevin, loss: Callable[[Any], Any], anchor: Any, positions: Any, samples: int, thin: int
) -> Callable[[float], Any]:
    """step size -> losses and acceptances, (chains, draws), and the last positions; one compilation."""

    def begin(key: Any, z: Any) -> Any:
        return kernel.init(key, 0, anchor)._replace(z=z)

    def chain(step: Any, state: Any) -> Any:
        moving = replace(kernel, step_size=step)

        def draw(state: Any, _: Any) -> Any:
            state = jax.lax.scan(lambda state, _: (moving.sample(state), None), state, length=thin)[0]
            return state, (loss(state.z), state.accept_prob)

        return jax.lax.scan(draw, state, length=samples)

    chains = len(jax.tree.leaves(positions)[0])
    keys = jnp.stack([jax.random.key_data(jax.random.fold_in(jax.random.key(4), c)) for c in range(chains)])
    program, put = sharded(chain, chains, shared=1, mapped=1)
    states = put(jax.jit(jax.vmap(begin))(keys, positions))

    def run(step: float) -> Any:
        state, (losses, accepted) = jax.tree.map(np.asarray, program(jnp.float32(step), states))
        return losses, accepted, state.z

    return run


def _largest(run: Callable[[float], Any], limit: float, centre: float, allowed: float) -> tuple[float, Any]:
    """The first step size down the grid whose mean is within `allowed` (or the last one), and its losses."""
    for tried in range(1, TRIES + 1):
        step = limit * 2 ** (-tried / 2)
        losses = run(step)[0]
        losses = losses[:, losses.shape[1] // 5 :]
        if abs(losses.mean() - centre) < allowed:
            break
    return step, losses


if __name__ == "__main__":
    from benchmarks._alone import alone

    alone(measure, "effective_samples")
