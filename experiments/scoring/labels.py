"""What a scorecard says in words and in plain text.

Every sentence about a result is made from the scorecard: who explains most, whether that is within two
standard errors (s.e.) of the noise floor, where forecasts fall below GOOD, which classes cannot reach
REACH, what is worse than "nothing changed", and what is undefined.
"""

import re
from typing import Any

import numpy as np

from experiments.scoring import rows as scoring

Line = dict[str, Any]

COLUMNS = {
    "method": "how the network was finetuned",
    "data": "D′, the finetuning data",
    "dose": "finetuning steps",
    "group": "the contexts that answers are compared on; theories are fitted on in_domain alone",
    "theory": "who predicts the finetuned network's answers",
    "prior": "where the theory starts: the base network, the process, the process as the base holds it, or a "
    "posterior localised at the base network at temperature T (mean KL of its prior from the base, nats)",
    "trusted": "share of the networks for which the chains next to β passed the gate (below, if sampled)",
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
GOOD = 0.95  # a forecast explains the shift while it stays above this
PART = 0.5  # ... and most of it while it stays above this
REACH = 0.9  # a class is refuted where even its best member stays below this (and below the noise floor)
METHODS = {"sgd": "SGD", "adam": "Adam"}


def scorecard_text(lines: list[Line], everything: bool = False) -> str:
    """The scorecard as an aligned table: held-out contexts at three doses, or all there is."""
    table = cells(lines if everything else selection(lines), everything)
    return aligned(table) if len(table) > 1 else "Nothing is scored yet."


def aligned(table: list[list[str]]) -> str:
    """A table as plain text."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in table)


def findings(lines: list[Line], ends: dict[str, float] | None = None) -> dict[str, list[str]]:
    """What the scorecard says, in sentences, for each method and D′; `ends` is the largest β tried."""
    said = {}
    for panel in panels(lines):
        same = [line for line in lines if (line["method"], line["data"]) == panel]
        groups = judged_groups(same)
        inside = [line for line in same if line["group"] == groups[0]]
        sentences = [_best(inside, dose) for dose in three(inside)]
        sentences += _forecasts(inside) + _refuted(inside, ends or {})
        for group in groups[1:]:
            there = [line for line in same if line["group"] == group]
            sentences.append(f"On {group} contexts: {_best(there, three(there)[-1])}")
        for group in groups:
            holes = {line["dose"] for line in same if line["group"] == group and not _defined(line)}
            if holes:
                sentences.append(
                    f"Undefined on {group} contexts at {_doses(holes)}: the shift does not exceed its noise."
                )
        said[panel_name(*panel)] = sentences
    return said


def warned(lines: list[Line]) -> list[str]:
    """Who would have warned, for each method and D′: the best forecast at the largest dose, and who would
    have misled most."""
    said = []
    for panel in panels(lines):
        same = [line for line in lines if (line["method"], line["data"]) == panel]
        group = judged_groups(same)[0]
        inside = [line for line in one_prior(same) if line["group"] == group]
        dose = max((line["dose"] for line in inside), default=0)
        at = [line for line in inside if line["dose"] == dose and line["grade"] == "forecast"]
        ranked = sorted((line for line in at if _defined(line)), key=lambda line: -line["explained"])
        if not ranked:
            said.append(f"{panel_name(*panel)}: no forecast has a score at dose {dose}.")
            continue
        best, worst = ranked[0], ranked[-1]
        found = f"{_who(best, False)} would have warned"
        if best["explained"] < PART:
            found = f"nobody would have warned; the best forecast is {_who(best, False)}"
        elif best["explained"] < GOOD:
            found += " of most of it"
        text = f"{panel_name(*panel)} ({best['shift']:.2g} nats at dose {dose}): {found}, {_score(best)}"
        if worst["explained"] + 2 * (worst["standard_error"] or 0) < 0:
            text += f"; {_who(worst, False)} would have misled, {_score(worst)}"
        said.append(text + ".")
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
    text += f"best is {_who(first)}, {_score(first)}, {near} the noise floor {number(first['floor'])}"
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
    value = _score(least) if key == "explained" else number(least[key])
    where = (
        f"all {len(same)} doses" if len(some) == len(same) > 1 else _doses({line["dose"] for line in some})
    )
    return f"at {where} (lowest: {value} at dose {least['dose']})"


def cells(lines: list[Line], everything: bool) -> list[list[str]]:
    """Header and rows of the scorecard, best theory first."""

    def order(line: Line) -> tuple[Any, ...]:
        score = line["explained"] if _defined(line) else -np.inf
        return line["method"], line["data"], line["dose"], line["group"], -score

    names = [name for name in COLUMNS if everything or name != "group"]
    table = [[name if name != "explained" else "explained ± s.e." for name in names]]
    for line in sorted(lines, key=order):
        row = {key: str(line[key]) for key in ("method", "data", "dose", "group", "theory", "prior", "grade")}
        row |= {"explained": _score(line), "floor": number(line["floor"]), "networks": str(line["seeds"])}
        row |= {"seed floor": number(line["seed_floor"]), "ceiling": number(line["ceiling"])}
        row["nats"] = nats(line["nats"])
        row["trusted"] = "-" if line.get("trusted") is None else f"{line['trusted']:.2g}"
        table.append([row[name] for name in names])
    return table


def selection(lines: list[Line]) -> list[Line]:
    """One group, at three doses of each method and D′."""
    chosen = []
    for panel in panels(lines):
        same = [line for line in lines if (line["method"], line["data"]) == panel]
        group = judged_groups(same)[0]
        inside = [line for line in same if line["group"] == group]
        doses = three(inside)
        chosen += [line for line in inside if line["dose"] in doses]
    return chosen


def three(lines: list[Line]) -> list[int]:
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
        numbers = [int(number) for number in re.findall(r"\d+", panel[1])]
        return len(numbers), numbers, panel[1], order.index(panel[0])

    return sorted({(line["method"], line["data"]) for line in lines}, key=key)


def one_prior(lines: list[Line]) -> list[Line]:
    """Without the base network itself; of several priors the one the base network holds, or the coldest."""
    best: dict[str, tuple[Any, ...]] = {}
    changed = [line for line in lines if line["theory"] != "unchanged"]
    for line in changed:
        rank = line["prior"] != "held", temperature(line["prior"]), len(line["prior"]), line["prior"]
        best[line["theory"]] = min(rank, best.get(line["theory"], rank))
    return [line for line in changed if line["prior"] == best[line["theory"]][-1]]


def temperature(prior: str) -> float:
    """Nats, of a prior like T=0.001; 0 of others."""
    return float(prior.rpartition("T=")[2]) if "T=" in prior else 0.0


def judged_groups(lines: list[Line]) -> list[str]:
    """The groups that theories are judged on, held_out first."""
    groups = dict.fromkeys(line["group"] for line in lines if line["group"] != scoring.FITTED_ON)
    return sorted(groups, key=lambda name: name != "held_out") or [scoring.FITTED_ON]


def panel_name(method: str, data: str) -> str:
    """Words for a method and a D′."""
    found = re.fullmatch(r"([a-z]+)s(\d+(?:_\d+)*)(?:b(\d+))?", data)  # topics0_1, questions2
    shown = found.group(2).split("_") if found else []
    where = (
        f"{found.group(1)}{'s' * (len(shown) > 1)} {', '.join(shown)}" if found else data.replace("_", " ")
    )
    where += f", batch {found.group(3)}" if found and found.group(3) else ""
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
    return plus_minus(line["explained"], line["standard_error"])


def plus_minus(value: float, error: float | None) -> str:
    """Words for a value and its standard error, which is never rounded to nothing."""
    return number(value) + ("" if error is None else f" ± {error_number(error)}")


def error_number(error: float) -> str:
    """Words for a standard error."""
    return "<0.0001" if 0 < error < 5e-5 else number(error)


def number(value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return "-"
    fine = 0 < abs(1 - value) < 5e-4 or 0 < abs(value) < 5e-4  # not to be rounded to 1 or 0
    return f"{value:.{4 if fine else 3 if abs(value) < 100 else 0}f}"


def nats(value: float | None) -> str:
    return "-" if value is None else f"{value:.2e}" if 0 < abs(value) < 1e-4 else f"{value:.5f}"


def _doses(doses: Any) -> str:
    listed = ", ".join(str(dose) for dose in sorted(doses))
    return f"dose{'s' * (len(doses) > 1)} {listed}"
