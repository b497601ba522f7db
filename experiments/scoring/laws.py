"""Laws: which measures known before finetuning order the scores of a theory. Numpy and scipy only.

An observation is one theory's score at one point (a run of a sweep), method and dose, with the measures of
that point. Points are split in two by a hash of their names; a law is proposed on one half and scored on the
other. With x one or two measures, a law is one of

    line         y = a + b·x              logistic     y = 1 / (1 + exp(-a - b·x))
    exponential  y = 1 - exp(a + b·x)     power        y = 1 - exp(a + b·log x), for x > 0
    square       y = 1 - c x²

y is the explained share, with FLOOR for whatever is below it: a theory far worse than none would else decide
alone. Constants are those of least squares. Forms and measures are chosen by the error on points left out
(FOLDS of them) within the first half: two measures in the place of one only where they gain MARGIN of R².
"""

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares
from scipy.special import expit
from scipy.stats import rankdata

from experiments.storage.records import Interval
from theory.errors import Misuse

FLOOR = -1.0  # of explained
FOLDS = 5
MARGIN = 0.02  # of R², for a second measure
PAIRED = 6  # measures that are tried in pairs: the best by themselves
LEAST = 6  # points in each half
RIVALS = 3
RESAMPLES = 2000
FORMS = ("line", "logistic", "exponential", "power", "square")
STEEPEST = 30.0  # of an exponent


@dataclass(frozen=True)
class Observation:
    """A theory's `score` (explained, or another share), by one method at one dose of one point, with measures
    known there."""

    point: str
    method: str
    dose: int
    theory: str
    score: float
    measures: Mapping[str, float]


@dataclass(frozen=True)
class Law:
    """A form with its measures and constants, and its R² on points that were left out of the fit."""

    theory: str
    form: str
    measures: tuple[str, ...]
    constants: tuple[float, ...]
    left_out: float

    def predict(self, observations: Sequence[Observation]) -> np.ndarray:
        """Explained (m,), as the law has it; nan where a measure is not known."""
        return value(self.form, np.array(self.constants), _columns(observations, self.measures))

    @property
    def name(self) -> str:
        """Form and measures in words."""
        return f"{self.form} in {' and '.join(self.measures)}"


@dataclass(frozen=True)
class Verdict:
    """A law's R² on the half that it has not seen, with an interval of 95 % over points, and the same of its
    rivals in the order in which they were proposed; `points` and `observations` are those of that half.
    `within` is R² about the mean of each way of finetuning: what differs between these alone does not count.
    `behind`, of a rival, is the law's R² less its own, paired over points, with its interval."""

    law: Law
    r2: float
    interval: Interval
    points: int
    observations: int
    within: float = float("nan")
    behind: tuple[float, Interval] | None = None
    rivals: tuple["Verdict", ...] = ()


def is_first(point: str) -> bool:
    """Whether a point is of the half on which laws are proposed: its SHA-256 begins with an even digit."""
    return int(hashlib.sha256(point.encode()).hexdigest()[0], 16) % 2 == 0


def halves(observations: Sequence[Observation]) -> tuple[list[Observation], list[Observation]]:
    """Those that laws are proposed on, and those that they are scored on; refuses too few points."""
    parts = [[line for line in observations if is_first(line.point) is first] for first in (True, False)]
    counts = [len({line.point for line in part}) for part in parts]
    if min(counts) < LEAST:
        raise Misuse(
            f"A law needs at least {LEAST} points in each half, got {counts[0]} and {counts[1]}; run a sweep "
            "of more values."
        )
    return parts[0], parts[1]


def propose(observations: Sequence[Observation], theory: str) -> tuple[Law, ...]:
    """The best law of a theory, and its best rivals with other measures, from the first half alone."""
    lines = [line for line in observations if line.theory == theory]
    known = [name for name in _names(lines) if _varies(lines, name)]
    single = _ranked([_best_form(lines, theory, (name,)) for name in known])
    leading = [law.measures[0] for law in single[:PAIRED]]
    pairs = _ranked([_best_form(lines, theory, pair) for pair in itertools.combinations(leading, 2)])
    if not single:
        raise Misuse(f"No measure varies over the points of {theory}; run a sweep with measures.")
    best = single[0]
    if pairs and pairs[0].left_out > best.left_out + MARGIN:
        best = pairs[0]
    rivals = [law for law in single if law.measures != best.measures]
    return best, *rivals[:RIVALS]


def judge(laws: Sequence[Law], observations: Sequence[Observation]) -> Verdict:
    """The R² of the first of `laws`, and of the others as its rivals, on observations they have not seen."""
    best, *others = laws
    rivals = [replace(_judge(law, observations), behind=_ahead(best, law, observations)) for law in others]
    return replace(_judge(best, observations), rivals=tuple(rivals))


def leftover(observations: Sequence[Observation], measure: str, least: float) -> Verdict:
    """The law 1 - explained = exp(a) × measure^b, fitted in logarithms to the first half, with its R² of
    logarithms on the second: it weighs a score of 0.9999 as it does one of 0.9. Raises `Misuse` for too few
    points.

    `least` stands for a smaller 1 - explained.
    """
    first, second = halves([line for line in observations if line.measures.get(measure, 0) > 0])

    def columns(lines: Sequence[Observation]) -> tuple[np.ndarray, np.ndarray]:
        left = np.array([max(1 - line.score, least) for line in lines])
        return np.log(_columns(lines, (measure,))[:, 0]), np.log(left)

    (x, y), (seen, wanted) = columns(first), columns(second)
    slope, offset = np.polyfit(x, y, 1).tolist()
    points = _points(second)
    count, predicted = int(points.max()) + 1, offset + slope * seen
    law = Law(first[0].theory, "power", (measure,), (offset, slope), float("nan"))
    interval = _bootstrap(lambda rows: r_squared(wanted[rows], predicted[rows]), points)
    return Verdict(law, r_squared(wanted, predicted), interval, count, len(second))


def rank_table(observations: Sequence[Observation]) -> list[dict[str, float | str]]:
    """Spearman's correlation of every measure (rows) with the scores of every theory (columns); nan where
    either is constant."""
    table = []
    for name in _names(observations):
        row: dict[str, float | str] = {"measure": name}
        for theory in dict.fromkeys(line.theory for line in observations):
            lines = _known([line for line in observations if line.theory == theory], (name,))
            x, y = _columns(lines, (name,))[:, 0], _scores(lines)
            constant = len(lines) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0
            row[theory] = (
                float("nan") if constant else round(float(np.corrcoef(rankdata(x), rankdata(y))[0, 1]), 3)
            )
        table.append(row)
    return table


def value(form: str, constants: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Explained (m,) of measures (m, c) by a form with its constants."""
    if form == "square":
        return 1 - constants[0] * x[:, 0] ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = constants[0] + (np.log(x) if form == "power" else x) @ constants[1:]
    if form == "line":
        return inner
    return expit(inner) if form == "logistic" else 1 - np.exp(np.minimum(inner, STEEPEST))


def fit(form: str, x: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """Constants of least squares for measures (m, c) and explained (m,); None where the form does not serve:
    a power of what is not positive, a square of two measures."""
    if (form == "power" and not np.all(x > 0)) or (form == "square" and x.shape[1] > 1):
        return None
    if form == "square":
        return np.array([np.sum((1 - y) * x[:, 0] ** 2) / max(np.sum(x[:, 0] ** 4), 1e-300)])
    inner = np.log(x) if form == "power" else x
    middle, scale = inner.mean(axis=0), np.maximum(inner.std(axis=0), 1e-12)
    design = np.column_stack([np.ones(len(y)), (inner - middle) / scale])
    linked = {
        "line": y,
        "logistic": np.log(np.clip(y, 0.02, 0.98) / (1 - np.clip(y, 0.02, 0.98))),
    }.get(form, np.log(np.maximum(1 - y, 1e-4)))
    start = np.linalg.lstsq(design, linked, rcond=None)[0]
    standard = "exponential" if form == "power" else form
    if form != "line":
        start = least_squares(lambda b: value(standard, b, design[:, 1:]) - y, start, max_nfev=200).x
    slopes = start[1:] / scale
    return np.array([start[0] - slopes @ middle, *slopes])


def r_squared(y: np.ndarray, predicted: np.ndarray) -> float:
    """1 - Σ (y - ŷ)² / Σ (y - ȳ)²; nan where y does not vary."""
    whole = np.sum((y - y.mean()) ** 2)
    return float(1 - np.sum((y - predicted) ** 2) / whole) if whole > 0 else float("nan")


def _best_form(lines: Sequence[Observation], theory: str, measures: tuple[str, ...]) -> Law | None:
    """The form that errs least on points left out, fitted to all of the lines that know the measures."""
    used = _known(lines, measures)
    if len({line.point for line in used}) < LEAST:
        return None
    x, y = _columns(used, measures), _scores(used)
    folds = np.array([_fold(line.point) for line in used])
    laws = []
    for form in FORMS:
        constants, predicted = fit(form, x, y), np.full(len(y), y.mean())
        for fold in np.unique(folds):
            held = folds == fold
            fitted = fit(form, x[~held], y[~held]) if constants is not None and not held.all() else None
            if fitted is not None:
                predicted[held] = value(form, fitted, x[held])
        if constants is not None:
            numbers = tuple(float(f"{number:.7g}") for number in constants)
            laws.append(Law(theory, form, measures, numbers, r_squared(y, predicted)))
    return max(laws, key=lambda law: law.left_out)


def _ranked(laws: Sequence[Law | None]) -> list[Law]:
    return sorted((law for law in laws if law is not None), key=lambda law: -law.left_out)


def _fold(point: str) -> int:
    """By another digit of the hash than the half."""
    return int(hashlib.sha256(point.encode()).hexdigest()[1:5], 16) % FOLDS


def _judge(law: Law, observations: Sequence[Observation]) -> Verdict:
    """The R² of one law."""
    lines = _judged(observations, law)
    points, y, predicted = _points(lines), _scores(lines), law.predict(lines)
    interval = _bootstrap(lambda rows: r_squared(y[rows], predicted[rows]), points)
    ways = np.unique([line.method for line in lines], return_inverse=True)[1]
    means = (np.bincount(ways, y) / np.bincount(ways))[ways]
    spread = np.sum((y - means) ** 2)
    within = float(1 - np.sum((y - predicted) ** 2) / spread) if spread > 0 else float("nan")
    return Verdict(law, r_squared(y, predicted), interval, int(points.max()) + 1, len(lines), within)


def _ahead(law: Law, rival: Law, observations: Sequence[Observation]) -> tuple[float, Interval]:
    """The R² of a law less that of a rival, on observations that know the measures of both."""
    lines = _judged(observations, law, rival)
    y, ours, theirs = _scores(lines), law.predict(lines), rival.predict(lines)

    def difference(rows: np.ndarray) -> float:
        return r_squared(y[rows], ours[rows]) - r_squared(y[rows], theirs[rows])

    return difference(np.arange(len(y))), _bootstrap(difference, _points(lines))


def _judged(observations: Sequence[Observation], *laws: Law) -> list[Observation]:
    """The scores of the laws' theory that know all of their measures; none are refused."""
    measures = [name for law in laws for name in law.measures]
    lines = _known([line for line in observations if line.theory == laws[0].theory], measures)
    if not lines:
        raise Misuse(f"There is no score of {laws[0].theory} with {' and '.join(measures)} to judge by.")
    return lines


def _bootstrap(statistic: Callable[[np.ndarray], float], points: np.ndarray) -> Interval:
    """2.5 and 97.5 % of a statistic of rows, over points drawn with replacement: the rows of a point stay
    together."""
    random = np.random.default_rng(0)
    count = int(points.max()) + 1
    members = [np.flatnonzero(points == point) for point in range(count)]
    drawn = [
        statistic(np.concatenate([members[point] for point in random.integers(count, size=count)]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _points(lines: Sequence[Observation]) -> np.ndarray:
    """The point of every line, by numbers from 0."""
    return np.unique([line.point for line in lines], return_inverse=True)[1]


def _names(lines: Sequence[Observation]) -> list[str]:
    return list(dict.fromkeys(name for line in lines for name in line.measures))


def _varies(lines: Sequence[Observation], name: str) -> bool:
    values = [line.measures[name] for line in lines if name in line.measures]
    return len(values) > 1 and float(np.ptp(values)) > 0


def _known(lines: Sequence[Observation], measures: Sequence[str]) -> list[Observation]:
    return [line for line in lines if all(name in line.measures for name in measures)]


def _columns(lines: Sequence[Observation], measures: Sequence[str]) -> np.ndarray:
    return np.array([[line.measures.get(name, np.nan) for name in measures] for line in lines], float)


def _scores(lines: Sequence[Observation]) -> np.ndarray:
    return np.array([max(line.score, FLOOR) for line in lines])
