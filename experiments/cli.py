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
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments import discovery as studies
from experiments.figures import drawing_process as drawing
from experiments.storage import run_folder as disk
from theory.errors import Misuse

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
    """A command: one sentence and exit status 1 for a mistake, 130 for Ctrl-C."""
    gc.set_threshold(100_000, 20, 100)  # tracing and drawing make many objects, which stay
    try:
        _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except Misuse as error:
        _stop(str(error))
    except BrokenPipeError:  # the reader, like `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _stop(f"The system refused: {error.strerror or error}{where}; what was finished is kept.")
    except KeyboardInterrupt:
        _say("Interrupted; what was finished is kept, the same command goes on from there.")
        raise SystemExit(130) from None


def _dispatch(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP)
        return
    command, rest = arguments[0], arguments[1:]
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(COMMANDS)}."
        raise Misuse(f"There is no command {command!r}; {hint}")
    globals()[f"_{command}"](rest)


def _parse(kind: Any, command: str, arguments: list[str], default: Any = None) -> Any:
    extra = {} if default is None else {"default": default}
    return tyro.cli(
        kind,
        prog=f"finebayes {command}",
        description=COMMANDS[command.split()[0]],
        args=arguments,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.AvoidSubcommands),
        **extra,
    )


@dataclasses.dataclass(frozen=True)
class _Json:
    json: bool = False
    """Print JSON."""


def _list(arguments: list[str]) -> None:
    options = _parse(_Json, "list", arguments)
    catalogue = studies.catalogue()
    if options.json:
        print(json.dumps(catalogue, indent=1, ensure_ascii=False))
        return
    for kind, entries in catalogue.items():
        print(kind)
        for entry in entries:
            print(f"  {entry['name']:24s}{entry['summary']}")
        if not entries:
            print("  (none yet)")


def _run(arguments: list[str], command: str = "run") -> None:
    names = studies.names()
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: finebayes {command} STUDY [options]\n\n{COMMANDS[command]}")
        print(f"\nstudies: {', '.join(names)}")
        print(f"finebayes {command} all [--preset PRESET] goes through all of them, one after the other.")
        print(f"\nfinebayes {command} STUDY --help shows every option of a study.")
        return
    if arguments[0].startswith("-"):
        raise Misuse(f"Name the study first, then options: finebayes {command} STUDY {arguments[0]} ...")
    name, rest = arguments[0], arguments[1:]
    if name == "all":
        _all(command, names, rest)
        return
    module = studies.load(name)
    chosen = studies.choose("preset", _preset(rest), module.PRESETS)

    @dataclasses.dataclass(frozen=True)
    class Forecast:
        config: module.Config  # pyright: ignore
        """The study."""
        preset: Annotated[str, tyro.conf.arg(metavar="|".join(module.PRESETS))] = chosen
        """Where the defaults of all other options come from."""
        out: str = ""
        """The run's folder (default: results/STUDY/HASH, one for each config)."""
        networks: str = ""
        """Where base networks are kept and found (default: results/networks, or OUT/networks)."""

    @dataclasses.dataclass(frozen=True)
    class Run(Forecast):
        strict: bool = False
        """End with an error where chains behind a theory cannot be trusted (everything is written first)."""
        jobs: int = 1
        """Processes that run cells side by side, the cores divided among them (same bytes). A cell alone
        keeps busy as many cores as it has networks (2 × seeds); more processes pay beyond that only."""
        dry_run: bool = False
        """Say what would be run, how long it takes and what it needs, and stop."""

    kind = {"run": Run, "forecast": Forecast}[command]
    kind.__doc__ = COMMANDS[command]
    options = _parse(kind, f"{command} {name}", rest, kind(module.PRESETS[chosen]))
    config = {
        "study": name,
        "preset": options.preset,
        "config": json.loads(json.dumps(dataclasses.asdict(options.config))),
    }
    samples = command == "run" and not options.dry_run and "jax" not in sys.modules
    with drawing.apart() if samples else contextlib.nullcontext(module.draw) as draw:
        _prepare_devices()
        from experiments.runs import run as running

        told = module, options.config, config, options.out, options.networks
        if command == "forecast":
            running.forecast(*told)
        else:
            running.run(*told, options.dry_run, options.strict, options.jobs, draw)


def _all(command: str, names: list[str], options: list[str]) -> None:
    """Every study in a process of its own: what one leaves behind in jax is nothing to the next."""
    failed = []
    for name in names:
        print(f"finebayes {command} {' '.join([name, *options])}", file=sys.stderr, flush=True)
        words = [sys.executable, "-m", "experiments.cli", command, name, *options]
        if subprocess.run(words).returncode:
            failed.append(name)
    if failed:
        raise Misuse(f"{len(failed)} of {len(names)} studies failed: {', '.join(failed)}; see above for why.")


def _forecast(arguments: list[str]) -> None:
    _run(arguments, "forecast")


def _preset(arguments: list[str]) -> str:
    """The preset, wherever it stands: it supplies the defaults that the parser shows."""
    chosen = studies.DEFAULT_PRESET
    for index, argument in enumerate(arguments):
        if argument == "--preset":
            if index + 1 == len(arguments):
                raise Misuse("--preset needs a name after it.")
            chosen = arguments[index + 1]
        elif argument.startswith("--preset="):
            chosen = argument.removeprefix("--preset=")
    return chosen


@dataclasses.dataclass(frozen=True)
class _Place:
    place: tyro.conf.Positional[str]
    """The folder that `finebayes run` printed."""


@dataclasses.dataclass(frozen=True)
class _Scored:
    place: tyro.conf.Positional[str]
    """The folder that `finebayes run` printed."""
    json: bool = False
    """Print JSON."""
    everything: bool = False
    """All doses and groups, not only a selection (JSON always has all)."""


def _plot(arguments: list[str]) -> None:
    place = _parse(_Place, "plot", arguments).place
    results = disk.find(drawing.asked() if place == "-" else place)  # -: a run, which says it when it is done
    for path in studies.load(results.study).draw(results):
        print(path)


def _report(arguments: list[str]) -> None:
    from experiments.reports.html import write_report

    results = disk.find(_parse(_Place, "report", arguments).place)
    studies.load(results.study).draw(results)
    print(write_report(results))


def _score(arguments: list[str]) -> None:
    from experiments.scoring import rows as scoring

    options = _parse(_Scored, "score", arguments)
    results = disk.find(options.place)
    lines = scoring.scorecard(scoring.table(results))
    if options.json:
        print(json.dumps(lines, indent=1))
    else:
        from experiments.scoring import convex_hull as hull
        from experiments.scoring.labels import aligned, scorecard_text

        print(scorecard_text(lines, everything=options.everything))
        found = hull.hull(results, lines)
        if found:
            print(f"\n{hull.ABOUT}\n\n{aligned(hull.table(found))}")


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

    lines, columns, runs = compare.read(options.places)
    out = Path(options.out or (runs[0].folder / "figures" if len(runs) == 1 else "comparison"))
    tables = compare.write_tables(lines, columns, out)
    more = overview.write(columns, runs, out), ladders.write(columns, out)
    for told in (*heat_map.draw(columns, out), *tables, *more):
        print(told)
    print(*compare.summary(columns), sep="\n")


def _doctor(arguments: list[str]) -> None:
    @dataclasses.dataclass(frozen=True)
    class Doctor:
        pass

    _parse(Doctor, "doctor", arguments)
    _prepare_devices()
    from experiments.runs.doctor import examine

    if not examine():
        _stop("The self-test failed: results of this installation cannot be trusted.")


def _prepare_devices() -> None:
    """One CPU device for each core, and a compilation cache of the user's own."""
    # On some CPUs every program out of the cache is announced as an error (jax-ml/jax issue 38445).
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import jax

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jax.config.update("jax_num_cpu_devices", cores)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "finebayes" / "jax"
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    except OSError:  # an unwritable home costs compilations, nothing else
        pass


def _stop(sentence: str) -> None:
    _say(sentence)
    raise SystemExit(1)


def _say(sentence: str) -> None:
    print(f"finebayes: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    console()
