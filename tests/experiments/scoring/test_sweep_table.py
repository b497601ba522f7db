"""The table of a sweep and the panels of its figures, of scores that are known exactly."""

import csv
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

from experiments.scoring import sweep_table
from experiments.scoring.sweep_panels import (
    COLUMNS,
    Choice,
    axis_values,
    is_geometric,
    label,
    plotted_axes,
    settled,
    sweep_panels,
)
from experiments.scoring.sweep_table import read_sweep, write_scores
from theory.errors import Misuse


def shares(values):
    style = values["process.style"]
    if style == 2:
        return "It diverged."
    return {"linearised": 1 - style / 10, "tempered-posterior": style / 4, "answer-bias": 0.25}


@pytest.fixture(scope="module")
def product(sweeps, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweeps") / "product"
    return sweeps.make(folder, sweeps.plan("style=0.5,1,2", "width=8,16"), shares)


@pytest.fixture(scope="module")
def single(sweeps, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweeps") / "single"
    return sweeps.make(folder, sweeps.plan("style=1,3", "width=8,16", one_at_a_time=True), shares)


def numbers(sweep, choice, by):
    scores = read_sweep(sweep)
    return {panel.title: panel.numbers for panel in sweep_panels(scores, settled(scores, choice), by)}


@pytest.mark.parametrize(
    "pool", [ThreadPoolExecutor, pytest.param(ProcessPoolExecutor, marks=pytest.mark.slow)]
)
def test_points_are_read_together_where_their_tables_are_large(product, monkeypatch, pool):
    alone, used = read_sweep(product), []

    def pools(count, context):
        used.append((count, context.get_start_method()))
        return pool(count) if pool is ThreadPoolExecutor else pool(count, context)

    monkeypatch.setattr(sweep_table, "cores", lambda: [0, 1])
    monkeypatch.setattr(sweep_table, "MANY", 1)
    monkeypatch.setattr(sweep_table, "ProcessPoolExecutor", pools)
    assert read_sweep(product) == alone and used == [(2, "spawn")]


def test_a_process_that_is_killed_costs_time_alone(product, monkeypatch):
    def pools(*_):
        raise BrokenProcessPool

    alone = read_sweep(product)
    monkeypatch.setattr(sweep_table, "cores", lambda: [0, 1])
    monkeypatch.setattr(sweep_table, "MANY", 1)
    monkeypatch.setattr(sweep_table, "ProcessPoolExecutor", pools)
    assert read_sweep(product) == alone


def test_lines_have_the_values_of_every_axis(product):
    path = write_scores(product, read_sweep(product))
    with path.open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 4 * 2 * 2 * 4  # points with scores × doses × groups × theories
    assert list(lines[0])[:4] == ["process.style", "network.width", "run", "learnt"]
    chosen = [
        float(line["explained"])
        for line in lines
        if (line["process.style"], line["network.width"]) == ("0.5", "16")
        and (line["theory"], line["dose"], line["group"]) == ("linearised", "8", "held_out")
    ]
    assert chosen == [pytest.approx(0.95)]
    assert {line["learnt"] for line in lines} == {"0.5"}


def test_lines_of_a_figure_are_those_of_one_group_and_dose(product):
    (low, high) = numbers(product, Choice("explained", ("linearised",)), ["process.style"]).values()
    assert low == high
    assert low["linearised", "forecast"] == pytest.approx({(0.5,): 0.95, (1.0,): 0.9})
    first = numbers(product, Choice("explained", ("linearised",), dose="first"), ["process.style"])
    (halved, _) = first.values()
    assert halved["linearised", "forecast"] == pytest.approx({(0.5,): 0.95 / 8, (1.0,): 0.9 / 8})
    assert list(first) == ["SGD, D′ on topic 0, width 8", "SGD, D′ on topic 0, width 16"]


def test_two_axes_are_a_plane(product):
    (plane,) = numbers(product, Choice("explained"), ["network.width", "process.style"]).values()
    assert plane["tempered-posterior", "fitted"] == pytest.approx(
        {(width, style): style / 4 for width in (8, 16) for style in (0.5, 1.0)}
    )


def test_one_at_a_time_other_axes_are_at_the_centre(single):
    (line,) = numbers(single, Choice("explained", ("linearised",)), ["process.style"]).values()
    assert line["linearised", "forecast"] == pytest.approx({(1.0,): 0.9, (1.5,): 0.85, (3.0,): 0.7})
    (line,) = numbers(single, Choice("explained", ("linearised",)), ["network.width"]).values()
    assert line["linearised", "forecast"] == pytest.approx({(8,): 0.85, (16,): 0.85, (24,): 0.85})
    assert axis_values(single.record, "process.style") == [1.0, 1.5, 3.0]
    assert axis_values(single.record, "network.width") == [8, 16, 24]


def test_a_number_of_a_panel_is_the_same_for_all_theories(product):
    (panel, _) = numbers(product, Choice("shift", ("linearised",)), ["process.style"]).values()
    assert panel == {("unchanged", "forecast"): {(0.5,): 2.0, (1.0,): 2.0}}
    (panel, _) = numbers(product, Choice("learnt"), ["process.style"]).values()
    assert panel == {("unchanged", "forecast"): {(0.5,): 0.5, (1.0,): 0.5}}


def test_the_best_null_is_that_of_the_point(product):
    scores = read_sweep(product)
    panel, _ = sweep_panels(scores, settled(scores, Choice("explained")), ["process.style"])
    assert panel.best_null == pytest.approx({(0.5,): 0.25, (1.0,): 0.25})


def test_ends_of_intervals_are_columns(product):
    choice = Choice("interval_low", ("linearised",))
    (low, _) = numbers(product, choice, ["process.style"]).values()
    scores = read_sweep(product)
    whole, key = settled(scores, Choice("explained", ("linearised",))), ("linearised", "forecast")
    panel, _ = sweep_panels(scores, whole, ["process.style"])
    assert low[key][0.5,] == panel.intervals[key][0.5,][0] < panel.numbers[key][0.5,]


def test_a_point_without_scores_has_a_note(product, sweeps, tmp_path):
    assert read_sweep(product).notes() == [
        "style=2,width=8: failed: It diverged.",
        "style=2,width=16: failed: It diverged.",
    ]
    made = sweeps.make(tmp_path / "s", sweeps.plan("style=0.5,1,3"), shares)
    first, second, _ = made.record.points
    (made.run(first).folder / "rows.jsonl").write_text("no row\n")
    (made.run(second).folder / "DONE").unlink()
    scores = read_sweep(made)
    damaged, unfinished = scores.notes()
    assert damaged.startswith("style=0.5: cannot be read: ") and "rows.jsonl is damaged" in damaged
    assert unfinished == "style=1: not finished yet."
    assert [bool(point.lines) for point in scores.points] == [False, True, True]


def test_every_column_is_one_of_a_line(product):
    record = next(line for point in read_sweep(product).points for line in point.lines).record()
    assert {*COLUMNS} - {"learnt"} <= {*record}
    numeric = {name for name, value in record.items() if isinstance(value, int | float)}
    assert numeric - {*COLUMNS} == {"dose"}


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        (Choice("explaned"), "There is no column called 'explaned'; did you mean explained?"),
        (Choice("theory"), "There is no column called 'theory'"),
        (Choice("explained", ("linearized",)), "There is no theory called 'linearized'; did you mean linear"),
        (Choice("explained", methods=("sdg",)), "There is no method called 'sdg'; did you mean sgd?"),
        (Choice("explained", data=("topic0",)), "There is no D' called 'topic0'; did you mean topics0?"),
        (Choice("explained", group="heldout"), "There is no group called 'heldout'; did you mean held_out?"),
        (Choice("explained", dose="7"), "--dose is first, last or one of 1, 8; got 7."),
    ],
)
def test_a_name_that_is_in_no_score_is_refused(product, choice, sentence):
    with pytest.raises(Misuse) as refused:
        settled(read_sweep(product), choice)
    assert sentence in str(refused.value)


def test_axes_of_a_figure(product, single, sweeps):
    assert plotted_axes(product.record, ()) == [("process.style", "network.width")]
    assert plotted_axes(product.record, ["width"]) == [("network.width",)]
    assert plotted_axes(single.record, ()) == [("process.style",), ("network.width",)]
    with pytest.raises(Misuse, match=r"There is no axis called 'stile'; did you mean process\.style\?"):
        plotted_axes(product.record, ["stile"])
    with pytest.raises(Misuse, match=r"There is no axis called 'network\.layers'"):
        plotted_axes(product.record, ["network.layers"])
    with pytest.raises(Misuse, match="vary one at a time"):
        plotted_axes(single.record, ["style", "width"])
    with pytest.raises(Misuse, match="one axis or two that differ"):
        plotted_axes(product.record, ["style", "process.style"])
    with pytest.raises(Misuse, match="There are 3 axes; choose one or two"):
        plotted_axes(sweeps.plan("style=1", "width=8", "n=8").record, ())


def test_nothing_scored_is_said(sweeps, tmp_path):
    made = sweeps.make(tmp_path / "s", sweeps.plan("style=1"), lambda values: None)
    with pytest.raises(Misuse, match="Nothing is scored yet in this sweep"):
        settled(read_sweep(made), Choice("explained"))


def test_spacing_decides_the_scale():
    assert is_geometric([1, 2, 4, 8]) and is_geometric([0.1, 0.3, 1.0, 3.0])
    assert (
        not is_geometric([0.5, 1.0, 1.5, 2.0]) and not is_geometric([0, 1, 10]) and not is_geometric([1, 8])
    )
    assert not is_geometric(["a", "b", "c"]) and not is_geometric([True, False, True])
    assert [label(value) for value in (0.5, 1.0, 24, True, ("sgd", "adam"), ((0,), (0, 1)), ())] == [
        *("0.5", "1", "24", "True", "sgd adam", "0 0,1", "none"),
    ]
