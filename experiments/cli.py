"""The command line: everything in COMMANDS. Data on stdout, progress on stderr."""

import contextlib
import dataclasses
import difflib
import gc
import json
import os
import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import tyro

from experiments.design.checks import check_positive
from experiments.design.config import StudyConfig
from experiments.design.old_names import refuse_old_names
from experiments.design.study import DEFAULT_PRESET, Study, StudyRun
from experiments.design.words import LISTS, Unknown, names_of, refuse_unknown, take
from experiments.discovery import FOLDERS, Catalogue
from experiments.figures import drawing_process
from experiments.storage.run_folder import find
from experiments.system import interrupts, surroundings
from theory.errors import Misuse

OptionsT = TypeVar("OptionsT")

COMMANDS = {
    "list": "Studies, processes, theories, methods and samplers, each in one line.",
    "run": "Pretrain, finetune, predict, compare and draw one study; finished parts are not redone.",
    "forecast": "Seal what every theory expects of a study before any finetuning; `run` scores exactly that.",
    "plot": "Redraw the figures of a run (also an unfinished one) from what is on disk.",
    "report": "Write one static report.html with figures and tables inside.",
    "score": "Print the scorecard: how much of each shift every theory explains.",
    "compare": "Draw theories × methods of one or several runs as a heat map, with the numbers as tables.",
    "doctor": "Versions, devices, threads, and a three-second self-test.",
}
USAGE = f"usage: finebayes {{{','.join(COMMANDS)}}} ...\n\n" + "\n".join(
    f"  {name:9s}{text}" for name, text in COMMANDS.items()
)
HELP = f"""{USAGE}

Try:  finebayes run weird-generalisation --preset smoke
      finebayes run weird-generalisation --help      every field of the study's config
"""


def console() -> None:
    """The console's entry: `main`, and the end at once where a thread still compiles, which nothing can stop
    and which aborts an interpreter that ends before it."""
    status: Any = 0
    interrupts.raise_again()
    try:
        main()
    except SystemExit as end:
        status = end.code
    if any(thread.daemon for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status or 0)
    sys.exit(status)


def main(arguments: list[str] | None = None) -> None:
    """A command: one sentence and exit status 1 for a mistake, 2 for an unknown option, 130 for Ctrl-C."""
    gc.set_threshold(100_000, 20, 100)  # tracing and drawing make many objects, which stay
    surroundings.settle()
    try:
        _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except Misuse as error:
        _stop(str(error), 2 if isinstance(error, Unknown) else 1)
    except BrokenPipeError:  # the reader, like `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _stop(f"The system refused: {error.strerror or error}{where}; what was finished is kept.")
    except MemoryError:
        _stop("The machine has not enough memory for this; make it smaller. What was finished is kept.")
    except KeyboardInterrupt:
        _say("Interrupted; what was finished is kept, the same command goes on from there.")
        raise SystemExit(130) from None


def _dispatch(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP)
        return
    if arguments[0] == "--version":
        print(f"finebayes {version('finebayes')}")
        return
    command, *others = arguments
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(COMMANDS)}."
        raise Misuse(f"There is no command {command!r}; {hint}")
    globals()[f"_{command}"](others)


def _parse(
    kind: type[OptionsT], command: str, arguments: list[str], default: OptionsT | None = None
) -> OptionsT:
    extra: dict[str, Any] = {} if default is None else {"default": default, "registry": LISTS}
    refuse_unknown(arguments, names_of(kind, getattr(default, "config", None)))
    return tyro.cli(
        kind,
        prog=f"finebayes {command}",
        description=COMMANDS[command.split()[0]],
        args=arguments,
        config=(tyro.conf.AvoidSubcommands,),
        **extra,
    )


OwnFiles: TypeAlias = Annotated[
    tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="with", metavar="FILE.py")
]


@dataclasses.dataclass(frozen=True)
class _List:
    files: OwnFiles = ()
    """A file of your own to list as well (once for each file)."""
    json: bool = False
    """Print JSON."""


def _list(arguments: list[str]) -> None:
    options = _parse(_List, "list", arguments)
    catalogue = Catalogue(options.files)
    listed = {kind: catalogue.entries(kind) for kind in FOLDERS}
    if options.json:
        names = {
            kind: [{"name": entry.name, "summary": entry.summary} for entry in entries]
            for kind, entries in listed.items()
        }
        print(json.dumps(names, indent=1, ensure_ascii=False))
        return
    width = 2 + max(len(entry.name) for entries in listed.values() for entry in entries)
    parts = [
        "\n".join([kind, *(f"  {entry.name:{width}s}{entry.summary}" for entry in entries)])
        for kind, entries in listed.items()
    ]
    print("\n\n".join(parts))


def _run(arguments: list[str], command: str = "run") -> None:
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
    study, preset, config = _defaults(given, folder, arguments)

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
        jobs: int = 1
        """Processes that run cells side by side, the cores divided among them (same bytes). A cell alone
        keeps busy as many cores as it has networks (2 × seeds); more processes pay beyond that only."""
        dry_run: bool = False
        """Say what would be run, how long it takes and what it needs, and stop."""

    parser = {"run": Run, "forecast": Forecast}[command]
    parser.__doc__ = COMMANDS[command]
    refuse_old_names(arguments, config)
    with study.reading_options():
        parsed = _parse(parser, f"{command} {study.name}", arguments, parser(config))
    check_positive("", jobs=parsed.jobs if isinstance(parsed, Run) else 1)
    study_run = StudyRun.make(study, parsed.preset, parsed.config)
    draws = isinstance(parsed, Run) and not parsed.dry_run and "jax" not in sys.modules
    with drawing_process.apart() if draws else contextlib.nullcontext(None) as draw:
        from experiments.runs.environment import prepare_devices

        prepare_devices()
        from experiments.runs import run as runs

        if not isinstance(parsed, Run):
            print(runs.forecast(study_run, parsed.out, parsed.networks, parsed.again))
        elif parsed.dry_run:
            print(runs.dry_run(study_run))
        else:
            made = runs.run(study_run, parsed.out, parsed.networks, parsed.jobs, draw, again=parsed.again)
            print(runs.summary(made))
            if parsed.strict:
                runs.refuse_unconverged(made)


def _defaults(given: str | None, folder: str | None, arguments: list[str]) -> tuple[Study, str, StudyConfig]:
    """The study, its preset, and the config that supplies the defaults which the parser shows."""
    if folder is not None:
        stored = StudyRun.of(find(folder))
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


def _forecast(arguments: list[str]) -> None:
    _run(arguments, "forecast")


@dataclasses.dataclass(frozen=True)
class _Folder:
    folder: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FOLDER")]]
    """The folder that `finebayes run` printed."""


@dataclasses.dataclass(frozen=True)
class _Scored(_Folder):
    json: bool = False
    """Print JSON."""
    everything: bool = False
    """All doses and groups, not only a selection (JSON always has all)."""


def _plot(arguments: list[str]) -> None:
    folder = _parse(_Folder, "plot", arguments).folder
    # -: a run, which names its folder when it is done
    run = find(drawing_process.awaited_folder() if folder == "-" else folder, _say)
    for path in Study.of(run).draw(run):
        print(path)


def _report(arguments: list[str]) -> None:
    from experiments.reports.html import write_report

    run = find(_parse(_Folder, "report", arguments).folder, _say)
    Study.of(run).draw(run)
    print(write_report(run))


def _score(arguments: list[str]) -> None:
    from experiments.scoring.rows import table
    from experiments.scoring.scorecard import scorecard

    options = _parse(_Scored, "score", arguments)
    run = find(options.folder, _say)
    lines = scorecard(table(run))
    if options.json:
        print(json.dumps([line.to_json() for line in lines], indent=1))
    else:
        from experiments.reports.sentences import SELECTED, aligned, scorecard_text
        from experiments.reports.summary import findings_text
        from experiments.scoring import convex_hull

        print(findings_text(run) or scorecard_text(lines, everything=options.everything))
        if lines and not options.everything:
            print(f"\n{SELECTED}")
        outside = convex_hull.hull(run, lines)
        if outside:
            print(f"\n{convex_hull.ABOUT}\n\n{aligned(convex_hull.table(outside))}")


@dataclasses.dataclass(frozen=True)
class _Compared:
    places: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="FOLDER ...")]] = ()
    """Folders that `finebayes run` printed, finished or not. A column is a method and D', a row a theory
    with its explained share at a small and at a large dose. Example: finebayes compare
    results/weird-generalisation/* --out comparison"""
    out: str = ""
    """Where heat-map.png (.svg, .pdf), scorecard.csv, scorecard.md, overview.md and ladders.md go (default:
    FOLDER/figures, or ./comparison where there are several)."""


def _compare(arguments: list[str]) -> None:
    options = _parse(_Compared, "compare", arguments)
    from experiments.figures import heat_map
    from experiments.reports import overview
    from experiments.reports import tables as ladders
    from experiments.scoring import leaderboard as compare

    lines, columns, runs = compare.read(options.places, _say)
    out = Path(options.out or (runs[0].folder / "figures" if len(runs) == 1 else "comparison"))
    tables = compare.write_tables(lines, columns, out, runs)
    more = overview.write(columns, runs, out), ladders.write(columns, out)
    for path in (*heat_map.draw(columns, out), *tables, *more):
        print(path)
    print(*compare.summary(columns), sep="\n")


def _doctor(arguments: list[str]) -> None:
    _parse(dataclasses.make_dataclass("Doctor", [], frozen=True), "doctor", arguments)
    from experiments.runs.environment import prepare_devices

    prepare_devices()
    from experiments.runs.doctor import examine

    if not examine():
        _stop("The self-test failed: results of this installation cannot be trusted.")


def _stop(sentence: str, status: int = 1) -> None:
    _say(sentence)
    raise SystemExit(status)


def _say(sentence: str) -> None:
    print(f"finebayes: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    console()
