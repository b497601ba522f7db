"""Executors make the runs of a sweep, one at a time. `InThisProcess` is the only one there is.

Points that differ in numbers of the process alone share all of their programs, which are traced and compiled
once (experiments.cells.program_store); others of one shape share what they can. Programs of other shapes are
dropped, so that memory does not grow with the number of points.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar

import jax

from experiments.cells.programs import Executors
from experiments.design.options import options
from experiments.design.study import StudyRun
from experiments.runs.progress import Progress
from experiments.runs.run import refuse_unconverged, run
from experiments.storage.run_folder import RunFolder
from theory.compute.background import settle

OPTIMISATIONS = "jax_disable_most_optimizations"
ThingT = TypeVar("ThingT")
MOST = 2**30  # bytes by which memory may grow before programs are dropped


@dataclass(frozen=True)
class Settings:
    """Settings of all runs of a sweep: the folder of base networks, options of `finebayes run`, and whether
    every run is drawn and reported, which takes longer than its scores."""

    networks: Path
    again: bool = False
    strict: bool = False
    figures: bool = False


Executor: TypeAlias = Callable[[StudyRun, Path, Settings, Progress], object]


@dataclass
class InThisProcess:
    """An executor that keeps what the points before have compiled as long as it is of use."""

    shapes: tuple[object, ...] = ()
    memory: int = 0
    executors: Executors = field(default_factory=Executors)

    def __call__(
        self, study_run: StudyRun, folder: Path, settings: Settings, progress: Progress
    ) -> RunFolder:
        """Run a point as `finebayes run` does, to the same bytes."""
        self.drop(study_run)
        with own_optimisations():
            made = run(
                study_run,
                str(folder),
                str(settings.networks),
                progress=progress,
                again=settings.again,
                executors=self.executors,
                figures=settings.figures,
            )
        if settings.strict:
            refuse_unconverged(made)
        return made

    def drop(self, study_run: StudyRun) -> None:
        """Drop programs that the next point does not use, also those which checking the points has compiled:
        with other optimisations their numbers differ in the last digits."""
        shapes = shapes_of(study_run)
        if shapes != self.shapes or _resident() > self.memory + MOST:
            jax.clear_caches()
            self.executors = Executors()
            self.shapes, self.memory = shapes, _resident()


def shapes_of(study_run: StudyRun) -> tuple[object, ...]:
    """The shapes of a run's networks and process: runs that differ in them share no programs."""
    config = study_run.config
    fields = dict(options(config.process))
    counts = {
        name: value for name, value in fields.items() if name != "seed" and not isinstance(value, float)
    }
    return config.network, config.optimise, type(config.process), counts


def by_shape(things: Iterable[ThingT], shapes: Callable[[ThingT], object]) -> list[list[ThingT]]:
    """Things in groups that share their programs, in the order of the first of each."""
    groups: list[tuple[object, list[ThingT]]] = []  # a shape holds a dict, which is no key
    for thing in things:
        shape = shapes(thing)
        group = next((group for known, group in groups if known == shape), None)
        if group is None:
            groups.append((shape, group := []))
        group.append(thing)
    return [group for _, group in groups]


@contextlib.contextmanager
def own_optimisations() -> Iterator[None]:
    """Keep what a run sets of the compiler, as a smoke run does, to that run.

    What is compiled ahead is finished first: compiled later, it would be by the settings of the next run, and
    be called by runs of the same experiment. An interrupt waits for nothing.
    """
    before = jax.config.values[OPTIMISATIONS]
    try:
        yield
    except Exception:
        settle()
        raise
    else:
        settle()
    finally:
        jax.config.update(OPTIMISATIONS, before)


def _resident() -> int:
    """Bytes of this process in memory; 0 where the system does not say."""
    try:
        return 4096 * int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
