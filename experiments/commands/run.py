"""The commands `run` and `forecast`: a study's config from options, then everything that a run does."""

import contextlib
import dataclasses
import subprocess
import sys
from typing import Annotated, Any

import tyro

from experiments.commands.parsing import COMMANDS, parse, say
from experiments.commands.reading import drawing_apart
from experiments.commands.work import crew_of, waiting, workers_of
from experiments.design.config import StudyConfig
from experiments.design.old_names import refuse_old_names
from experiments.design.study import DEFAULT_PRESET, Study, StudyRun
from experiments.design.words import take
from experiments.discovery import Catalogue
from experiments.storage.run_folder import find
from experiments.system import surroundings
from theory.errors import Misuse


def run(arguments: list[str], command: str = "run") -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: finebayes {command} STUDY [options]\n\n{COMMANDS[command]}")
        print(f"\nstudies: {', '.join(Catalogue().names('studies'))}, or a file of your own, my_study.py")
        print(f"finebayes {command} all [--preset PRESET] goes through all of them, one after the other.")
        print(f"finebayes {command} --config FOLDER runs again what the folder of a run says.")
        print(f"\nfinebayes {command} STUDY --help shows every option of a study.")
        return
    folder, arguments = take(arguments, "config")
    if folder is not None and (take(arguments, "preset")[0] or "all" in arguments[:1]):
        raise Misuse("--config is a run's study, preset and options; change options beside it, nothing else.")
    if arguments and arguments[0] == "all":
        _all(command, arguments[1:])
        return
    if folder is None and arguments[0].startswith("-"):
        raise Misuse(f"Name the study first, then options: finebayes {command} STUDY {arguments[0]} ...")
    given = None if not arguments or arguments[0].startswith("-") else arguments.pop(0)
    study, preset, config = defaults(given, folder, arguments)

    parser = parsers(study, preset, config)[command]
    refuse_old_names(arguments, config)
    with study.reading_options():
        words = f"{command} {study.name}", arguments
        parsed = parse(parser, *words, parser(config), about=f"The study asks: {study.entry.summary}")
    is_run = command == "run"
    workers = workers_of(parsed) if is_run else None
    study_run = StudyRun.make(study, parsed.preset, parsed.config)
    draws = is_run and workers is None and not parsed.dry_run and "jax" not in sys.modules
    with drawing_apart() if draws else contextlib.nullcontext(None) as draw:
        from experiments.runs.environment import prepare_devices

        prepare_devices(only_cpu=workers is not None)
        from experiments.runs import run as runs

        if not is_run:
            print(runs.forecast(study_run, parsed.out, parsed.networks, parsed.again))
        elif parsed.dry_run:
            print(runs.dry_run(study_run))
        elif workers is not None:
            from experiments.runs.with_workers import run_with_workers

            crew = crew_of(workers, parsed.slurm)
            made = run_with_workers(study_run, crew, parsed.out, parsed.networks, parsed.again)
            print(runs.summary(made) if workers else waiting(made.folder))
            if parsed.strict and workers:
                runs.refuse_unconverged(made)
        else:
            early = draw.early if draw and study_run.config.optimise else None  # else the run is short
            places = parsed.out, parsed.networks
            made = runs.run(study_run, *places, draw=draw, again=parsed.again, show=True, early=early)
            if parsed.strict:
                runs.refuse_unconverged(made)


def parsers(study: Study, preset: str, config: StudyConfig) -> dict[str, Any]:
    """The options of `run` and `forecast` as dataclasses, with a study's config among them."""
    kind, chosen = type(config), preset

    @dataclasses.dataclass(frozen=True)
    class Forecast:
        config: Annotated[kind, tyro.conf.arg(name="")]  # pyright: ignore
        preset: Annotated[str, tyro.conf.arg(metavar="|".join(study.module.PRESETS))] = chosen
        """Where the defaults of all other options come from."""
        out: str = ""
        """The run's folder (default: results/STUDY/HASH, one for each config)."""
        networks: str = ""
        """Where base networks are kept and found (default: results/networks, or OUT/networks)."""
        again: bool = False
        """Delete the results in the run's folder first, whatever code made them; base networks stay."""

    @dataclasses.dataclass(frozen=True)
    class Run(Forecast):
        strict: bool = False
        """End with an error where chains behind a theory have not converged (everything is written first)."""
        workers: int = -1
        """Processes that make the cells, the cores divided among them (same bytes; -1: this one alone). A
        cell keeps busy as many cores as it has networks (2 × seeds); more processes pay beyond that only.
        With 0 the folder is begun for workers that you start: finebayes work FOLDER, on any machine."""
        slurm: Annotated[str, tyro.conf.arg(metavar="NAME=VALUE,...")] = ""
        """Let SLURM start the workers, with options of sbatch like partition=cpu,time=60,cpus-per-task=8."""
        dry_run: bool = False
        """Say what would be run, how long it takes and what it needs, and stop."""

    return {"run": Run, "forecast": Forecast}


def defaults(given: str | None, folder: str | None, arguments: list[str]) -> tuple[Study, str, StudyConfig]:
    """The study, its preset, and the config that supplies the defaults which the parser shows."""
    if folder is not None:
        stored = StudyRun.of(find(folder, say))
        if given is not None and given != stored.study.name:
            raise Misuse(f"{folder} is a run of {stored.study.name}, not of {given}; omit the study.")
        return stored.study, stored.preset, stored.config
    assert given is not None
    study = Study.find(given)
    preset, _ = take(arguments, "preset")
    return study, preset or DEFAULT_PRESET, study.preset(preset or DEFAULT_PRESET)


def _all(command: str, arguments: list[str]) -> None:
    """Every study in a process of its own: what one leaves behind in jax is nothing to the next."""
    names, failed = Catalogue().names("studies"), []
    for name in names:
        Study.find(name).preset(take(arguments, "preset")[0] or DEFAULT_PRESET)  # refused before any is run
    for name in names:
        print(f"finebayes {command} {' '.join([name, *arguments])}", file=sys.stderr, flush=True)
        words = surroundings.command_line(command, name, *arguments)
        if subprocess.run(words, env=surroundings.variables()).returncode:
            failed.append(name)
    if failed:
        raise Misuse(f"{len(failed)} of {len(names)} studies failed: {', '.join(failed)}; see above for why.")


def forecast(arguments: list[str]) -> None:
    run(arguments, "forecast")
