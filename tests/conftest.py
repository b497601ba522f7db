"""Two CPU devices, and every annotation of the packages checked at run time, shapes included.

Most programs of the tests compile for longer than they run: the compiler leaves most of its work, programs
share the context that jax otherwise makes for each (a third of what compiling a small one takes), and what
tracing makes is not searched for garbage all the time (a tenth of the theory suite's time).
"""

import gc
import os
import sys
import threading

import beartype.typing  # noqa: F401  (named in the string below)
import jax
import numpy as np
import pytest
from jax._src.interpreters import mlir
from jaxtyping import install_import_hook
from scipy.optimize import minimize

# Kernels of a program are compiled together: apart, for threads to share, they take 1.6 times as long.
QUICK = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
if jax.__version_info__[:2] == (0, 10):  # a flag that another version does not know would end the process
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}".strip()
gc.set_threshold(100_000, 20, 100)
jax.config.update("jax_disable_most_optimizations", True)
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update(
    "jax_default_matmul_precision", "highest"
)  # as runs have it, which stays when one is called


class _Contexts(threading.local):
    """The MLIR context of each thread, in which all its programs are written: its dialects load slowly."""

    def __init__(self, make):
        self.context = make()


if hasattr(mlir, "make_ir_context"):  # no public name: where another version has none, tests are slower
    contexts = _Contexts(mlir.make_ir_context)
    mlir.make_ir_context = lambda: contexts.context

# beartype cannot see the class around a method decorated on its own, so Self goes unchecked
_CHECK = """beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True,
    hint_overrides=beartype.FrozenDict({beartype.typing.Self: object})))"""
install_import_hook(["theory", "models"], _CHECK)


def _posterior_mode(prior, log_likelihoods, beta, kappa=1.0):
    """Weights (k,) that maximise β Σ_x log Σ_z π_z p(x | z) + κ Σ_z π0_z log π_z, by a general optimiser in
    double precision; of log p(x | z), shape (k, n)."""
    found = np.exp(np.asarray(log_likelihoods, float) - np.max(log_likelihoods, axis=0))
    prior = np.asarray(prior, float) / np.sum(prior)
    total = beta * found.shape[1] + kappa

    def loss(logits):
        weights = np.exp(logits - logits.max())
        weights /= weights.sum()
        after = weights[:, None] * found
        counts = (after / after.sum(axis=0)).sum(axis=1)
        value = beta * np.log(weights @ found).sum() + kappa * prior @ np.log(weights)
        return -value / total, weights - (beta * counts + kappa * prior) / total

    best = minimize(loss, np.log(prior), jac=True, method="BFGS", options={"gtol": 1e-10})
    weights = np.exp(best.x - best.x.max())
    return weights / weights.sum()


def _settings():
    """What later tests inherit: jax's settings, and the variables that it and its compiler read."""
    read = {name: value for name, value in os.environ.items() if name.startswith(("JAX_", "XLA_"))}
    return dict(jax.config.values) | read


BEFORE = _settings()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item):
    """A test that changes settings for good changes the numbers of whatever runs after it: it fails."""
    result = yield
    now = _settings()
    changed = {name: now.get(name) for name, value in BEFORE.items() if now.get(name) != value}
    if changed:
        for name in changed:
            if name in jax.config.values:
                jax.config.update(name, BEFORE[name])
            else:
                os.environ[name] = BEFORE[name]
        raise AssertionError(f"{item.nodeid} leaves other settings behind: {changed}")
    return result


@pytest.fixture(scope="session")
def posterior_mode():
    return _posterior_mode


@pytest.fixture(scope="session")
def heeding():
    """The beginning of a command that heeds SIGINT, also where a shell runs the tests in the background. No
    `preexec_fn`: a fork of a process with jax's threads can hang."""
    heed = "signal.signal(signal.SIGINT, signal.SIG_DFL)"
    code = f"import os, signal, sys; {heed}; os.execv(sys.argv[1], sys.argv[1:])"
    return sys.executable, "-c", code
