"""The commands that read finished and unfinished runs: plot, report, score, compare. No jax."""

import contextlib
import dataclasses
import json
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import tyro

from experiments.commands.parsing import one_line_errors, parse, say
from experiments.design.study import Study
from experiments.figures import drawing_process
from experiments.storage.records import UNSCORED, Json, ScoreLine
from experiments.storage.run_folder import find
from experiments.storage.sweep_folder import runs_in


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
    sizes: bool = False
    """The sizes of shifts that theories and the yardstick shift-curve forecast, not the scorecard."""
    against: str = ""
    """Differences from this theory's score on the same networks, with intervals, at every dose, not the
    scorecard: tempered-posterior, or tempered-posterior/process for the form that starts from the process."""


def plot(arguments: list[str]) -> None:
    for path in _draw(parse(_Folder, "plot", arguments).folder):
        print(path)


def _draw(folder: str) -> list[Path]:
    run = find(folder, say)
    return Study.of(run).draw(run)


def drawing_apart() -> contextlib.AbstractContextManager[drawing_process.Drawer]:
    """A process that draws a run when it is finished, and early figures of it."""
    return drawing_process.apart(_draw_apart, _draw_early)


@one_line_errors()  # in a process of its own, which no command line is above
def _draw_apart(folder: str) -> list[Path]:
    return _draw(folder)


def _draw_early(folder: str, note: str) -> None:
    from experiments.figures.comparison import draw_early

    draw_early(find(folder), note)


def report(arguments: list[str]) -> None:
    from experiments.reports.html import write_report

    run = find(parse(_Folder, "report", arguments).folder, say)
    Study.of(run).draw(run)
    print(write_report(run))


def score(arguments: list[str]) -> None:
    from experiments.reports.sentences import aligned
    from experiments.scoring import sizes
    from experiments.scoring.rows import table
    from experiments.scoring.scorecard import score_lines, scorecard

    options = parse(_Scored, "score", arguments)
    run = find(options.folder, say)
    rows = table(run)
    if options.json and not rows and any(map(run.cells, UNSCORED)):
        say(
            f"The study {run.study} scores no theory, and {run.folder} has no scorecard: its numbers are in "
            f"{run.folder / 'figures'}/*.csv, and `finebayes score {run.folder}` prints them."
        )
    forecast = sizes.sizes(rows) if options.sizes else []
    if options.against:
        _compare_with(scorecard(rows), options)
    elif options.json and options.sizes:
        _print_json(line.record() for line in forecast)
    elif options.json:
        _print_json(line.to_json() for line in score_lines(rows))
    elif options.sizes:
        print(f"{aligned(sizes.table(forecast))}\n\n{sizes.ABOUT}" if forecast else sizes.NONE)
    else:
        from experiments.reports.sentences import SELECTED, scorecard_text
        from experiments.reports.state import caveats
        from experiments.reports.summary import findings_text
        from experiments.scoring import convex_hull

        lines, findings = scorecard(rows), findings_text(run)
        for sentence in [] if findings else caveats(run):
            say(sentence)
        print(findings or scorecard_text(lines, everything=options.everything))
        if lines and not options.everything:
            print(f"\n{SELECTED}")
        outside = convex_hull.hull(run, lines)
        if outside:
            print(f"\n{convex_hull.ABOUT}\n\n{aligned(convex_hull.table(outside))}")


def _compare_with(lines: list[ScoreLine], options: _Scored) -> None:
    """Print how far every theory is from one, at every dose."""
    from experiments.reports import differences
    from experiments.reports.sentences import aligned

    name = options.against
    gaps = differences.differences(lines, name)
    if options.json:
        _print_json(entry.record() for entry in gaps)
    else:
        print(aligned(differences.table(gaps, name, options.everything)))
        print(f"\n{differences.ABOUT.format(name=name)}")


def _print_json(records: Iterable[Json]) -> None:
    """Print a list, one record after the other: there may be a million."""
    before = "["
    for record in records:
        print(before, textwrap.indent(json.dumps(record, indent=1), " "), sep="\n", end="")
        before = ","
    print("[]" if before == "[" else "\n]")


@dataclasses.dataclass(frozen=True)
class _Compared:
    places: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="FOLDER ...")]] = ()
    """Folders that `finebayes run` printed, finished or not; one of `finebayes sweep` stands for its finished
    runs. A column is a method and D', a row a theory's best form with its explained share at a small and at a
    large dose.
    Example: finebayes compare results/weird-generalisation/* --out comparison"""
    out: str = ""
    """Where heat-map.png (.svg, .pdf), scorecard.csv, sizes.csv, scorecard.md, overview.md and ladders.md go
    (default: FOLDER/figures, or ./comparison where there are several)."""
    everything: bool = False
    """Draw a row for every form, prior and grade of every theory; the tables have them all anyway."""


def compare(arguments: list[str]) -> None:
    options = parse(_Compared, "compare", arguments)
    from experiments.figures import heat_map
    from experiments.reports import overview
    from experiments.reports import tables as ladders
    from experiments.scoring import leaderboard as compare
    from experiments.scoring import sizes
    from experiments.scoring.rows import table

    places = [run for given in options.places for run in runs_in(given)]
    lines, columns, runs = compare.read(places, say)
    out = Path(options.out or (runs[0].folder / "figures" if len(runs) == 1 else "comparison"))
    tables = compare.write_tables(lines, columns, out, runs)
    names = dict.fromkeys(line.run for line in lines)
    forecast = {name: sizes.sizes(table(run)) for name, run in zip(names, runs, strict=True)}
    more = overview.write(columns, runs, out), ladders.write(columns, out), sizes.write(forecast, out)
    for path in (*heat_map.draw(columns, out, options.everything), *tables, *more):
        print(path)
    print(*compare.summary(columns), sep="\n")
