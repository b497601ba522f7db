"""Cells one by one, as a run and a worker make them.

A cell keeps every core busy that has a network: its networks are split over one device a core
(theory.compute.devices). Several workers on one machine pay where it has more cores than a cell has networks.
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import jax

from experiments.cells.programs import Executor
from experiments.runs import environment
from experiments.runs.base_networks import BaseNetworks
from experiments.runs.retraining import retrained_weights
from experiments.scoring.convergence import tuning_lines
from experiments.storage.contents import PosteriorCell
from experiments.storage.makers import note_maker
from experiments.storage.records import Cell
from experiments.storage.run_folder import RunFolder
from models.network import Network


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
            run.fail(cell, failure, once=True)
        else:
            run.save(cell, content, once=True)
        note_maker(run.folder, environment.maker(), cell.name)
        yield Finished(cell, failure, tuning_lines(content) if isinstance(content, PosteriorCell) else [])
