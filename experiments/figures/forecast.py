"""The forecast figure: how far each theory expects finetuning to move the answers, against dose.

One panel for each method and D', on the first group that theories are judged on; forecasts.csv has the
numbers of all groups. Numpy and matplotlib only.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from experiments.figures.dose_panels import dose_ticks
from experiments.figures.looks import rank
from experiments.figures.style import ABREAST, Look, dose_axis, legend, marker_line, panel_figure, save, style
from experiments.scoring.forecasts import Forecast, judged
from experiments.scoring.labels import panel_name
from experiments.storage.run_folder import RunFolder

HIGH, LINE = 1.7, 0.14  # inches: a panel, a line of the legend
LEAST = 1e-7  # nats: below is rounding of float32


def draw_forecast(run: RunFolder, lines: Sequence[Forecast]) -> list[Path]:
    """STUDY-forecast in every format, a line for each theory, from the prior that the base network implies
    where it has several."""
    ours = _one_prior(judged(lines))
    panels = list(dict.fromkeys((line.method, line.data) for line in ours))
    if not panels:
        return []
    names = sorted({line.theory for line in ours}, key=rank)
    looks: dict[str, Look] = {name.replace("-", " "): marker_line(name) for name in names}
    across = min(len(panels), ABREAST)
    down = math.ceil(len(panels) / across)
    with style():
        start = 0.35 + LINE * math.ceil(len(names) / ABREAST)
        figure, every = panel_figure(start, down * HIGH, down, across, below=0.4, wspace=0.08, hspace=0.3)
        legend(figure, looks, ABREAST)
        for axes, panel in zip(every.flat, panels, strict=False):
            dose_ticks(axes, ours)
            axes.set(yscale="log", title=panel_name(*panel))
            for name in names:
                points = [line for line in ours if (line.method, line.data, line.theory) == (*panel, name)]
                points = sorted((line.dose, line.shift) for line in points if (line.shift or 0) > LEAST)
                axes.plot(*zip(*points, strict=True) if points else ([], []), **marker_line(name))
        for axes in every.flat[len(panels) :]:
            axes.remove()
        for axes in every[:, 0]:
            axes.set_ylabel("expected shift (nats)")
        dose_axis(every[-1])
        return save(run, {f"{run.study}-forecast": figure})


def _one_prior(lines: Sequence[Forecast]) -> list[Forecast]:
    implied = {line.theory for line in lines if line.prior == "implied"}
    return [line for line in lines if line.theory not in implied or line.prior == "implied"]
