"""Cells one by one, or side by side in processes of their own with the cores divided among them.

A cell by itself keeps every core busy that has a network: its networks are split over one device a core
(theory.compute.devices). Processes beside each other pay where there are more cores than networks in a
cell, as each of them compiles what its cells need; so all cells of one program go to the same process.

Every process has as many devices and threads as the run would have alone, all held to its share of the cores
where the system allows it. Shapes, programs and the parts of matrix products are then those of a run without
jobs, and so are the bytes of its cells; cells made on another number of cores may differ in the last digits.
"""

import contextlib
import functools
import importlib
import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import jax

from experiments.cells.programs import Executor
from experiments.runs.base_networks import Networks
from experiments.runs.progress import Progress
from experiments.scoring.convergence import pilot_lines
from experiments.storage.run_folder import Results

SETTINGS = (  # what a run has set in jax before it computes
    "jax_num_cpu_devices",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_disable_most_optimizations",
)
Finished = tuple[str, str, list[str]]  # a cell, why it failed ("" if it did not), what its pilots said


def one_by_one(bench: Executor, bases: Any, results: Results, cells: Iterable[str]) -> Iterator[Finished]:
    """Run cells and save each; yields what has finished."""
    networks = functools.cache(lambda base: jax.tree.map(lambda leaf: leaf[base], bases))
    for cell in cells:
        name, arm_name, base = cell.rsplit("-", 2)
        chosen = next(arm for arm in bench.comparison.arms if arm.name == arm_name)
        source = networks((int(base) + chosen.apart) % bench.comparison.base_seeds)
        arrays, failure = bench.run(name, chosen, networks(int(base)), source)
        if failure:
            results.fail(cell, failure)
        else:
            results.save(cell, arrays)
        yield cell, failure, pilot_lines(arrays)


def side_by_side(
    study: str, config: Any, networks: Path, results: Results, cells: list[str], jobs: int
) -> Iterator[Finished]:
    """The same in `jobs` processes. `study` is the name of its module; the base networks exist."""
    programs: dict[str, list[str]] = {}
    for cell in cells:
        programs.setdefault(cell.rsplit("-", 2)[0], []).append(cell)
    context = multiprocessing.get_context("spawn")
    shares = context.SimpleQueue()
    for share in divided(_cores(), jobs):
        shares.put(share)
    settings = {name: jax.config.values[name] for name in SETTINGS}
    pool = ProcessPoolExecutor(jobs, context, _settle, (shares, settings))
    try:
        tasks = [pool.submit(_task, study, config, networks, results, group) for group in programs.values()]
        for task in as_completed(tasks):
            yield from task.result()
    finally:
        pool.shutdown(cancel_futures=True)


def divided(cores: list[int], jobs: int) -> list[list[int]]:
    """The cores of every process: as equal shares as there are; one core serves several if it must."""
    if jobs > len(cores):
        return [[cores[job % len(cores)]] for job in range(jobs)] if cores else [[]] * jobs
    return [cores[job::jobs] for job in range(jobs)]


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _settle(shares: Any, settings: dict[str, Any]) -> None:
    """A process takes its cores and the run's settings, and ends when the run does, however that happens."""
    share, parent = shares.get(), multiprocessing.parent_process()
    for name, value in settings.items():
        jax.config.update(name, value)
    jax.devices()  # first, as the parts of a matrix product follow the number of cores that are seen here
    for thread in Path("/proc/self/task").glob("[0-9]*") if share else ():
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(int(thread.name), share)

    def run_plan() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=run_plan, daemon=True).start()


def _task(study: str, config: Any, networks: Path, results: Results, cells: list[str]) -> list[Finished]:
    return list(one_by_one(*_prepared(study, config, networks), results, cells))


@functools.cache
def _prepared(study: str, config: Any, networks: Path) -> tuple[Executor, Any]:
    """The bench and the base networks of a study, once for each process."""
    comparison, kept = importlib.import_module(study).comparison(config), Networks(networks)
    return Executor(comparison, kept.template(comparison)), kept.pretrained(comparison, Progress())
