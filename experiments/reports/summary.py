"""The answer of a run in at most three sentences, and the small table that supports them. No jax.

Both are of the last dose of each way of finetuning (a method on a D'), on its first judged group of contexts,
with one prior for each theory: what a study asks (experiments.scoring.target), the best theory by what it
explains beyond the best null, the best forecast, and failures, which are worse than "nothing changed" by
their whole interval. Theories are compared on the same networks; of a difference that the intervals leave
open it is said that theories tie.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from experiments.design.study import Study
from experiments.reports.sentences import aligned
from experiments.reports.state import caveats
from experiments.scoring.labels import (
    LAST_DOSE,
    METHODS,
    NULLS,
    UNCHANGED,
    beats_nulls,
    defined,
    failing,
    interval,
    is_worse,
    judged_groups,
    marks,
    of_panel,
    one_prior,
    over_null,
    panel_name,
    panels,
    score,
)
from experiments.scoring.lacking import lacking
from experiments.scoring.paired import leader, ranked, ties
from experiments.scoring.target import approaches, sentence
from experiments.storage.records import ScoreLine
from experiments.storage.run_folder import RunFolder

NAMED = 2  # so many ways of finetuning are named for a theory, of more the least and the largest
FAILURES = 3  # so many failures are named
WORST = -1.0  # scores below it weigh alike in the order of the table


@dataclass(frozen=True)
class PanelScores:
    """A method on a D' at its last dose: `lines` of theories, `base` of the unchanged base network, `null` of
    the best null, `last` of the dose before, scaled (None without a score)."""

    method: str
    data: str
    group: str
    dose: int
    base: ScoreLine
    null: ScoreLine | None
    lines: tuple[ScoreLine, ...]
    last: ScoreLine | None = None

    @property
    def name(self) -> str:
        """METHOD on DATA, in words."""
        return panel_name(self.method, self.data).replace(", D′ on ", " on ")

    @property
    def heads(self) -> tuple[str, str]:
        """D' and method in words, for the head of a table."""
        return panel_name(self.method, self.data).partition(", ")[2], METHODS.get(self.method, self.method)

    @cached_property
    def ranked(self) -> list[ScoreLine]:
        """Lines with a score, the best first, compared on the same networks."""
        return ranked(self.lines)

    @property
    def best(self) -> ScoreLine:
        """The best line; there must be one with a score."""
        return leader(self.ranked)

    @property
    def best_forecast(self) -> ScoreLine | None:
        """The best line without a fitted number; None where there is none."""
        forecasts = [line for line in self.ranked if line.grade == "forecast"]
        return leader(forecasts) if forecasts else None

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
            nulls = [line for line in last if line.theory in NULLS]
            null = next(iter(ranked(nulls)), None)
            base = next((line for line in nulls if line.theory == UNCHANGED), last[0])
            before = next((line for line in last if line.theory == LAST_DOSE and defined(line)), None)
            result.append(PanelScores(*key, group, dose, base, null, at_last, before))
    return result


def on_target(run: RunFolder, lines: Sequence[ScoreLine]) -> str:
    """The sentence on what the study asks for, its target's or its own; empty for a study without either."""
    study = Study.of(run)
    aim = study.target(run)
    return minus(sentence(approaches(run, lines, aim), aim) if aim else study.remark(run))


def findings_text(run: RunFolder) -> str:
    """The sentences and the table of a study that answers by itself; "" of one that the scorecard answers."""
    findings = Study.of(run).findings(run)
    if findings is None:
        return ""
    return "\n\n".join(
        [*caveats(run), *lacking(run), *findings.sentences, aligned([list(row) for row in findings.table])]
    )


def answer(scored: Sequence[PanelScores], first: str = "") -> list[str]:
    """At most three sentences, `first` before the others where it is not empty."""
    if not scored:
        return ["Nothing is scored yet."]
    best = [(panel, panel.best) for panel in scored if panel.ranked]
    if not best:
        return [first] * bool(first) + [
            f"{_where(scored)} the shift does not exceed its noise: no theory has a score."
        ]
    forecasts = [(panel, line) for panel in scored if (line := panel.best_forecast)]
    sentences = [_best(scored, best), _forecasts(best, forecasts, len(scored)), _failures(scored)]
    return [first, *sentences[:2]] if first else sentences


def short_table(scored: Sequence[PanelScores], most: int = 8) -> list[list[str]]:
    """Header and rows of at most so many theories, under the bound, the best null and the last dose."""
    nulls = [panel.null for panel in scored]
    rows = [["theory", "grade", *(panel.name for panel in scored)]]
    rows.append(["order-blind bound", "", *(score(panel.base.order_blind) for panel in scored)])
    rows.append(["best null", "", *(f"{score(n.explained)} {words(n.theory)}" if n else "–" for n in nulls)])
    rows.append(["last dose, scaled", "", *(score(p.last.explained) if p.last else "–" for p in scored)])
    for name in theories(scored)[:most]:
        lines = [panel.at(*name) for panel in scored]
        rows.append([words(name[0]), name[1], *(" ".join(filter(None, cell(line))) for line in lines)])
    return rows


def printed_table(scored: Sequence[PanelScores], across: int = 6, down: int = 20) -> list[list[str]]:
    """The short table; of more panels than stand side by side, a row each of the first, fewer theories."""
    if len(scored) <= across:
        return short_table(scored)
    table = short_table(scored, most=3)
    heads = ["", *(" ".join(filter(None, row[:2])) for row in table[1:])]
    rows = [list(column) for column in zip(*(row[2:] for row in table), strict=True)]
    left = len(rows) - down
    return [heads, *rows[:down], *([[f"and {left} more"] + [""] * (len(heads) - 1)] if left > 0 else [])]


def theories(scored: Sequence[PanelScores]) -> list[tuple[str, str]]:
    """(theory, grade) of every row, the best mean score first; no prediction weighs as `WORST`."""
    names = {(line.theory, line.grade) for panel in scored for line in panel.lines}

    def mean(name: tuple[str, str]) -> float:
        lines = [panel.at(*name) for panel in scored if panel.ranked]
        scores = [max(_explained(line), WORST) if line and defined(line) else WORST for line in lines]
        return sum(scores) / len(scores) if scores else WORST

    return sorted(names, key=lambda name: (-mean(name), name))


def cell(line: ScoreLine | None) -> tuple[str, str]:
    """Words for a score and for its interval, or for the networks that a theory fails for: empty where
    nothing is predicted, "–" where undefined."""
    if line is None:
        return "", ""
    if not defined(line):
        return "–", ""
    return minus(score(line.explained)) + marks(line), failing(line) or minus(interval(line.interval))


def words(theory: str) -> str:
    """A theory's name as figures have it."""
    return theory.replace("-", " ")


def _best(scored: Sequence[PanelScores], best: list[Pair]) -> str:
    """The theories that beat the nulls; the panels without one; those with a shift within its noise."""
    holes = [panel.name for panel in scored if not panel.ranked]
    good = [pair for pair in best if beats_nulls(pair[1])]
    short = [pair for pair in best if not beats_nulls(pair[1])]
    parts = []
    if good:
        parts.append(f"the shift is explained best by {_by_theory(good, len(scored))}")
    if short:
        parts.append(f"nothing is shown to beat the best null, least bad {_by_theory(short, len(scored))}")
    if holes:
        parts.append(f"undefined after {_list(holes)}, where the shift does not exceed its noise")
    return f"{_where(scored)} {'; '.join(parts)}."


def _forecasts(best: list[Pair], forecasts: list[Pair], count: int) -> str:
    if not forecasts:
        return "No forecast without a fitted number has a score."
    others = [pair for pair in forecasts if pair not in best]
    if not others:
        return "All of these are forecasts: no number in them is fitted."
    where = " there" * (len(others) < len(forecasts))
    return f"Without a fitted number, the highest score{where} is that of {_by_theory(others, count)}."


def _failures(scored: Sequence[PanelScores]) -> str:
    failed: dict[tuple[str, str], list[Pair]] = {}
    for panel in scored:
        for line in panel.ranked:
            if is_worse(line):
                failed.setdefault((line.theory, line.grade), []).append((panel, line))
    if not failed:
        least = min(((panel, line) for panel in scored for line in panel.ranked), key=_pair_score)
        return f"Nothing is shown to be worse than “nothing changed”; lowest is {_by_theory([least], 1)}."
    order = sorted(failed, key=lambda name: (-len(failed[name]), min(map(_pair_score, failed[name]))))
    parts = []
    for theory, grade in order[:FAILURES]:
        pairs = failed[theory, grade]
        count = f"in {len(pairs)} of {len(scored)} ways, lowest " if len(scored) > 1 else ""
        parts.append(f"{words(theory)} ({grade}: {count}{_score(min(pairs, key=_pair_score)[1])})")
    more = [f"{len(order) - FAILURES} more"] * (len(order) > FAILURES)
    return f"Worse than “nothing changed” by the whole interval: {_list([*parts, *more])}."


def _where(scored: Sequence[PanelScores]) -> str:
    groups = _list(dict.fromkeys(panel.group.replace("_", "-") for panel in scored))
    doses = _list(str(dose) for dose in sorted({panel.dose for panel in scored}))
    return f"On {groups} contexts after {doses} step{'s' * (doses != '1')}"


def _by_theory(pairs: list[Pair], count: int) -> str:
    """Theories with their scores, of more than `NAMED` ways of finetuning the least and the largest one."""
    groups: dict[tuple[str, str], list[Pair]] = {}
    for panel, line in pairs:
        groups.setdefault((line.theory, line.grade), []).append((panel, line))
    texts = []
    for (theory, kind), entries in sorted(groups.items(), key=lambda item: -len(item[1])):
        ends = [pick(entries, key=_pair_score) for pick in (min, max)] if len(entries) > NAMED else entries
        scores = [f"{_score(line)} after {panel.name} ({_more(panel, line)})" for panel, line in ends]
        text = " to ".join(scores) if len(entries) > NAMED else _list(scores)
        few = f" in {len(entries)} of {count} ways" * (NAMED < len(entries) < count)
        texts.append(f"{words(theory)} ({kind}){few}, {text}")
    return "; and by ".join(texts)


def _more(panel: PanelScores, line: ScoreLine) -> str:
    """Words for the gap to the best null, for ties, and for fewer networks."""
    parts = [minus(over_null(line))]
    tied = [words(other.theory) for other in ties(line, panel.ranked) if other.theory != line.theory]
    if tied and line is panel.best:
        parts.append(f"tied with {_list(dict.fromkeys(tied))}")
    if line.networks < panel.base.networks:
        parts.append(f"on {line.networks} of {panel.base.networks} networks")
    return "; ".join(filter(None, parts))


def _score(line: ScoreLine) -> str:
    return " ".join(filter(None, cell(line)))


def minus(text: str) -> str:
    """Hyphens before numbers as minus signs."""
    return re.sub(r"(?<![\w)])-(?=[\d∞])", "−", text)


def _list(parts: Iterable[str]) -> str:
    """A, B and C."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def _explained(line: ScoreLine) -> float:
    return float("nan") if line.explained is None else line.explained


def _pair_score(pair: Pair) -> float:
    return _explained(pair[1])
