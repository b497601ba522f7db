"""Codes of two factors by depth, world and network, and how broad finetuning becomes. No jax."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from experiments.figures.measured import estimate_words, measured_table
from experiments.figures.panel_rows import COLOURS, OTHERS, Panel, Series, draw_measured, panel_rows
from experiments.scoring.factors import CODE, PERSONA, RATE, REACH, factor_lines, statements
from experiments.scoring.findings import Findings
from experiments.scoring.labels import METHODS
from experiments.scoring.measure_line import MeasureLine
from experiments.scoring.motor import Statement
from experiments.storage.factors_cell import GROUPS
from experiments.storage.run_folder import RunFolder

BESIDE = {"streams": "-", "outputs cubic": "--", "untrained": ":", "tokens": "-.", "foreign": "--"}
CAPTION = (
    "A row a world, by the correlation of persona and domain in pretraining, with intervals of 95 % over "
    "base networks and D′. R² of what of the belief over states (persona, marked or not, × domain, marked or "
    "not) is not linear in the beliefs about either: a factored code lacks it, a joint one has it. I of a "
    "probe of the persona in documents of another domain than it was fitted on, up to one constant. Rates: "
    "the share of D′'s persona among personas' marks, in the domain of D′ (full) and in others (broken)."
)


def draw_factors(run: RunFolder) -> list[Path]:
    """The figure, and every line as a table."""
    return draw_measured(run, factor_lines(run), figure)


def figure(lines: Sequence[MeasureLine]) -> Figure:
    """A row a world."""
    networks = max(line.networks for line in lines if not line.method)
    worlds = dict.fromkeys(line.group for line in lines if line.test == CODE)
    rows = {
        world.replace("_", "\n"): panels([line for line in lines if line.group == world]) for world in worlds
    }
    return panel_rows(f"persona and domain; {networks} base networks a world", rows)


def panels(lines: Sequence[MeasureLine]) -> list[Panel]:
    """The joint part, the probe of the persona, and the rates of one world."""
    inside = []
    for start, test in (("joint: ", CODE), ("I in another domain up to a constant: ", PERSONA)):
        made = []
        for (feature, style_), colour in zip(BESIDE.items(), (COLOURS[""], *OTHERS), strict=True):
            chosen = [line for line in lines if (line.test, line.measure) == (test, start + feature)]
            at = [line.depth for line in chosen]
            made.append(Series(feature, at, [line.value for line in chosen], colour, style_))
        inside.append([series for series in made if series.values])
    doses = sorted({line.dose for line in lines if line.test == RATE})
    rates = []
    for index, method in enumerate(dict.fromkeys(line.method for line in lines if line.method)):
        for group, style_ in zip(GROUPS, ("-", "--"), strict=True):
            chosen = [
                line
                for line in lines
                if (line.test, line.measure) == (RATE, group) and line.method in ("", method)
            ]
            label = METHODS.get(method, method) if group == GROUPS[0] else "_"
            at = [doses.index(line.dose) for line in chosen]
            colour = COLOURS.get(method, OTHERS[index % len(OTHERS)])
            rates.append(Series(label, at, [line.value for line in chosen], colour, style_))
    return [
        Panel("R² of the joint part", inside[0]),
        Panel("I of the persona, other domains", inside[1]),
        Panel("rate: narrow, broad", rates, None, [str(dose) for dose in doses], "dose (steps)"),
    ]


def factor_findings(run: RunFolder) -> Findings:
    """The verdict on what was stated beforehand, and every line of base networks and of the last dose."""
    lines = factor_lines(run)
    if not lines:
        return Findings(("Nothing is measured yet.",), (("measure",),), CAPTION)
    last = max(line.dose for line in lines)
    shown = [
        line
        for line in lines
        if line.dose in (0, last)
        and (line.test != PERSONA or "constant" in line.measure or line.measure == REACH)
    ]
    return Findings((_sentence(statements(run)),), measured_table(shown), CAPTION)


def _sentence(stated: Sequence[Statement]) -> str:
    parts = [
        f"{estimate_words(made.value)} for {made.name} ({METHODS.get(made.data, made.data)}, {made.verdict})"
        for made in stated
    ]
    return (
        "Stated beforehand: over base networks of all worlds the broad rate rises with τ of the persona and "
        f"falls with R² of the joint part. For a standard deviation more it is higher by {'; '.join(parts)}."
    )
