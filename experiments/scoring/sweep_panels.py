"""Panels of a figure of a sweep: a number of the scores by one axis or two. Numpy only.

A panel is a method, a D' and a value of every axis that is not plotted; of a sweep of one axis at a time,
these are at the centre. In it each theory has a line of its scorecard at every point of the plotted axes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from experiments.discovery import choose
from experiments.scoring.labels import (
    NULLS,
    REFERENCES,
    UNCHANGED,
    defined,
    explained,
    judged_groups,
    one_prior,
    panel_name,
    panels,
)
from experiments.scoring.sweep_curves import FIRST, LAST, curve_names, curve_points
from experiments.scoring.sweep_table import LEARNT, PointScores, SweepTable, entries
from experiments.storage.records import INTERVALS, Interval, ScoreLine
from experiments.storage.sweep_folder import SweepRecord, Value
from theory.errors import Misuse

SWAP = ("state_share", "read_out_share")
SHARES = (  # 1: all of the shift
    *("explained", "noise_ceiling", "order_blind", "other_base", "best_in_class"),
    *SWAP,
)
OF_PANELS = (
    *("shift", "noise_ceiling", "order_blind", "noise", "predicted_noise", "other_base", "base_error"),
    *("networks", *SWAP, LEARNT),
)
ENDS = {  # columns with an interval: what its ends begin with
    "explained": "interval",
    "over_null": "over_null",
    **{name: name for name in SWAP},
}
INTERVAL_FIELDS = {column: {v: k for k, v in INTERVALS.items()}[ends] for column, ends in ENDS.items()}
COLUMNS = tuple(  # that can be plotted; those in OF_PANELS are the same for every theory
    dict.fromkeys(
        [
            *(
                *SHARES,
                "over_null",
                "standard_error",
                "nats",
                "beta",
                "converged",
                "finetuned",
                "failed",
                *OF_PANELS,
            ),
            *(f"{name}_{end}" for name in ENDS.values() for end in ("low", "high")),
        ]
    )
)
SHOWN = ("linearised", "tempered-posterior", "exchangeable-mixture")  # without a choice, where they are
GRADES = ("fitted", "forecast")
CURVE = "curve"  # in the place of a grade: a line of the study's own figures
At = tuple[Value, ...]  # a value of every plotted axis
Series = tuple[str, str]  # a theory and its grade


@dataclass(frozen=True)
class Choice:
    """The lines that a figure shows: of a number, on one group, at one dose; empty: by default."""

    column: str
    theories: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    group: str = ""
    dose: str = LAST


@dataclass(frozen=True)
class Panel:
    """The numbers of every theory, or curve, by the values of the plotted axes, their intervals, and the
    scores of the best null there. `scored` are the values with a line, whose number may be undefined."""

    title: str
    numbers: dict[Series, dict[At, float]] = field(default_factory=dict)
    intervals: dict[Series, dict[At, Interval]] = field(default_factory=dict)
    best_null: dict[At, float] = field(default_factory=dict)
    scored: set[At] = field(default_factory=set)

    def put(self, series: Series, at: At, number: float | None, interval: Interval | None) -> None:
        """Put a number in, where it is one, with its interval."""
        self.scored.add(at)
        if isinstance(number, int | float):
            self.numbers.setdefault(series, {})[at] = number
        if interval:
            self.intervals.setdefault(series, {})[at] = interval


def plotted_axes(record: SweepRecord, by: Sequence[str]) -> list[tuple[str, ...]]:
    """The axes of every figure: those of `by`, by name or by its last part; without, one figure of all axes
    where there are up to two, or one of each where they vary one at a time."""
    fields = [axis.field for axis in record.axes]
    if not by:
        if record.one_at_a_time:
            return [(name,) for name in fields]
        if len(fields) > 2:
            raise Misuse(f"There are {len(fields)} axes; choose one or two of {', '.join(fields)} with --by.")
        return [tuple(fields)]
    names = [_field(name, fields) for name in by]
    if len(names) > 2 or len({*names}) < len(names):
        raise Misuse(f"A figure has one axis or two that differ, got {', '.join(names)}.")
    if len(names) == 2 and record.one_at_a_time:
        raise Misuse(
            f"The axes of this sweep vary one at a time, so {' and '.join(names)} span no plane; choose one."
        )
    return [tuple(names)]


def _field(given: str, fields: Sequence[str]) -> str:
    name = given.replace("-", "_")
    full = [known for known in fields if name in (known, known.rpartition(".")[2])]
    return full[0] if len(full) == 1 else choose("axis", given, fields)


def settled(scores: SweepTable, choice: Choice) -> Choice:
    """The choice with its defaults; a name that is in none of the scores is refused with the nearest."""
    curves = curve_names([point for scored in scores.points for point in scored.curves])
    choose("column", choice.column, [*COLUMNS, *curves])
    if choice.column not in COLUMNS:
        if choice.theories or choice.methods or choice.data or choice.group:
            raise Misuse(
                f"{choice.column} is a curve of the study's own figures, with a panel for each D' and a line "
                "for each way of finetuning; omit --theory, --method, --data and --group."
            )
        return choice
    lines = [line for point in scores.points for line in point.lines]
    if not lines:
        raise Misuse("Nothing is scored yet in this sweep: no run of it has finished a finetuned cell.")
    named: dict[str, tuple[tuple[str, ...], Callable[[ScoreLine], str]]] = {
        "theory": (choice.theories, lambda line: line.theory),
        "method": (choice.methods, lambda line: line.method),
        "D'": (choice.data, lambda line: line.data),
        "group": ((choice.group,) if choice.group else (), lambda line: line.group),
    }
    for kind, (names, of) in named.items():
        known = dict.fromkeys(map(of, lines))
        for name in names:
            choose(kind, name, known)
    doses = dict.fromkeys(str(dose) for dose in sorted({line.dose for line in lines}))
    if choice.dose not in (FIRST, LAST, *doses):
        raise Misuse(f"--dose is first, last or one of {', '.join(doses)}; got {choice.dose}.")
    shown = [name for name in SHOWN if any(line.theory == name for line in lines)]
    theories = choice.theories or tuple(shown) or _all_theories(lines)
    if choice.column in OF_PANELS:
        theories = (UNCHANGED,)
    return replace(choice, theories=theories, group=choice.group or judged_groups(lines)[0])


def _all_theories(lines: Sequence[ScoreLine]) -> tuple[str, ...]:
    return tuple(sorted({line.theory for line in lines} - {*REFERENCES}))


def sweep_panels(scores: SweepTable, choice: Choice, by: Sequence[str]) -> list[Panel]:
    """The panels of a figure, of a choice that is settled."""
    made: dict[tuple[str, ...], Panel] = {}
    for point, at, facet in _placed(scores, by):
        if choice.column not in COLUMNS:
            for title, name, value in curve_points(point.curves, choice.column, choice.dose):
                panel = made.setdefault((title, *facet), Panel(", ".join([title, *facet])))
                panel.put((name, CURVE), at, value.mean, value.interval)
            continue
        chosen = list(choose_lines(point, choice))
        for method, data in panels(chosen):
            title = ", ".join([panel_name(method, data), *facet])
            panel = made.setdefault((method, data, *facet), Panel(title))
            for line in (line for line in chosen if (line.method, line.data) == (method, data)):
                ends = getattr(line, INTERVAL_FIELDS[choice.column]) if choice.column in ENDS else None
                panel.put((line.theory, line.grade), at, point.number(line, choice.column), ends)
            null = best_null(point, choice, method, data)
            if null is not None:
                panel.best_null[at] = null
    return list(made.values())


def _placed(scores: SweepTable, by: Sequence[str]) -> Iterator[tuple[PointScores, At, list[str]]]:
    """Points with their values of the plotted axes, and those of the others in words; of a sweep of one axis
    at a time the points where the others are at the centre."""
    record = scores.record
    others = [axis.field for axis in record.axes if axis.field not in by]
    for point in scores.points:
        values = point.point.values
        if record.one_at_a_time:
            if any(values[name] != record.centre(name) for name in others):
                continue
            facet = {}
        else:
            facet = {name: values[name] for name in others}
        yield point, tuple(values[name] for name in by), list(_words(facet))


def _words(facet: Mapping[str, Value]) -> Iterator[str]:
    return (f"{name.rpartition('.')[2].replace('_', ' ')} {label(value)}" for name, value in facet.items())


def label(value: Value) -> str:
    """A value of an axis in a figure."""
    return f"{value:g}" if isinstance(value, float) else str(entries(value))


def axis_values(record: SweepRecord, name: str) -> list[Value]:
    """The values of an axis in its order, and that of the centre where it is another; numbers ascend."""
    at = {point.values[name]: None for point in record.points}
    values = list(dict.fromkeys([*record.axis(name).values, *at]))
    return sorted(values) if is_numeric(values) else values


def is_numeric(values: Sequence[Value]) -> bool:
    """Whether all are numbers, which have a scale."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def is_geometric(values: Sequence[Value]) -> bool:
    """Whether ascending numbers are spaced more evenly by their ratios than by their differences."""
    if len(values) < 3 or not is_numeric(values) or values[0] <= 0:
        return False
    uneven = [np.std(gaps) / np.mean(gaps) for gaps in (np.diff(np.log(values)), np.diff(values))]
    return bool(uneven[0] < uneven[1])


def choose_lines(point: PointScores, choice: Choice) -> Iterator[ScoreLine]:
    """The lines of a point that a figure shows, of each theory with one prior."""
    doses = sorted({line.dose for line in point.lines})
    if not doses:
        return
    wanted = {FIRST: doses[0], LAST: doses[-1]}.get(choice.dose) or int(choice.dose)
    lines = [
        line
        for line in point.lines
        if (line.dose, line.group) == (wanted, choice.group)
        and line.grade in GRADES
        and line.method in (choice.methods or (line.method,))
        and line.data in (choice.data or (line.data,))
    ]
    references = [line for line in lines if line.theory in REFERENCES]
    yield from (line for line in [*one_prior(lines), *references] if line.theory in choice.theories)


def best_null(point: PointScores, choice: Choice, method: str, data: str) -> float | None:
    """The best score of a null that is fitted, in a panel; None without any."""
    nulls = replace(choice, theories=NULLS[1:], methods=(method,), data=(data,))
    return max((explained(line) for line in choose_lines(point, nulls) if defined(line)), default=None)
