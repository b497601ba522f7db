"""What a user types: help at once, data on stdout, one sentence for a mistake."""

import json
import platform
import subprocess
import sys
import threading
from importlib.metadata import version

import pytest

from experiments import cli
from theory.errors import Misuse


def finebayes(*arguments, **options):
    command = [sys.executable, "-m", "experiments.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def refused(capsys, *arguments):
    """The one sentence with which a command is refused."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(map(str, arguments)))
    told = capsys.readouterr()
    assert stopped.value.code == 1
    assert told.out == ""
    assert told.err.startswith("finebayes: ")
    assert told.err.count("\n") == 1
    return told.err


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["list"], ["run", "weird-generalisation", "--help"], ["run", "--help"], ["score", "--help"]],
)
def test_help_and_list_import_no_jax(arguments):
    """Importing jax takes longer than an answer should."""
    code = (
        "import sys; from experiments import cli\n"
        f"try: cli.main({arguments!r})\nexcept SystemExit as stop: assert not stop.code\n"
        "assert not {'jax', 'flax', 'numpyro', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_list_names_what_there_is(capsys):
    cli.main(["list", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["studies", "processes", "theories", "methods", "samplers"]
    names = {kind: {entry["name"] for entry in entries} for kind, entries in told.items()}
    assert names["theories"] >= {
        "tempered-posterior",
        "exchangeable-mixture",
        "geometric-path",
        "linear-mixture",
        "proximal",
        "linearised",
        "unchanged",
        "langevin-posterior",
        "adam-gibbs",
    }
    assert names["methods"] >= {"sgd", "adam"}
    assert "weird-generalisation" in names["studies"]
    assert "persona-topics" in names["processes"]
    assert all(set(entry) == {"name", "summary"} for entries in told.values() for entry in entries)
    assert all(len(entry["summary"]) > 20 for entries in told.values() for entry in entries)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["rnu"], "did you mean run"),
        (["run", "weird-generalization"], "did you mean weird-generalisation"),
        (["run", "weird-generalisation", "--preset", "smal"], "did you mean small"),
        (["run", "--preset", "smoke"], "Name the study first"),
        (["score", "no-such-folder"], "There is no folder"),
        (["run", "weird-generalisation", "--n", "0"], "n must be at least 1, got 0"),
        (["run", "weird-generalisation", "--persona", "5"], "persona must be from 0 to 4, got 5"),
        (["run", "weird-generalisation", "--finetuned-topics", "9"], "from 0 to 5"),
        (["run", "weird-generalisation", "--doses", "8", "4"], "ascending"),
        (["run", "weird-generalisation", "--sgd-rate", "-1"], "sgd_rate must be above 0"),
        (
            ["run", "weird-generalisation", "--n", "64", "--batch", "65"],
            "batch must be from 1 to n = 64, got 65",
        ),
        (["run", "weird-generalisation", "--optimizer", "sgdd"], "'muon' or 'adamw'"),
        (["run", "weird-generalisation", "--methods", "sdg"], "did you mean sgd"),
        (["run", "weird-generalisation", "--heads", "5"], "heads must divide width"),
        (["run", "weird-generalisation", "--rarity", "nan"], "rarity"),
        (["run", "weird-generalisation", "--seed", "-1"], "Seeds must be at least 0"),
        (["run", "weird-generalisation", "--chains", "3"], "chains must be 2 or more and even"),
        (["run", "weird-generalisation", "--chains", "0"], "chains must be at least 1, got 0"),
        (["run", "weird-generalisation", "--temperatures", "0.001", "0"], "temperatures must be above 0"),
        (["run", "weird-generalisation", "--temperatures", "-0.1"], "finite (nats), got -0.1"),
        (["run", "weird-generalisation", "--temperatures", "nan"], "finite (nats), got nan"),
        (["run", "weird-generalisation", "--sampled-seeds", "0"], "sampled_seeds must be at least 1, got 0"),
        (["run", "weird-generalisation", "--sampled-bases", "0"], "sampled_bases must be at least 1, got 0"),
        (["run", "weird-generalisation", "--samples", "0"], "samples must be at least 1, got 0"),
        (["run", "weird-generalisation", "--warmup", "-1"], "warmup must be at least 0, got -1"),
    ],
)
def test_a_mistake_is_answered_with_one_sentence(capsys, tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    assert expected in refused(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_option_is_answered_with_the_nearest(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["run", "weird-generalisation", "--pretraining-stepz", "3"])
    assert stopped.value.code != 0
    assert "--pretraining-steps" in capsys.readouterr().err


def test_dry_run_plans_and_writes_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli.main(["run", "weird-generalisation", "--preset", "full", "--dry-run", "--n", "77"])
    told = capsys.readouterr().out
    for word in ('"n": 77', "parameters", "pretraining steps", "estimated time", "estimated disk"):
        assert word in told
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_is_one_sentence(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    told = refused(
        capsys, "run", "weird-generalisation", "--preset", "smoke", "--out", tmp_path / "file" / "run"
    )
    assert "The system refused" in told
    assert "file" in told


def test_misuse_inside_a_command_reaches_the_user(capsys, monkeypatch):
    def broken(_):
        raise Misuse("The sentence.")

    monkeypatch.setattr(cli, "_list", broken)
    assert refused(capsys, "list") == "finebayes: The sentence.\n"


def test_doctor_says_it_is_sound():
    done = finebayes("doctor")
    assert done.returncode == 0, done.stderr
    assert "devices" in done.stdout
    assert "FAILED" not in done.stdout
    assert done.stdout.count(" ok ") == 5


def test_doctor_names_the_versions():
    printed = dict(line.split()[:2] for line in finebayes("doctor").stdout.splitlines())
    assert printed["python"] == platform.python_version()
    for package in ["jax", "jaxlib", "flax", "optax", "numpyro", "numpy"]:
        assert printed[package] == version(package)


ENDINGS = [
    (KeyboardInterrupt(), 130, "finebayes: Interrupted; what was finished"),
    (Misuse("The loss is lost."), 1, "finebayes: The loss is lost."),
    (SystemExit(2), 2, ""),
    (None, 0, ""),
]


@pytest.mark.parametrize("compiling", [True, False])
@pytest.mark.parametrize(("error", "status", "said"), ENDINGS)
def test_a_command_ends_with_its_status_whatever_still_compiles(
    monkeypatch, capsys, error, status, said, compiling
):
    """At once where a thread does: an interpreter that ends before its compiler is aborted, with 134."""

    def fails(arguments):
        if error is not None:
            raise error

    ended = []
    monkeypatch.setattr(cli, "_dispatch", fails)
    monkeypatch.setattr(cli.os, "_exit", ended.append)
    threads = [threading.main_thread(), *[threading.Thread(daemon=True)] * compiling]
    monkeypatch.setattr(cli.threading, "enumerate", lambda: threads)
    with pytest.raises(SystemExit) as end:
        cli.console()
    assert (end.value.code or 0) == status and ended == [status] * compiling
    assert capsys.readouterr().err.startswith(said)
