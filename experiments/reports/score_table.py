"""The small table of a report as HTML: theories by ways of finetuning, explained at the last dose. No jax."""

from collections.abc import Sequence
from html import escape
from itertools import groupby

from experiments.figures.looks import glyph, look
from experiments.reports.markup import folded
from experiments.reports.summary import PanelScores, cell, theories, words
from experiments.scoring.labels import beats_nulls, defined, score
from experiments.storage.records import ScoreLine

ROWS = 7  # theories that are shown, the others are folded
MANY = 4  # with more ways of finetuning, the table is set smaller
BOUNDS = ("order-blind bound", "best null", "last dose, scaled")
NOTE = (
    "Explained part of the shift at the last dose, with its interval of 95 % over base networks and D′ "
    "(none of one D′); the best in bold, grey what does not beat the best null. Last dose, scaled: a "
    "yardstick, the shift of the same networks at the dose before times one fitted number. –: undefined; "
    "empty: no prediction; *: some chains have not converged; °: the shift is smaller than the error of the "
    "base networks; †: over fewer networks than were finetuned."
)


def score_table(scored: Sequence[PanelScores]) -> str:
    """Bounds and the best theories; the other theories folded below."""
    names = theories(scored)
    if not names:
        return ""
    nulls = [_score(p.null, None, words(p.null.theory)) if p.null else _cell("–") for p in scored]
    before = [_score(p.last, None) if p.last else _cell("–") for p in scored]
    bounds = [_cell("–" if (c := panel.base.order_blind) is None else score(c)) for panel in scored]
    above = [
        f"<tr class=bound><td>{name}</td>{''.join(cells)}</tr>"
        for name, cells in (
            ("order-blind bound", bounds),
            ("best null", nulls),
            ("last dose, scaled", before),
        )
    ]
    best = [panel.best if panel.ranked else None for panel in scored]
    rows = [_row(scored, best, *name) for name in names]
    kind = "scores many" if len(scored) > MANY else "scores"
    shown = _table(kind, _head(scored), [*above, *rows[:ROWS]])
    others = (
        folded(f"{len(rows) - ROWS} more", _table(kind, _head(scored), rows[ROWS:])) if rows[ROWS:] else ""
    )
    return f'<div class=numbers>{shown}<p class="soft small">{escape(NOTE)}</p>{others}</div>'


def _table(kind: str, head: str, rows: Sequence[str]) -> str:
    return f'<div class="scroll {kind}"><table>{head}{"".join(rows)}</table></div>'


def _head(scored: Sequence[PanelScores]) -> str:
    """Two rows: D', and below it the methods."""
    data = [(name, len(list(group))) for name, group in groupby(panel.heads[0] for panel in scored)]
    above = "".join(f'<th class=span colspan="{width}">{escape(name)}</th>' for name, width in data)
    below = "".join(f"<th>{escape(panel.heads[1])}</th>" for panel in scored)
    return f"<tr><th class=none></th>{above}</tr><tr><th>theory</th>{below}</tr>"


def _row(scored: Sequence[PanelScores], best: Sequence[ScoreLine | None], theory: str, grade: str) -> str:
    shape = f'<span class=shape style="color:{look(theory)[0]}">{glyph(theory)}</span>'
    cells = [_score(panel.at(theory, grade), top) for panel, top in zip(scored, best, strict=True)]
    name = f"{shape}{escape(words(theory))}<small>{grade}</small>"
    return f"<tr><td>{name}</td>{''.join(cells)}</tr>"


def _score(line: ScoreLine | None, best: ScoreLine | None, below: str | None = None) -> str:
    """A cell: the score, and below it its interval, or other words."""
    value, ends = map(escape, cell(line))
    if line is not None and line is best:
        value = f"<strong>{value}</strong>"
    if line is not None and line.over_null is not None and defined(line) and not beats_nulls(line):
        value = f"<span class=soft>{value}</span>"
    small = ends if below is None else escape(below)
    return _cell(f"{value}<small>{small}</small>" if small else value)


def _cell(content: str) -> str:
    return f"<td>{content}</td>"
