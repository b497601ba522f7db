"""Sizes of shifts: how far networks move outside D', forecast by theories and by a curve. Numpy only.

    shift            mean over a group's contexts of KL(finetuned ‖ base), nats
    predicted        the same of a theory, KL(theory ‖ base)
    error            mean over networks of (log predicted - log shift)²

A forecast of a size is scored by its ratio, not by what it explains: it says how far, not where to. The
yardstick `shift-curve` forecasts nothing else: the shift in a group as a function of the in-domain shift of
the same network,

    log shift = a + b x + c x²,      x = log in-domain shift,

by least squares over the networks and doses of all *other* ways of finetuning on the same D', a straight line
beyond the shifts that they reach. It is undefined where there is no other. Shifts that do not exceed the
noise of another order, or the resolution, are left out of the curve and of the scores.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np

from experiments.scoring.intervals import Estimate, clusters, mean
from experiments.scoring.labels import (
    FITTED_ON,
    SHIFT_CURVE,
    UNCHANGED,
    YARDSTICKS,
    difference,
    judged_groups,
    nats,
    one_prior,
    panel_name,
    panels,
)
from experiments.scoring.networks import RESOLUTION, Networks, RowKey, gather_by_data, of_one_model
from experiments.storage.files import as_csv, write_text
from experiments.storage.records import Grade, Json, Row
from experiments.storage.typed import INFINITE

DEGREE = 2  # of the curve
ABOUT = (
    "How far networks moved at the last dose, and how far theories say: KL(theory ‖ base) in nats, and the "
    "mean over networks of (log predicted − log shift)², with its interval of 95 %: 0.01 is 10 % off, 0.5 "
    "twice as much or half. shift-curve is a yardstick: the size as a function of the in-domain shift, a "
    "curve fitted to the other ways of finetuning (none without others)."
)
NONE = "No theory's size is known: nothing is scored yet, or the rows are older than sizes; run again."


@dataclass(frozen=True)
class SizeLine:
    """The size of the shift in a group of contexts as a theory has it, at one dose; means in nats."""

    study: str
    method: str
    data: str
    dose: int
    group: str
    theory: str
    prior: str
    grade: Grade
    predicted: float
    shift: float
    error: Estimate
    networks: int

    def record(self) -> Json:
        """Plain values by column."""
        low, high = self.error.interval or (None, None)
        values = {**vars(self), "error": self.error.value, "error_low": low, "error_high": high}
        return {key: INFINITE if value == np.inf else value for key, value in values.items()}


@dataclass(frozen=True)
class Curve:
    """A polynomial in x (coefficients, highest first), a straight line outside of `ends`."""

    coefficients: np.ndarray
    ends: tuple[float, float]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        inside = np.clip(x, *self.ends)
        slope = np.polyval(np.polyder(self.coefficients), inside)
        return np.polyval(self.coefficients, inside) + slope * (x - inside)


def fit_curve(x: np.ndarray, y: np.ndarray) -> Curve | None:
    """The curve through points (m,); None of fewer different ones than it has coefficients."""
    if len(np.unique(x)) <= DEGREE:
        return None
    return Curve(np.polyfit(x, y, DEGREE), (float(x.min()), float(x.max())))


def sizes(rows: Iterable[Row]) -> list[SizeLine]:
    """Of every theory and of the curve, by method, D', dose and group; empty of rows without sizes."""
    lines: list[SizeLine] = []
    unchanged: dict[RowKey, Networks] = {}
    for gathered in gather_by_data(rows):
        for key, networks in gathered.items():
            if key.theory == UNCHANGED:
                unchanged[key] = networks
            elif key.grade != "law" and networks.predicted_shift is not None:
                line = _line(key, networks, np.array(networks.predicted_shift))
                lines += [line] if line else []
    return lines + list(_of_curves(unchanged)) if lines else []


def _of_curves(unchanged: Mapping[RowKey, Networks]) -> Iterator[SizeLine]:
    """The curve's forecast of every method, from the others; `unchanged` are the networks themselves."""
    points = {}
    alike: dict[tuple[str, str], list[RowKey]] = defaultdict(list)  # of the same D' and group
    for key, part in unchanged.items():
        inside = unchanged.get(key._replace(group=FITTED_ON))
        if key.group != FITTED_ON and inside:
            points[key] = _logs(inside), _logs(part), _resolved(inside) & _resolved(part)
            alike[key.data, key.group].append(key)
    for key, (x, *_) in points.items():
        rivals = (points[other] for other in alike[key.data, key.group] if other.method != key.method)
        others = [(x[clear], y[clear]) for x, y, clear in rivals]
        curve = fit_curve(*map(np.concatenate, zip(*others, strict=True))) if others else None
        named = key._replace(theory=SHIFT_CURVE, prior="network", grade="fitted")
        line = curve and _line(named, unchanged[key], np.exp(curve(x)))
        if line:
            yield line


def _line(key: RowKey, networks: Networks, predicted: np.ndarray) -> SizeLine | None:
    """None where the shift does not exceed its noise."""
    shift = float(np.mean(networks.shift))
    if shift <= max(fmean(networks.replica or [0.0]), networks.resolution):
        return None
    of_one = of_one_model({key: networks})
    ways = clusters(networks.draws, networks.bases, networks.seeds, of_one_model=of_one)
    with np.errstate(over="ignore"):
        squares = (np.log(np.maximum(predicted, RESOLUTION)) - _logs(networks)) ** 2
    error = mean(squares, ways)
    if error.interval is not None:  # squares are not below 0
        error = replace(error, interval=(max(error.interval[0], 0.0), error.interval[1]))
    names = key.study, key.method, key.data, key.dose, key.group, key.theory, key.prior, key.grade
    return SizeLine(*names, float(np.mean(predicted)), shift, error, len(networks.nats))


def _logs(networks: Networks) -> np.ndarray:
    return np.log(np.maximum(networks.shift, RESOLUTION))


def _resolved(networks: Networks) -> np.ndarray:
    """Whether the shift of each network exceeds its noise, and the resolution."""
    noise = np.maximum(networks.replica or 0.0, networks.resolution)
    return np.greater(networks.shift, noise)


def write(lines: Mapping[str, Sequence[SizeLine]], out: Path) -> Path:
    """Write sizes.csv: the lines of several runs by name."""
    path = out / "sizes.csv"
    write_text(path, as_csv([{"run": run, **line.record()} for run, part in lines.items() for line in part]))
    return path


def table(lines: Sequence[SizeLine]) -> list[list[str]]:
    """Theories × ways of finetuning at the last dose, in the group that is judged first; the smallest error
    first."""
    if not lines:
        return []
    every, group = panels(lines), judged_groups(lines)[0]
    last = {panel: max(line.dose for line in lines if (line.method, line.data) == panel) for panel in every}
    shown = [line for line in lines if line.group == group and line.dose == last[line.method, line.data]]
    yardsticks = [line for line in shown if line.theory in YARDSTICKS]
    by_name: dict[tuple[str, str], dict[tuple[str, str], SizeLine]] = defaultdict(dict)
    for line in [*one_prior(shown), *yardsticks]:
        by_name[line.theory, line.grade][line.method, line.data] = line
    rows = [["theory", "grade", *(f"{panel_name(*panel)}, dose {last[panel]}" for panel in every)]]
    networks = {(line.method, line.data): line.shift for line in shown}
    rows.append(["shift (nats)", "", *(nats(networks.get(panel)) for panel in every)])

    def worst(name: tuple[str, str]) -> tuple[int, float]:
        known = by_name[name].values()
        return -len(known), fmean(line.error.value for line in known)

    for name in sorted(by_name, key=worst):
        cells = (by_name[name].get(panel) for panel in every)
        rows.append([*name, *(_cell(line) if line else "" for line in cells)])
    return rows


def _cell(line: SizeLine) -> str:
    if not np.isfinite(line.predicted):
        return "failed for some networks"
    return f"{nats(line.predicted)}; {difference(line.error.value, line.error.interval)}"
