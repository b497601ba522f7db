"""Writers of the newline, their code, and rankings of contexts of one column. No jax."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from experiments.figures.style import save, style
from experiments.scoring.curves import CurveLine
from experiments.scoring.newline_code import newline_lines
from experiments.storage.newline_code import RANKED_BY
from experiments.storage.run_folder import RunFolder
from experiments.studies.figures.linebreak_manifold import Series, draw_lines, make_room, panels_of

SHOWN = "within 3, early"  # of the ranking


def draw_newline(run: RunFolder) -> list[Path]:
    """The figure; its numbers are in the table of the first one."""
    lines = newline_lines(run)
    if not lines:
        return []
    with style():
        name = f"{run.study}-newline"
        return save(run, {name: figure(lines)}, {name: [line.record() for line in lines]})


def figure(lines: Sequence[CurveLine]) -> Figure:
    """A row: comparison; codes of what heads write; ranking of contexts of one column."""
    drawn, axes = panels_of(lines, 1)

    def series(name: str, measure: str, look: str = "-", networks: str = "base") -> Series:
        chosen = [
            line for line in lines if (line.measure, line.networks) == (measure, networks) and line.depth
        ]
        return Series(name, [line.depth for line in chosen], [line.value for line in chosen], look)

    compared = [
        series("heads", "heads: comparison"),
        series("perceptron", "perceptron: comparison", "--"),
        series("untrained", "perceptron: comparison", ":", "untrained"),
    ]
    draw_lines(axes[0], "nats for a nat of comparison", compared, 0.0)
    coded = [
        series(name, f"heads: {name}", look)
        for name, look in (("log-odds", "-"), ("probability", "--"), ("side by side", ":"))
    ]
    draw_lines(
        axes[1], "R² of what heads write", [*coded, series("untrained", "heads: log-odds", "-", "untrained")]
    )
    ceiling = next(line.value.value for line in lines if line.measure == f"{SHOWN}: exact")
    ranked = [series(name, f"{SHOWN}: {name}") for name in RANKED_BY if name != "exact"]
    draw_lines(axes[2], f"AUC, newline {SHOWN} columns", ranked, ceiling)
    for axis in axes[1:]:
        make_room(axis)
    return drawn
