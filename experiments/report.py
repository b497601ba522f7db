"""The words and tables of a run: the scorecard as plain text, and one static report.html with all inside.

Every sentence about a result is made from the scorecard: who explains most, whether that is within two
standard errors (s.e.) of the noise floor, where forecasts fall below GOOD, which classes cannot reach
REACH, what is worse than "nothing changed", and what is undefined.
"""

import base64
import dataclasses
import json
import re
from html import escape
from typing import Any

import numpy as np

from experiments import scoring, study
from experiments.results import Results, read_json, write

Line = dict[str, Any]

GOOD = 0.95  # a forecast explains the shift while it stays above this
REACH = 0.9  # a class is refuted where even its best member stays below this (and below the noise floor)
METHODS = {"sgd": "SGD", "adam": "Adam"}
COLUMNS = {
    "method": "how the network was finetuned",
    "data": "D′, the finetuning data",
    "dose": "finetuning steps",
    "group": "the contexts that answers are compared on; theories are fitted on in_domain alone",
    "theory": "who predicts the finetuned network's answers",
    "prior": "where the theory starts: the base network, the process, or the process as the base holds it",
    "grade": "fitted: one β for each network and dose, chosen in-domain; forecast: no fitted number",
    "explained": "1 − Σ KL(finetuned ‖ theory) / Σ KL(finetuned ‖ base) over networks: 1 is perfect, 0 is "
    "“nothing changed”, below 0 is worse; ± one standard error, base networks as clusters; undefined: the "
    "shift does not exceed its noise; fitted here: β was chosen on these contexts",
    "floor": "the noise floor: the same score for a twin that met D′ in another order",
    "seed floor": "the same score for a network pretrained from another seed, finetuned on the same D′",
    "ceiling": "the same score for the best member of the theory's class, fitted to these very contexts",
    "nats": "mean KL(finetuned ‖ theory); for “unchanged” it is the shift that is to be explained",
    "networks": "finetuned networks: base networks × finetuning seeds",
}
CAPTIONS = {
    "": "(a) Answers of the finetuned networks (bars) and the base networks (lines) to the held-out topics "
    "that moved most, and what the theories say. (b) Explained part of the shift against dose, ± one "
    "standard error; below it the shift in nats, and its noise. (c) β against dose, in units of each "
    "theory's last fitted β. Triangles stand for values off the scale.",
    "-groups": "The explained part of the shift in each group of contexts, drawn as in (b).",
}
CSS = """
:root { color-scheme: light dark; --soft: light-dark(#6b6b70, #a0a0a6); --line: light-dark(#dcdce0, #3a3b3f);
  color: light-dark(#1d1d1f, #e8e8ea); background: light-dark(#fff, #17181a); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; } h3 { font-size: 1rem; }
.soft, figcaption { color: var(--soft); } .scroll, pre { overflow-x: auto; } figure { margin: 1rem 0; }
table { border-collapse: collapse; font-size: .8rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .15rem .8rem .15rem 0;
  border-bottom: 1px solid var(--line); } .tight td, .tight th { white-space: nowrap; }
img { width: 100%; background: #fff; border-radius: 6px; }
"""


def scorecard_text(lines: list[Line], everything: bool = False) -> str:
    """The scorecard as an aligned table: held-out contexts at three doses, or all there is."""
    table = _cells(lines if everything else _selection(lines), everything)
    if len(table) == 1:
        return "Nothing is scored yet."
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in table)


def write_report(results: Results) -> Any:
    """Write report.html from what is on disk, also of an unfinished run; returns its path."""
    path = results.folder / "report.html"
    text = _page(results, scoring.scorecard(results.rows() or scoring.rows(results)))
    write(path, lambda file: file.write(text.encode()))
    return path


def findings(lines: list[Line], ends: dict[str, float] | None = None) -> dict[str, list[str]]:
    """What the scorecard says, in sentences, for each method and D′; `ends` is the largest β tried."""
    said = {}
    for panel in panels(lines):
        same = [line for line in lines if (line["method"], line["data"]) == panel]
        groups = judged_groups(same)
        inside = [line for line in same if line["group"] == groups[0]]
        sentences = [_best(inside, dose) for dose in _three(inside)]
        sentences += _forecasts(inside) + _refuted(inside, ends or {})
        for group in groups[1:]:
            there = [line for line in same if line["group"] == group]
            sentences.append(f"On {group} contexts: {_best(there, _three(there)[-1])}")
        for group in groups:
            holes = {line["dose"] for line in same if line["group"] == group and not _defined(line)}
            if holes:
                sentences.append(
                    f"Undefined on {group} contexts at {_doses(holes)}: the shift does not exceed its noise."
                )
        said[panel_name(*panel)] = sentences
    return said


def _best(lines: list[Line], dose: int) -> str:
    at = [line for line in lines if line["dose"] == dose and line["theory"] != "unchanged"]
    ranked = sorted((line for line in at if _defined(line)), key=lambda line: -line["explained"])
    if not ranked:
        return f"Dose {dose}: no theory has a score, for the shift does not exceed its noise."
    first, *rest = ranked
    text = f"Dose {dose} ({first['shift']:.2g} nats to explain): "
    if first["explained"] <= 0:
        return f"{text}no theory beats “nothing changed”; the least bad is {_who(first)}, {_score(first)}."
    slack = first["floor"] - first["explained"] - 2 * (first["standard_error"] or 0)
    near = "within two s.e. of" if slack <= 0 else "below"
    near = "above" if first["explained"] >= first["floor"] else near
    text += f"best is {_who(first)}, {_score(first)}, {near} the noise floor {_number(first['floor'])}"
    others = [line for line in rest if line["theory"] != first["theory"]]
    return text + (f"; next {_who(others[0])}, {_score(others[0])}." if others else ".")


def _forecasts(lines: list[Line]) -> list[str]:
    sentences = []
    for same in _series([line for line in lines if line["grade"] == "forecast"]):
        low = [line for line in same if line["explained"] < GOOD]
        told = f"explains {GOOD} or more at {len(same) - len(low)} of {len(same)} doses"
        if low and len(low) < len(same):
            told += f"; it first falls below that at dose {low[0]['dose']}, to {_score(low[0])}"
        elif low:
            top = max(same, key=lambda line: line["explained"])
            told += f"; its best is {_score(top)}, at dose {top['dose']}"
        sentences.append(f"Without a fitted number, {_who(same[0])} {told}.")
    return sentences


def _refuted(lines: list[Line], ends: dict[str, float]) -> list[str]:
    classes, worse, short = {}, [], []
    for same in _series(lines):
        name = f"{same[0]['theory']}/{same[0]['prior']}"
        low = [line for line in same if (line["ceiling"] or 0) < min(REACH, line["floor"])]
        if low and same[0]["grade"] == "fitted":  # a class is the same whatever the prior
            classes[same[0]["theory"]] = f"{same[0]['theory']} {_range(low, same, 'ceiling')}"
        low = [line for line in same if line["explained"] + 2 * (line["standard_error"] or 0) < 0]
        if low:
            worse.append(f"{_who(same[0])} {_range(low, same, 'explained')}")
        low = [line for line in same if line["beta"] is not None and line["beta"] >= ends.get(name, np.inf)]
        if low:
            short.append(f"{_who(same[0])} {_range(low, same, 'explained')}")
    told = {
        f"Refuted as a class (even its best member stays below {REACH}): ": classes.values(),
        "Worse than “nothing changed” by more than two s.e.: ": worse,
        "β at the end of the range that was tried: ": short,
    }
    return [title + "; ".join(found) + "." for title, found in told.items() if found]


def _range(some: list[Line], same: list[Line], key: str) -> str:
    """The doses of some lines of a series, and the lowest value there."""
    least = min(some, key=lambda line: line[key])
    value = _score(least) if key == "explained" else _number(least[key])
    where = (
        f"all {len(same)} doses" if len(some) == len(same) > 1 else _doses({line["dose"] for line in some})
    )
    return f"at {where} (lowest: {value} at dose {least['dose']})"


def _page(results: Results, lines: list[Line]) -> str:
    config, name = results.config, results.study
    module = study.load(name)
    question, _, about = (module.__doc__ or name).strip().partition("\n")
    done = (results.folder / "DONE").exists()
    state = "finished" if done else "unfinished: what follows is from the finished cells"
    counts = f"{len(results.cells())} cells done, {len(results.failures())} failed, run {state}"
    parts = [
        f"<p class=soft>{escape(name)}, preset {escape(str(config.get('preset')))}. {escape(counts)}.</p>",
        f"<h1>{escape(question)}</h1>",
        *(f"<p>{escape(text)}</p>" for text in about.strip().split("\n\n") if text),
        "<h2>What won where</h2>",
    ]
    for title, sentences in findings(lines, _ends(results)).items():
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
        parts.append(f"<h3>{escape(title)}</h3><ul>{items}</ul>")
    if not lines:
        parts.append("<p>Nothing is scored yet.</p>")
    parts += ["<h2>Figures</h2>", *_figures(results), "<h2>Scorecard</h2>"]
    parts.append(_table(_cells(_selection(lines), False), "tight"))
    parts.append(
        f"<details><summary>All {len(lines)} lines</summary>{_table(_cells(lines, True), 'tight')}</details>"
    )
    parts += ["<h2>What the columns mean</h2>", _table([["column", "meaning"], *map(list, COLUMNS.items())])]
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
    mine, preset = config["config"], presets.get(config.get("preset"))
    known = json.loads(json.dumps(dataclasses.asdict(preset))) if preset else {}
    words += ["--preset", str(config["preset"])] if preset else []
    for key, value in mine.items():
        flag, parts = key.replace("_", "-"), value if isinstance(value, list) else [value]
        if key in known and known[key] == value:
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif any(isinstance(part, list) for part in parts):
            for index, part in enumerate(parts):  # one numbered option each, as many as the preset has
                words += [f"--{index}", *map(str, part)]
        else:
            words += [f"--{flag}", *map(str, parts)]
    return " ".join(words)


def _figures(results: Results) -> list[str]:
    shown = []
    for path in sorted((results.folder / "figures").glob("*.png"), key=lambda path: path.stem):
        suffix = path.stem.removeprefix(results.study)
        vector = path.with_suffix(".svg")
        kind, file = ("svg+xml", vector) if vector.exists() else ("png", path)
        data = base64.b64encode(file.read_bytes()).decode()
        caption = escape(CAPTIONS.get(suffix, path.stem))
        image = f'<img alt="{caption}" src="data:image/{kind};base64,{data}">'
        shown.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
    return shown or ["<p>Nothing is drawn yet.</p>"]


def _quality(results: Results) -> str:
    path = results.folder / "networks.json"
    networks = (read_json(path) if path.exists() else {}).get("networks") or []
    table = [["seed", "mean", "first answer", "by position"]]
    for one in networks:
        places = "  ".join(_nats(value) for value in one.get("by_position") or [])
        table.append([str(one.get("seed")), _nats(one.get("mean")), _nats(one.get("first_answer")), places])
    if not networks:
        return "<p>Not measured yet.</p>"
    return f"<p>KL from the exact predictor, mean over documents, in nats:</p>{_table(table, 'tight')}"


def _ends(results: Results) -> dict[str, float]:
    """The largest β on each theory's ladder, by theory/prior."""
    cells = [cell for cell in results.cells() if cell.startswith("theories-")]
    arrays = results.load(cells[0]) if cells else {}
    betas = [name.removeprefix("betas/") for name in arrays if name.startswith("betas/")]
    return {name: float(arrays[f"betas/{name}"].max()) * (1 - 1e-5) for name in betas}


def _cells(lines: list[Line], everything: bool) -> list[list[str]]:
    """Header and rows of the scorecard, best theory first."""

    def order(line: Line) -> tuple[Any, ...]:
        score = line["explained"] if _defined(line) else -np.inf
        return line["method"], line["data"], line["dose"], line["group"], -score

    names = [name for name in COLUMNS if everything or name != "group"]
    table = [[name if name != "explained" else "explained ± s.e." for name in names]]
    for line in sorted(lines, key=order):
        row = {key: str(line[key]) for key in ("method", "data", "dose", "group", "theory", "prior", "grade")}
        row |= {"explained": _score(line), "floor": _number(line["floor"]), "networks": str(line["seeds"])}
        row |= {"seed floor": _number(line["seed_floor"]), "ceiling": _number(line["ceiling"])}
        row["nats"] = _nats(line["nats"])
        table.append([row[name] for name in names])
    return table


def _selection(lines: list[Line]) -> list[Line]:
    """One group, at three doses of each method and D′."""
    chosen = []
    for panel in panels(lines):
        same = [line for line in lines if (line["method"], line["data"]) == panel]
        inside = [line for line in same if line["group"] == judged_groups(same)[0]]
        doses = _three(inside)
        chosen += [line for line in inside if line["dose"] in doses]
    return chosen


def _three(lines: list[Line]) -> list[int]:
    """The first dose with a defined score, one in the middle, and the last."""
    doses = sorted({line["dose"] for line in lines})
    defined = sorted({line["dose"] for line in lines if _defined(line)}) or doses
    rest = doses[doses.index(defined[0]) :]
    return sorted({rest[0], rest[len(rest) // 2], rest[-1]})


def _series(lines: list[Line]) -> list[list[Line]]:
    """The defined lines of each theory and grade, by dose; one prior for each theory."""
    found: dict[Any, list[Line]] = {}
    for line in sorted(filter(_defined, one_prior(lines)), key=lambda line: line["dose"]):
        found.setdefault((line["theory"], line["grade"]), []).append(line)
    return [found[key] for key in sorted(found)]


def panels(lines: list[Line]) -> list[tuple[str, str]]:
    """(method, D′) of every panel: methods as in METHODS, the broadest D′ last."""
    order = [*METHODS, *sorted({line["method"] for line in lines})]

    def key(panel: tuple[str, str]) -> tuple[Any, ...]:
        return len(re.findall(r"\d+", panel[1])), panel[1], order.index(panel[0])

    return sorted({(line["method"], line["data"]) for line in lines}, key=key)


def one_prior(lines: list[Line]) -> list[Line]:
    """Without the base network itself, and with the held prior where there are several."""
    held = {line["theory"] for line in lines if line["prior"] == "held"}
    changed = [line for line in lines if line["theory"] != "unchanged"]
    return [line for line in changed if line["prior"] == "held" or line["theory"] not in held]


def judged_groups(lines: list[Line]) -> list[str]:
    """The groups that theories are judged on, held_out first."""
    groups = dict.fromkeys(line["group"] for line in lines if line["group"] != scoring.FITTED_ON)
    return sorted(groups, key=lambda name: name != "held_out") or [scoring.FITTED_ON]


def panel_name(method: str, data: str) -> str:
    """Words for a method and a D′."""
    found = re.fullmatch(r"topics(\d+(?:_\d+)*)", data)
    topics = found.group(1).split("_") if found else []
    where = f"topic{'s' * (len(topics) > 1)} {', '.join(topics)}" if found else data
    return f"{METHODS.get(method, method)}, D′ on {where}"


def _defined(line: Line) -> bool:
    return line["explained"] is not None and bool(np.isfinite(line["explained"]))


def _who(line: Line, grade: bool = True) -> str:
    prior = [] if line["prior"] == "network" else [f"{line['prior']} prior"]
    return f"{line['theory']} ({', '.join([*prior, line['grade']] if grade else prior)})".replace(" ()", "")


def _score(line: Line) -> str:
    if line["grade"] == "fitted" and line["group"] == scoring.FITTED_ON:
        return "fitted here"
    if not _defined(line):
        return "undefined"
    error = line["standard_error"]
    return _number(line["explained"]) + ("" if error is None else f" ± {_number(error)}")


def _number(value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return "-"
    fine = 0 < abs(1 - value) < 5e-4 or 0 < abs(value) < 5e-4  # not to be rounded to 1 or 0
    return f"{value:.{4 if fine else 3 if abs(value) < 100 else 0}f}"


def _nats(value: float | None) -> str:
    return "-" if value is None else f"{value:.2e}" if 0 < abs(value) < 1e-4 else f"{value:.5f}"


def _doses(doses: Any) -> str:
    listed = ", ".join(str(dose) for dose in sorted(doses))
    return f"dose{'s' * (len(doses) > 1)} {listed}"


def _table(rows: list[list[str]], kind: str = "wide") -> str:
    """The first row is the header; a table wider than the page scrolls by itself."""
    head = "".join(f"<th>{escape(str(cell))}</th>" for cell in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows[1:])
    return f'<div class="scroll"><table class="{kind}"><tr>{head}</tr>{body}</table></div>'


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(part)}" for key, part in value.items())
    if isinstance(value, list) and not any(isinstance(part, list) for part in value):
        return ", ".join(map(str, value))
    return "-" if value is None or value == "" else str(value)
