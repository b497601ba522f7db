"""Figure of a probe of an event: what it reads against what comes, its excess by depth, and its steering.

    a    p(A) of the network's own future against what the best depth reads, a dot a context
    b    excess log loss over the entropy floor (nats) by depth, and that of the baselines
    c    what comes out in log-odds of A (nats) against nats along the pattern, a line a depth

Numpy and matplotlib only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from experiments.figures.looks import INKS
from experiments.figures.style import WIDTH, Drawing, panels_grid, style

HEIGHT = 2.5  # inches
COLOURS = (*INKS[5:], *INKS[1:4])


@dataclass(frozen=True)
class Panels:
    """The content of the figure: readings and exact probabilities in contexts, excess by depth and by
    baseline, the error of no probe at all, and by depth pairs of nats along the pattern and nats that come
    out."""

    title: str
    read: np.ndarray
    exact: np.ndarray
    best: int
    excess: Mapping[int, float]
    baselines: Mapping[str, float]
    uninformed: float
    steering: Mapping[int, Sequence[tuple[float, float]]]


def event_figure(panels: Panels) -> Drawing:
    """The figure."""
    with style():
        figure = Drawing(figsize=(WIDTH, HEIGHT))
        grid = panels_grid(figure, 0.45, HEIGHT - 0.95, 1, 3, wspace=0.42)
        calibration, losses, steering = grid.subplots(squeeze=False)[0]
        figure.suptitle(panels.title, fontsize=8, parse_math=False)
        _calibration(calibration, panels)
        _losses(losses, panels)
        _steering(steering, panels)
    return figure


def _calibration(axes: Axes, panels: Panels) -> None:
    axes.plot([0, 1], [0, 1], color="0.6", lw=0.8)
    axes.plot(panels.read, panels.exact, ".", ms=2, color=_colour(panels.best), alpha=0.5)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="read by the probe", ylabel="p(A), the network's own")
    axes.set_title(f"calibration at depth {panels.best}")


def _losses(axes: Axes, panels: Panels) -> None:
    names = [f"depth {depth}" for depth in panels.excess] + list(panels.baselines) + ["no probe"]
    values = [*panels.excess.values(), *panels.baselines.values(), panels.uninformed]
    colours = [_colour(depth) for depth in panels.excess] + ["0.6"] * (1 + len(panels.baselines))
    rows = np.arange(len(names))[::-1]
    axes.barh(rows, values, color=colours, height=0.6)
    axes.set_yticks(rows, names)
    axes.set(xlabel="excess over the floor (nats)", xlim=(0, None))
    axes.set_title("what is lost")


def _steering(axes: Axes, panels: Panels) -> None:
    drawn = [point for points in panels.steering.values() for point in points] + [(1.0, 1.0)]
    most = 1.1 * max(abs(number) for point in drawn for number in point if np.isfinite(number))
    axes.plot([-most, most], [-most, most], color="0.6", lw=0.8)
    for depth, points in panels.steering.items():
        along, out = np.array(sorted([(0.0, 0.0), *points])).T
        axes.plot(along, out, "o-", color=_colour(depth), label=f"depth {depth}")
    axes.set(xlabel="nats along the pattern", ylabel="nats that come out")
    low = -0.1 if all(min(point) >= 0 for point in drawn) else -most
    axes.set(xlim=(low, most), ylim=(low, max(1.3, *(out for _, out in drawn))))
    axes.legend(fontsize=6)
    axes.set_title("steering")


def _colour(depth: int) -> str:
    return COLOURS[depth % len(COLOURS)]
