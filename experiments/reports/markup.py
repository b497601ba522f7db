"""Markup of a report: style sheet, paragraphs, tables, folded sections and pictures, as HTML text."""

import base64
import inspect
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

CSS = """
:root { color-scheme: light dark; --soft: light-dark(#63636b, #a0a0a6); --line: light-dark(#dcdce0, #3a3b3f);
  --card: light-dark(#f6f6f8, #202124); color: light-dark(#1d1d1f, #e8e8ea);
  background: light-dark(#fff, #17181a); }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 77rem; margin: 0 auto; padding: .9rem 1.2rem 3rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .1rem 0 .5rem; } h3 { font-size: 1rem; } h2 { font-size:
1.02rem; margin: 0; display: inline; } p { margin: .4rem 0; } .soft, figcaption { color: var(--soft); } .small
{ font-size: .82rem; } .answer p { margin: 0 0 .3rem; font-size: .9rem; line-height: 1.38; } .scroll, pre {
overflow-x: auto; } figure { margin: 0; } table { border-collapse: collapse; font-size: .78rem;
font-variant-numeric: tabular-nums; } th, td { text-align: left; vertical-align: top; padding: .15rem .6rem
.15rem 0;
  border-bottom: 1px solid var(--line); } .tight td, .tight th { white-space: nowrap; }
.banner { background: #b3261e; color: #fff; padding: .35rem .8rem; border-radius: 6px;
  font-weight: 600; font-size: .88rem; }
img { width: 100%; background: #fff; border-radius: 6px; display: block; }
.first { display: grid; gap: .5rem 1.8rem; margin: .6rem 0 1.2rem; grid-template: "figure answer"
  "figure numbers" 1fr / minmax(0, 1fr) 36rem; } .first.wide { grid-template-columns: minmax(0, 1fr) 45rem; }
.answer { grid-area: answer; } .numbers { grid-area: numbers; min-width: 0; }
.first > figure { grid-area: figure; } .first > figure img { cursor: zoom-in; }
.scores table { font-size: .8rem; width: 100%; } .scores th { font-weight: 600; vertical-align: bottom; }
.scores td, .scores th { text-align: right; padding: .07rem 0 .07rem .5rem; white-space: nowrap; }
.scores td:first-child, .scores th:first-child { text-align: left; padding-left: 0; }
.scores .span { text-align: center; } .scores .none { border: 0; } .scores .bound td { color: var(--soft); }
.scores small { color: var(--soft); display: block; font-size: .63rem; line-height: 1.1; }
.scores td:first-child small { padding-left: 1.4em; }
.many table { font-size: .74rem; } .many td, .many th { padding-left: .5rem; white-space: normal; }
.shape { display: inline-block; width: 1.2em; }
.close { display: none; }
figure:target { position: fixed; inset: 0; z-index: 9; overflow: auto; padding: 1rem; background: #fff; }
figure:target img { max-height: none !important; cursor: zoom-out; }
figure:target .close { display: block; color: #1d1d1f; margin-bottom: .5rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(16.5rem, 1fr)); gap: .8rem; }
.pictures > details { background: var(--card); border-radius: 8px; padding: .6rem .8rem; }
.pictures > details[open] { grid-column: 1 / -1; }
.pictures summary img { margin-top: .5rem; height: 8rem; object-fit: cover; object-position: 50% 25%; }
.pictures details[open] > summary img { height: auto; max-width: 60rem; }
summary { cursor: pointer; } .section { border-bottom: 1px solid var(--line); padding: .55rem 0; }
.section > :not(summary) { margin-left: 1rem; } .section[open] > summary { margin-bottom: .6rem; }
@media (max-width: 66rem) { body { padding: .6rem .8rem 2rem; } h1 { font-size: 1.25rem; }
  .first, .first.wide { grid-template: "answer" "figure" "numbers" / minmax(0, 1fr); } }
@media print {
  body { max-width: none; font-size: 10pt; } a { color: inherit; }
  .section::details-content, .pictures > details::details-content { content-visibility: visible; }
  .pictures { display: block; } .pictures > details { background: none; break-inside: avoid; }
  .pictures summary img { height: auto; } .scroll { overflow: visible; }
  table { font-size: 7pt; } .tight td, .tight th { white-space: normal; }
}
"""
Table = Sequence[Sequence[str]]


def page(title: str, parts: Iterable[str]) -> str:
    """A whole document."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{escape(title)}</title><style>{CSS}</style>"
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def section(title: str, parts: Sequence[str]) -> str:
    """A folded section; empty without content."""
    if not parts:
        return ""
    return f"<details class=section><summary><h2>{escape(title)}</h2></summary>{''.join(parts)}</details>"


def folded(title: str, content: str) -> str:
    """Folded content inside a section."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def paragraph(text: str) -> str:
    """A paragraph of a docstring; an indented one is kept as it stands."""
    if all(line.startswith("    ") for line in text.splitlines()):
        return f"<pre>{escape(inspect.cleandoc(text))}</pre>"
    return f"<p>{escape(text)}</p>"


def soft(text: str) -> str:
    """A paragraph in a softer colour."""
    return f"<p class=soft>{escape(text)}</p>"


def bullets(sentences: Iterable[str]) -> str:
    """A list of sentences."""
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"


def html_table(rows: Table, kind: str = "wide") -> str:
    """The first row is the header; a table wider than the page scrolls by itself."""
    head = "".join(f"<th>{escape(str(cell))}</th>" for cell in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows[1:])
    return f'<div class="scroll"><table class="{kind}"><tr>{head}</tr>{body}</table></div>'


def image(path: Path, caption: str) -> str:
    """A figure inside the page: the vector file of a PNG where there is one."""
    vector = path.with_suffix(".svg")
    kind, file = ("svg+xml", vector) if vector.exists() else ("png", path)
    data = base64.b64encode(file.read_bytes()).decode()
    return f'<img alt="{escape(caption)}" src="data:image/{kind};base64,{data}">'
