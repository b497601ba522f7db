"""The command line: everything in COMMANDS. Data on stdout, progress on stderr."""

import dataclasses
import difflib
import gc
import json
import os
import sys
import threading
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from experiments.commands import probe, reading, run, sweep, tables, work
from experiments.commands.parsing import COMMANDS, OwnFiles, one_line_errors, parse, say, stop
from experiments.discovery import FOLDERS, Catalogue, Entry
from experiments.system import interrupts, surroundings
from theory.errors import Misuse

USAGE = f"usage: finebayes {{{','.join(COMMANDS)}}} ...\n\n" + "\n".join(
    f"  {name:12s}{text}" for name, text in COMMANDS.items()
)
HELP = f"""{USAGE}

Try:  finebayes run weird-generalisation --preset smoke
      finebayes run weird-generalisation --help      every field of the study's config
      finebayes sweep --help                         how to vary them
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
        with one_line_errors():
            _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        say("Interrupted; what was finished is kept, the same command goes on from there.")
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
    HANDLERS[command](others)


@dataclasses.dataclass(frozen=True)
class _List:
    files: OwnFiles = ()
    """A file of your own to list as well (once for each file)."""
    json: bool = False
    """Print JSON."""


def _list(arguments: list[str]) -> None:
    options = parse(_List, "list", arguments)
    catalogue = Catalogue(options.files)
    listed = {kind: catalogue.entries(kind) for kind in FOLDERS}
    if options.json:
        names = {kind: [_as_json(entry) for entry in entries] for kind, entries in listed.items()}
        print(json.dumps(names, indent=1, ensure_ascii=False))
        return
    lines = {kind: [line for entry in entries for line in _lines(entry)] for kind, entries in listed.items()}
    width = 2 + max(len(name) for group in lines.values() for name, _ in group)
    parts = [[kind, *(f"  {name:{width}s}{text}" for name, text in group)] for kind, group in lines.items()]
    print("\n\n".join("\n".join(part) for part in parts))


def _lines(entry: Entry) -> list[tuple[str, str]]:
    """Its name and summary, and below it, moved in, its forms."""
    return [(entry.name, entry.summary), *((f"  {name}", line) for name, line in entry.forms)]


def _as_json(entry: Entry) -> dict[str, Any]:
    forms = [{"name": name, "summary": line} for name, line in entry.forms]
    return {"name": entry.name, "summary": entry.summary, **({"forms": forms} if forms else {})}


@dataclasses.dataclass(frozen=True)
class _Doctor:
    json: bool = False
    """Print JSON, in one line."""


def _doctor(arguments: list[str]) -> None:
    options = parse(_Doctor, "doctor", arguments)
    from experiments.runs.environment import prepare_devices

    prepare_devices()
    from experiments.runs.doctor import examine

    if not examine(options.json):
        stop("The self-test failed: results of this installation cannot be trusted.")


HANDLERS: dict[str, Callable[[list[str]], None]] = {
    "list": _list,
    "run": run.run,
    "forecast": run.forecast,
    "sweep": sweep.sweep,
    "work": work.work,
    "plot": reading.plot,
    "report": reading.report,
    "score": reading.score,
    "compare": reading.compare,
    "probe": probe.probe,
    "import": tables.import_table,
    "plan-table": tables.plan_table,
    "doctor": _doctor,
}


if __name__ == "__main__":
    console()
