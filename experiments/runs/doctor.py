"""Is this installation sound? Versions, devices, threads, and a self-test of a few seconds."""

import json
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.runs import device_check
from experiments.runs.environment import fix_settings
from models.network import build, first
from models.transformer import Architecture
from theory.base import Dataset, mean_loss
from theory.compute.devices import ShardedMap
from theory.processes.persona_topics import PersonaTopics
from theory.theories.tempered_posterior import TemperedPosterior

PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpyro",
    "numpy",
    "matplotlib",
    "tyro",
    "safetensors",
    "finebayes",
)


def examine(as_json: bool = False) -> bool:
    """Print what was found, one line each, or as JSON; True if every check passed."""
    fix_settings()  # as runs have them
    say = (lambda line: None) if as_json else print
    versions = {name: _version(name) for name in PACKAGES}
    system = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    devices = [str(device) for device in jax.devices()]
    flags = os.environ.get("XLA_FLAGS", "(unset)")
    say(f"python      {system}")
    for name, number in versions.items():
        say(f"{name:12s}{number}")
    say(f"devices     {', '.join(devices)}")
    say(f"cores       {os.cpu_count()}")
    say(f"threads     XLA_FLAGS={flags}")
    checks = {
        "compiler": (_compiler, 1e-5),
        "oracle": (_oracle, 1e-5),
        "theory": (_theory, 1e-5),
        "gradient": (_gradient, 1e-2),
        "split work": (_devices, 1e-12),
    }
    errors = {}
    for name, (check, limit) in checks.items():
        start = time.perf_counter()
        errors[name] = check()
        took = time.perf_counter() - start
        say(f"{name:12s}{'ok' if errors[name] < limit else 'FAILED'}  error {errors[name]:.1e}  {took:.1f} s")
    lines, compared = device_check.report()
    say("\n".join(lines))
    if as_json:
        values = {"python": system, "packages": versions, "devices": devices, "cores": os.cpu_count()}
        values |= {"xla_flags": flags, "errors": errors, "accelerator": lines[0]}
        print(json.dumps(values | {"compared": [vars(part) for part in compared]}))
    passed = all(errors[name] < limit for name, (_, limit) in checks.items())
    return passed and all(part.agrees for part in compared)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed as a package)"


def _process() -> PersonaTopics:
    return PersonaTopics(personas=2, topics=2, answers=2, pairs=2)


def _compiler() -> float:
    """A long batch of small products, compiled whole and step by step: jaxlib 0.10.2 gets it wrong."""
    rows = jnp.arange(3.0 * 32769).reshape(-1, 3) / 32769
    sums = jax.vmap(lambda row: jnp.sum(jnp.square(jnp.eye(3) @ row)))
    return float(jnp.max(jnp.abs(jax.jit(sums)(rows) - sums(rows))))


def _oracle() -> float:
    """Probabilities of all sequences of a tiny process add to one."""
    process = _process()
    grid = np.indices((process.vocabulary,) * process.length).reshape(process.length, -1).T
    total = jax.jit(lambda: jnp.exp(process.distribution().log_prob(jnp.asarray(grid))).sum())
    return abs(float(total()) - 1)


def _theory() -> float:
    """Half of D' twice is the whole of it once."""
    process = _process()
    data = Dataset(jnp.asarray([[0, 2, 0, 2], [0, 3, 0, 2]]), jnp.asarray([[False, True] * 2] * 2))

    @jax.jit
    def gap() -> jax.Array:
        prior, theory = process.distribution(), TemperedPosterior()
        twice = theory.predict(theory.predict(prior, data, 0.5), data, 0.5)
        once = theory.predict(prior, data, 1.0)
        return jnp.max(jnp.abs(jnp.exp(twice.log_weights) - jnp.exp(once.log_weights)))

    return float(gap())


def _gradient() -> float:
    """The network's gradient against a central difference along itself."""
    network = first(build(Architecture(8, 1, 2), 4, 4, [0]))
    tokens = jnp.asarray([[0, 2, 1, 3]])
    data = Dataset(tokens, jnp.ones(tokens.shape, bool))

    @jax.jit
    def both() -> tuple[jax.Array, jax.Array]:
        loss = lambda params: mean_loss(network.with_params(params), data)  # noqa: E731
        slope = jax.grad(loss)(network.params)
        size = jnp.square(optax.tree.norm(slope))
        step = 1e-2 / jnp.sqrt(size)

        def along(stride: jax.Array) -> jax.Array:
            return loss(jax.tree.map(lambda w, g: w + stride * g, network.params, slope))

        return (along(step) - along(-step)) / (2 * step), size

    difference, size = both()
    return abs(float(difference / size) - 1)


def _devices() -> float:
    """Work split over all devices comes back whole and in order."""
    rows = np.arange(2 * len(jax.devices()) + 1, dtype=np.float32)
    return float(np.max(np.abs(ShardedMap(lambda x: 2 * x)(rows) - 2 * rows)))
