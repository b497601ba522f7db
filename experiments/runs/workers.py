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
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from experiments.cells.programs import Executor
from experiments.design.study import StudyRun
from experiments.own_files import blaming
from experiments.runs import environment
from experiments.runs.base_networks import BaseNetworks
from experiments.runs.pretraining import template
from experiments.runs.retraining import retrained_weights
from experiments.scoring.convergence import tuning_lines
from experiments.storage.contents import PosteriorCell
from experiments.storage.records import Cell
from experiments.storage.run_folder import RunFolder
from experiments.system.children import in_processes
from models.network import Network

SETTINGS = (  # what a run has set in jax before it computes
    *environment.SETTINGS,
    "jax_num_cpu_devices",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_disable_most_optimizations",
)


@dataclass(frozen=True)
class Finished:
    """A cell that was run: why it failed ("" if it did not), and what step-size tuning chose, in lines."""

    cell: Cell
    failure: str
    tuning: list[str]


def one_by_one(
    executor: Executor, bases: Network, run: RunFolder, cells: Iterable[Cell], kept: BaseNetworks
) -> Iterator[Finished]:
    """Run cells and save each; yields what has finished. `bases` are the base networks, stacked; retrained
    ones are read from those that are `kept`."""
    experiment = executor.experiment
    networks = functools.cache(lambda row: jax.tree.map(lambda leaf: leaf[row], bases))
    for cell in cells:
        row = cell.base - experiment.first_base
        source = networks((row + experiment.arm(cell.arm).teacher_offset) % experiment.base_seeds)
        retrained = None
        if cell.kind == "retrained":
            retrained = retrained_weights(experiment, experiment.arm(cell.arm), kept, row)
        content, failure = executor.run(cell, networks(row), source, retrained)
        if failure:
            run.fail(cell, failure)
        else:
            run.save(cell, content)
        yield Finished(cell, failure, tuning_lines(content) if isinstance(content, PosteriorCell) else [])


def side_by_side(
    study_run: StudyRun, networks: Path, run: RunFolder, cells: list[Cell], jobs: int
) -> Iterator[Finished]:
    """The same in `jobs` processes, over all draws of the process; the base networks exist."""
    programs: dict[tuple[int, str, str], list[Cell]] = {}
    for cell in cells:
        programs.setdefault((run.draw(cell.base), cell.kind, cell.method), []).append(cell)
    settings = {name: jax.config.values[name] for name in SETTINGS if name in jax.config.values}
    prepare = [functools.partial(_settle, share, settings) for share in divided(_cores(), jobs)]
    task = functools.partial(_task, _Frozen(study_run), networks, run)
    for finished in in_processes(task, programs.values(), prepare):
        yield from finished


def divided(cores: list[int], jobs: int) -> list[list[int]]:
    """The cores of every process: as equal shares as there are; one core serves several if it must."""
    if jobs > len(cores):
        return [[cores[job % len(cores)]] for job in range(jobs)] if cores else [[]] * jobs
    return [cores[job::jobs] for job in range(jobs)]


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _settle(share: list[int], settings: dict[str, Any]) -> None:
    """A process takes the run's settings and its share of the cores."""
    for name, value in settings.items():
        jax.config.update(name, value)
    jax.devices()  # first, as the parts of a matrix product follow the number of cores that are seen here
    for thread in Path("/proc/self/task").glob("[0-9]*") if share else ():
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(int(thread.name), share)


@blaming()
def _task(study_run: "_Frozen", networks: Path, run: RunFolder, cells: list[Cell]) -> list[Finished]:
    executor, bases = _prepared(study_run, run.draw(cells[0].base), networks)  # all are of one program
    return list(one_by_one(executor, bases, run, cells, BaseNetworks(networks)))


class _Frozen:
    """A run as a key of a cache: its options are a dict, which has no hash."""

    def __init__(self, study_run: StudyRun):
        self.study_run = study_run

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and self.study_run == other.study_run

    def __hash__(self) -> int:
        return hash((self.study_run.study, self.study_run.preset))


@functools.cache
def _prepared(study_run: _Frozen, draw: int, networks: Path) -> tuple[Executor, Network]:
    """The executor and the base networks of one draw of a study, once for each process."""
    experiment, kept = study_run.study_run.experiments()[draw], BaseNetworks(networks)
    return Executor(experiment, template(experiment.process, experiment.shape)), kept.load(experiment)
