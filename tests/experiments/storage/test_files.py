"""Files are whole or absent, and one process at a time writes."""

import json
import subprocess
import sys

import pytest

from experiments.storage import files
from theory.errors import Misuse

CONFIG = {"study": "weird-generalisation", "preset": "smoke", "config": {"seed": 0, "n": 16}}


def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file"
    files.write(path, lambda file: file.write(b"old"))

    def break_off(file):
        file.write(b"ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        files.write(path, break_off)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_comes_back_and_damage_is_named(tmp_path):
    path = tmp_path / "folder" / "a.json"
    files.write_json(path, CONFIG)
    assert files.read_json(path) == CONFIG
    path.write_text("{")
    with pytest.raises(Misuse, match=r"a\.json is damaged"):
        files.read_json(path)
    with pytest.raises(Misuse, match=r"b\.json is missing"):
        files.read_json(tmp_path / "b.json")


def test_a_second_process_is_refused_and_a_dead_one_holds_nothing(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from experiments.storage.files import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Misuse, match="Another process"), files.locked(tmp_path):
            pass
    finally:
        holder.kill()
        holder.wait()
    with files.locked(tmp_path):
        pass


def test_the_digest_depends_on_content_not_on_order():
    backwards = json.loads(json.dumps(dict(reversed(CONFIG.items()))))
    assert files.digest(backwards) == files.digest(CONFIG)
    assert files.digest({**CONFIG, "preset": "full"}) != files.digest(CONFIG)


def test_a_csv_has_every_column_of_any_row():
    rows = [{"a": 1, "b": None}, {"a": 0.1, "c": 'x,"y"'}]
    assert files.as_csv(rows) == 'a,b,c\n1,,\n0.1,,"x,""y"""\n'


def test_of_two_that_write_once_the_first_stays(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")  # a file system without links

    for index, without_links in enumerate((False, True)):
        path = tmp_path / f"file{index}.json"
        with monkeypatch.context() as changed:
            if without_links:
                changed.setattr(files.os, "link", refused)
            files.write_json(path, {"first": 1}, once=True)
            files.write_json(path, {"second": 2}, once=True)
        assert files.read_json(path) == {"first": 1}
    files.write_json(path, {"second": 2})
    assert files.read_json(path) == {"second": 2} and len(list(tmp_path.iterdir())) == 2
