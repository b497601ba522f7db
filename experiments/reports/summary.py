"""The answer of a run in at most three sentences, and the small table that supports them. No jax.

Both are of the last dose of each way of finetuning (a method on a D'), on its first judged group of contexts,
with one prior for each theory: the best theory and its noise ceiling, the best forecast, and failures, which
are worse than "nothing changed" by more than two standard errors.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from experiments.scoring.labels import (
    METHODS,
    defined,
    error_number,
    judged_groups,
    number,
    of_panel,
    one_prior,
    panel_name,
    panels,
)
from experiments.scoring.leaderboard import doubted
from experiments.storage.records import ScoreLine

NAMED = 2  # so many ways of finetuning are named for a theory, of more the least and the largest
FAILURES = 3  # so many failures are named
WORST = -1.0  # scores below it weigh alike in the order of the table


@dataclass(frozen=True)
class PanelScores:
    """A method on a D' at its last dose: `lines` of theories, `base` of the unchanged base network."""

    method: str
    data: str
    group: str
    dose: int
    base: ScoreLine
    lines: tuple[ScoreLine, ...]

    @property
    def name(self) -> str:
        """METHOD on DATA, in words."""
        return panel_name(self.method, self.data).replace(", D′ on ", " on ")

    @property
    def heads(self) -> tuple[str, str]:
        """D' and method in words, for the head of a table."""
        return panel_name(self.method, self.data).partition(", ")[2], METHODS.get(self.method, self.method)

    @property
    def ranked(self) -> list[ScoreLine]:
        """Lines with a score, the best first."""
        return sorted((line for line in self.lines if defined(line)), key=lambda line: -_explained(line))

    @property
    def best_forecast(self) -> ScoreLine | None:
        """The best line without a fitted number; None where there is none."""
        return next((line for line in self.ranked if line.grade == "forecast"), None)

    def at(self, theory: str, grade: str) -> ScoreLine | None:
        """A theory's line; None where it predicts nothing."""
        return next((line for line in self.lines if (line.theory, line.grade) == (theory, grade)), None)


Pair = tuple[PanelScores, ScoreLine]


def last_scores(lines: Sequence[ScoreLine]) -> list[PanelScores]:
    """Every method and D' that is scored, in the order of the figures."""
    result = []
    for key in panels(lines):
        inside = of_panel(lines, key)
        group = judged_groups(inside)[0]
        inside = [line for line in inside if line.group == group and line.grade != "law"]
        dose = max((line.dose for line in inside), default=0)
        last = [line for line in inside if line.dose == dose]
        if last:
            theories = one_prior(inside)  # the prior is chosen over all doses, as in the figures
            at_last = tuple(line for line in theories if line.dose == dose)
            result.append(PanelScores(*key, group, dose, last[0], at_last))
    return result


def answer(scored: Sequence[PanelScores]) -> list[str]:
    """At most three sentences; each number in them is in the table."""
    if not scored:
        return ["Nothing is scored yet."]
    best = [(panel, panel.ranked[0]) for panel in scored if panel.ranked]
    if not best:
        return [f"{_where(scored)} the shift does not exceed its noise: no theory has a score."]
    forecasts = [(panel, line) for panel in scored if (line := panel.best_forecast)]
    return [_best(scored, best), _forecasts(best, forecasts, len(scored)), _failures(scored)]


def theories(scored: Sequence[PanelScores]) -> list[tuple[str, str]]:
    """(theory, grade) of every row, the best mean score first; no prediction weighs as `WORST`."""
    names = {(line.theory, line.grade) for panel in scored for line in panel.lines}

    def mean(name: tuple[str, str]) -> float:
        lines = [panel.at(*name) for panel in scored if panel.ranked]
        scores = [max(_explained(line), WORST) if line and defined(line) else WORST for line in lines]
        return sum(scores) / len(scores) if scores else WORST

    return sorted(names, key=lambda name: (-mean(name), name))


def score(line: ScoreLine | None) -> tuple[str, str]:
    """Words for a score and for its error: empty where nothing is predicted, "–" where undefined."""
    if line is None:
        return "", ""
    if not defined(line):
        return "–", ""
    value, error = _explained(line), line.standard_error
    if math.isinf(value):
        return number(value).replace("-", "−"), ""
    digits = 1 if 1 < abs(value) < 100 and number(value) != "1.000" else 0 if abs(value) >= 100 else None
    text = number(value) if digits is None else f"{value:.{digits}f}"
    least = 10.0 ** -(digits or 0)
    if digits is None or not error:
        spread = error_number(error or 0.0)
    else:
        spread = f"<{least:g}" if error < least / 2 else f"{error:.{digits}f}"
    return text.replace("-", "−") + "*" * doubted(line), "" if error is None else f"± {spread}"


def words(theory: str) -> str:
    """A theory's name as figures have it."""
    return theory.replace("-", " ")


def _best(scored: Sequence[PanelScores], best: list[Pair]) -> str:
    holes = [panel.name for panel in scored if not panel.ranked]
    ceilings = [panel.base.noise_ceiling for panel, _ in best if panel.base.noise_ceiling is not None]
    text = f"{_where(scored)} the shift is explained best by {_by_theory(best, len(scored))}"
    if ceilings:
        low, high = (number(pick(ceilings)) for pick in (min, max))
        text += f"; noise ceiling{f's {low} to {high}' if low != high else f' {low}'}"
    if all(_explained(line) <= 0 for _, line in best):
        text += ", but nothing beats “nothing changed”"
    if holes:
        text += f"; undefined after {_list(holes)}, where the shift does not exceed its noise"
    return text + "."


def _forecasts(best: list[Pair], forecasts: list[Pair], count: int) -> str:
    if not forecasts:
        return "No forecast without a fitted number has a score."
    if forecasts == best:
        return "All of these are forecasts: no number in them is fitted."
    return f"Without a fitted number, the best forecast is {_by_theory(forecasts, count, grade=False)}."


def _failures(scored: Sequence[PanelScores]) -> str:
    failed: dict[tuple[str, str], list[Pair]] = {}
    for panel in scored:
        for line in panel.ranked:
            if _explained(line) + 2 * (line.standard_error or 0) < 0:
                failed.setdefault((line.theory, line.grade), []).append((panel, line))
    if not failed:
        least = min(((panel, line) for panel in scored for line in panel.ranked), key=_pair_score)
        return f"Nothing fails outright; least is explained by {_by_theory([least], len(scored))}."
    order = sorted(failed, key=lambda name: (-len(failed[name]), min(map(_pair_score, failed[name]))))
    parts = []
    for theory, grade in order[:FAILURES]:
        pairs = failed[theory, grade]
        count = f"in {len(pairs)} of {len(scored)} ways, lowest " if len(scored) > 1 else ""
        parts.append(f"{words(theory)} ({grade}: {count}{_plus_minus(min(pairs, key=_pair_score)[1])})")
    more = [f"{len(order) - FAILURES} more"] * (len(order) > FAILURES)
    return f"Worse than “nothing changed” by more than two s.e.: {_list([*parts, *more])}."


def _where(scored: Sequence[PanelScores]) -> str:
    groups = _list(dict.fromkeys(panel.group.replace("_", "-") for panel in scored))
    doses = _list(str(dose) for dose in sorted({panel.dose for panel in scored}))
    return f"On {groups} contexts after {doses} step{'s' * (doses != '1')}"


def _by_theory(pairs: list[Pair], count: int, grade: bool = True) -> str:
    """Theories with their scores, of more than `NAMED` ways of finetuning the least and the largest one."""
    groups: dict[tuple[str, str], list[Pair]] = {}
    for panel, line in pairs:
        groups.setdefault((line.theory, line.grade), []).append((panel, line))
    texts = []
    for (theory, kind), entries in sorted(groups.items(), key=lambda item: -len(item[1])):
        ends = [pick(entries, key=_pair_score) for pick in (min, max)] if len(entries) > NAMED else entries
        scores = [f"{_plus_minus(line)} after {panel.name}" for panel, line in ends]
        text = " to ".join(scores) if len(entries) > NAMED else _list(scores)
        if NAMED < len(entries) < count:
            text = f"in {len(entries)} of {count} ways, {text}"
        texts.append(f"{words(theory)} ({f'{kind}: ' * grade}{text})")
    return _list(texts)


def _plus_minus(line: ScoreLine) -> str:
    return " ".join(filter(None, score(line)))


def _list(parts: Iterable[str]) -> str:
    """A, B and C."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def _explained(line: ScoreLine) -> float:
    return float("nan") if line.explained is None else line.explained


def _pair_score(pair: Pair) -> float:
    return _explained(pair[1])
