"""One static report.html with the words, figures and tables of a run inside."""

import base64
import dataclasses
import inspect
import json
import re
import shlex
from html import escape
from typing import Any

from experiments import discovery as study
from experiments.scoring import convex_hull as hull
from experiments.scoring import residuals as where
from experiments.scoring import rows as scoring
from experiments.scoring.convergence import COLUMNS as TRUST
from experiments.scoring.convergence import ConvergenceReport, convergence_report
from experiments.scoring.labels import COLUMNS, Line, cells, findings, nats, selection, warned
from experiments.storage.run_folder import Arrays, Results, read_json, write
from experiments.storage.seal import check

CAPTIONS = {
    "": "(a) Answers of the finetuned networks (bars) and the base networks (lines) in held-out contexts "
    "that moved most, and what the theories say. (b) Explained part of the shift against dose, ± one "
    "standard error; below it the shift in nats, and its noise. (c) β against dose, in units of each "
    "theory's last fitted β. Triangles stand for values off the scale.",
    "-posteriors": "Sampled posteriors. Above: explained part of the shift on held-out contexts, for each "
    "temperature T (mean KL of the localised prior from the base, nats), beside its zero-temperature "
    "limit; a red ring marks scores whose chains miss the gate. Below: the health of the chains against the "
    "strength τ = βN/γ, median (line) and worst (edge of the band) over networks, and the gate's limits.",
    "-groups": "The explained part of the shift in each group of contexts, drawn as in (b).",
    "heat-map": "The explained part of the shift on held-out contexts, theories by ways of finetuning, at a "
    "small and at a large dose: blue explains, orange is worse than “nothing changed”; hatched where the "
    "shift does not exceed its noise, blank where a theory says nothing.",
}
WARNED = (
    "Forecasts: no fitted number, nothing but the base network, D′, the optimiser and its steps. Scores are "
    "of the first group of contexts that theories are judged on (held_out, where there is one)."
)
CSS = """
:root { color-scheme: light dark; --soft: light-dark(#6b6b70, #a0a0a6); --line: light-dark(#dcdce0, #3a3b3f);
  color: light-dark(#1d1d1f, #e8e8ea); background: light-dark(#fff, #17181a); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; } h3 { font-size: 1rem; }
.soft, figcaption { color: var(--soft); } .scroll, pre { overflow-x: auto; } figure { margin: 1rem 0; }
table { border-collapse: collapse; font-size: .78rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .15rem .6rem .15rem 0;
  border-bottom: 1px solid var(--line); } .tight td, .tight th { white-space: nowrap; }
.banner { background: #b3261e; color: #fff; padding: .6rem 1rem; border-radius: 6px; font-weight: 600; }
img { width: 100%; background: #fff; border-radius: 6px; }
"""


def write_report(results: Results) -> Any:
    """Write report.html from what is on disk, also of an unfinished run; returns its path."""
    path = results.folder / "report.html"
    text = _page(results, scoring.scorecard(scoring.table(results)))
    write(path, lambda file: file.write(text.encode()))
    return path


def _page(results: Results, lines: list[Line]) -> str:
    config, name, judged = results.config, results.study, convergence_report(results)
    module = study.load(name)
    question, _, about = (module.__doc__ or name).strip().partition("\n")
    done = (results.folder / "DONE").exists()
    state = "finished" if done else "unfinished: what follows is from the finished cells"
    counts = f"{len(results.cells())} cells done, {len(results.failures())} failed, run {state}"
    parts = [
        f"<p class=soft>{escape(name)}, preset {escape(str(config.get('preset')))}. {escape(counts)}.</p>",
        f"<h1>{escape(question)}</h1>",
        *map(_paragraph, filter(None, about.strip("\n").split("\n\n"))),
        *_sealed(results),
        *_banner(judged),
        "<h2>What won where</h2>",
    ]
    for title, sentences in findings(lines, _ends(results)).items():
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
        parts.append(f"<h3>{escape(title)}</h3><ul>{items}</ul>")
    if not lines:
        parts.append("<p>Nothing is scored yet.</p>")
    parts += ["<h2>Who would have warned</h2>", f"<p class=soft>{escape(WARNED)}</p>"]
    parts.append(f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in warned(lines))}</ul>")
    parts += ["<h2>Figures</h2>", *_figures(results), "<h2>Scorecard</h2>"]
    parts.append(_table(cells(selection(lines), False), "tight"))
    parts.append(
        f"<details><summary>All {len(lines)} lines</summary>{_table(cells(lines, True), 'tight')}</details>"
    )
    parts += ["<h2>What the columns mean</h2>", _table([["column", "meaning"], *map(list, COLUMNS.items())])]
    found = hull.hull(results, lines)
    if found:
        parts += ["<h2>Inside the hull of the members?</h2>", f"<p class=soft>{escape(hull.ABOUT)}</p>"]
        parts.append(_table(hull.table(found), "tight"))
    parts += _residual(results, lines)
    if judged.table:
        parts += ["<h2>Can the chains be trusted?</h2>", _table(judged.table, "tight")]
        parts.append(_table([["column", "meaning"], *map(list, TRUST.items())]))
        missed = [[where, theory, f"{time:g}", said] for where, theory, time, said in judged.problems]
        listed = _table([["where", "theory", "τ", "what is wrong"], *missed])
        parts.append(f"<details><summary>{len(missed)} untrustworthy posteriors</summary>{listed}</details>")
        picked = [[where, theory, f"{time:g}", why] for where, theory, time, why in judged.steps]
        listed = _table([["where", "theory", "τ", "what the pilot chose, and why"], *picked])
        parts.append(f"<details><summary>How the step sizes were chosen</summary>{listed}</details>")
    if results.failures():
        parts += [
            "<h2>Failed cells</h2>",
            _table([["cell", "reason"], *map(list, results.failures().items())]),
        ]
    parts += ["<h2>Base networks</h2>", _quality(results), "<h2>How to reproduce</h2>"]
    parts.append(f"<pre>{escape(command(config, module.PRESETS))}</pre>")
    path = results.folder / "environment.json"
    told = {"Config": config["config"], "Environment": read_json(path) if path.exists() else {}}
    for title, values in told.items():
        table = [["field", "value"], *([key, _value(value)] for key, value in values.items())]
        parts += [f"<h2>{title}</h2>", _table(table)]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    title = f"<title>{escape(question)}</title><style>{CSS}</style>"
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}{title}</head>\n<body>\n{body}\n</body></html>\n'


def command(config: dict[str, Any], presets: dict[str, Any]) -> str:
    """The command line that makes this run: its preset, and the fields that differ from it."""
    words = ["finebayes", "run", str(config["study"])]
    mine, preset = config["config"], presets.get(str(config.get("preset")))
    known = json.loads(json.dumps(dataclasses.asdict(preset))) if preset else {}
    words += ["--preset", str(config["preset"])] if preset else []
    for key, value in mine.items():
        flag, parts = key.replace("_", "-"), value if isinstance(value, list) else [value]
        if key in known and known[key] == value:
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", *map(str, parts)]
    return shlex.join(words)


def _sealed(results: Results) -> list[str]:
    """When the forecasts were made, and when the finetuning that they are scored on."""
    sealed = check(results)
    if sealed is None:
        return ["<p class=soft>The forecasts were not sealed before the finetuning (finebayes forecast).</p>"]
    began = f"finetuning began on {sealed.began}" if sealed.began else "nothing has been finetuned yet"
    said = f"{sealed.cells} cells of forecasts were sealed on {sealed.made} (seal {sealed.hash}); {began}."
    return [f"<p class=soft>{escape(said)}</p>"]


def _banner(judged: ConvergenceReport) -> list[str]:
    return [f"<p class=banner>{escape(judged.sentence)}</p>"] if judged.sentence else []


def _residual(results: Results, lines: list[Line]) -> list[str]:
    """Where the best forecast errs, for every method and D'; empty without one."""
    found, parts = where.where(results, lines), []
    for one in found:
        tables = (
            f"<h3>{escape(caption)}</h3>{_table(table, 'tight')}" for caption, table in one.tables.items()
        )
        parts.append(
            f"<details><summary>{escape(one.name)}: {escape(one.theory)}</summary>{''.join(tables)}</details>"
        )
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in where.sentences(found))
    title = f"<h2>Where the best forecast errs</h2>{said}<p class=soft>{escape(where.ABOUT)}</p>"
    return [title, *parts] if found else []


def _figures(results: Results) -> list[str]:
    shown = []
    for path in sorted((results.folder / "figures").glob("*.png"), key=lambda path: path.stem):
        suffix = re.sub(r"^(heat-map)-\d+$", r"\1", path.stem.removeprefix(results.study))
        vector = path.with_suffix(".svg")
        kind, file = ("svg+xml", vector) if vector.exists() else ("png", path)
        data = base64.b64encode(file.read_bytes()).decode()
        caption = escape(CAPTIONS.get(suffix, path.stem))
        image = f'<img alt="{caption}" src="data:image/{kind};base64,{data}">'
        shown.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
    return shown or ["<p>Nothing is drawn yet.</p>"]


def _paragraph(text: str) -> str:
    """A paragraph of a docstring; an indented one is kept as it stands."""
    if all(line.startswith("    ") for line in text.splitlines()):
        return f"<pre>{escape(inspect.cleandoc(text))}</pre>"
    return f"<p>{escape(text)}</p>"


def _quality(results: Results) -> str:
    path = results.folder / "networks.json"
    told = read_json(path) if path.exists() else {}
    networks = told.get("networks") or []
    table = [["seed", "mean", "first answer", "by position"]]
    for one in networks:
        places = "  ".join(nats(value) for value in one.get("by_position") or [])
        table.append([str(one.get("seed")), nats(one.get("mean")), nats(one.get("first_answer")), places])
    if not networks:
        return "<p>Not measured yet.</p>"
    yardstick = ""
    if told.get("uninformed") is not None:
        yardstick = (
            f" A predictor that never infers the hidden member of a document has {nats(told['uninformed'])}."
        )
    about = f"<p>KL from the exact predictor, mean over documents, in nats.{yardstick}</p>"
    return about + _table(table, "tight")


def _ends(results: Results) -> dict[str, float]:
    """The largest β on each theory's ladder, by theory/prior."""
    arrays: Arrays = {}
    for kind in ("langevin-", "theories-"):
        cells = [cell for cell in results.cells() if cell.startswith(kind)]
        arrays |= results.load(cells[0]) if cells else {}
    betas = [name.removeprefix("betas/") for name in arrays if name.startswith("betas/")]
    return {name: float(arrays[f"betas/{name}"].max()) * (1 - 1e-5) for name in betas}


def _table(rows: list[list[str]], kind: str = "wide") -> str:
    """The first row is the header; a table wider than the page scrolls by itself."""
    head = "".join(f"<th>{escape(str(cell))}</th>" for cell in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows[1:])
    return f'<div class="scroll"><table class="{kind}"><tr>{head}</tr>{body}</table></div>'


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(part)}" for key, part in value.items())
    if isinstance(value, list):
        return "  ".join(map(_value, value))
    return "-" if value is None or value == "" else str(value)
