"""Figures of laws: scores against the measure that orders them, with the curve of the sealed law.

    FOLDER/figures/laws.png, .svg, .pdf    scores of a theory in each panel
    FOLDER/figures/kappa.png, ...          what the linear theory leaves unexplained against κ, with κ²

A panel has the scores against the law's measure or, where it has two, against what the law says. Filled
points score the law, pale ones proposed it; colours are ways of finetuning. The power of κ is fitted to half
of the points: its figure belongs to the sweep that sealed the laws. Numpy and matplotlib only.
"""

import contextlib
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.looks import method_colours
from experiments.figures.style import FORMATS, WIDTH, Look, legend, save_figure, style
from experiments.scoring.labels import METHODS
from experiments.scoring.laws import FLOOR, Observation, Verdict, leftover, value
from experiments.scoring.observations import READ_OUT
from theory.errors import Misuse

COLUMNS, MORE = 3, 4  # of panels; more where three columns would take three rows
TALL = 2.1  # inches of a row of panels
LINEAR, KAPPA = "linearised", "kappa"
LEFT_OVER = 1e-5  # of 1 - explained: what is below is drawn there
ROUNDING = 1e-6  # of κ: 0 for a read-out that moves alone, but for float32; no logarithm of it says anything


def draw_laws(
    folder: Path, verdicts: Sequence[Verdict], observations: Sequence[Observation], proposing: Collection[str]
) -> list[Path]:
    """Write both figures; that of κ where scores of the linear theory have it, and `proposing`, the points
    that laws were proposed on, are among these."""
    with style():
        figures = {"laws": law_figure(verdicts, observations, proposing)}
        linear = [
            line for line in observations if line.theory == LINEAR and line.measures.get(KAPPA, 0) > ROUNDING
        ]
        if linear and proposing:
            figures["kappa"] = kappa_figure(linear)
        paths = []
        for name, figure in figures.items():
            for kind in FORMATS:
                paths.append(folder / "figures" / f"{name}.{kind}")
                save_figure(paths[-1], figure)
    return paths


def law_figure(
    verdicts: Sequence[Verdict], observations: Sequence[Observation], proposing: Collection[str]
) -> Figure:
    """Scores of every theory against its law, pale where their points proposed it."""
    columns = COLUMNS if len(verdicts) <= 2 * COLUMNS else MORE
    rows = -(-len(verdicts) // columns)
    figure = Figure(figsize=(WIDTH, TALL * rows + 0.4), layout="constrained")
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.3 / figure.get_figheight()))  # pyright: ignore
    colours = method_colours(sorted({line.method for line in observations}))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, verdict in zip(panels, verdicts, strict=False):
        _draw_law(axes, verdict, observations, colours, proposing)
    for axes in panels[len(verdicts) :]:
        axes.set_axis_off()
    looks: dict[str, Look] = {
        METHODS.get(name, name): {"color": colour, "marker": "o", "ls": ""}
        for name, colour in colours.items()
    }
    if proposing:
        looks["point that proposed the law"] = {"color": "0.6", "marker": "o", "mfc": "none", "ls": ""}
    legend(figure, looks, len(looks))
    return figure


def kappa_figure(observations: Sequence[Observation]) -> Figure:
    """The part that the linear theory leaves unexplained against κ, both logarithmic, with κ² and the power
    of κ that fits the first half of the points; its R² is of logarithms on the second half."""
    figure = Figure(figsize=(WIDTH / 2, 2.9), layout="constrained")
    axes = figure.subplots()
    x = np.array([line.measures[KAPPA] for line in observations])
    y = np.maximum(1 - np.array([line.score for line in observations]), LEFT_OVER)
    for name, colour in method_colours(sorted({line.method for line in observations})).items():
        of_method = np.array([line.method == name for line in observations])
        look: Look = {"color": colour, "ms": 2.5, "mew": 0, "alpha": 0.6, "label": METHODS.get(name, name)}
        axes.plot(x[of_method], y[of_method], "o", **look)
    ends = np.array([x.min(), x.max()])
    axes.plot(ends, ends**2, "--", color="black", lw=0.8, label="κ²")
    with contextlib.suppress(Misuse):  # too few points for a law
        verdict = leftover(observations, KAPPA, LEFT_OVER)
        (offset, slope), (low, high) = verdict.law.constants, verdict.interval
        label = f"{np.exp(offset):.2g} κ^{slope:.2f}\nR² {verdict.r2:.2f} [{low:.2f}, {high:.2f}]"
        axes.plot(ends, np.exp(offset) * ends**slope, color="black", lw=0.9, label=label)
    axes.set(xscale="log", yscale="log", xlabel="κ, second order of answers beside the first")
    axes.set_ylabel("1 − explained, linearised")
    axes.legend()
    return figure


def _draw_law(
    axes: Axes,
    verdict: Verdict,
    observations: Sequence[Observation],
    colours: dict[str, str],
    proposing: Collection[str],
) -> None:
    law = verdict.law
    lines = [
        line
        for line in observations
        if line.theory == law.theory and all(name in line.measures for name in law.measures)
    ]
    single = len(law.measures) == 1
    x = np.array([line.measures[law.measures[0]] for line in lines]) if single else law.predict(lines)
    y = np.array([max(line.score, FLOOR) for line in lines])
    first = np.array([line.point in proposing for line in lines])
    for name, colour in colours.items():
        of_method = np.array([line.method == name for line in lines])
        pale: Look = {"mfc": "none", "alpha": 0.4}
        axes.plot(x[of_method & first], y[of_method & first], "o", color=colour, ms=2.5, mew=0.5, **pale)
        look: Look = {"color": colour, "ms": 2.5, "mew": 0, "alpha": 0.6}
        axes.plot(x[of_method & ~first], y[of_method & ~first], "o", **look)
    grid = np.linspace(x.min(), x.max(), 200)
    curve = value(law.form, np.array(law.constants), grid[:, None]) if single else grid
    axes.plot(grid, np.where(curve >= FLOOR, curve, np.nan), color="black", lw=0.9)
    if single and law.form == "power" and x.min() > 0 and x.max() > 30 * x.min():
        axes.set_xscale("log")
    low, high = verdict.interval
    title = "share of the read-out" if law.theory == READ_OUT else law.theory.replace("-", " ")
    axes.set_title(f"{title}\nR² {verdict.r2:.2f} [{low:.2f}, {high:.2f}]")
    words = " and\n".join(name.replace("_", " ") for name in law.measures)
    axes.set_xlabel(words if single else f"the law, in {words}")
    axes.set_ylabel("share" if law.theory == READ_OUT else "explained")
