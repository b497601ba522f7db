"""The use of the column of a line: errors, ablation, moved queries, tiles, newlines. No jax."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from experiments.figures.style import save, style
from experiments.scoring.column_use import use_lines
from experiments.scoring.curves import CurveLine
from experiments.storage.column_use import AT_NEWLINES
from experiments.storage.curve_cell import LOST
from experiments.storage.run_folder import RunFolder
from experiments.studies.figures.linebreak_manifold import Series, draw_lines, make_room, panels_of

Names = Sequence[tuple[str, str, str, str]]  # measure, networks, line style, name


def draw_use(run: RunFolder) -> list[Path]:
    """The figure; its numbers are in the table of the first one."""
    lines = use_lines(run)
    if not lines:
        return []
    with style():
        name = f"{run.study}-use"
        return save(run, {name: figure(lines)}, {name: [line.record() for line in lines]})


def figure(lines: Sequence[CurveLine]) -> Figure:
    """Two rows: what is read and what it costs to lose; what heads do with it."""
    drawn, axes = panels_of(lines, 2)

    def series(test: str, names: Names) -> list[Series]:
        every = []
        for measure, networks, look, name in names:
            chosen = [
                line
                for line in lines
                if (line.test, line.measure, line.networks) == (test, measure, networks)
            ]
            every.append(Series(name, [line.depth for line in chosen], [line.value for line in chosen], look))
        return every

    errors = [
        ("classes", "base", "-", "classes"),
        ("linear", "base", "--", "linear"),
        ("classes", "untrained", "-", "untrained"),
        ("constant", "base", ":", "mean column"),
    ]
    draw_lines(axes[0], "error of the column (characters)", series("M8", errors))
    for axis, where in zip(axes[1:3], LOST, strict=True):
        lost = [
            (f"column, {where}", "base", "-", "column"),
            (f"random, as much, {where}", "base", "--", "random, as much"),
            (f"random, {where}", "base", ":", "random"),
        ]
        exact = next(line.value.value for line in lines if line.measure == f"without column, {where}")
        draw_lines(axis, f"nats {where}, without a subspace", series("M9", lost), exact)
    moved = [
        ("twisted head, attention", "base", "-", "look of the twisted head"),
        ("all heads, attention", "base", "--", "look of all heads"),
        ("all heads, newline", "base", "-", "newline"),
        ("all heads, newline, random", "base", ":", "newline, random"),
    ]
    draw_lines(axes[3], "slope after queries are moved", series("M10", moved), 1.0)
    make_room(axes[3])  # slopes reach 1
    tiles = [
        ("apart", "base", "-", "apart"),
        ("within", "base", ":", "within"),
        ("apart", "untrained", "-", "untrained"),
    ]
    draw_lines(axes[4], "distance of peaks (characters)", series("M11", tiles))
    for axis in axes[3:5]:
        axis.set_xlabel("depth that the block reads", fontsize=6, labelpad=1)
    read = [(f"{name}, beyond others", "base", "-", name) for name in AT_NEWLINES]
    draw_lines(axes[5], "R² at newlines, beyond others", series("M12", read), 0.0)
    return drawn
