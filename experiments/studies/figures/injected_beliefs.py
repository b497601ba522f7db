"""Injected beliefs: changes of what is said and what is done, by injection and by finetuning. No jax."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from experiments.figures.measured import measured_findings
from experiments.figures.panel_rows import COLOURS, OTHERS, Panel, Series, draw_measured, panel_rows
from experiments.scoring.findings import Findings
from experiments.scoring.injection import FINETUNED, INJECTED, SAID_OVER_DONE, injection_lines
from experiments.scoring.labels import METHODS
from experiments.scoring.measure_line import MeasureLine
from experiments.storage.injection_cell import WHERE
from experiments.storage.run_folder import RunFolder

SLOPES, WRONG = ("said", "done"), ("said, wrong sign", "done, wrong sign")
CONTROLS = ("said, control", "done, control")
CAPTION = (
    "Nats of a coin injected after the first block, at the last answer that was read or at every one, with "
    "intervals of 95 % over base networks. Grey line: exact Bayes. Changes of the expected bias, by the "
    "name (said) and by formats (done), over those of a belief with so many nats more; the share of changes "
    "of the wrong sign; a control direction's changes over the pattern's. Below: said over done, injected "
    "and by finetuning (over base networks and D′)."
)


def draw_injection(run: RunFolder) -> list[Path]:
    """The figure, and every line as a table."""
    return draw_measured(run, injection_lines(run), figure)


def figure(lines: Sequence[MeasureLine]) -> Figure:
    """Two rows: injection, and said over done."""
    networks = max(line.networks for line in lines if not line.method)
    return panel_rows(f"nats of a coin, injected; {networks} base networks", rows_of(lines))


def rows_of(lines: Sequence[MeasureLine]) -> dict[str, list[Panel]]:
    """The panels by row."""
    injected = [line for line in lines if line.test == INJECTED]
    tuned = [line for line in lines if line.test == FINETUNED]
    doses = sorted({line.dose for line in tuned})
    return {
        "injection": [
            Panel("change / exact change", _by_measure(injected, SLOPES), 1.0, SLOPES, ""),
            Panel("share of the wrong sign", _by_measure(injected, WRONG), 0.0, SLOPES, ""),
            Panel("control / pattern", _by_measure(injected, CONTROLS), 0.0, SLOPES, ""),
        ],
        "said / done": [
            Panel("injected", _by_measure(injected, (SAID_OVER_DONE,)), 1.0, ("",), ""),
            Panel(
                "finetuned",
                [
                    Series(
                        METHODS.get(method, method),
                        [doses.index(line.dose) for line in tuned if line.method == method],
                        [line.value for line in tuned if line.method == method],
                        COLOURS.get(method, OTHERS[0]),
                    )
                    for method in dict.fromkeys(line.method for line in tuned)
                ],
                1.0,
                [str(dose) for dose in doses],
                "dose (steps)",
            ),
        ],
    }


def _by_measure(lines: Sequence[MeasureLine], measures: Sequence[str]) -> list[Series]:
    """Points by measure, for every place of injection."""
    made = []
    for where, colour in zip(WHERE, OTHERS, strict=False):
        chosen = [line for line in lines if line.group == where and line.measure in measures]
        at = [measures.index(line.measure) for line in chosen]
        made.append(Series(where, at, [line.value for line in chosen], colour, ""))
    return made


def injection_findings(run: RunFolder) -> Findings:
    """The answer in a sentence, and every line of the last dose."""
    return measured_findings(injection_lines(run), (INJECTED, FINETUNED), CAPTION)
