"""Labels: names of panels, groups and priors, and numbers as text. Numpy only."""

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from experiments.scoring.scorecard import FITTED_ON
from experiments.storage.records import Row, ScoreLine

LineT = TypeVar("LineT", Row, ScoreLine)

UNCHANGED = "unchanged"  # the theory that finetuning changes nothing: prior "network", grade "forecast"
NULLS = (
    "unchanged",
    "answer-bias",
    "position-bias",
    "mean-shift",
)  # in every table; experiments.scoring.nulls
METHODS = {"sgd": "SGD", "adam": "Adam"}


def panels(lines: Sequence[Row] | Sequence[ScoreLine]) -> list[tuple[str, str]]:
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
    """The lines of each theory with one prior, without the nulls.

    Of several priors it is the one that the base network implies, or else the coldest.
    """
    changed = [line for line in lines if line.theory not in NULLS]
    best: dict[str, tuple[bool, float, int, str]] = {}
    for line in changed:
        rank = line.prior != "implied", temperature(line.prior), len(line.prior), line.prior
        best[line.theory] = min(rank, best.get(line.theory, rank))
    return [line for line in changed if line.prior == best[line.theory][-1]]


def temperature(prior: str) -> float:
    """Nats, of a prior like T=0.001; 0 of others."""
    return float(prior.rpartition("T=")[2]) if "T=" in prior else 0.0


def judged_groups(lines: Sequence[Row] | Sequence[ScoreLine]) -> list[str]:
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
    """Whether a line has a score; -∞, of a theory that rules out what a network answers, is one."""
    return line.explained is not None and not np.isnan(line.explained)


def explained(line: ScoreLine) -> float:
    """The score of a line that has one."""
    assert line.explained is not None
    return line.explained


def plus_minus(value: float, error: float | None) -> str:
    """A value and its standard error, which is never rounded to nothing."""
    return number(value) + ("" if error is None else f" ± {error_number(error)}")


def error_number(error: float) -> str:
    """A standard error."""
    return "<0.0001" if 0 < error < 5e-5 else number(error)


def number(value: float | None) -> str:
    """A score, with more digits where it would be rounded to 1 or 0."""
    if value == -np.inf:
        return "-∞"
    if value is None or not np.isfinite(value):
        return "-"
    fine = 0 < abs(1 - value) < 5e-4 or 0 < abs(value) < 5e-4
    text = f"{value:.{4 if fine else 3 if abs(value) < 100 else 0}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def nats(value: float | None) -> str:
    """A number of nats."""
    return "-" if value is None else f"{value:.2e}" if 0 < abs(value) < 1e-4 else f"{value:.5f}"
