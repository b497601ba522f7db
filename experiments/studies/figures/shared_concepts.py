"""Transfer between alphabets, together and apart: probes, steering, finetuning. No jax."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from experiments.figures.measured import measured_findings
from experiments.figures.panel_rows import COLOURS, OTHERS, Panel, Series, draw_measured, panel_rows
from experiments.scoring.alphabets import CARRIED, STEERING, TRANSFER, alphabet_lines
from experiments.scoring.findings import Findings
from experiments.scoring.labels import METHODS
from experiments.scoring.measure_line import MeasureLine
from experiments.storage.alphabets_cell import SOURCES
from experiments.storage.run_folder import RunFolder

STYLES = ("-", "--")
SLOPE = "nats for a nat of "  # how measures of steering begin that are slopes
CAPTION = (
    "A row a world, with intervals of 95 % over base networks and D′. Grey line: one belief for all "
    "alphabets. Transfer: information that a probe fitted in one alphabet has in another, up to one "
    "constant, over that of a probe of its own. Steering: nats of answers for a nat along the pattern of "
    "the same alphabet or of another, after the first block. Carry-over: what of the part of a concept that "
    "is taken up in-domain is carried to other alphabets (full), and state share × transfer (broken)."
)


def draw_concepts(run: RunFolder) -> list[Path]:
    """The figure, and every line as a table."""
    return draw_measured(run, alphabet_lines(run), figure)


def figure(lines: Sequence[MeasureLine]) -> Figure:
    """A row a world."""
    networks = max(line.networks for line in lines if not line.method)
    worlds = dict.fromkeys(line.group for line in lines)
    rows = {world: panels([line for line in lines if line.group == world]) for world in worlds}
    return panel_rows(f"one concept in three alphabets; {networks} base networks a world", rows)


def panels(lines: Sequence[MeasureLine]) -> list[Panel]:
    """Transfer, steering and carry-over of one world."""
    read = []
    for source, colour in zip(SOURCES, (COLOURS[""], *OTHERS), strict=False):
        chosen = [line for line in lines if line.measure == f"τ up to a constant: {source}"]
        read.append(Series(source, [line.depth for line in chosen], [line.value for line in chosen], colour))
    steered = [line for line in lines if line.test == STEERING and line.measure.startswith(SLOPE)]
    names = [line.measure.removeprefix(SLOPE) for line in steered]
    slopes = Series("base", range(len(steered)), [line.value for line in steered], COLOURS[""], "")
    carried = [line for line in lines if line.test == CARRIED]
    doses = sorted({line.dose for line in carried})
    moved = []
    for index, method in enumerate(dict.fromkeys(line.method for line in carried)):
        for measure, style_ in zip(("carried", "S × τ"), STYLES, strict=True):
            chosen = [line for line in carried if (line.method, line.measure) == (method, measure)]
            label = METHODS.get(method, method) if measure == "carried" else "_"
            colour = COLOURS.get(method, OTHERS[index % len(OTHERS)])
            at = [doses.index(line.dose) for line in chosen]
            moved.append(Series(label, at, [line.value for line in chosen], colour, style_))
    return [
        Panel("transfer τ", read, 1.0),
        Panel("nats out / nats in", [slopes], 1.0, names, ""),
        Panel("carried (full), S × τ (broken)", moved, 1.0, [str(dose) for dose in doses], "dose (steps)"),
    ]


def concept_findings(run: RunFolder) -> Findings:
    """The answer in a sentence, and every line of the last dose but baselines."""
    return measured_findings(alphabet_lines(run), (TRANSFER, STEERING, CARRIED), CAPTION)
