"""The small table of a report as HTML: theories by ways of finetuning, explained at the last dose. No jax."""

from collections.abc import Sequence
from html import escape
from itertools import groupby

from experiments.figures.looks import glyph, look
from experiments.reports.markup import folded
from experiments.reports.summary import PanelScores, score, theories, words
from experiments.scoring.labels import number
from experiments.storage.records import ScoreLine

ROWS = 8  # theories that are shown, the others are folded
MANY = 4  # with more ways of finetuning, the table is set smaller
NOTE = (
    "Explained part of the shift ± one standard error at the last dose; the best in bold. –: undefined, for "
    "the shift does not exceed its noise; empty: no prediction; *: some chains have not converged."
)


def score_table(scored: Sequence[PanelScores]) -> str:
    """The noise ceiling and the best theories; the other theories folded below."""
    names = theories(scored)
    if not names:
        return ""
    ceilings = [_cell("–" if (c := panel.base.noise_ceiling) is None else number(c)) for panel in scored]
    bound = f"<tr class=bound><td>noise ceiling</td>{''.join(ceilings)}</tr>"
    best = [max((line.explained or 0.0 for line in panel.ranked), default=None) for panel in scored]
    rows = [_row(scored, best, *name) for name in names]
    kind = "scores many" if len(scored) > MANY else "scores"
    shown = _table(kind, _head(scored), [bound, *rows[:ROWS]])
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


def _row(scored: Sequence[PanelScores], best: Sequence[float | None], theory: str, grade: str) -> str:
    shape = f'<span class=shape style="color:{look(theory)[0]}">{glyph(theory)}</span>'
    cells = [_score(panel.at(theory, grade), top) for panel, top in zip(scored, best, strict=True)]
    name = f"{shape}{escape(words(theory))}<small>{grade}</small>"
    return f"<tr><td>{name}</td>{''.join(cells)}</tr>"


def _score(line: ScoreLine | None, best: float | None) -> str:
    value, error = map(escape, score(line))
    if line is not None and line.explained is not None and line.explained == best:
        value = f"<strong>{value}</strong>"
    return _cell(f"{value}<small>{error}</small>" if error else value)


def _cell(content: str) -> str:
    return f"<td>{content}</td>"
