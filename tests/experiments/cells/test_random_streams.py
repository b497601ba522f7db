"""No two purposes share a key: the bits of every key that is drawn from or split, by the lines that do it."""

import ast
import collections
import importlib
import pkgutil
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro.distributions import Normal

import theory.compute.random
import theory.samplers
from experiments.cells.programs import Executor
from experiments.design import random_streams
from experiments.design.sampling import Sampling
from models.finetuning.lora import Lora
from models.finetuning.replay import Replay
from theory.mcmc.chains import Plan

ROOT = Path(__file__).resolve().parents[3]
DRAWS = ("bernoulli", "bits", "categorical", "choice", "normal", "permutation", "rademacher", "randint")
DRAWS += ("split", "uniform")
HANDED_ON = ("theory/base.py", "theory/compute/", "theory/processes/", "theory/latent/")


def model():
    """A normal mean, six rows, two at a time."""
    mean = numpyro.sample("mean", Normal(jnp.zeros(2), 1).to_event(1))
    with numpyro.plate("rows", 6, subsample_size=2) as rows:
        numpyro.sample("y", Normal(mean[0], 1), obs=jnp.arange(6.0)[rows])


def purpose():
    """Two lines of ours: the one that uses a key, and the one that has the documents or numbers drawn."""
    frame, lines = sys._getframe(2), []
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        is_model = frame.f_code.co_name in ("model", "__call__", "init_to_centre")  # run by NumPyro
        if path.is_relative_to(ROOT) and ".venv" not in path.parts and not is_model:
            name = path.relative_to(ROOT).as_posix()
            lines.append(f"{name}:{frame.f_lineno}")
            if not name.startswith(HANDED_ON):
                break
        frame = frame.f_back
    return lines[0], lines[-1]


@pytest.fixture
def used(monkeypatch):
    """{bits of a key: its purposes}, in compiled programs too."""
    purposes = collections.defaultdict(set)

    def recorded(function):
        def wrapper(key, *args, **kwargs):
            lines, words = purpose(), key
            if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
                words = jax.random.key_data(key)
            if words.ndim == 1:  # else a key for each number, which were split before
                jax.debug.callback(lambda bits: purposes[tuple(bits.tolist())].add(lines), words)
            return function(key, *args, **kwargs)

        return wrapper

    for name in DRAWS:
        monkeypatch.setattr(jax.random, name, recorded(getattr(jax.random, name)))
    fast, host = theory.compute.random, np.random.default_rng
    monkeypatch.setattr(fast, "_normal", recorded(fast._normal))

    def on_host(seed=None):
        if isinstance(seed, list):
            purposes[tuple(seed)].add(purpose())
        return host(seed)

    monkeypatch.setattr(np.random, "default_rng", on_host)
    return purposes


def shared(purposes):
    jax.effects_barrier()
    return {key: sorted(lines) for key, lines in purposes.items() if len(lines) > 1}


def test_every_number_is_that_of_one_purpose():
    """Unlike all others, and read in one place of the sources."""
    numbers = {name: value for name, value in vars(random_streams).items() if name.isupper()}
    assert len(set(numbers.values())) == len(numbers) > 15
    assert min(numbers.values()) > 2  # 1 and 2 are pretraining's
    readers = collections.Counter(
        node.attr
        for path in (ROOT / "experiments").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "random_streams"
    )
    assert {name: readers[name] for name in numbers if readers[name] != 1} == {}


def test_a_stream_is_folded_number_by_number():
    wanted = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(jax.random.key(3), 20), 1), 5)
    got = jax.jit(lambda step: random_streams.stream(3, 20, 1, step))(5)
    assert (jax.random.key_data(got) == jax.random.key_data(wanted)).all()


def test_the_recorder_sees_a_key_of_two_purposes(used):
    """In this jax fold_in(k, 1) is split(k)[1]."""

    @jax.jit
    def draw(key):
        first = jax.random.normal(jax.random.fold_in(key, 1))
        return first + jax.random.uniform(jax.random.split(key)[1])

    draw(jax.random.key(3))
    (lines,) = shared(used).values()
    assert len(lines) == 2 and len(used) == 2


QUICK = ("sgld",)  # make test-slow has the other kernels
KERNELS = [
    pytest.param(module.name, marks=[pytest.mark.slow] * (module.name not in QUICK))
    for module in pkgutil.iter_modules(theory.samplers.__path__)
]


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_uses_every_key_once(name, used):
    """A random start, first gradient and momentum, steps, and the warning after warm-up."""
    kernel = replace(
        importlib.import_module(f"theory.samplers.{name}").example(),
        model=model,
        potential_fn=None,
        whole_potential_fn=None,
        step_size=0.01,
    )
    state, step = kernel.init(jax.random.key(7), 1, None), jax.jit(lambda state: kernel.sample(state))
    for _ in range(3):
        state = step(state)
    assert len(used) > 9
    assert shared(used) == {}


@pytest.mark.slow
def test_a_run_uses_every_key_once(tiny, untrained, used):
    """Every kind of cell of two base networks and arms, with posteriors, replayed documents and LoRA."""
    jax.clear_caches()  # a program that was traced before records nothing
    sampling = Sampling(plan=Plan(6, 6, 1), chains=2, rounds=2, seeds=2, bases=2, moments=(0, 3))
    experiment = tiny({"finetuning.methods": ("adam",)})
    methods = experiment.methods | {"lora": Lora(), "replay": Replay()}
    experiment = replace(experiment, methods=methods, sampling=sampling, base_seeds=2)
    executor = Executor(experiment, untrained(experiment))
    for cell in experiment.cells():
        executor.run(cell, executor.template)
    assert len(used) > 300
    assert shared(used) == {}
    jax.clear_caches()
