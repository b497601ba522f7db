"""Leaderboard over runs: the explained part of the shift by theory, at a small and at a large dose. No jax.

    heat-map.png, .svg, .pdf    theories × methods (experiments.figures.heat_map)
    scorecard.csv               every line of every scorecard, all entries
    scorecard.md                the numbers of the heat map as a table, and the best worst case
    overview.md                 one row a run, method and D', at the last dose (experiments.reports.overview)
    ladders.md                  every theory at every dose (experiments.reports.tables)

A column is one method on one D' of one run. Its small and its large dose are those at which the base
network's mean in-domain KL is nearest 10 % and 99 % of its largest. A theory's worst dose explains least.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from experiments.scoring import labels
from experiments.scoring.labels import (
    FITTED_ON,
    LAST_DOSE,
    NULLS,
    REFERENCES,
    doubted,
    explained,
    failing,
    judged_groups,
    marks,
    nats,
    of_panel,
    over_null,
    panel_name,
    panels,
    score,
    with_interval,
)
from experiments.scoring.learnt import Learnt, learnt, record
from experiments.scoring.paired import leader, open_cases, ranked, ties
from experiments.scoring.rows import table
from experiments.scoring.scorecard import scorecard
from experiments.scoring.settings import settings
from experiments.storage.files import as_csv, write_text
from experiments.storage.records import UNSCORED, ScoreLine
from experiments.storage.run_folder import RunFolder, find
from theory.errors import Misuse


class TheoryKey(NamedTuple):
    """A theory with the prior that it starts from and its grade."""

    theory: str
    prior: str
    grade: str


class RunLine(NamedTuple):
    """A line of the scorecard with the name of its run."""

    run: str
    line: ScoreLine


UNCHANGED = TheoryKey(labels.UNCHANGED, "network", "forecast")
YARDSTICK = TheoryKey(LAST_DOSE, "network", "fitted")
GRADES = ("forecast", "law", "fitted")
PARTS = (0.10, 0.99)  # of the largest in-domain shift: the small dose and the large one
RULE = (
    "Small and large dose: where the base network's mean in-domain KL is nearest "
    f"{100 * PARTS[0]:g} % and {100 * PARTS[1]:g} % of its largest over doses."
)
ABOUT = (
    "Explained part of the shift with its interval of 95 % (where it has one), and the "
    f"best in the theory's class (≤). {RULE} Worst dose: that of the least score, of all doses. –: "
    "undefined, for the shift does not exceed its noise; empty: no prediction at this dose; *: some of the "
    "chains behind it have not converged; °: the shift is smaller than the base networks' error over the "
    "process; †: over fewer networks than were finetuned; -∞: the theory rules out an answer that a network "
    "gives, or fails for networks."
)
CEILINGS = ("best null", "last dose, scaled", "order-blind bound", "another pretraining seed")
ABOUT_CEILINGS = (
    "What there is to explain; the score of the best null theory; that of a yardstick, the shift of the same "
    "networks at the dose before times one fitted number (undefined at the first dose); the most that a "
    "theory blind to the order of D′ can reach; and the score of a network of another pretraining seed:"
)


@dataclass(frozen=True)
class Column:
    """One method on one D' of one run: `lines` of the scorecard on one group of contexts, at all doses.
    `reached` is each dose's part of the largest in-domain shift, `learnt` what was learnt of D'."""

    run: str
    method: str
    data: str
    group: str
    reached: dict[int, float]
    lines: tuple[ScoreLine, ...]
    learnt: Learnt | None = None

    @property
    def name(self) -> str:
        """The method and its D' in words."""
        return panel_name(self.method, self.data)

    @property
    def small(self) -> int:
        """The dose nearest the first of `PARTS`."""
        return self._nearest(PARTS[0])

    @property
    def large(self) -> int:
        """The dose nearest the second."""
        return self._nearest(PARTS[1])

    def _nearest(self, part: float) -> int:
        return min(self.reached, key=lambda dose: abs(self.reached[dose] - part))

    def of(self, theory: TheoryKey) -> list[ScoreLine]:
        """A theory's lines by dose, also those without a score."""
        lines = [line for line in self.lines if key(line) == theory]
        return sorted(lines, key=lambda line: line.dose)

    def at(self, theory: TheoryKey, dose: int) -> ScoreLine | None:
        """A theory's line at one dose; None without a prediction."""
        return next((line for line in self.of(theory) if line.dose == dose), None)

    def worst_of_forecasts(self) -> list[ScoreLine]:
        """The worst line of every forecast with a score at each dose where the shift exceeds its noise."""
        doses = self.judged_doses()
        return [
            worst
            for theory in theories([self])
            if theory.grade == "forecast" and (worst := self.worst(theory))
            if {line.dose for line in self.of(theory)} >= doses
        ]

    def best_null(self, dose: int) -> ScoreLine | None:
        """The null theory that explains most at a dose; None where the shift does not exceed its noise."""
        return next(
            iter(ranked([line for line in self.lines if line.dose == dose and line.theory in NULLS])), None
        )

    def worst(self, theory: TheoryKey) -> ScoreLine | None:
        """The line of a theory's least score; None without any score."""
        scored = [line for line in self.of(theory) if line.explained is not None]
        return min(scored, key=explained, default=None)

    def judged_doses(self) -> set[int]:
        """The doses at which the shift exceeds its noise."""
        return {line.dose for line in self.of(UNCHANGED) if line.explained is not None}

    def ceilings(self, dose: int) -> list[str]:
        """Words for the shift in nats, and the scores of `CEILINGS`: the best null, the last dose, the
        order-blind bound and another pretraining seed."""
        base, null, last = self.at(UNCHANGED, dose), self.best_null(dose), self.at(YARDSTICK, dose)
        if base is None:
            return [nats(None), *[score(None)] * len(CEILINGS)]
        references = [score(line.explained if line else None) for line in (null, last)]
        return [nats(base.shift), *references, score(base.order_blind), score(base.other_base)]


def key(line: ScoreLine) -> TheoryKey:
    """The theory of a line."""
    return TheoryKey(line.theory, line.prior, line.grade)


def read(
    folders: Sequence[str | Path], say: Callable[[str], object] = warnings.warn
) -> tuple[list[RunLine], list[Column], list[RunFolder]]:
    """Every line of the scorecards with the name of its run, the columns that they make, and the runs; `say`
    is told of runs without theories, which are left out, and of files that nothing reads."""
    if not folders:
        raise Misuse("Name one results folder or more: finebayes compare FOLDER FOLDER ...")
    runs = [find(folder, say) for folder in folders]
    for folder, times in Counter(run.folder.resolve() for run in runs).items():
        if times > 1:
            raise Misuse(f"{folder} is given {times} times; name each results folder once.")
    without = [run for run in runs if any(map(run.cells, UNSCORED))]
    runs = [run for run in runs if run not in without]
    if not runs:
        names = ", ".join(str(run.folder) for run in without)
        raise Misuse(f"No theory is scored in {names}; finebayes score FOLDER prints what is measured.")
    for run in without:
        say(f"{run.folder} is left out: its study, {run.study}, scores no theory.")
    lines, columns = [], []
    for run, name in zip(runs, _names(runs), strict=True):
        ours = scorecard(table(run))
        if all(line.theory in REFERENCES for line in ours):
            raise Misuse(
                f"Nothing is scored yet in {run.folder}: no finetuned cell is finished together with "
                "theories other than nulls; let `finebayes run` finish one."
            )
        lines += [RunLine(name, line) for line in ours]
        shares = {(entry.method, entry.data): entry for entry in learnt(run)}
        columns += [replace(column(name, ours, *panel), learnt=shares.get(panel)) for panel in panels(ours)]
    return lines, columns, runs


def column(run: str, lines: Sequence[ScoreLine], method: str, data: str) -> Column:
    """One method on one D' of a run."""
    ours = of_panel(lines, (method, data))
    inside = [line for line in ours if line.group == FITTED_ON and line.theory == labels.UNCHANGED]
    shifts = {line.dose: line.shift for line in sorted(inside, key=lambda line: line.dose)}
    most = max(shifts.values())
    reached = {dose: shift / most if most > 0 else 1.0 for dose, shift in shifts.items()}
    group = judged_groups(ours)[0]
    judged = tuple(line for line in ours if line.group == group)
    return Column(run, method, data, group, reached, judged)


def theories(columns: Sequence[Column]) -> list[TheoryKey]:
    """Every theory with a prediction: forecasts, then laws, then fits; in each grade the best first.

    The best has the largest mean of the scores that are shown, each no lower than -1.
    """
    keys = {key(line) for column in columns for line in column.lines if line.theory not in REFERENCES}

    def order(theory: TheoryKey) -> tuple[int, str, float, TheoryKey]:
        shown = [column.at(theory, dose) for column in columns for dose in (column.small, column.large)]
        scores = [line.explained for line in shown if line and line.explained is not None]
        mean = sum(max(score, -1.0) for score in scores) / len(scores) if scores else -2.0
        grade = GRADES.index(theory.grade) if theory.grade in GRADES else len(GRADES)
        return grade, theory.grade, -mean, theory

    return sorted(keys, key=order)


def theory_name(theory: TheoryKey) -> str:
    """A theory, and its prior if that is not the base network."""
    return theory.theory if theory.prior == "network" else f"{theory.theory} ({theory.prior})"


def write_tables(
    lines: Sequence[RunLine], columns: Sequence[Column], out: Path, runs: Sequence[RunFolder] = ()
) -> list[Path]:
    """Write scorecard.csv, with settings of `runs` and what networks learnt of inference and of D' as
    columns, and scorecard.md."""
    made = dict(zip(_names(runs), map(settings, runs), strict=True))
    known = {(column.run, column.method, column.data): column.learnt for column in columns}
    plain = []
    for run, line in lines:
        shares = record(known.get((run, line.method, line.data)), line.dose)
        plain.append({"run": run, **line.record(), **shares, **made.get(run, {})})
    paths = [out / "scorecard.csv", out / "scorecard.md"]
    for path, text in zip(paths, (as_csv(plain), markdown(columns)), strict=True):
        write_text(path, text)
    return paths


def markdown(columns: Sequence[Column]) -> str:
    """The sentences and tables of scorecard.md."""
    several = len({column.run for column in columns}) > 1
    scores = [["theory", "grade", *["run"] * several, "method", "small dose", "large dose", "worst dose"]]
    for theory in theories(columns):
        for column in (column for column in columns if column.of(theory)):
            lines = column.at(theory, column.small), column.at(theory, column.large), column.worst(theory)
            names = [theory_name(theory), theory.grade, *[column.run] * several, column.name]
            scores.append([*names, *map(_cell, lines)])
    head = ["method", "contexts", "dose", "shift (nats)", *CEILINGS]
    ceilings = [[*["run"] * several, *head]]
    for column in columns:
        for dose in dict.fromkeys((column.small, column.large)):
            names = [*[column.run] * several, column.name, column.group, str(dose)]
            ceilings.append([*names, *column.ceilings(dose)])
    sentences = "\n".join(f"- {sentence}" for sentence in summary(columns))
    parts = [
        "# Scorecard",
        sentences,
        ABOUT,
        markdown_table(scores),
        ABOUT_CEILINGS,
        markdown_table(ceilings),
    ]
    return "\n\n".join(parts) + "\n"


def summary(columns: Sequence[Column]) -> list[str]:
    """For each column: the theory without a fitted number that explains most at its worst dose."""
    several = len({column.run for column in columns}) > 1
    return [f"{f'{column.run}, ' * several}{column.name}: {_best_worst_case(column)}" for column in columns]


def _best_worst_case(column: Column) -> str:
    """Of the forecasts with a prediction at every dose where the shift exceeds its noise."""
    if not column.judged_doses():
        return "no theory has a score, for the shift does not exceed its noise."
    order = ranked(column.worst_of_forecasts())
    forecasts = [theory.theory for theory in theories([column]) if theory.grade == "forecast"]
    silent = [name for name in dict.fromkeys(forecasts) if name not in {line.theory for line in order}]
    ending = f"; silent at some doses: {', '.join(silent)}." if silent else "."
    if not order:
        return f"no theory without a fitted number has a prediction at every dose{ending}"
    first = leader(order)
    tied, untold = ties(first, order), open_cases(first, order)
    best = _worst(column, first)
    if explained(first) <= 0:
        return (
            "no theory without a fitted number beats “nothing changed” at its worst dose; the least bad is "
            f"{best}{ending}"
        )
    parts = [f"without a fitted number, the highest worst score is that of {best}"]
    parts += [over_null(first)] * bool(first.best_null)
    parts += [f"order-blind bound there: {score(first.order_blind)}"]
    if tied:
        parts += [f"tied with {', '.join(_worst(column, line) for line in tied)}"]
    if untold:
        parts += [
            f"not compared, for want of an interval: {', '.join(_worst(column, line) for line in untold)}"
        ]
    others = [line for line in order if line not in (first, *tied, *untold) and explained(line) > 0]
    if not tied and others:
        parts += [f"next {_worst(column, others[0])}"]
    return "; ".join(parts) + ending


def _worst(column: Column, line: ScoreLine) -> str:
    """A forecast, its worst score and dose, and its networks where others have more."""
    mark = "*" * any(map(doubted, column.of(key(line))))
    most = max(other.networks for other in column.lines)
    few = f" on {line.networks} of {most} networks" * (line.networks < most)
    return f"{theory_name(key(line))}{mark} ({_score(line)} at dose {line.dose}{few})"


def _cell(line: ScoreLine | None) -> str:
    if line is None or line.explained is None:
        return f"dose {line.dose}: –" if line else ""
    best = line.best_in_class
    capped = "" if best == line.explained else f" (≤ {score(best)})"
    return f"dose {line.dose}: {_score(line)}{marks(line)}{capped}"


def _score(line: ScoreLine) -> str:
    return " ".join(filter(None, [with_interval(explained(line), line.interval), failing(line)]))


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, its first row the head."""
    rows = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows)


def _names(runs: Sequence[RunFolder]) -> list[str]:
    """A run's study; with its folder where several runs are of one study."""
    names = [run.study for run in runs]
    for folders in ([run.folder.resolve().name for run in runs], [str(run.folder.resolve()) for run in runs]):
        times, parts = Counter(names), zip(runs, names, folders, strict=True)
        names = [f"{run.study} ({folder})" if times[name] > 1 else name for run, name, folder in parts]
    return names
