"""A run's folder keeps what it is given, names damage, and takes no stray file for a cell."""

import dataclasses
import json
import os

import numpy as np
import pytest

from experiments.storage import files, run_folder
from experiments.storage.contents import PosteriorCell, ReplayCell
from experiments.storage.done import write_done
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
    assert len(run.strays()) == 5
    run.path(CELL).with_name(f"{CELL.name}.npz.damaged").touch()  # set aside, and named where that was done
    assert len(run.strays()) == 5
    sentences = []
    run_folder.find(run.folder, sentences.append)
    assert len(sentences) == 5 and "notes.txt is ignored, as it has not the name of a cell" in str(sentences)


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


def test_a_cell_in_place_of_another_is_named(run, tmp_path):
    run.save(CELL, replays(np.arange(3)))
    other = Cell("replays", "topics0", 1, "sgd")
    run.path(other).write_bytes(run.path(CELL).read_bytes())
    with pytest.raises(
        Misuse, match=r"topics0--1\.npz is damaged \(it is of \w+ replays--sgd--topics0--0, not"
    ):
        run.load(other)
    elsewhere = run_folder.create(tmp_path / "other", CONFIG | {"preset": "small"}, {})
    elsewhere.save(CELL, replays(np.arange(3)))
    run.path(CELL).write_bytes(elsewhere.path(CELL).read_bytes())
    with pytest.raises(Misuse, match=f"it is of {elsewhere.config.hash} .*, not of {run.config.hash}"):
        run.load(CELL)


def test_the_same_config_goes_on_and_another_is_refused(run):
    assert run_folder.create(run.folder, CONFIG, {}).config == run.config
    other = {**CONFIG, "config": {**CONFIG["config"], "seed": 1, "finetuning": {"n": 16}}}
    wanted = r"another config \(it differs in config\.finetuning, config\.seed\); choose another --out"
    with pytest.raises(Misuse, match=wanted):
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
    for read in (lambda: [*run.rows()], lambda: run.load(CELL)):
        with pytest.raises(Misuse, match=r"made by another version of finebayes.* in another folder"):
            read()


EDITS = {  # of config.json: what is wrong, and what is said of it
    "a list": (lambda config: [config], "it holds .*, not fields by name"),
    "a number": (lambda config: 7, "it holds 7, not fields by name"),
    "null": (lambda config: None, "it holds None, not fields by name"),
    "nothing": (lambda config: {}, "the run config has no "),
    "a missing key": (lambda config: config.pop("preset") and config, "the run config has no preset"),
    "options that are none": (
        lambda config: config | {"config": None},
        "config of the run config is",
    ),
    "other types": (
        lambda config: config | {"files": [3]},
        "the own file is an object.*, got 3",
    ),
    "another value": (lambda config: config | {"config": {"seed": 1}}, "it was changed after it was written"),
    "an older version": (lambda config: config.pop("generation") and config, "made by another version"),
    "depth": (lambda config: config | {"config": {"a": deep(300)}}, "nested too deep"),
    "great depth": (lambda config: "[" * 100_000, "nested too deep"),
    "a long integer": (lambda config: '{"study": ' + "7" * 6000 + "}", "an integer of 6000 digits"),
    "no JSON": (lambda config: "{", "it is no JSON"),
    "no text": (lambda config: b"\xff", "damaged"),
}


def deep(levels):
    return [] if levels == 0 else [deep(levels - 1)]


@pytest.mark.parametrize("edit", EDITS)
def test_a_config_that_is_none_is_refused_in_a_sentence(run, edit):
    path, (change, sentence) = run.folder / "config.json", EDITS[edit]
    changed = change(json.loads(path.read_text()))
    content = changed if isinstance(changed, str | bytes) else json.dumps(changed)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for read in (lambda: run.study, lambda: run.doses, lambda: run_folder.find(run.folder)):
        with pytest.raises(Misuse, match=sentence) as error:
            read()
        assert str(run.folder) in str(error.value) and "run again in another folder" in str(error.value)


@pytest.mark.parametrize("name", ["config.json", "rows.jsonl", f"cells/{CELL.name}.npz"])
def test_a_pipe_in_place_of_a_file_is_refused_at_once(run, name):
    run.save(CELL, replays([0.0]))
    (run.folder / name).unlink(missing_ok=True)
    os.mkfifo(run.folder / name)
    with pytest.raises(Misuse, match=f"{name} is no regular file"):
        (run.rows(), run.load(CELL))


def test_a_folder_of_something_else_is_refused(tmp_path):
    for name in ("thesis.tex", ".thesis.tex.abcdefgh.part"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(Misuse, match=r"not empty and holds no run \(no config\.json, but thesis\.tex\)"):
        run_folder.create(tmp_path, CONFIG, {})
    assert len(list(tmp_path.iterdir())) == 2


EARLY = [
    "lock",
    "networks",
    "environment.json",
    ".environment.json.abcdefgh.part",
    ".config.json.a_b9efgh.part",
]


@pytest.mark.parametrize("kept", range(len(EARLY) + 1))
def test_a_run_that_was_killed_before_its_config_was_there_is_begun_anew(tmp_path, kept):
    for name in EARLY[:kept]:
        (tmp_path / name).write_text("")
    run = run_folder.create(tmp_path, CONFIG, {"python": "3"})
    assert run.study == CONFIG["study"] and run.environment == {"python": "3"}
    assert not list(tmp_path.glob(".*"))


def test_what_killed_writes_leave_is_swept_and_nothing_else(run):
    for part in ("cells", "figures", "files"):
        (run.folder / part).mkdir()
        for name in (".a.npz.abcdefgh.part", "mine.part", ".mine", "a.npz"):
            (run.folder / part / name).write_text("")
    run_folder.create(run.folder, CONFIG, {})
    for part in ("cells", "figures", "files"):
        assert {path.name for path in (run.folder / part).iterdir()} == {"mine.part", ".mine", "a.npz"}


def test_a_run_of_other_code_is_refused_and_begun_anew_if_that_is_asked(run):
    before = {"theory.processes.a": "1", "theory.theories.b": "2"}
    folder = run.folder.parent / "coded"
    coded = run_folder.create(folder, CONFIG, {}, before)
    coded.save(CELL, replays([1.0]))
    coded.save_rows([])
    notes = coded.path(CELL).with_name("notes.npz")
    notes.write_text("mine")
    assert run_folder.create(folder, CONFIG, {}, before).cells() == [CELL]
    after = {"theory.processes.a": "1", "theory.theories.b": "3", "theory.theories.c": "4"}
    with pytest.raises(
        Misuse, match=r"made by other code: theory\.theories\.b, theory\.theories\.c .* --again"
    ):
        run_folder.create(folder, CONFIG, {}, after)
    assert coded.cells() == [CELL]
    with pytest.raises(Misuse, match=r"another config \(it differs in preset\)"):
        run_folder.create(folder, CONFIG | {"preset": "small"}, {}, after, again=True)
    anew = run_folder.create(folder, CONFIG, {}, after, again=True)
    assert anew.config.code == after and anew.cells() == [] and not (folder / "rows.jsonl").exists()
    assert notes.read_text() == "mine"


def test_rows_come_back(run):
    numbers = (0.1, 0.25)
    names = "weird-generalisation", "sgd", "topics0", 0, 4, "proximal", "network", "fitted", None, "held_out"
    rows = [Row(*names, None, *[numbers] * 3, None, numbers, (True, False))]
    assert run.rows() == []
    run.save_rows(rows)
    assert [*run.rows()] == rows
    run.save_rows([dataclasses.replace(row, study="mixtures") for row in rows])
    with pytest.raises(Misuse, match=r"rows\.jsonl is damaged \(it has rows of mixtures\)"):
        [*run.rows()]


def test_a_table_that_lost_its_last_lines_is_refused(run):
    path = run.folder / "rows.jsonl"
    names = "weird-generalisation", "sgd", "topics0", 0
    columns = "proximal", "network", "fitted", None, "held_out", None, *[(0.5,)] * 3, None, (0.5,), None
    rows = [Row(*names, dose, *columns) for dose in (1, 2, 3)]
    run.save_rows(rows)
    whole = path.read_bytes()
    write_done(run.folder)
    assert [*run.rows()] == rows
    path.write_bytes(b"".join(whole.splitlines(True)[:2]))
    with pytest.raises(Misuse, match=r"rows\.jsonl is damaged \(it has \d+ of the \d+ bytes that DONE says"):
        run.rows()
    run.save_rows(rows[:1])  # another table is known by its own size
    assert [*run.rows()] == rows[:1]
    (run.folder / "DONE").write_text("")  # of an earlier version
    path.write_bytes(whole)
    assert [*run.rows()] == rows


def test_damaged_json_and_rows_are_named(run):
    for text in ('{"a": 1}\n{"a": ', '{"a": 1}\n', "[1, 2]\n"):
        (run.folder / "rows.jsonl").write_text(text)
        with pytest.raises(Misuse, match=r"rows\.jsonl is damaged"):
            [*run.rows()]
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
