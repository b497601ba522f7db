"""The target of the benchmarks of samplers: an untrained transformer's posterior given documents."""

from collections.abc import Callable
from typing import Any

import jax

from models.network import build, first
from models.transformer import Architecture
from theory.mcmc.langevin import Langevin
from theory.processes.persona_topics import PersonaTopics
from theory.weights.gibbs import Posterior

PAIRS = 12  # documents of 24 tokens


def posterior(width: int, layers: int, documents: int, batch: int | None) -> Posterior:
    """Localised tightly (γ = 10⁴): its cost is of interest, not where its chains go."""
    process = PersonaTopics(pairs=PAIRS)
    shape = Architecture(width=width, layers=layers)
    network = first(build(shape, process.vocabulary, process.length, [0]))
    data = process.narrow(jax.random.key(0), documents, persona=4, topics=[0, 1, 2])
    return Posterior(network, data, beta=1.0, gamma=1e4, batch=batch)


def stepping(kernel: Langevin, start: Any, steps: int) -> Callable[[], Any]:
    """A call takes `steps` steps of one chain, always from the same state, in one `lax.scan`."""
    state = kernel.init(jax.random.key(1), 0, start)

    def chain(state: Any) -> Any:
        return jax.lax.scan(lambda state, _: (kernel.sample(state), None), state, length=steps)[0]

    program = jax.jit(chain)
    return lambda: program(state)
