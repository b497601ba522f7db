"""Tables and heat map say what the scorecard says, at the doses of the rule, and mark what is not sound."""

import csv
import itertools
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.image import imread

from experiments import cli
from experiments.figures import heat_map
from experiments.figures.style import style
from experiments.scoring import heat_rows
from experiments.scoring import leaderboard as compare
from experiments.scoring.labels import marks
from experiments.scoring.learnt import Learnt
from experiments.scoring.scorecard import scorecard
from experiments.storage.records import Cell, Row
from experiments.storage.run_folder import create

# In-domain shifts: 10 % of the largest is 0.02, nearest to 0.024 (0.006 is farther); 99 % is 0.198, nearest
# to 0.197, which is neither the last nor the largest.
SHIFTS = {1: 0.006, 2: 0.024, 4: 0.1, 8: 0.197, 16: 0.2, 32: 0.15}
SMALL, LARGE = 2, 8
SCORES = {  # (theory, prior, grade): explained on held-out contexts by dose
    ("linearised", "network", "forecast"): (0.99, 0.97, 0.9, 0.95, 0.91, 0.93),
    ("tempered-posterior", "process", "forecast"): (-40, -3.25, 0.2, 0.5, 0.6, 0.6),
    ("langevin-posterior", "T=0.001", "forecast"): (0.99, 0.98, 0.97, None, None, None),
    ("tempered-posterior", "process", "fitted"): (0.1, -0.25, 0.3, 0.4, 0.4, 0.4),
    ("langevin-posterior", "T=0.001", "fitted"): (0.99, 0.98, 0.99, 0.96, 0.99, 0.99),
}


def _rows(method="sgd", data="topics0", scores=SCORES, study="made-up", noise=0.0):
    """Two base networks with two D' each, whose scores lie 0.01 on both sides of what is given; None is no
    prediction."""
    rows = []
    for theory, explained in {tuple(compare.UNCHANGED): (0.0,) * len(SHIFTS), **scores}.items():
        for base, (dose, index) in itertools.product(range(2), zip(SHIFTS, range(len(SHIFTS)), strict=True)):
            if (score := explained[index]) is None:
                continue
            name, prior, grade = theory
            for group, size in (("in_domain", SHIFTS[dose]), ("held_out", 2 * SHIFTS[dose])):
                nats = size * (1 - score - (name != "unchanged") * 0.01 * (-1) ** base)
                row = Row(
                    study=study,
                    method=method,
                    data=data,
                    base=base,
                    dose=dose,
                    theory=name,
                    prior=prior,
                    grade=grade,
                    split=None,
                    group=group,
                    beta=None,
                    nats=(nats,) * 2,
                    shift=(size,) * 2,
                    replica=(size * (0.01 + noise * (dose == SMALL)),) * 2,
                    other_base=(0.3 * size,) * 2,
                    best_in_class=(nats if name in ("linearised", "unchanged") else 0.005 * size,) * 2,
                    converged=(base == 0 or dose != LARGE,) * 2 if "T=" in prior else None,
                )
                rows.append(row)
    return rows


def _run(folder, rows, study="made-up"):
    results = create(folder, {"study": study, "preset": "tiny", "config": {"folder": str(folder)}}, {})
    if rows:
        results.save_rows(rows)
    return results


@pytest.fixture
def run(tmp_path):
    return _run(tmp_path / "run", _rows() + _rows("adam", noise=2.0))


@pytest.fixture
def columns(run):
    return compare.read((str(run.folder),))[1]


def refused(capsys, *arguments):
    """The one sentence with which `finebayes compare` is refused."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(["compare", *map(str, arguments)])
    output = capsys.readouterr()
    assert stopped.value.code == 1 and output.out == "" and output.err.count("\n") == 1
    return output.err


def table(text):
    """The rows of the first Markdown table, by column."""
    lines = next(part for part in text.split("\n\n") if part.startswith("| theory")).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert set(cells[1]) == {"---"}
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def test_doses_are_those_nearest_to_a_tenth_and_to_all_of_the_in_domain_shift(columns):
    assert [(column.method, column.small, column.large) for column in columns] == [
        ("sgd", SMALL, LARGE),
        ("adam", SMALL, LARGE),
    ]
    assert "10 % and 99 %" in compare.RULE


def test_the_doses_do_not_follow_the_shift_that_is_judged(run):
    """Held-out shifts that are largest at the first dose leave the choice alone."""
    rows = list(run.rows())
    run.save_rows(
        [replace(row, shift=(1 / row.dose,) * 2) if row.group == "held_out" else row for row in rows]
    )
    for column in compare.read((str(run.folder),))[1]:
        assert (column.small, column.large) == (SMALL, LARGE)


def test_the_csv_is_the_scorecard(run, tmp_path):
    lines, columns, _ = compare.read((str(run.folder),))
    learnt = Learnt("sgd", "topics0", tuple(SHIFTS), 0.7, tuple(dose / 100 for dose in SHIFTS))
    columns = [replace(column, learnt=learnt if column.method == "sgd" else None) for column in columns]
    path, _ = compare.write_tables(lines, columns, tmp_path / "out")
    with open(path, newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    expected = [line.record() for line in scorecard(run.rows())]
    assert len(read) == len(expected) == 2 * 2 * (6 * 6 - 3)
    for got, line in zip(read, expected, strict=True):
        assert got.pop("run") == "made-up"
        shares = [got.pop("data_learnt"), got.pop("data_learnt_by_best_null")]
        assert shares == ([str(line["dose"] / 100), "0.7"] if line["method"] == "sgd" else ["", ""])
        assert got.keys() == line.keys()
        for key, value in line.items():
            assert got[key] == "" if value is None else type(value)(got[key]) == value


def test_the_markdown_has_the_numbers_of_the_scorecard(run, columns):
    cells = {(row["theory"], row["grade"], row["method"]): row for row in table(compare.markdown(columns))}
    assert len(cells) == 2 * len(SCORES)
    row = cells["tempered-posterior (process)", "fitted", "SGD, D′ on topic 0"]
    assert row["small dose"] == "dose 2: -0.250 [-0.377, -0.123] (≤ 1 − 0.005)"
    assert row["large dose"] == "dose 8: 0.400 [0.273, 0.527] (≤ 1 − 0.005)"
    assert row["worst dose"] == "dose 2: -0.250 [-0.377, -0.123] (≤ 1 − 0.005)"
    row = cells["linearised", "forecast", "SGD, D′ on topic 0"]
    assert row["small dose"] == "dose 2: 0.970 [0.843, 1]"  # no class, so no best in it
    assert row["worst dose"] == "dose 4: 0.900 [0.773, 1]"
    references = "| SGD, D′ on topic 0 | held_out | 8 | 0.39400 | 0.000 | - | 1 − 0.005 | 0.700 |"
    assert references in compare.markdown(columns)


def test_undefined_doubted_and_missing_scores_are_kept_apart(columns):
    cells = {(row["theory"], row["grade"], row["method"]): row for row in table(compare.markdown(columns))}
    for theory, _, grade in SCORES:
        if theory == "linearised":
            assert cells[theory, grade, "Adam, D′ on topic 0"]["small dose"] == "dose 2: –"
    sampled = cells["langevin-posterior (T=0.001)", "fitted", "SGD, D′ on topic 0"]
    assert sampled["large dose"] == "dose 8: 0.960 [0.833, 1]* (≤ 1 − 0.005)"
    assert "*" not in sampled["small dose"]
    assert cells["langevin-posterior (T=0.001)", "forecast", "SGD, D′ on topic 0"]["large dose"] == ""


def test_a_shift_below_the_base_network_s_error_is_marked(tmp_path):
    """Of shifts 0.01, 0.02, ... nats on the error 0.03 the first two, and no other."""
    rows = [replace(row, base_error=0.03) for row in _rows()]
    lines = compare.read((str(_run(tmp_path / "run", rows).folder),))[0]
    marked = {line.shift for _, line in lines if "°" in marks(line)}
    assert marked == {line.shift for _, line in lines if line.shift < 0.03} and marked
    assert any(line.shift > 0.03 for _, line in lines)


def test_the_grades_come_in_order_and_the_best_first(tmp_path):
    scores = {("a", "network", "fitted"): (0.9,) * 6, ("b", "network", "law"): (0.8,) * 6}
    scores |= {("c", "network", "forecast"): (0.5,) * 6, ("d", "network", "forecast"): (0.6,) * 6}
    run = _run(tmp_path / "run", _rows(scores=scores))
    assert [theory[0] for theory in compare.theories(compare.read((str(run.folder),))[1])] == list("dcba")


def test_the_best_worst_case(columns):
    """Fitted theories do not count, nor a forecast that has none at a dose."""
    first, second = compare.summary(columns)
    assert first == (
        "SGD, D′ on topic 0: without a fitted number, the highest worst score is that of linearised (0.900 "
        "[0.773, 1] at dose 4); beats the nulls by 0.900 [0.773, 1.027]; order-blind bound there: 1 − 0.005; "
        "silent at some doses: langevin-posterior."
    )
    assert second.startswith(
        "Adam, D′ on topic 0: without a fitted number, the highest worst score is that of lin"
    )


@pytest.mark.parametrize(
    ("scores", "noise", "expected"),
    [
        (
            {"a": -0.5, "b": -0.2},
            0.0,
            "no theory without a fitted number beats “nothing changed” at its worst dose; the least bad is "
            "b (-0.200 [-0.327, -0.073] at dose 4).",
        ),
        (
            {"a": 0.5, "b": 0.2},
            0.0,
            "that of a (0.500 [0.373, 0.627] at dose 4); beats the nulls by 0.500 [0.373, 0.627]; "
            "order-blind bound there: 1 − 0.005; next b (0.200 [0.073, 0.327] at dose 4).",
        ),
        ({"a": 0.5}, 2.0, "no theory has a score, for the shift does not exceed its noise."),
    ],
)
def test_the_sentence_follows_the_numbers(tmp_path, scores, noise, expected):
    """Every theory is better by 0.1 at all doses but 4; the best by the worst dose, not by the mean."""
    better = (0.1, 0.1, 0, 0.1, 0.1, 0.1)
    every = {
        (name, "network", "forecast"): tuple(score + b for b in better) for name, score in scores.items()
    }
    every |= {("uneven", "network", "forecast"): (0.99, 0.99, -0.9, 0.99, 0.99, 0.99)}
    rows = [replace(row, replica=(row.replica[0] + noise * row.shift[0],) * 2) for row in _rows(scores=every)]
    (sentence,) = compare.summary(compare.read((str(_run(tmp_path / "run", rows).folder),))[1])
    assert expected in sentence


def test_no_forecast_at_every_dose_is_said(tmp_path):
    rows = _rows(scores={("a", "network", "forecast"): (0.9, None, 0.9, 0.9, 0.9, 0.9)})
    (sentence,) = compare.summary(compare.read((str(_run(tmp_path / "run", rows).folder),))[1])
    assert sentence.endswith(
        "no theory without a fitted number has a prediction at every dose; silent at some doses: a."
    )


def _drawn(columns):
    with style():
        return heat_map.figure(columns).axes[0]


def _beside(axes, words):
    """The texts inside the cell that holds the text `words`, and the colour of the cell."""
    where = [text.get_position() for text in axes.texts if text.get_text() == words]
    assert len(where) == 1, words
    (x, y) = where[0]
    (cell,) = [patch for patch in axes.patches if _holds(patch, x, y)]
    inside = {text.get_text() for text in axes.texts if _holds(cell, *text.get_position())}
    rings = [line for line in axes.lines if line.get_marker() == "o"]
    return inside, cell.get_facecolor(), any(_holds(cell, *ring.get_xydata()[0]) for ring in rings)


def _holds(patch, x, y):
    left, top = patch.get_xy()
    return left < x < left + patch.get_width() and top < y < top + patch.get_height()


def test_a_cell_shows_score_and_error_and_failures_have_another_hue(columns):
    axes = _drawn(columns[:1])
    inside, colour, ring = _beside(axes, "−3.2")
    assert inside == {"−3.2", "± 0.127"} and not ring
    np.testing.assert_allclose(colour, to_rgba(heat_map.WORSE[1]), atol=0.01)  # clipped: the end of the scale
    red, _, blue, _ = _beside(axes, "−0.250")[1]
    assert red > blue + 0.1
    red, _, blue, _ = _beside(axes, "0.400")[1]
    assert blue > red + 0.1
    inside, _, ring = _beside(axes, "0.960")  # its chains have not converged at one base network
    assert inside == {"0.960", "± 0.127"} and ring
    assert sum(line.get_marker() == "o" for line in axes.lines) == 2  # the other is in the key
    assert _beside(axes, "0.950")[0] == {"0.950", "± 0.127"}
    assert {"dose 2", "dose 8", "0.39400", "1−0.005", "0.700"} <= {text.get_text() for text in axes.texts}


def test_undefined_is_hatched_and_no_prediction_is_blank(columns):
    axes = _drawn(columns[1:])
    hatched = [patch for patch in axes.patches if patch.get_hatch()]
    assert len(hatched) == 1 + len(SCORES)  # the key, and every theory at the small dose
    assert sum(text.get_text() == "–" for text in axes.texts) == len(SCORES)
    blank = [patch for patch in axes.patches if patch.get_facecolor()[3] == 0]
    assert len(blank) == 1  # the forecast that is missing at the large dose


def test_a_law_without_a_score_at_these_doses_has_no_row(tmp_path):
    """It is applied to the doses between those that it was fitted on; one at the large dose has a row."""
    laws = (None, None, 0.85, None, 0.9, 0.9), (None, None, 0.9, 0.87, 0.9, 0.9)
    scores = {(name, "network", "law"): score for name, score in zip("ab", laws, strict=True)}
    _, columns, _ = compare.read((str(_run(tmp_path / "run", _rows(scores=scores)).folder),))
    axes = _drawn(columns)
    heading = "From the network, β by a law of dose"
    assert {heading, "b"} == {heading, "a", "b"} & {text.get_text() for text in axes.texts}
    assert _beside(axes, "0.870")[0] == {"0.870", "± 0.127"}
    assert [row["worst dose"][:6] for row in table(compare.markdown(columns))] == ["dose 8", "dose 4"]


def test_a_colour_says_whether_a_score_is_below_nothing_up_to_the_best_null_or_above_it():
    """Orange, grey, blue: the null decides where one ends and the next begins; text is read on each."""
    for explained, null, order in (
        (-0.01, 0.5, "rgb"),
        (0.5, 0.5, "="),
        (0.51, 0.5, "bgr"),
        (0.01, None, "bgr"),
    ):
        colour = heat_map.shade(explained, null)
        red, green, blue = colour[:3]
        expected = {"rgb": red > green > blue, "bgr": blue > green > red, "=": red == green == blue}
        assert expected[order]
    inks = [heat_map.ink(heat_map.shade(*pair)) for pair in ((0.99, 0.9), (0.1, 0.9), (-0.1, 0.9))]
    assert inks == ["white", "black", "black"]


def test_by_default_a_theory_has_a_row_for_its_best_form_and_no_law_beside_a_fit(tmp_path):
    """By family and grade, the best first; at most eight of each, the others by name below."""
    scores = {
        ("a", prior, grade): (value,) * 6
        for prior, grade, value in (
            ("process", "fitted", 0.2),
            ("implied", "fitted", 0.3),
            ("implied", "law", 0.9),
            ("network", "forecast", 0.1),
        )
    }
    scores |= {(f"b{index}", "network", "fitted"): (0.9 - index / 100,) * 6 for index in range(9)}
    scores |= {("c", "process", "law"): (0.5,) * 6}
    _, columns, _ = compare.read((str(_run(tmp_path / "run", _rows(scores=scores)).folder),))
    drawn = heat_rows.blocks(columns)
    assert [(block.family, block.grade, [tuple(row)[:2] for row in block.rows]) for block in drawn] == [
        ("from the network", "forecast", [("a", "network")]),
        ("from the network", "fitted", [(f"b{index}", "network") for index in range(8)]),
        ("over hypotheses", "law", [("c", "process")]),
        ("over hypotheses", "fitted", [("a", "implied")]),
    ]
    assert heat_rows.omitted(columns, drawn) == ["b8"]
    words = " ".join(text.get_text() for text in _drawn(columns).texts)
    assert "explain more: b8." in words and "Over hypotheses, one fitted β" in words
    assert sum(len(block.rows) for block in heat_rows.blocks(columns, everything=True)) == len(scores)


@pytest.mark.parametrize("count", [1, 4, 5])
def test_nothing_drawn_overlaps_or_leaves_its_cell(tmp_path, count):
    scores = SCORES | {("exchangeable-mixture", "a prior of many words", "fitted"): (-1234.5678,) * 6}
    rows = [row for i in range(count) for row in _rows("self-distillation", f"topics0_1_2b{i}", scores)]
    _, columns, _ = compare.read((str(_run(tmp_path / "run", rows).folder),))
    with style():
        figure = heat_map.figure(columns)
        render = figure.canvas.get_renderer() if hasattr(figure.canvas, "get_renderer") else None
        boxes = [text.get_window_extent(render) for text in figure.axes[0].texts]
        cells = [patch.get_window_extent(render) for patch in figure.axes[0].patches]
    page = figure.bbox
    for box in boxes:
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
        middle = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        for cell in (cell for cell in cells if cell.contains(*middle)):
            assert cell.x0 <= box.x0 and box.x1 <= cell.x1
    for index, box in enumerate(boxes):  # lines of text may touch by their ascenders, not by their letters
        for other in boxes[index + 1 :]:
            wide = min(box.x1, other.x1) - max(box.x0, other.x0)
            high = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert wide <= 0 or high <= 0.3 * min(box.height, other.height)


def test_the_command_writes_and_says_it(run, capsys):
    cli.main(["compare", str(run.folder)])
    output = capsys.readouterr().out.splitlines()
    figures = run.folder / "figures"
    assert {str(path) for path in figures.iterdir()} == set(output[:8]) and len(output) == 10
    assert output[8:] == compare.summary(compare.read((str(run.folder),))[1])
    picture = imread(figures / "heat-map.png")[..., :3].reshape(-1, 3)
    for colour in (heat_map.WORSE[1], heat_map.shade(0.96, 0.0)):
        assert (np.abs(picture - to_rgba(colour)[:3]).max(axis=1) < 0.01).mean() > 0.004
    assert (figures / "heat-map.pdf").read_bytes().startswith(b"%PDF")
    assert b"</svg>" in (figures / "heat-map.svg").read_bytes()[-20:]
    before = {path: path.read_bytes() for path in figures.iterdir()}
    cli.main(["compare", str(run.folder)])
    assert {path: path.read_bytes() for path in figures.iterdir()} == before


def test_several_runs_stand_side_by_side(tmp_path, capsys, monkeypatch):
    """A study's name tells runs apart, its folder where there are two of one study; six columns need a second
    figure."""
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        _run(tmp_path / name, _rows() + _rows("adam"))
    _run(tmp_path / "three", _rows(study="other") + _rows("adam", study="other"), study="other")
    cli.main(["compare", "one", "two", "three"])
    output = capsys.readouterr().out.splitlines()
    assert [line.partition(", ")[0] for line in output[-6:]] == [
        "made-up (one)",
        "made-up (one)",
        "made-up (two)",
        "made-up (two)",
        "other",
        "other",
    ]
    assert {path.name for path in (tmp_path / "comparison").glob("*.png")} == {
        "heat-map.png",
        "heat-map-2.png",
    }
    with open(tmp_path / "comparison" / "scorecard.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert {(line["run"], line["study"]) for line in lines} == {
        ("made-up (one)", "made-up"),
        ("made-up (two)", "made-up"),
        ("other", "other"),
    }
    for line in lines:  # a folder's name says little of what was run
        assert line["preset"] and any(name.startswith("config.") for name in line)
    rows = table((tmp_path / "comparison" / "scorecard.md").read_text(encoding="utf-8"))
    assert {row["run"] for row in rows} == {"made-up (one)", "made-up (two)", "other"}
    cli.main(["compare", "three", "--out", "elsewhere"])
    assert (tmp_path / "elsewhere" / "scorecard.md").exists()


def test_a_study_without_theories_is_left_out_with_a_sentence(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inside = _run(tmp_path / "inside", [], study="motor")
    path = inside.path(Cell("inside", "events", 0))
    path.parent.mkdir()
    path.touch()
    cli.main(["compare", "run", "inside", "--everything"])
    said = capsys.readouterr()
    assert said.err == "finebayes: inside is left out: its study, motor, scores no theory.\n"
    assert "scorecard.csv" in said.out and {line.run for line in compare.read(["run"])[0]} == {"made-up"}
    assert "No theory is scored in inside; finebayes score" in refused(capsys, inside.folder.name)
    cli.main(["score", "inside", "--json"])
    said = capsys.readouterr()
    assert json.loads(said.out) == [] and said.err.count("\n") == 1
    assert "scores no theory, and inside has no scorecard: its numbers are in inside/figures/*" in said.err


def test_mistakes_are_one_sentence(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    empty = _run(tmp_path / "empty", [])
    bare = _run(tmp_path / "bare", _rows(scores={}))
    (tmp_path / "folder").mkdir()
    assert "Name one results folder or more" in refused(capsys)
    assert "There is no folder nowhere" in refused(capsys, run.folder, "nowhere")
    assert "holds no run" in refused(capsys, tmp_path / "folder")
    assert f"Nothing is scored yet in {empty.folder}" in refused(capsys, run.folder, empty.folder)
    assert f"Nothing is scored yet in {bare.folder}" in refused(capsys, bare.folder)
    assert "is given 2 times" in refused(capsys, run.folder, f"{run.folder}/../run")
    assert not (tmp_path / "comparison").exists() and not (run.folder / "figures").exists()


def test_no_jax_is_needed_and_help_needs_no_figures(run):
    code = (
        "import sys; sys.modules['jax'] = None\nfrom experiments import cli\n"
        "try: cli.main(['compare', '--help'])\nexcept SystemExit as stop: assert not stop.code\n"
        "assert not {'matplotlib', 'numpyro'} & set(sys.modules)\n"
        f"cli.main(['compare', {str(run.folder)!r}])\n"
        "assert not {'flax', 'numpyro', 'optax', 'models'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "finebayes compare results/" in " ".join(done.stdout.split()).replace("│ │ ", "")
