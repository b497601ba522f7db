"""Files are whole or absent, damage is named, and one process at a time writes."""

import json
import subprocess
import sys

import numpy as np
import pytest

from experiments.storage import run_folder as disk
from theory.errors import Misuse

CONFIG = {"study": "weird-generalisation", "preset": "smoke", "config": {"seed": 0, "n": 16}}


@pytest.fixture
def run(tmp_path):
    return disk.create(tmp_path / "run", CONFIG, {"python": "3"})


def test_what_is_saved_is_loaded(run):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "name": np.array(["x", "yy"])}
    run.save("sgd-topics0-0", arrays)
    loaded = run.load("sgd-topics0-0")
    assert loaded.keys() == arrays.keys()
    for name in arrays:
        np.testing.assert_array_equal(loaded[name], arrays[name])
    assert run.cells() == ["sgd-topics0-0"]
    assert run.finished("sgd-topics0-0")
    assert not run.finished("adam-topics0-0")


def test_what_is_loaded_again_is_what_is_on_disk(run):
    for value in (1.0, 2.0):
        run.save("sgd-topics0-0", {"a": np.full(3, value)})
        loaded = run.load("sgd-topics0-0")
        np.testing.assert_array_equal(loaded["a"], value)
        with pytest.raises(ValueError, match="read-only"):
            loaded["a"][0] = 5.0
        loaded["a"] = loaded["b"] = np.zeros(1)
        assert run.load("sgd-topics0-0").keys() == {"a"}
        np.testing.assert_array_equal(run.load("sgd-topics0-0")["a"], value)


def test_a_failed_cell_is_finished_and_tells_why(run):
    run.fail("sgd-topics0-1", "Non-finite answers.")
    assert run.finished("sgd-topics0-1")
    assert run.failures() == {"sgd-topics0-1": "Non-finite answers."}
    assert run.cells() == []


def test_saving_twice_gives_the_same_bytes(run):
    run.save("a-b-0", {"x": np.arange(5)})
    before = (run.folder / "cells" / "a-b-0.npz").read_bytes()
    run.save("a-b-0", {"x": np.arange(5)})
    assert (run.folder / "cells" / "a-b-0.npz").read_bytes() == before


def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file"
    disk.write(path, lambda file: file.write(b"old"))

    def break_off(file):
        file.write(b"ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        disk.write(path, break_off)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damage", [lambda data: data[:-30], lambda data: b"nonsense", lambda data: b""])
def test_a_damaged_cell_is_named(run, damage):
    run.save("sgd-topics0-0", {"x": np.arange(500.0)})
    path = run.folder / "cells" / "sgd-topics0-0.npz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Misuse, match=r"sgd-topics0-0\.npz is damaged"):
        run.load("sgd-topics0-0")


def test_a_flipped_byte_is_noticed(run):
    run.save("sgd-topics0-0", {"x": np.random.default_rng(0).normal(size=500)})
    path = run.folder / "cells" / "sgd-topics0-0.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(Misuse, match="damaged"):
        run.load("sgd-topics0-0")


def test_the_same_config_goes_on_and_another_is_refused(run):
    assert disk.create(run.folder, CONFIG, {}).config["hash"] == disk.digest(CONFIG)
    other = {**CONFIG, "config": {"seed": 1, "n": 16}}
    with pytest.raises(Misuse, match=r"another config \(it differs in config\); choose another --out"):
        disk.create(run.folder, other, {})


def test_a_run_of_other_code_is_not_gone_on_with(run, monkeypatch):
    monkeypatch.setattr(disk, "GENERATION", disk.GENERATION + 1)
    with pytest.raises(Misuse, match="another version of finebayes; choose another --out"):
        disk.create(run.folder, CONFIG, {})


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(Misuse, match="not empty"):
        disk.create(tmp_path, CONFIG, {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_damaged_json_and_rows_are_named(run):
    (run.folder / "rows.jsonl").write_text('{"a": 1}\n{"a": ')
    with pytest.raises(Misuse, match=r"rows\.jsonl is damaged"):
        run.rows()
    (run.folder / "config.json").write_text("{")
    with pytest.raises(Misuse, match=r"config\.json is damaged"):
        run.config  # noqa: B018


def test_find_takes_a_run_or_the_only_run_below(run, tmp_path):
    assert disk.find(str(run.folder)).folder == run.folder
    assert disk.find(str(tmp_path)).folder == run.folder
    disk.create(tmp_path / "second", {**CONFIG, "preset": "small"}, {})
    with pytest.raises(Misuse, match="2 runs"):
        disk.find(str(tmp_path))
    with pytest.raises(Misuse, match="no folder"):
        disk.find(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(Misuse, match="no run"):
        disk.find(str(tmp_path / "empty"))


def test_a_second_process_is_told_and_a_dead_one_holds_nothing(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from experiments.storage.run_folder import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Misuse, match="Another process"), disk.locked(tmp_path):
            pass
    finally:
        holder.kill()
        holder.wait()
    with disk.locked(tmp_path):
        pass


def test_the_digest_depends_on_content_not_on_order():
    backwards = json.loads(json.dumps(dict(reversed(CONFIG.items()))))
    assert disk.digest(backwards) == disk.digest(CONFIG)
    assert disk.digest({**CONFIG, "preset": "full"}) != disk.digest(CONFIG)
