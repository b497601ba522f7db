"""Curves of a study's own figures over a sweep: what is read from tables, and the panels of a figure."""

import numpy as np
import pytest

from experiments.figures.style import style
from experiments.figures.sweep import draw_sweep, sweep_figure
from experiments.scoring.sweep_curves import read_curves
from experiments.scoring.sweep_panels import Choice
from experiments.scoring.sweep_table import read_sweep
from theory.errors import Misuse

TABLE = """row,column,who,at,mean,low,high,networks
"broad, written",D' plain,Adam,1,0.1,0.05,0.15,4
"broad, written",D' plain,Adam,8,{end},{low},{high},4
"broad, written",D' plain,SGD,1,0.01,,,4
"broad, written",D' plain,SGD,8,,,,4
at the narrow rate,Adam,"broad, written",0.15,0.07,,,4
"""


@pytest.fixture(scope="module")
def made(sweeps, tmp_path_factory):
    """A made-up sweep over four values, the last of which failed, with a table and one of another kind."""

    def shares(values):
        return "Pretraining diverged." if values["process.style"] == 3 else {"linearised": 0.5}

    folder = tmp_path_factory.mktemp("sweeps") / "s"
    sweep = sweeps.make(folder, sweeps.plan("style=0,1,2,3"), shares)
    for point in sweep.record.points[:3]:
        end, figures = 0.25 * (1 + point.values["process.style"]), sweep.run(point).folder / "figures"
        figures.mkdir()
        text = TABLE.format(end=end, low=end - 0.125, high=end + 0.125)
        (figures / "study-plane.csv").write_text(text, encoding="utf-8")
        (figures / "other.csv").write_text("name,value\na,1\n", encoding="utf-8")
    return sweep


def figure(made, column, **choice):
    with style():
        return sweep_figure(read_sweep(made), Choice(column, **choice), ["process.style"])


def test_points_without_a_number_and_other_tables_are_left_out(made):
    points = read_curves(made.run(made.record.points[1]).folder)
    assert [(point.curve, point.at, point.mean, point.interval) for point in points] == [
        ("Adam", "1", 0.1, (0.05, 0.15)),
        ("Adam", "8", 0.5, (0.375, 0.625)),
        ("SGD", "1", 0.01, None),
        ("broad, written", "0.15", 0.07, None),
    ]
    assert read_curves(made.folder) == ()


def test_a_curve_is_drawn_at_its_end_with_its_interval_by_row_and_by_name(made):
    drawn = figure(made, "broad, written")
    titles = ["D' plain, at 8", "D' plain", "at the narrow rate"]  # SGD has a number at one dose alone
    assert [axes.get_title() for axes in drawn.axes] == titles
    plane = drawn.axes[0]
    (line,) = [line for line in plane.lines if len(line.get_xdata()) == 4]
    np.testing.assert_allclose(line.get_ydata(), [0.25, 0.5, 0.75, np.nan])
    bars = np.array([path.vertices[:, 1] for path in plane.collections[1].get_paths() if len(path.vertices)])
    np.testing.assert_allclose(bars[:3], [[0.125, 0.375], [0.375, 0.625], [0.625, 0.875]])
    assert drawn.texts[0].get_text() == "Broad, written, by process.style"
    first = figure(made, "broad, written", dose="first").axes[0]
    assert first.get_title() == "D' plain, at 1"


def test_its_files_have_names_without_blanks(made):
    paths = draw_sweep(made, read_sweep(made), Choice("broad, written"))
    assert {path.stem for path in paths} == {"broad-written-by-style"}


def test_a_name_that_no_table_has_and_options_of_scores_are_refused(made):
    with pytest.raises(Misuse, match="no column called 'broad, writen'; did you mean broad, written"):
        figure(made, "broad, writen")
    with pytest.raises(Misuse, match=r"broad, written is a curve of the study's own figures.*omit --theory"):
        figure(made, "broad, written", theories=("linearised",))
