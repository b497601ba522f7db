"""The breaker's loop (make test-slow): kills, damaged files, four processes, a full disk; with its counts.

A run may lose the part that it was at, and nothing else: the same command always ends with the bytes of an
undisturbed run, or with one sentence that says what to do.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import finebayes as fb
from experiments import cli
from experiments.runs.environment import fix_settings

pytestmark = pytest.mark.slow

TINY = [
    *("weird-generalisation", "--preset", "smoke", "--pretraining.steps", "60", "--pretraining.batch", "8"),
    *("--pretraining.seeds", "1", "--network.width", "8", "--finetuning.n", "4", "--finetuning.batch", "4"),
    *("--finetuning.doses", "1", "2", "--finetuning.methods", "sgd", "--repeats", "1"),
    *("--theories", "tempered-posterior", "linearised"),
]
KILLED = """
import os, pathlib, signal, sys, tempfile
import jax  # so that figures are drawn in this process, too
folder, last = pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2])
count = 0
def counted(function, watched):
    def call(*arguments, **options):
        global count
        if watched(*arguments, **options):
            count += 1
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call
inside = lambda path, *_, **__: folder in pathlib.Path(os.fspath(path)).resolve().parents
os.replace, os.unlink, os.chmod = (counted(f, inside) for f in (os.replace, os.unlink, os.chmod))
os.fsync = counted(os.fsync, lambda *_: True)
tempfile.mkstemp = counted(tempfile.mkstemp, lambda *_, dir=None, **__: inside(pathlib.Path(dir) / "new"))
from experiments.figures import style
style.FORMATS = {"svg": style.FORMATS["svg"]}
from experiments import cli
cli.main(sys.argv[3:])
print(f"COUNT {count}", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return {**os.environ, "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="module")
def start(environment):
    def begin(folder, last=0, verb="run", *more):
        words = [sys.executable, "-c", KILLED, folder, last, verb, *TINY, "--out", folder, *more]
        pipe = subprocess.PIPE
        return subprocess.Popen([*map(str, words)], stdout=pipe, stderr=pipe, text=True, env=environment)

    return begin


@pytest.fixture(scope="module")
def run(start):
    """Run to the end, or to the kill at the file operation `last`: exit status and what is said."""

    def call(folder, last=0, verb="run", *more):
        process = start(folder, last, verb, *more)
        _, said = process.communicate(timeout=600)
        return process.returncode, said

    return call


@pytest.fixture(scope="module")
def whole(tmp_path_factory, run):
    """An undisturbed run, and the number of its file operations."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    status, said = run(folder)
    assert status == 0, said
    return folder, int(said.rpartition("COUNT ")[2])


def content(folder):
    """Every file that does not hold the time, by name."""
    dated = {"environment.json", "forecast.json", "finetuning.json", "report.html"}
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in dated and path.parent.name != "makers"
    }


def same(folder, whole):
    ours, theirs = content(folder), content(whole)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_killed_at_every_file_operation_a_run_ends_with_the_same_bytes(whole, run, tmp_path):
    kills = resumed = 0
    for last in range(1, whole[1] + 1):
        folder = tmp_path / f"{last}"
        status, said = run(folder, last)
        assert status == -9, (last, said)
        kills += 1
        status, said = run(folder)
        assert status == 0, (last, said)
        same(folder, whole[0])
        shutil.rmtree(folder)
        resumed += 1
    print(f"kills of a run {kills}, resumed {resumed}")
    assert kills == resumed > 40


def test_killed_at_every_file_operation_a_forecast_is_made_and_scored(whole, run, tmp_path):
    last, kills = 0, 0
    shutil.copytree(whole[0] / "networks", tmp_path / "networks")
    networks = ("--networks", tmp_path / "networks")
    while True:
        last += 1
        folder = tmp_path / f"{last}"
        status, said = run(folder, last, "forecast", *networks)
        if status == 0:
            break
        assert status == -9, said
        kills += 1
        for verb in ("forecast", "run"):
            status, said = run(folder, 0, verb, *networks)
            assert status == 0, (last, said)
        assert "the forecasts are those sealed on" in said
        assert (folder / "rows.jsonl").read_bytes() == (whole[0] / "rows.jsonl").read_bytes()
        shutil.rmtree(folder)
    print(f"kills of a forecast {kills}, all resumed")
    assert kills > 10


def test_four_processes_on_one_folder(whole, start, tmp_path):
    folder = tmp_path / "run"
    processes = [start(folder) for _ in range(4)]
    said = [process.communicate(timeout=600)[1] for process in processes]
    statuses = [process.returncode for process in processes]
    refused = [text for text, status in zip(said, statuses, strict=True) if status]
    assert 0 in statuses and set(statuses) <= {0, 1}
    assert all("Another process is writing to" in text and "Traceback" not in text for text in refused)
    same(folder, whole[0])
    print(f"processes on one folder 4, refused {len(refused)}")


@pytest.mark.parametrize("size", [16, 32, 64, 96])
def test_a_full_disk_costs_nothing_that_was_finished(whole, run, tmp_path, size):
    """A disk of so many kB, which then grows."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no mount: {error}")
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    try:
        status, said = run(disk / "run")
        assert status == 1 and "No space left on device" in said and "Traceback" not in said
        assert not list((disk / "run").rglob("*.part"))
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        status, said = run(disk / "run")
        assert status == 0, said
        same(disk / "run", whole[0])
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def deep(levels):
    return [] if levels == 0 else [deep(levels - 1)]


DAMAGE = {  # of a JSON file (of its first line, in rows.jsonl)
    "nothing": lambda text: "",
    "half": lambda text: text[: len(text) // 2],
    "a list": lambda text: "[1, 2]",
    "a number": lambda text: "7",
    "null": lambda text: "null",
    "no fields": lambda text: "{}",
    "deep": lambda text: json.dumps({"a": deep(400)}),
    "deeper": lambda text: "[" * 200_000,
    "a long integer": lambda text: '{"a": ' + "7" * 6000 + "}",
    "a field missing": lambda text: edited(text, lambda values: values.pop(sorted(values)[0])),
    "a field of null": lambda text: edited(text, lambda values: values.update({sorted(values)[0]: None})),
    "a field of depth": lambda text: edited(text, lambda values: values.update(study=deep(50))),
    "other bytes": lambda text: "\udcff\udcfe",
}
JSON = ("config.json", "rows.jsonl", "networks.json", "environment.json", "finetuning.json", "forecast.json")
CELL = "cells/finetuned--sgd--topics0--0.npz"


def edited(text, change):
    first, _, others = text.partition("\n") if "}\n{" in text else (text, "", "")
    values = json.loads(first)
    change(values)
    return "\n".join(filter(None, [json.dumps(values), others]))


def arrays(change):
    def damage(path):
        with np.load(path) as file:
            found = {name: file[name] for name in file.files}
        np.savez(path, **change(found))

    return damage


CELLS = {
    "a plain array": lambda path: path.write_bytes(b"\x93NUMPY\x01\x00v\x00" + b" " * 118),
    "an empty zip": lambda path: path.write_bytes(b"PK\x05\x06" + bytes(18)),
    "half": lambda path: path.write_bytes(path.read_bytes()[:700]),
    "another shape": arrays(lambda found: found | {"finetuned": found["finetuned"][:, :1]}),
    "another type": arrays(lambda found: found | {"finetuned": found["finetuned"].astype(str)}),
    "a missing key": arrays(lambda found: {name: found[name] for name in found if name != "loss"}),
    "another cell": lambda path: shutil.copy(path.with_name("theories--topics0--0.npz"), path),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}


def commands(folder, tmp_path, name):
    """What reads a run, by name; a run makes rows.jsonl anew, and never reads environment.json."""
    yield "score", lambda: cli.main(["score", str(folder)])
    yield "plot", lambda: cli.main(["plot", str(folder)])
    yield "report", lambda: cli.main(["report", str(folder)])
    yield "compare", lambda: cli.main(["compare", str(folder), "--out", str(tmp_path / "compared")])
    yield "load", lambda: fb.load(folder)._repr_html_()
    for verb in ("run", "forecast") if name not in ("rows.jsonl", "environment.json") else ():
        yield verb, lambda verb=verb: cli.main([verb, *TINY, "--out", str(folder)])


def damaged(whole, tmp_path):
    """A folder for each kind of damage: its name, the file that was damaged, and the folder."""
    cases = [(name, kind) for name in JSON for kind in DAMAGE] + [(CELL, kind) for kind in CELLS]
    for name, kind in [*cases, ("config.json", "a pipe")]:
        folder = tmp_path / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        path = folder / name
        if name == "forecast.json":
            path.write_text('{"study": "a", "config": "b", "made": "c", "cells": {}, "hash": "d"}')
        if name == CELL:
            (folder / "rows.jsonl").unlink()
            CELLS[kind](path)
        elif kind == "a pipe":
            path.unlink()
            os.mkfifo(path)
        else:
            path.write_bytes(DAMAGE[kind](path.read_text()).encode(errors="surrogateescape"))
        yield f"{name} {kind}", path, folder


def test_damaged_files_are_refused_in_a_sentence_by_every_command(whole, tmp_path, capsys, monkeypatch):
    """Or they are not read by it: then it ends well. What is not damaged stays as it is."""
    from experiments.figures import style

    fix_settings()
    for kind in ("png", "pdf"):  # of the dict itself, which other modules hold, too
        monkeypatch.delitem(style.FORMATS, kind)
    refused, unread, wrong = 0, 0, []
    kept = {path.name: path.read_bytes() for path in whole[0].glob("cells/*.npz")}
    for case, path, folder in damaged(whole[0], tmp_path):
        before = path.read_bytes() if path.is_file() else b""
        for command, do in commands(folder, tmp_path, path.name):
            status, sentence = 0, ""
            try:
                do()
            except SystemExit as end:
                status, sentence = end.code, capsys.readouterr().err.strip().splitlines()[-1]
            except fb.Misuse as error:
                status, sentence = 1, f"finebayes: {error}"
            except Exception as error:
                status, sentence = 2, f"{type(error).__name__}: {error}"
            refused, unread = refused + (status == 1), unread + (status == 0)
            if status not in (0, 1) or (status and not sentence.startswith("finebayes: ")):
                wrong.append((case, command, status, sentence))
            elif status and path.is_file() and path.read_bytes() != before:
                wrong.append((case, command, "it changed the file"))
            capsys.readouterr()
        others = {entry.name: entry.read_bytes() for entry in folder.glob("cells/*.npz") if entry != path}
        if any(kept[name] != data for name, data in others.items()):
            wrong.append((case, "a cell was lost"))
    with capsys.disabled():
        print(f"damaged files: refused {refused}, not read {unread}, wrong {len(wrong)}")
        print(*wrong, sep="\n")
    assert not wrong
    assert refused > 200


def test_what_a_refusal_advises_leads_back_to_the_same_bytes(whole, run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole[0], folder)
    (network,) = (path.relative_to(folder) for path in folder.glob("networks/*.safetensors"))
    for name in (CELL, "rows.jsonl", "networks.json", str(network)):
        (folder / name).write_bytes(b"damage")
        for read in {CELL: ["rows.jsonl"], str(network): [CELL, "networks.json"]}.get(name, []):
            (folder / read).unlink()  # so that the damaged file is needed
        status, said = run(folder)
        if status:  # what a run makes anew it need not read
            assert status == 1 and name in said and "delete it" in said and "Traceback" not in said
            (folder / name).unlink()
            status, said = run(folder)
        assert status == 0, said
        same(folder, whole[0])
    assert Path(folder / "DONE").exists()
