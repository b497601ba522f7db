"""The command `work`: a worker at the folders of runs and sweeps."""

import dataclasses
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import tyro

from experiments.commands.parsing import parse
from experiments.system.accelerators import devices, divided
from experiments.system.children import end_with
from experiments.system.cores import cores
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.runs.crew import Crew


PER_CORE = 8  # processes that --workers starts on one machine, at most


@dataclasses.dataclass(frozen=True)
class _Work:
    folders: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="FOLDER ...")]] = ()
    """Folders of runs and sweeps that were begun with --workers, as this machine sees them."""
    networks: str = ""
    """Where their base networks are kept (default: where they were begun with)."""
    share: str = ""
    """This worker's share of the machine's cores, like 1/4: bytes are those of all cores (default: all)."""
    figures: bool = False
    """Draw the figures of every run of a sweep, and write its report; other runs always have both."""
    parent: int = 0
    """End when the process of this number, which started this one, has ended."""


def work(arguments: list[str]) -> None:
    options = parse(_Work, "work", arguments)
    if not options.folders:
        raise Misuse("Name the folders of runs or sweeps: finebayes work FOLDER ...")
    part, of = _share(options.share)
    signal.signal(signal.SIGTERM, _interrupt)  # a scheduler that takes the machine back: claims are released
    if options.parent:
        end_with(options.parent)
    from experiments.runs.environment import prepare_devices

    prepare_devices()
    from experiments.runs import work as works

    alone = not options.parent  # which writes the scores of a sweep itself, when all workers have ended
    works.work(options.folders, options.networks, (part, of), options.figures, scores=alone)
    print(*options.folders, sep="\n")


def workers_of(options: Any) -> int | None:
    """The number of workers in the options of a run or a sweep; None for this process alone."""
    if options.workers < -1:
        raise Misuse(f"workers must be at least 0, or -1 for none, got {options.workers}.")
    if options.slurm and options.workers < 1:
        raise Misuse("--slurm needs a number of jobs from 1 on: add --workers N.")
    most = PER_CORE * max(len(cores()), 1)
    if options.workers > most and not options.slurm:
        raise Misuse(
            f"workers on this machine must be at most {most}, {PER_CORE} for each core that may be used, got "
            f"{options.workers}; each needs memory of its own, and more than cores gain nothing."
        )
    return None if options.workers < 0 else options.workers


def crew_of(count: int, slurm: str) -> "Crew":
    """Workers of this machine, an accelerator each where it has any, or of SLURM."""
    from experiments.runs.crew import Crew
    from experiments.runs.slurm import Slurm

    if slurm:
        return Crew(count, Slurm.parse(slurm))
    return Crew(count, variables=tuple(divided(devices(), count)) if count else ())


def waiting(folder: Path, figures: bool = False) -> str:
    """The folder, and the command with which others start workers at it."""
    return f"folder  {folder}\nworkers  finebayes work {folder}{' --figures' * figures}"


def _share(text: str) -> tuple[int, int]:
    """Part k of n, counted from 1."""
    part, _, of = (text or "1/1").partition("/")
    if not (part.isdecimal() and of.isdecimal() and 1 <= int(part) <= int(of)):
        raise Misuse(f"--share must be a part of the cores like 1/4, got {text!r:.40}.")
    return int(part), int(of)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
