"""Labels: names of panels, groups and priors, and numbers as text. Numpy only."""

import re
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from experiments.storage.records import Interval, ScoreLine

SMALL = 0.01  # what is left of a score is printed below this
FAR = 2.0  # from here on scores have one digit


class OfPanel(Protocol):
    """A row or a line: of one method, one D' and one group of contexts."""

    @property
    def method(self) -> str: ...
    @property
    def data(self) -> str: ...
    @property
    def group(self) -> str: ...


class _Line(OfPanel, Protocol):
    """And of one theory."""

    @property
    def theory(self) -> str: ...
    @property
    def prior(self) -> str: ...


LineT = TypeVar("LineT", bound=_Line)

FITTED_ON = "in_domain"  # the group of contexts that strengths are fitted on
UNCHANGED = "unchanged"  # the theory that finetuning changes nothing: prior "network", grade "forecast"
NULLS = ("unchanged", "answer-bias", "position-bias", "mean-shift")
"""Theories that know nothing of hypotheses or weights: what one must beat to explain anything."""
LAST_DOSE, SHIFT_CURVE = YARDSTICKS = ("last-dose", "shift-curve")
"""Forecasts that look at other finetuned networks: what a theory of finetuning should do without."""
BY_RATE = "-by-rate"  # of a theory's name, where β follows from learning-rate time and not from its strength
REFERENCES = (*NULLS, *YARDSTICKS)
"""What every table holds beside theories, whose names these are."""
METHODS = {"sgd": "SGD", "adam": "Adam"}


def panels(lines: Sequence[_Line]) -> list[tuple[str, str]]:
    """(method, D′) of every panel: methods as in METHODS, the broadest D′ last."""
    order = [*METHODS, *sorted({line.method for line in lines})]

    def key(panel: tuple[str, str]) -> tuple[int, list[int], str, int]:
        numbers = [int(number) for number in re.findall(r"\d+", panel[1])]
        return len(numbers), numbers, panel[1], order.index(panel[0])

    return sorted({(line.method, line.data) for line in lines}, key=key)


def of_panel(lines: Iterable[LineT], panel: tuple[str, str]) -> list[LineT]:
    """The lines of one method and D′."""
    return [line for line in lines if (line.method, line.data) == panel]


def panel_name(method: str, data: str) -> str:
    """A method and a D′ in words."""
    name, *variants = data.split("-")  # an arm with a batch of its own: topics0_1-batch16
    match = re.fullmatch(r"([a-z]+)s(\d+(?:_\d+)*)", name)  # topics0_1, questions2
    text = data.replace("_", " ")
    if match:
        kind, numbers = match.groups()
        text = f"{kind}{'s' * ('_' in numbers)} {numbers.replace('_', ', ')}"
        text = ", ".join([text, *(re.sub(r"(?<=[a-z])(?=\d)", " ", variant) for variant in variants)])
    return f"{METHODS.get(method, method)}, D′ on {text}"


def one_prior(lines: Iterable[LineT]) -> list[LineT]:
    """The lines of each theory with one prior, without nulls and yardsticks.

    Of several priors it is the one that the base network implies, or else the coldest.
    """
    changed = [line for line in lines if line.theory not in REFERENCES]
    best: dict[str, tuple[bool, float, int, str]] = {}
    for line in changed:
        rank = line.prior != "implied", temperature(line.prior), len(line.prior), line.prior
        best[line.theory] = min(rank, best.get(line.theory, rank))
    return [line for line in changed if line.prior == best[line.theory][-1]]


def temperature(prior: str) -> float:
    """Nats, of a prior like T=0.001; 0 of others."""
    return float(prior.rpartition("T=")[2]) if "T=" in prior else 0.0


def judged_groups(lines: Sequence[_Line]) -> list[str]:
    """The groups that theories are judged on, held_out first."""
    groups = dict.fromkeys(line.group for line in lines if line.group != FITTED_ON)
    return sorted(groups, key=lambda name: name != "held_out") or [FITTED_ON]


def three(lines: Sequence[ScoreLine]) -> list[int]:
    """The first dose with a defined score, one in the middle, and the last."""
    doses = sorted({line.dose for line in lines})
    scored = sorted({line.dose for line in lines if defined(line)}) or doses
    remaining = doses[doses.index(scored[0]) :]
    return sorted({remaining[0], remaining[len(remaining) // 2], remaining[-1]})


def defined(line: ScoreLine) -> bool:
    """Whether a line has a score; -∞ is one, of a theory that rules out what a network answers."""
    return line.explained is not None and not np.isnan(line.explained)


def explained(line: ScoreLine) -> float:
    """The score of a line that has one."""
    assert line.explained is not None
    return line.explained


def doubted(line: ScoreLine) -> bool:
    """Whether chains behind a score have not converged."""
    return line.converged is not None and line.converged < 1


def below_base_error(line: ScoreLine) -> bool:
    """Whether the shift is smaller than what the base networks got wrong of the process."""
    return line.base_error is not None and line.shift < line.base_error


def partial(line: ScoreLine) -> bool:
    """Whether a line is over fewer networks than were finetuned."""
    return line.finetuned is not None and line.networks < line.finetuned


def failed_for(failed: int, networks: int) -> str:
    """Words for the networks that a theory fails for; empty without any."""
    return f"failed for {failed} of {networks} networks" * bool(failed)


def failing(line: ScoreLine) -> str:
    """The same of a line."""
    return failed_for(line.failed, line.networks)


def marks(line: ScoreLine) -> str:
    """The marks behind a score: * for chains, ° for a small shift, † for fewer networks than were
    finetuned."""
    return "*" * doubted(line) + "°" * below_base_error(line) + "†" * partial(line)


def networks(line: ScoreLine) -> str:
    """The number of networks of a line, of how many, and for how many the theory fails and why."""
    text = str(line.networks) + f" of {line.finetuned}" * partial(line)
    return f"{text}, {line.failed} failed: {line.failure}" if line.failed else text


def beats_nulls(line: ScoreLine) -> bool:
    """Whether the whole interval of what a theory explains beyond the best null is above 0."""
    return line.over_null_interval is not None and line.over_null_interval[0] > 0


def is_worse(line: ScoreLine) -> bool:
    """Whether it is worse than “nothing changed”, its whole interval below 0."""
    return line.explained == -np.inf or (line.interval is not None and line.interval[1] < 0)


def score(value: float | None) -> str:
    """A score; what it leaves where that is below a hundredth."""
    if value is None or np.isnan(value):
        return "-"
    if np.isinf(value):
        return f"{'-' * (value < 0)}∞"
    left = 1 - value
    if 1e-12 < left < SMALL:
        return f"1 − {left:.2g}"
    return f"{value:.1f}" if FAR <= abs(value) < 100 else number(value)


def interval(ends: Interval | None) -> str:
    """An interval in brackets, empty without one or of a point; more digits where an end is close to 1."""
    return "" if ends is None or ends[0] == ends[1] else f"[{', '.join(map(_end, ends))}]"


def with_interval(value: float | None, ends: Interval | None) -> str:
    """A score and its interval."""
    return " ".join(filter(None, [score(value), interval(ends)]))


def _end(value: float) -> str:
    left = abs(1 - value)
    if left == 0:
        return "1"
    far = 0 if abs(value) >= 100 else 1 if abs(value) >= FAR else 3
    text = f"{value:.{5 if left < 1e-3 else 4 if left < SMALL else far}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def over_null(line: ScoreLine) -> str:
    """Words for the gap between a theory and the best null; empty for a null."""
    if line.best_null is None or line.over_null is None:
        return ""
    null, gap = line.best_null.replace("-", " "), difference(line.over_null, line.over_null_interval)
    if line.over_null_interval is None:
        return f"{gap} over the best null, {null}, no interval"
    return f"beats the nulls by {gap}" if beats_nulls(line) else f"not above the best null, {null}: {gap}"


def difference(value: float, ends: Interval | None) -> str:
    """A difference of scores with its interval, in two significant digits where it is small."""
    if ends is None:
        return _small(value)
    return f"{_small(value)} [{', '.join(map(_small, ends))}]"


def _small(value: float) -> str:
    if not np.isfinite(value):
        return f"{'-' * (value < 0)}∞"
    if 0 < abs(value) < SMALL:
        return f"{value:.2g}"
    return f"{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= FAR else 3}f}"


def number(value: float | None) -> str:
    """A share, with more digits where it would be rounded to 1 or 0."""
    if value == -np.inf:
        return "-∞"
    if value is None or not np.isfinite(value):
        return "-"
    fine = 0 < abs(1 - value) < 5e-4 or 0 < abs(value) < 5e-4
    text = f"{value:.{4 if fine else 3 if abs(value) < 100 else 0}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def number_with_interval(value: float, ends: Interval | None) -> str:
    """A share and its interval, as numbers."""
    return number(value) if ends is None else f"{number(value)} [{number(ends[0])}, {number(ends[1])}]"


def nats(value: float | None) -> str:
    """A number of nats."""
    return "-" if value is None else f"{value:.2e}" if 0 < abs(value) < 1e-4 else f"{value:.5f}"
