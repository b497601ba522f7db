"""The common style of all figures: small and plain; looks of theories, a grid in inches, legends, saving."""

import contextlib
import functools
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, cast

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter

from experiments.figures.drawing_process import side_by_side
from experiments.figures.looks import look as look
from experiments.figures.plain_fonts import plain_fonts
from experiments.storage.files import as_csv, write
from experiments.storage.run_folder import RunFolder

FigureT = TypeVar("FigureT", bound=Figure)
Look: TypeAlias = dict[str, Any]  # keywords of a matplotlib line
Share: TypeAlias = bool | Literal["all", "row", "col", "none"]  # the panels that have one axis


class Drawing(Figure):
    """A matplotlib figure that a notebook shows by itself, whether or not pyplot is loaded there."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=110)
        return file.getvalue()


WIDTH = 7.2  # inches, two columns; all other lengths are inches too
LEFT, RIGHT = 0.7, 0.1
ABREAST = 4  # panels side by side that have room for words
FORMATS: dict[str, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Set the style: small, plain, and the same bytes each time."""
    sizes = {"font.size": 7, "axes.titlesize": 7, "xtick.labelsize": 6.5, "ytick.labelsize": 6.5}
    lines = {"axes.linewidth": 0.6, "lines.linewidth": 1.1, "lines.markersize": 3.4, "hatch.linewidth": 0.5}
    frames = {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
    ticks = {f"{x}tick.major.{what}": size for x in "xy" for what, size in (("width", 0.6), ("size", 2.5))}
    files = {"savefig.dpi": 200, "svg.hashsalt": "finebayes", "pdf.fonttype": 42}
    places = {"axes.titley": 1.0}  # ticks are below: no time is spent to look for room above them
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        settings: Any = {**sizes, **lines, **frames, **ticks, **files, **places}
        matplotlib.rcParams.update(settings)
        yield


def save(
    run: RunFolder,
    figures: Mapping[str, Figure | Callable[[], Figure]],
    tables: Mapping[str, Sequence[Mapping[str, object]]] | None = None,
) -> list[Path]:
    """Write figures by name in every format, and tables of what they show; returns the paths.

    A function that makes a figure is called in the process that writes it: several are then made at once.
    """
    folder = run.folder / "figures"

    def draw(name: str) -> None:
        figure = figures[name]
        figure = figure if isinstance(figure, Figure) else figure()
        tasks = [functools.partial(save_figure, folder / f"{name}.{kind}", figure) for kind in FORMATS]
        if len(figures) == 1:
            side_by_side(tasks)
        else:
            for task in tasks:
                task()

    side_by_side([functools.partial(draw, name) for name in figures])
    paths = [folder / f"{name}.{kind}" for name in figures for kind in FORMATS]
    for name, table in (tables or {}).items():
        paths.append(folder / f"{name}.csv")
        text = as_csv([dict(line) for line in table])
        write(paths[-1], lambda file, text=text: file.write(text.encode()))
    return paths


def save_figure(path: Path, figure: Figure) -> None:
    """Write one figure in the format that its path names."""
    kind, drawn = path.suffix[1:], _without_empty_labels(without_formulas(figure))
    with plain_fonts() if kind == "pdf" else contextlib.nullcontext():
        write(path, functools.partial(drawn.savefig, format=kind, metadata=FORMATS[kind]))


def _without_empty_labels(figure: FigureT) -> FigureT:
    """The figure with a fixed place for every label of an axis that says nothing: matplotlib measures all
    ticks to find one."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if not axis.get_label_text():
                axis.set_label_coords(0, 0)
    return figure


def without_formulas(figure: FigureT) -> FigureT:
    """The figure with every name as it stands: an answer "$5" or "$\\frac$" is no formula.

    All words but powers at the ticks of a logarithmic axis are names or plain words.
    """
    powers = {
        text
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        if isinstance(axis.get_major_formatter(), LogFormatter)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for text in tick.findobj(Text)
    }
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text not in powers:
            text.set_parse_math(False)
    return figure


def legend(figure: Figure, looks: Mapping[str, Look], columns: int) -> None:
    """Draw a legend over the whole figure, of lines by label."""
    top = {"loc": "upper center", "bbox_to_anchor": (0.5, 1 - 0.02 / figure.get_figheight())}
    figure.legend(
        handles=_handles(looks), ncols=columns, fontsize=6.5, columnspacing=1.2, handlelength=2.0, **top
    )


def _handles(looks: Mapping[str, Look]) -> list[Line2D]:
    return [Line2D([], [], label=label, **line) for label, line in looks.items()]


def marker_line(theory: str) -> Look:
    """Colour and marker of a theory as keywords of a line."""
    colour, marker = look(theory)
    return {"color": colour, "marker": marker}


def titles(panels: Sequence[Axes], names: Sequence[str]) -> None:
    """Set titles of panels side by side, in two lines where there is little room."""
    for axes, name in zip(panels, names, strict=True):
        axes.set_title(name if len(panels) <= ABREAST else name.replace(", ", "\n", 1))


def dose_axis(panels: Sequence[Axes]) -> None:
    """Name the axis under a row of panels that stand side by side."""
    for axes in panels:
        axes.set_xlabel("dose (finetuning steps)" if len(panels) <= ABREAST else "dose (steps)")


def heading(
    figure: Figure, start: float, letter: str, text: str, looks: Mapping[str, Look] | None = None
) -> None:
    """Write a letter and a title above a row of panels, and right of them a legend of what is there alone."""
    height = 1 - (start - 0.3) / figure.get_figheight()
    figure.text(0.008, height, letter, fontsize=9, fontweight="bold")
    figure.text(0.035, height, text, fontsize=8)
    if looks:
        right = {"loc": "lower right", "bbox_to_anchor": (1.0, height - 0.05 / figure.get_figheight())}
        room = {"columnspacing": 1.2, "handlelength": 1.6, "handletextpad": 0.5, "borderpad": 0}
        figure.legend(handles=_handles(looks), ncols=len(looks), fontsize=6.5, **right, **room)


def inches(axes: Axes) -> tuple[float, float]:
    """Width and height of a panel."""
    figure, box = cast(Figure, axes.figure), axes.get_position()
    return box.width * figure.get_figwidth(), box.height * figure.get_figheight()


def panel_figure(
    start: float,
    tall: float,
    rows: int,
    columns: int,
    *,
    below: float,
    wspace: float,
    hspace: float,
    sharex: Share = True,
    sharey: Share = True,
) -> tuple[Figure, Any]:
    """A figure of the full width and its panels (rows, columns), between so many inches at the top and
    below."""
    figure = Figure(figsize=(WIDTH, start + tall + below))
    grid = panels_grid(figure, start, tall, rows, columns, wspace=wspace, hspace=hspace)
    return figure, grid.subplots(squeeze=False, sharex=sharex, sharey=sharey)


def panels_grid(
    figure: Figure,
    start: float,
    tall: float,
    rows: int,
    columns: int,
    *,
    right: float = RIGHT,
    **gaps: float,
) -> GridSpec:
    """A grid that starts and ends so many inches below the top, with so many right of it."""
    high = figure.get_figheight()
    wide = figure.get_figwidth()
    sides = {"left": LEFT / wide, "right": 1 - right / wide}
    return figure.add_gridspec(
        rows, columns, top=1 - start / high, bottom=1 - (start + tall) / high, **sides, **gaps
    )
