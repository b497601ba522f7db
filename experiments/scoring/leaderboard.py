"""Results folders side by side: who explains how much of the shift, at a small and at a large dose. No jax.

    heat-map.png, .svg, .pdf    theories × methods (experiments.figures.heat_map)
    scorecard.csv               every line of every scorecard, all entries
    scorecard.md                the numbers of the heat map as a table, and who holds out longest
    overview.md                 one row a run, method and D', at the last dose (experiments.reports.overview)
    ladders.md                  every theory at every dose (experiments.reports.tables)

A column is one method on one D' of one run. Its small and its large dose are those at which the base
network's mean in-domain KL is nearest 10 % and 99 % of its largest over doses. A theory's worst dose is that
of its least explained share.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.scoring import rows as scoring
from experiments.scoring.labels import judged_groups, nats, number, panel_name, panels, plus_minus
from experiments.storage import run_folder as disk
from theory.errors import Misuse

Line = dict[str, Any]
Theory = tuple[str, str, str]  # its name, prior and grade

UNCHANGED: Theory = ("unchanged", "network", "forecast")
GRADES = ("forecast", "law", "fitted")
PARTS = (0.10, 0.99)  # of the largest in-domain shift: the small dose and the large one
RULE = (
    "Small and large dose: where the base network's mean in-domain KL is nearest "
    f"{100 * PARTS[0]:g} % and {100 * PARTS[1]:g} % of its largest over doses."
)
ABOUT = (
    f"Explained part of the shift ± one standard error, with the theory's ceiling (≤). {RULE} Worst dose: "
    "that of the least score, of all doses. –: undefined, for the shift does not exceed its noise; empty: "
    "nothing is said at this dose; *: some of the chains behind it miss the gate."
)
FLOORS = (
    "What there is to explain, and the scores of a twin that met D′ in another order and of a network from "
    "another pretraining seed:"
)


@dataclass(frozen=True)
class Column:
    """One method on one D' of one run: `lines` of the scorecard on one group of contexts, at all doses.
    `reached` is each dose's part of the largest in-domain shift."""

    run: str
    method: str
    data: str
    group: str
    reached: dict[int, float]
    lines: tuple[Line, ...]

    @property
    def name(self) -> str:
        """Words for the method and its D'."""
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

    def of(self, theory: Theory) -> list[Line]:
        """A theory's lines by dose, also those without a score."""
        same = [line for line in self.lines if (line["theory"], line["prior"], line["grade"]) == theory]
        return sorted(same, key=lambda line: line["dose"])

    def at(self, theory: Theory, dose: int) -> Line | None:
        """A theory's line at one dose; None where it says nothing."""
        return next((line for line in self.of(theory) if line["dose"] == dose), None)

    def worst(self, theory: Theory) -> Line | None:
        """The line of a theory's least score; None without any score."""
        scored = [line for line in self.of(theory) if line["explained"] is not None]
        return min(scored, key=lambda line: line["explained"], default=None)

    def floors(self, dose: int) -> list[str]:
        """Words for the shift in nats, the noise floor and the score of another pretraining seed."""
        base = self.at(UNCHANGED, dose) or {"shift": None, "floor": None, "seed_floor": None}
        return [nats(base["shift"]), number(base["floor"]), number(base["seed_floor"])]


def read(places: tuple[str, ...]) -> tuple[list[Line], list[Column], list[disk.Results]]:
    """Every line of the scorecards, each with its `run`, the columns that they make, and the runs."""
    if not places:
        raise Misuse("Name one results folder or more: finebayes compare FOLDER FOLDER ...")
    runs = [disk.find(place) for place in places]
    for folder, times in Counter(run.folder.resolve() for run in runs).items():
        if times > 1:
            raise Misuse(f"{folder} is given {times} times; name each results folder once.")
    lines, columns = [], []
    for run, name in zip(runs, _names(runs), strict=True):
        mine = [{"run": name, **line} for line in scoring.scorecard(scoring.table(run))]
        if all(line["theory"] == "unchanged" for line in mine):
            raise Misuse(
                f"Nothing is scored yet in {run.folder}: no finetuned cell is finished together with its "
                "theories; let `finebayes run` finish one."
            )
        lines += mine
        columns += [column(name, mine, *panel) for panel in panels(mine)]
    return lines, columns, runs


def column(run: str, lines: list[Line], method: str, data: str) -> Column:
    """One method on one D' of a run."""
    same = [line for line in lines if (line["method"], line["data"]) == (method, data)]
    inside = [line for line in same if line["group"] == scoring.FITTED_ON and line["theory"] == "unchanged"]
    shifts = {line["dose"]: line["shift"] for line in sorted(inside, key=lambda line: line["dose"])}
    most = max(shifts.values())
    reached = {dose: shift / most if most > 0 else 1.0 for dose, shift in shifts.items()}
    group = judged_groups(same)[0]
    judged = tuple(line for line in same if line["group"] == group)
    return Column(run, method, data, group, reached, judged)


def theories(columns: list[Column]) -> list[Theory]:
    """Every theory that speaks: forecasts, then laws, then what is fitted; the best first in each grade, by
    the mean of the scores that are shown, each no lower than -1."""
    found = {(line["theory"], line["prior"], line["grade"]) for one in columns for line in one.lines}

    def order(theory: Theory) -> tuple[Any, ...]:
        shown = [one.at(theory, dose) for one in columns for dose in (one.small, one.large)]
        scores = [line["explained"] for line in shown if line and line["explained"] is not None]
        mean = sum(max(score, -1.0) for score in scores) / len(scores) if scores else -2.0
        grade = GRADES.index(theory[2]) if theory[2] in GRADES else len(GRADES)
        return grade, theory[2], -mean, theory

    return sorted((one for one in found if one[0] != "unchanged"), key=order)


def doubted(line: Line) -> bool:
    """Whether chains behind a score miss the gate."""
    return line.get("trusted") is not None and line["trusted"] < 1


def theory_name(theory: Theory) -> str:
    """Words for a theory and where it starts."""
    name, prior, _ = theory
    return name if prior == "network" else f"{name} ({prior})"


def write_tables(lines: list[Line], columns: list[Column], out: Path) -> list[Path]:
    """Write scorecard.csv and scorecard.md."""
    plain = [
        {key: float(value) if isinstance(value, float) else value for key, value in line.items()}
        for line in lines
    ]
    paths = [out / "scorecard.csv", out / "scorecard.md"]
    for path, said in zip(paths, (disk.as_csv(plain), markdown(columns)), strict=True):
        disk.write(path, lambda file, said=said: file.write(said.encode()))
    return paths


def markdown(columns: list[Column]) -> str:
    """The sentences and tables of scorecard.md."""
    several = ["run"] * (len({one.run for one in columns}) > 1)
    scores = [["theory", "grade", *several, "method", "small dose", "large dose", "worst dose"]]
    for theory in theories(columns):
        for one in (one for one in columns if one.of(theory)):
            told = one.at(theory, one.small), one.at(theory, one.large), one.worst(theory)
            names = [theory_name(theory), theory[2], *[one.run for _ in several], one.name]
            scores.append([*names, *map(_cell, told)])
    floors = [
        [*several, "method", "contexts", "dose", "shift (nats)", "noise floor", "another pretraining seed"]
    ]
    for one in columns:
        for dose in dict.fromkeys((one.small, one.large)):
            floors.append([*[one.run for _ in several], one.name, one.group, str(dose), *one.floors(dose)])
    sentences = "\n".join(f"- {sentence}" for sentence in summary(columns))
    return (
        "\n\n".join(["# Scorecard", sentences, ABOUT, markdown_table(scores), FLOORS, markdown_table(floors)])
        + "\n"
    )


def summary(columns: list[Column]) -> list[str]:
    """For each column: which theory without a fitted number explains most at its worst dose."""
    several = len({one.run for one in columns}) > 1
    return [f"{f'{one.run}, ' * several}{one.name}: {_holds_out(one)}" for one in columns]


def _holds_out(one: Column) -> str:
    """Of the forecasts that speak at every dose where the shift exceeds its noise."""
    doses = {line["dose"] for line in one.of(UNCHANGED) if line["explained"] is not None}
    if not doses:
        return "no theory has a score, for the shift does not exceed its noise."
    ranked, silent = [], []
    for theory in theories([one]):
        if theory[2] == "forecast":
            worst, name = one.worst(theory), theory_name(theory) + "*" * any(map(doubted, one.of(theory)))
            if worst is None or not {line["dose"] for line in one.of(theory)} >= doses:
                silent.append(theory[0])
            else:
                ranked.append((worst["explained"], name, f"{_score(worst)} at dose {worst['dose']}", worst))
    hushed = f"; silent at some doses: {', '.join(dict.fromkeys(silent))}." if silent else "."
    if not ranked:
        return f"no theory without a fitted number speaks at every dose{hushed}"
    (most, name, told, worst), *rest = sorted(ranked, key=lambda entry: (-entry[0], entry[1]))
    if most <= 0:
        return (
            "no theory without a fitted number beats “nothing changed” at its worst dose; the least bad is "
            f"{name}, {told}{hushed}"
        )
    following = f"; next {rest[0][1]}, {rest[0][2]}" if rest and rest[0][0] > 0 else ""
    return (
        f"without a fitted number, {name} explains most at its worst dose, {told} (noise floor there: "
        f"{number(worst['floor'])}){following}{hushed}"
    )


def _cell(line: Line | None) -> str:
    if line is None or line["explained"] is None:
        return f"dose {line['dose']}: –" if line else ""
    capped = "" if line["ceiling"] == line["explained"] else f" (≤ {number(line['ceiling'])})"
    return f"dose {line['dose']}: {_score(line)}{'*' * doubted(line)}{capped}"


def _score(line: Line) -> str:
    return plus_minus(line["explained"], line["standard_error"])


def markdown_table(rows: list[list[str]]) -> str:
    """A table in Markdown, its first row the head."""
    rows = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows)


def _names(runs: list[disk.Results]) -> list[str]:
    """A run's study; with its folder where several runs are of one study."""
    names = [run.study for run in runs]
    for folders in ([run.folder.resolve().name for run in runs], [str(run.folder.resolve()) for run in runs]):
        times = Counter(names)
        told = zip(runs, names, folders, strict=True)
        names = [f"{run.study} ({folder})" if times[name] > 1 else name for run, name, folder in told]
    return names
