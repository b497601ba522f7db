"""The answer of a run in at most three sentences, and the small table that supports them. No jax.

Both are of the last dose of each way of finetuning (a method on a D'), on its first judged group of contexts,
with one prior for each theory: the best theory and its noise ceiling, the best forecast, and failures, which
are worse than "nothing changed" by more than two standard errors.
"""

from collections.abc import Callable, Sequence
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

EXPLICIT = 4  # so many ways of finetuning are named, of more the extremes
FAILURES = 3  # so many failures are named
WORST = -1.0  # scores below it weigh alike in the order of the table


@dataclass(frozen=True)
class Way:
    """A way of finetuning at its last dose: `lines` of theories, `base` of the unchanged base network."""

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

    def at(self, theory: str, grade: str) -> ScoreLine | None:
        """A theory's line; None where it predicts nothing."""
        return next((line for line in self.lines if (line.theory, line.grade) == (theory, grade)), None)


def ways(lines: Sequence[ScoreLine]) -> list[Way]:
    """Every way of finetuning that is scored, in the order of the figures."""
    result = []
    for panel in panels(lines):
        inside = of_panel(lines, panel)
        group = judged_groups(inside)[0]
        inside = [line for line in inside if line.group == group and line.grade != "law"]
        dose = max((line.dose for line in inside), default=0)
        last = [line for line in inside if line.dose == dose]
        if last:
            theories = one_prior(inside)  # the prior is chosen over all doses, as in the figures
            at_last = tuple(line for line in theories if line.dose == dose)
            result.append(Way(*panel, group, dose, last[0], at_last))
    return result


def answer(found: Sequence[Way]) -> list[str]:
    """At most three sentences; each number in them is in the table."""
    if not found:
        return ["Nothing is scored yet."]
    best = [(way, way.ranked[0]) for way in found if way.ranked]
    if not best:
        return [f"{_where(found)}, the shift does not exceed its noise: no theory has a score."]
    forecasts = [(way, line) for way in found for line in way.ranked if line.grade == "forecast"]
    firsts = [pair for index, pair in enumerate(forecasts) if pair[0] not in [p[0] for p in forecasts[:index]]]
    return [_best(found, best), _forecasts(best, firsts), _failures(found)]


def theories(found: Sequence[Way]) -> list[tuple[str, str]]:
    """(theory, grade) of every row of the table, the best mean score first; no prediction weighs as `WORST`."""
    names = {(line.theory, line.grade) for way in found for line in way.lines}

    def mean(name: tuple[str, str]) -> float:
        lines = [way.at(*name) for way in found if way.ranked]
        scores = [max(_explained(line), WORST) if line and defined(line) else WORST for line in lines]
        return sum(scores) / len(scores) if scores else WORST

    return sorted(names, key=lambda name: (-mean(name), name))


def score(line: ScoreLine | None) -> tuple[str, str]:
    """Words for a score and for its error: empty where nothing is predicted, "–" where undefined."""
    if line is None:
        return "", ""
    if not defined(line):
        return "–", ""
    error = line.standard_error
    stars = "*" * doubted(line)
    return _short(_explained(line)) + stars, "" if error is None else f"± {_short(error, error_number)}"


def words(theory: str) -> str:
    """A theory's name as figures have it."""
    return theory.replace("-", " ")


def _best(found: Sequence[Way], best: list[tuple[Way, ScoreLine]]) -> str:
    holes = [way for way in found if not way.ranked]
    ceilings = [way.base.noise_ceiling for way, _ in best if way.base.noise_ceiling is not None]
    text = f"{_where(found)}, the shift is best explained by {_by_theory(best, ceiling=True)}"
    if len(best) > EXPLICIT and ceilings:
        low, high = number(min(ceilings)), number(max(ceilings))
        text += f"; the noise ceiling is {low}{f' to {high}' * (low != high)}"
    if all(_explained(line) <= 0 for _, line in best):
        text += ", and nothing beats “nothing changed”"
    if holes:
        text += f"; undefined, for the shift does not exceed its noise, after {_list([w.name for w in holes])}"
    return text + "."


def _forecasts(best: list[tuple[Way, ScoreLine]], firsts: list[tuple[Way, ScoreLine]]) -> str:
    if not firsts:
        return "No forecast without a fitted number has a score."
    if [line for _, line in firsts] == [line for _, line in best]:
        return "All of these are forecasts: no number in them is fitted."
    return f"Without a fitted number, the best forecast is {_by_theory(firsts)}."


def _failures(found: Sequence[Way]) -> str:
    failed: dict[tuple[str, str], list[tuple[Way, ScoreLine]]] = {}
    for way in found:
        for line in way.ranked:
            if _explained(line) + 2 * (line.standard_error or 0) < 0:
                failed.setdefault((line.theory, line.grade), []).append((way, line))
    if not failed:
        least = min(((way, line) for way in found for line in way.ranked), key=lambda p: _explained(p[1]))
        return f"Nothing fails outright; least is explained by {_by_theory([least])}."
    order = sorted(failed, key=lambda name: (-len(failed[name]), min(_explained(p[1]) for p in failed[name])))
    parts = []
    for name in order[:FAILURES]:
        way, line = min(failed[name], key=lambda pair: _explained(pair[1]))
        count = f"{len(failed[name])} of {len(found)} ways, down to " if len(found) > 1 else ""
        parts.append(f"{words(name[0])} ({name[1]}; {count}{_plus_minus(line)})")
    more = [f"{len(order) - FAILURES} more"] * (len(order) > FAILURES)
    return f"Worse than “nothing changed” by more than two s.e.: {_list([*parts, *more])}."


def _where(found: Sequence[Way]) -> str:
    groups = _list(list(dict.fromkeys(way.group.replace("_", "-") for way in found)))
    doses = _list([str(dose) for dose in sorted({way.dose for way in found})])
    return f"On {groups} contexts at the last dose ({doses} step{'s' * (doses != '1')})"


def _by_theory(pairs: list[tuple[Way, ScoreLine]], ceiling: bool = False) -> str:
    """Theories with their scores: each way of finetuning, or of many the count and the extremes."""
    groups: dict[tuple[str, str], list[tuple[Way, ScoreLine]]] = {}
    for way, line in pairs:
        groups.setdefault((line.theory, line.grade), []).append((way, line))
    texts = []
    for (theory, grade), same in sorted(groups.items(), key=lambda item: -len(item[1])):
        if len(pairs) <= EXPLICIT:
            scores = _list([_named(way, line, ceiling) for way, line in same])
        else:
            low, high = (pick(same, key=lambda pair: _explained(pair[1])) for pick in (min, max))
            scores = f"{len(same)} of {len(pairs)} ways of finetuning: {_named(*low)}"
            scores += f" to {_named(*high)}" if len(same) > 1 else ""
        texts.append(f"{words(theory)} ({grade}; {scores})")
    return _list(texts)


def _named(way: Way, line: ScoreLine, ceiling: bool = False) -> str:
    bound = f", noise ceiling {number(way.base.noise_ceiling)}" * ceiling
    return f"{way.name} {_plus_minus(line)}{bound}"


def _plus_minus(line: ScoreLine) -> str:
    return " ".join(filter(None, score(line)))


def _short(value: float, style: Callable[[float], str] = number) -> str:
    """A number with a true minus, and no more digits than needed where it is large."""
    text = f"{value:.1f}" if 1 <= abs(value) < 100 and abs(1 - value) >= 5e-4 else style(value)
    return text.replace("-", "−")


def _list(parts: Sequence[str]) -> str:
    return "; ".join(parts) if any("," in part for part in parts) else ", ".join(parts)


def _explained(line: ScoreLine) -> float:
    return float("nan") if line.explained is None else line.explained
