"""Environment of a run: devices and compiler settings, versions, machine, and the commit of the code.

Functions import jax themselves: its log level is read when it is loaded.
"""

import contextlib
import functools
import os
import platform
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from experiments.storage.makers import Maker
from experiments.storage.records import Json
from experiments.system.accelerators import plugins
from theory.errors import Misuse

DEVICES = "xla_force_host_platform_device_count"
DETERMINISTIC = "--xla_gpu_deterministic_ops=true"  # no sums in an order that changes from run to run
KEPT = 0.0  # seconds: programs that take as long to compile are kept; most of a smoke run take a tenth
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpyro", "numpy", "matplotlib")
SETTINGS: dict[str, Any] = {  # of jax, which change numbers or stop a program: those of every run
    "jax_enable_x64": False,
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
    "jax_default_matmul_precision": "highest",  # float32: recent GPUs' default is TF32, of 11 bits
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    "jax_softmax_custom_jvp": False,
    "jax_high_dynamic_range_gumbel": False,
    "jax_debug_nans": False,
    "jax_debug_infs": False,
    "jax_disable_jit": False,
}


def fix_settings() -> list[str]:
    """Set what changes numbers in jax to the values of every run; a sentence for each that was another."""
    import jax

    sentences = []
    for name, value in SETTINGS.items():
        if name in jax.config.values and jax.config.values[name] != value:
            if jax.config.values[name] is not None:  # somebody's choice, and not jax's own
                sentences.append(f"{name.upper()} is {value} in a run, not {jax.config.values[name]}")
            jax.config.update(name, value)
    return sentences


@contextlib.contextmanager
def fixed_settings() -> Iterator[None]:
    """The same within a block, or a function that it decorates: what a notebook has set comes back."""
    import jax

    with contextlib.ExitStack() as stack:
        for name, value in SETTINGS.items():
            context = getattr(jax, name.removeprefix("jax_"), None)
            if context is not None:  # of this thread, and so stronger than a `with` around it
                stack.enter_context(context(value))
            elif name in jax.config.values:
                stack.callback(jax.config.update, name, jax.config.values[name])
                jax.config.update(name, value)
        yield


def prepare_devices(only_cpu: bool = False) -> None:
    """Set one CPU device for each core, and a compilation cache of the user's own; programs of accelerators
    are to be deterministic. With `only_cpu` accelerators are left to the workers that this process starts.

    Where SLURM has allotted cores to this process, only these count. A process that has computed with jax
    already, such as a notebook, or whose user has set its devices, stays as it is; so does a cache that its
    user has chosen. Raises `Misuse` for settings with which nothing runs.
    """
    # On some CPUs every program out of the cache is announced as an error (jax-ml/jax issue 38445).
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import jax

    if jax.config.values["jax_disable_jit"]:
        raise Misuse("JAX_DISABLE_JIT is set, and programs are compiled before they run; unset it.")
    if only_cpu:
        jax.config.update("jax_platforms", "cpu")
    elif plugins():
        add_flag(DETERMINISTIC)
    _choose_devices()
    platforms = jax.config.values["jax_platforms"]
    if platforms and platforms != "cpu":
        try:
            jax.devices()
        except Exception as error:  # RuntimeError, and AssertionError where there is no plugin
            raise Misuse(
                f"JAX_PLATFORMS asks for {platforms!r}, which jax cannot start here "
                f"({str(error) or 'there is none'}); unset it, or set it to cpu."
            ) from error


def _choose_devices() -> None:
    """Set devices and cache where nobody has."""
    import jax

    if jax.config.values["jax_num_cpu_devices"] >= 0 or DEVICES in os.environ.get("XLA_FLAGS", ""):
        return
    try:
        jax.config.update("jax_num_cpu_devices", allotted_cores())
    except RuntimeError:  # the backend is initialised
        return
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        cache = Path(home) / "finebayes" / "jax"
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", KEPT)
    except (OSError, RuntimeError):  # no home, or none to write in, costs compilations, nothing else
        pass


def allotted_cores() -> int:
    """The cores that this process may use, of those that SLURM has allotted to it where it did."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allotted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(cores, int(allotted)) if allotted.isdecimal() and int(allotted) else cores


@functools.cache
def maker() -> Maker:
    """This process as a maker of cells, as it is when it makes the first."""
    import jax

    devices, commit = jax.devices(), _git("rev-parse", "HEAD") or ""
    return Maker(
        commit + " (dirty)" * bool(commit and _git("status", "--porcelain")),
        {name: version(name) for name in PACKAGES},
        platform.python_version(),
        _cpu(),
        allotted_cores(),
        f"{len(devices)} × {devices[0].device_kind}",
    )


def _cpu() -> str:
    """The model of the CPU, as far as the system says."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def environment() -> Json:
    """The machine and the versions of a run; a commit is None outside a git checkout."""
    import jax

    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "packages": {name: version(name) for name in PACKAGES},
        "devices": [str(device) for device in jax.devices()],
        "cores": os.cpu_count(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "settings": {name: jax.config.values.get(name) for name in SETTINGS},
        "variables": {name: value for name, value in sorted(os.environ.items()) if name.startswith("JAX_")},
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain")),
    }


def compile_fast() -> None:
    """Let programs compile in half the time and run slower; to be called before the first is compiled."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)


def add_flag(flag: str) -> None:
    """Add a flag of XLA's behind those that its user has set; the last one counts."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    if flag not in flags:
        os.environ["XLA_FLAGS"] = " ".join([*flags, flag])


@functools.cache
def _git(*words: str) -> str | None:
    try:
        here = Path(__file__).parent
        done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
