"""Networks behind a table: gathered from rows in any order, and from a file that is never held."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from experiments.scoring import rows as scoring
from experiments.scoring.networks import RESOLUTION, gather, of_one_model
from experiments.scoring.scorecard import score_json, score_lines, scorecard
from experiments.scoring.sizes import sizes
from experiments.storage import row_file
from experiments.storage.contents import FinetunedCell
from experiments.storage.records import IMPORTED, Cell, Row
from experiments.storage.run_folder import create
from theory.errors import Misuse

THEORIES = ("unchanged", "linearised", "proximal")


def table(bases, methods=("adam", "sgd"), arms=("one", "two")):
    """Rows with made-up numbers, in the order of a run's table."""
    random = np.random.default_rng(0)

    def numbers(count=2):
        return tuple(random.uniform(0.1, 1.0, count).tolist())

    rows = []
    for method in methods:
        for arm in arms:
            for base in range(bases):
                shift, replica = numbers(), numbers()
                for theory in THEORIES:
                    few = 1 if theory == "proximal" else 2
                    names = "made-up", method, arm, base, 4, theory, "network", "forecast", None, "held_out"
                    columns = None, numbers(few), shift[:few], replica[:few], None, numbers(few), None, 0.1
                    row = Row(*names, *columns, predicted_shift=numbers(few))
                    rows.append(row)
    return rows


@pytest.fixture
def run(tmp_path):
    return create(tmp_path, {"study": "made-up", "preset": "none", "config": {}}, {})


def test_one_model_is_that_of_an_imported_table_alone():
    for bases, study, alone in ((1, IMPORTED, True), (2, IMPORTED, False), (1, "made-up", False)):
        assert of_one_model(gather([replace(row, study=study) for row in table(bases)])) == alone


def test_columns_are_those_of_the_rows():
    rows = table(3)
    gathered = gather(rows)
    assert len(gathered) == 2 * 2 * 3
    for key, networks in gathered.items():
        ours = [
            row for row in rows if (row.method, row.data, row.theory) == (key.method, key.data, key.theory)
        ]
        assert networks.nats.tolist() == [value for row in ours for value in row.nats]
        assert networks.bases.tolist() == [row.base for row in ours for _ in row.nats]
        assert networks.seeds.tolist() == [seed for row in ours for seed in range(len(row.nats))]
        assert networks.other_base is None and networks.resolution == RESOLUTION
        assert networks.base_errors.tolist() == [0.1] * 3
    first, same, few = list(gathered.values())[:3]
    assert same.shift is first.shift and same.replica is first.replica and few.shift is not first.shift


def test_a_row_without_a_number_leaves_the_column_out_and_failures_are_counted():
    rows = table(2, ["sgd"], ["one"])[::3]
    rows[1] = replace(rows[1], replica=None, failures=("", "it diverged"), resolution=0.5)
    (networks,) = gather(rows).values()
    assert networks.replica is None and len(networks.predicted_shift) == 4
    assert (networks.failed, networks.reasons, networks.resolution) == (1, ("it diverged",), 0.5)


def test_the_order_of_rows_changes_no_score():
    rows = table(4)
    random = np.random.default_rng(1)
    methods = {id(row): random.random() for row in rows[::3]}
    mixed = sorted(rows, key=lambda row: (row.base, methods.get(id(row), 0.5)))
    scores = [{repr(sorted(line.items())) for line in score_json(scorecard(part))} for part in (rows, mixed)]
    assert scores[0] == scores[1] and len(scores[0]) == 12


def test_a_large_table_is_scored_like_a_small_one_and_never_held(run, monkeypatch):
    run.save_rows(table(30))
    held = scorecard(list(run.rows())), sizes(list(run.rows()))
    monkeypatch.setattr(row_file, "HELD", 0)
    monkeypatch.setattr(row_file, "_held", None)
    file = run.rows()
    assert (scorecard(file), sizes(file)) == held and len(list(file)) == len(list(file)) == 360
    assert scorecard(file)[0] is scorecard(run.rows())[0]  # of the same file, made once
    run.save_rows(table(2))
    assert len(scorecard(run.rows())[0].sample.nats) == 4


def test_memory_does_not_grow_with_rows_as_their_objects_do(run, monkeypatch):
    monkeypatch.setattr(row_file, "HELD", 0)
    peaks = []
    for read in (list, gather):
        run.save_rows(table(60, ["sgd"], ["one"]))
        tracemalloc.start()
        kept = read(run.rows())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert kept
    assert peaks[1] < peaks[0] / 3


def test_lines_of_a_file_are_made_of_one_method_and_data_at_a_time(run, monkeypatch):
    monkeypatch.setattr(row_file, "HELD", 0)
    held, peaks = score_json(scorecard(table(30))), []
    for arms in (2, 16):
        run.save_rows(table(30, arms=[f"arm{number:02d}" for number in range(arms)]))
        tracemalloc.start()
        count = sum(1 for _ in score_lines(run.rows()))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert count == 2 * arms * len(THEORIES)
    assert peaks[1] < 1.5 * peaks[0]
    run.save_rows(table(30))
    assert score_json(score_lines(run.rows())) == held


def test_a_file_whose_rows_do_not_stand_together_is_refused(run):
    rows = table(2, ["sgd"])
    run.save_rows([*rows[6:], *rows])
    with pytest.raises(
        Misuse, match=r"rows\.jsonl is damaged \(its rows of sgd and two do not stand together"
    ):
        scorecard(run.rows())
    assert len(scorecard([*rows[6:], *rows])) == 6  # of rows that are held


def test_a_table_is_written_cell_by_cell_in_the_order_of_methods(tmp_path, run, make):
    base = np.log(np.full((4, 2), 0.5))
    groups = np.array(["in_domain", "held_out"] * 2)
    run.folder.joinpath("config.json").unlink()
    made = create(run.folder, {"study": "made-up", "preset": "none", "config": {"doses": [4]}}, {})
    for arm in ("one", "two"):
        for number in range(2):
            made.save(Cell("theories", arm, number), make.theories(make.contexts(base, groups), ()))
            for method in ("sgd", "adam"):
                answers = np.log(np.full((1, 1, 4, 2), [0.4 + 0.1 * number, 0.6 - 0.1 * number]))
                cell = FinetunedCell(answers, answers, np.zeros((1, 1)), np.zeros((1, 1)))
                made.save(Cell("finetuned", arm, number, method), cell)
    scoring.save(made)
    text = (made.folder / "rows.jsonl").read_bytes()
    made.save_rows(scoring.rows(made))
    assert text == (made.folder / "rows.jsonl").read_bytes()
    named = dict.fromkeys((row.method, row.data, row.base) for row in made.rows())
    assert [*named] == sorted(named) and len(named) == 8
