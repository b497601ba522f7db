"""A run's folder keeps what it is given, names damage, and takes no stray file for a cell."""

import numpy as np
import pytest

from experiments.storage import files, run_folder
from experiments.storage.contents import PosteriorCell, ReplayCell
from experiments.storage.records import Cell, Row
from theory.errors import Misuse

CONFIG = {"study": "weird-generalisation", "preset": "smoke", "config": {"seed": 0, "n": 16, "doses": [1, 4]}}
CELL = Cell("replays", "topics0", 0, "sgd")


def replays(values):
    return ReplayCell({"linearised": np.asarray(values, float).reshape(1, 1, 1, -1)})


@pytest.fixture
def run(tmp_path):
    return run_folder.create(tmp_path / "run", CONFIG, {"python": "3"})


def test_what_is_saved_is_loaded(run):
    run.save(CELL, replays(np.arange(6.0)))
    np.testing.assert_array_equal(run.load(CELL).predictions["linearised"].ravel(), np.arange(6.0))
    assert run.cells() == [CELL]
    assert run.finished(CELL)
    assert not run.finished(Cell("replays", "topics0", 0, "adam"))


def test_what_is_loaded_again_is_what_is_on_disk(run):
    for value in (1.0, 2.0):
        run.save(CELL, replays([value] * 3))
        loaded = run.load(CELL).predictions
        np.testing.assert_array_equal(loaded["linearised"], value)
        with pytest.raises(ValueError, match="read-only"):
            loaded["linearised"][0] = 5.0
        loaded["linearised"] = loaded["b"] = np.zeros(1)
        assert run.load(CELL).predictions.keys() == {"linearised"}
        np.testing.assert_array_equal(run.load(CELL).predictions["linearised"], value)


def test_cells_are_sorted_and_chosen_by_kind_arm_and_method(run):
    for base in (10, 2):
        run.save(Cell("posteriors", "blob2", base), PosteriorCell(()))
        for method in ("sgd", "adam-x"):
            for arm in ("blob2", "same-start"):
                run.save(Cell("replays", arm, base, method), replays([0.0]))
    assert run.cells("posteriors") == [Cell("posteriors", "blob2", 2), Cell("posteriors", "blob2", 10)]
    wanted = [Cell("replays", "same-start", base, "sgd") for base in (2, 10)]
    assert run.cells(arm="same-start", method="sgd") == wanted
    assert len(run.cells(method="adam-x")) == 4 and run.cells("finetuned") == []
    assert len(run.cells()) == 10 and run.cells() == sorted(run.cells())


def test_stray_files_are_no_cells(run):
    run.save(CELL, replays([0.0]))
    run.fail(Cell("replays", "topics0", 1, "sgd"), "It diverged.")
    for name in ("notes.txt", "theories-topics0-0.npz", "copy of a cell.npz", "old.failed.json", ".tmp.npz"):
        (run.folder / "cells" / name).write_text("{}")
    assert run.cells() == [CELL]
    assert list(run.failures()) == [Cell("replays", "topics0", 1, "sgd")]


def test_siblings_are_loaded_or_absent(run):
    network = Cell("finetuned", "topics0", 0, "sgd")
    assert run.replays(network) is run.posteriors(network) is run.theories(network) is None
    run.save(CELL, replays([1.0]))
    run.fail(Cell("posteriors", "topics0", 0), "It diverged.")
    np.testing.assert_array_equal(run.replays(network).predictions["linearised"], 1.0)
    assert run.replays(Cell("finetuned", "topics0", 0, "adam")) is run.posteriors(network) is None
    with pytest.raises(Misuse, match="is not finished"):
        run.load(network)


def test_a_cell_takes_the_content_of_its_kind(run):
    with pytest.raises(Misuse, match="holds a ReplayCell, got a PosteriorCell"):
        run.save(CELL, PosteriorCell(()))


def test_a_failed_cell_is_finished_and_has_a_reason(run):
    run.fail(CELL, "Non-finite answers.")
    assert run.finished(CELL)
    assert run.failures() == {CELL: "Non-finite answers."}
    assert run.cells() == []


def test_options_and_doses(run, tmp_path):
    assert run.study == "weird-generalisation" and run.options == CONFIG["config"] and run.doses == (1, 4)
    nested = CONFIG | {"config": {"finetuning": {"doses": [2, 8]}}}
    assert run_folder.create(tmp_path / "nested", nested, {}).doses == (2, 8)


def test_saving_twice_gives_the_same_bytes(run):
    run.save(CELL, replays(np.arange(5)))
    before = run.path(CELL).read_bytes()
    run.save(CELL, replays(np.arange(5)))
    assert run.path(CELL).read_bytes() == before


@pytest.mark.parametrize("damage", [lambda data: data[:-30], lambda data: b"nonsense", lambda data: b""])
def test_a_damaged_cell_is_named(run, damage):
    run.save(CELL, replays(np.arange(500.0)))
    path = run.path(CELL)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Misuse, match=r"replays--sgd--topics0--0\.npz is damaged"):
        run.load(CELL)


def test_a_flipped_byte_is_noticed(run):
    run.save(CELL, replays(np.random.default_rng(0).normal(size=500)))
    data = bytearray(run.path(CELL).read_bytes())
    data[len(data) // 2] ^= 0xFF
    run.path(CELL).write_bytes(bytes(data))
    with pytest.raises(Misuse, match="damaged"):
        run.load(CELL)


def test_a_cell_of_other_arrays_is_named(run):
    run.save(CELL, replays(np.arange(3)))
    run.path(Cell("finetuned", "topics0", 0, "sgd")).write_bytes(run.path(CELL).read_bytes())
    with pytest.raises(Misuse, match=r"finetuned--sgd--topics0--0\.npz is damaged \(The arrays finetuned, "):
        run.load(Cell("finetuned", "topics0", 0, "sgd"))


def test_the_same_config_goes_on_and_another_is_refused(run):
    assert run_folder.create(run.folder, CONFIG, {}).config["hash"] == files.digest(CONFIG)
    other = {**CONFIG, "config": {"seed": 1, "n": 16}}
    with pytest.raises(Misuse, match=r"another config \(it differs in config\); choose another --out"):
        run_folder.create(run.folder, other, {})


def test_a_run_of_other_code_is_not_gone_on_with(run, monkeypatch):
    monkeypatch.setattr(files, "GENERATION", files.GENERATION + 1)
    with pytest.raises(Misuse, match="another version of finebayes; choose another --out"):
        run_folder.create(run.folder, CONFIG, {})


def test_what_another_version_wrote_is_not_called_damaged(run, monkeypatch):
    run.save(CELL, replays(np.arange(3)))
    run.path(CELL).write_bytes(b"an older format")
    (run.folder / "rows.jsonl").write_text('{"ceiling": 1}\n')
    monkeypatch.setattr(files, "GENERATION", files.GENERATION + 1)
    for read in (run.rows, lambda: run.load(CELL)):
        with pytest.raises(Misuse, match=r"made by another version of finebayes.* in another folder"):
            read()


@pytest.mark.parametrize("text", ["null", "[]", "{}", '{"study": "a", "preset": "b", "config": null}'])
def test_what_is_no_config_is_refused(run, text):
    (run.folder / "config.json").write_text(text)
    for read in (lambda: run.study, lambda: run.options, lambda: run.doses):
        with pytest.raises(Misuse, match="is no config of a run; run again in another folder"):
            read()


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(Misuse, match="not empty"):
        run_folder.create(tmp_path, CONFIG, {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_rows_come_back(run):
    numbers = (0.1, 0.25)
    names = "made-up", "sgd", "topics0", 0, 4, "proximal", "network", "fitted", None, "held_out"
    rows = [Row(*names, None, *[numbers] * 3, None, numbers, (True, False))]
    assert run.rows() == []
    run.save_rows(rows)
    assert run.rows() == rows


def test_damaged_json_and_rows_are_named(run):
    for text in ('{"a": 1}\n{"a": ', '{"a": 1}\n', "[1, 2]\n"):
        (run.folder / "rows.jsonl").write_text(text)
        with pytest.raises(Misuse, match=r"rows\.jsonl is damaged"):
            run.rows()
    (run.folder / "config.json").write_text("{")
    with pytest.raises(Misuse, match=r"config\.json is damaged"):
        run.config  # noqa: B018


def test_find_takes_a_run_or_the_only_run_below(run, tmp_path):
    assert run_folder.find(str(run.folder)).folder == run.folder
    assert run_folder.find(tmp_path).folder == run.folder
    run_folder.create(tmp_path / "second", {**CONFIG, "preset": "small"}, {})
    with pytest.raises(Misuse, match="2 runs"):
        run_folder.find(str(tmp_path))
    with pytest.raises(Misuse, match="no folder"):
        run_folder.find(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(Misuse, match="no run"):
        run_folder.find(str(tmp_path / "empty"))
