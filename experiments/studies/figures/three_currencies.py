"""Rates of context, finetuning and steering, how far they add up, and what the layers hold. No jax."""

from collections.abc import Sequence
from functools import reduce
from pathlib import Path

from matplotlib.figure import Figure

from experiments.figures.measured import estimate_words, measured_findings
from experiments.figures.panel_rows import COLOURS, OTHERS, Panel, Series, draw_measured, panel_rows
from experiments.scoring.additivity import ALL, CURRENCIES
from experiments.scoring.currencies import (
    CLOSURE,
    CONTEXT,
    DIRECTIONS,
    EXAMPLES,
    HEADS,
    INTERACTION,
    LAWS,
    LAYERS,
    PREVENTION,
    RATE,
    SPAN,
    currency_lines,
)
from experiments.scoring.findings import Findings
from experiments.scoring.labels import METHODS
from experiments.scoring.measure_line import MeasureLine
from experiments.storage.currencies_cell import QUESTIONS, READ, WHERE
from experiments.storage.run_folder import RunFolder

STYLES = dict(zip(QUESTIONS, ("-", "--"), strict=True))
LETTERS = dict(zip(CURRENCIES, "dnx", strict=True))
DOSE = "dose (steps)"
LEAVES = 0.05  # share of edits beyond the span that is worth a sentence
LAW_NAMES = ("exact", "power", "average")
CAPTION = (
    "Nats of belief in D′'s k against a rival, with intervals of 95 % over base networks and D′. Grey line: "
    "exact Bayes. Full lines and circles: questions that D′ asks; broken lines and squares: others. Rates: "
    "what the next pair of the rival takes back, at every dose (0: the base network); what one pair ahead is "
    "worth where pairs of both are shown. Steering: nats of belief for a nat, in the question after the last "
    "block, and in every pair shown before it. Sums: shares of the variance of log-odds that no sum of three "
    "explains; steering that undoes the shots that undo a dose, over steering that undoes that dose; the "
    "weight of the context after finetuning. Prevention: nats that are learnt less of D′, asked without "
    "steering, for a nat by which the network was steered while it was finetuned, towards D′'s k (triangles "
    "up) or away from it (down), on questions that D′ asks. Laws: nats that each "
    "misses of many pairs, fitted on fewer. Heads: the share of a pair's nats that the best heads of a block "
    "keep, the others at their mean. Layers: what streams of the base networks hold."
)


def draw_currencies(run: RunFolder) -> list[Path]:
    """The figure, and every line as a table."""
    return draw_measured(run, currency_lines(run), figure)


def figure(lines: Sequence[MeasureLine]) -> Figure:
    """Five rows: rates, steering, sums, then steering while learning with laws and heads, layers."""
    networks = max(line.networks for line in lines if not line.method)
    return panel_rows(f"pairs, D′, steering; {networks} base networks", rows_of(lines))


def rows_of(lines: Sequence[MeasureLine]) -> dict[str, list[Panel]]:
    """The panels by row."""
    rates = [line for line in lines if line.test == RATE]
    doses = sorted({line.dose for line in lines})
    names = [str(dose) for dose in doses]
    pairs = list(dict.fromkeys(line.measure for line in rates if line.measure.startswith("nats of pair")))
    ahead = [line for line in rates if line.measure.startswith("nats of one pair ahead")]
    price = ahead[0].bayes if ahead else None
    by_dose = [Panel(measure, _by_dose(rates, measure, doses), price, names, DOSE) for measure in pairs[:2]]
    totals = [line.measure.rsplit(" ", 1)[1] for line in ahead]
    many = Series("base", range(len(ahead)), [line.value for line in ahead], COLOURS[""])
    steered = [line for line in rates if line.measure.startswith("nat in the") and not line.method]
    shares = [line for line in lines if line.test == INTERACTION]
    kinds = list(dict.fromkeys(line.measure for line in shares))
    short = [reduce(lambda name, pair: name.replace(*pair), LETTERS.items(), kind) for kind in kinds]
    layers = [line for line in lines if line.test == LAYERS]
    return {
        "rates": [*by_dose, Panel("a pair ahead, of so many", [many], price, totals, "pairs shown")],
        "steering": [_steering(steered, where) for where in WHERE],
        "sums": [
            Panel("interactions: dose d, shots n, nats x", _by_name(shares, kinds), 0.0, short, ""),
            Panel(
                "closure", _by_dose(lines, "steering of shots / of dose", doses, CLOSURE), 1.0, names, DOSE
            ),
            Panel("K(s) / K(0)", _by_dose(lines, "K(s)/K(0)", doses, CONTEXT), 1.0, names, DOSE),
        ],
        "prevention,\nlaws, heads": [
            Panel("less learnt for a nat", _prevented(lines), 0.0, [*WHERE], ""),
            Panel("nats missed by a law", _laws(lines), 0.0, LAW_NAMES, ""),
            Panel("kept by the best heads", _kept(lines), 1.0, axis="heads"),
        ],
        "layers": [
            Panel(
                f"I of the stream {where}",
                [_series(what, layers, index) for index, what in enumerate(READ) if what.endswith(where)],
            )
            for where in ("at its answer", "at the question", "at the answer before")
        ],
    }


def _series(what: str, lines: Sequence[MeasureLine], index: int) -> Series:
    lines = [line for line in lines if line.measure == f"{what}: streams"]
    return Series(
        what.split(",")[0], [line.depth for line in lines], [line.value for line in lines], OTHERS[index]
    )


def _by_dose(
    lines: Sequence[MeasureLine], measure: str, doses: Sequence[int], test: str = RATE
) -> list[Series]:
    """A line for every method and kind of question, the base networks' at dose 0 in all of them."""
    chosen = [line for line in lines if (line.test, line.measure) == (test, measure)]
    made = []
    for method in dict.fromkeys(line.method for line in chosen if line.method):
        for question, style_ in STYLES.items():
            ours = [line for line in chosen if line.group == question and line.method in ("", method)]
            at = [doses.index(line.dose) for line in ours]
            label = METHODS.get(method, method) if question == QUESTIONS[0] else "_"
            colour = COLOURS.get(method, OTHERS[0])
            made.append(Series(label, at, [line.value for line in ours], colour, style_))
    return [series for series in made if series.values]


def _by_name(lines: Sequence[MeasureLine], names: Sequence[str]) -> list[Series]:
    """Points by name, on the questions of D'."""
    made = []
    for method in dict.fromkeys(line.method for line in lines):
        ours = [line for line in lines if line.method == method and line.group == QUESTIONS[0]]
        at = [names.index(line.measure) for line in ours]
        label, colour = METHODS.get(method, method), COLOURS.get(method, OTHERS[0])
        made.append(Series(label, at, [line.value for line in ours], colour, ""))
    return made


def _prevented(lines: Sequence[MeasureLine]) -> list[Series]:
    """Points by where steering was, of every way of finetuning and direction, on the questions of D'."""
    last, made = max(line.dose for line in lines), []
    chosen = [
        line for line in lines if (line.test, line.group, line.dose) == (PREVENTION, QUESTIONS[0], last)
    ]
    for method in dict.fromkeys(line.method for line in chosen):
        for direction, style_ in zip(DIRECTIONS, ("up", "down"), strict=True):
            ours = [line for line in chosen if line.method == method and line.measure.endswith(direction)]
            at = [next(i for i, where in enumerate(WHERE) if where in line.measure) for line in ours]
            label, colour = METHODS.get(method, method), COLOURS.get(method, OTHERS[0])
            made.append(Series(f"{label} {direction}", at, [line.value for line in ours], colour, style_))
    return made


def _laws(lines: Sequence[MeasureLine]) -> list[Series]:
    """Points by law."""
    start = "nats missed by the law: "
    missed = {line.measure.removeprefix(start): line.value for line in lines if line.test == LAWS}
    known = [name for name in LAW_NAMES if name in missed]
    at = [LAW_NAMES.index(name) for name in known]
    return [Series("base", at, [missed[name] for name in known], COLOURS[""], "")]


def _kept(lines: Sequence[MeasureLine]) -> list[Series]:
    """A line for every block, by the number of heads."""
    start = "kept by the best "
    chosen = [line for line in lines if line.test == HEADS and line.measure.startswith(start)]
    made = []
    for index, block in enumerate(dict.fromkeys(line.depth for line in chosen)):
        ours = [line for line in chosen if line.depth == block]
        at = [int(line.measure.removeprefix(start)) for line in ours]
        made.append(Series(f"block {block}", at, [line.value for line in ours], OTHERS[index % len(OTHERS)]))
    return made


def _steering(lines: Sequence[MeasureLine], where: str) -> Panel:
    """Nats out for a nat in, towards and away, by pairs shown."""
    made, start = [], f"nat in the {where} "
    ours = [line for line in lines if line.measure.startswith(start)]
    shown = sorted({line.measure.rsplit(", ", 1)[1] for line in ours})
    for direction, colour in (("towards", OTHERS[0]), ("away", OTHERS[1])):
        for question, style_ in STYLES.items():
            chosen = [line for line in ours if line.group == question and f" {direction}, " in line.measure]
            at = [shown.index(line.measure.rsplit(", ", 1)[1]) for line in chosen]
            label = direction if question == QUESTIONS[0] else "_"
            made.append(Series(label, at, [line.value for line in chosen], colour, style_))
    return Panel(f"nats out / nats in, {where}", made, 1.0, shown, "")


def currency_findings(run: RunFolder) -> Findings:
    """The answer in three sentences, and every line but baselines."""
    lines = [
        line
        for line in currency_lines(run)
        if line.test != LAYERS or ": streams" in line.measure or "head" in line.measure
    ]
    tests = RATE, CLOSURE, CONTEXT, PREVENTION, LAWS, EXAMPLES
    return measured_findings(lines, tests, CAPTION, _summed, _beyond)


def _summed(lines: Sequence[MeasureLine]) -> str:
    parts = [
        f"{METHODS.get(line.method, line.method)} {estimate_words(line.value)}"
        for line in lines
        if line.test == INTERACTION and line.measure == ALL and line.group == QUESTIONS[0]
    ]
    if not parts:
        return "Too little is resolved to tell whether the three add up."
    return (
        "Share of the variance of log-odds over dose × shots × steering, on questions of D′, that no sum of "
        f"three explains: {'; '.join(parts)}."
    )


def _beyond(lines: Sequence[MeasureLine]) -> str:
    """The sentence on edits that leave what the probe read where it was fitted."""
    shares = {line.measure: line.value.value for line in lines if line.test == SPAN and not line.method}
    if not shares:
        return ""
    parts = [f"{share:.0%} by {name}" for name, share in shares.items() if share > LEAVES]
    if not parts:
        return "Steering stays within what the probe read where it was fitted (5 % of contexts may leave it)."
    return (
        f"Steering takes contexts of base networks beyond all that the probe read where it was fitted, "
        f"{', '.join(parts)}: there its effect tells little of the network."
    )
