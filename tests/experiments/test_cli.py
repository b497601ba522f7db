"""What a user types: help at once, data on stdout, one sentence for a mistake."""

import json
import platform
import re
import subprocess
import sys
import threading
from importlib.metadata import version

import pytest

from experiments import cli
from experiments.commands import run
from experiments.design.old_names import RENAMED
from experiments.discovery import Catalogue
from theory.errors import Misuse


def finebayes(*arguments, **options):
    command = [sys.executable, "-m", "experiments.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def refused(capsys, *arguments, status=1):
    """The one sentence with which a command is refused."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(map(str, arguments)))
    printed = capsys.readouterr()
    assert stopped.value.code == status
    assert printed.out == ""
    assert printed.err.startswith("finebayes: ")
    assert printed.err.count("\n") == 1
    return printed.err


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
    listed = json.loads(capsys.readouterr().out)
    assert list(listed) == ["studies", "processes", "theories", "methods", "samplers"]
    names = {kind: {entry["name"] for entry in entries} for kind, entries in listed.items()}
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
    forms = [form for entry in listed["theories"] for form in entry.pop("forms", ())]
    assert {form["name"] for form in forms} >= {"hierarchical-fitted", "exchangeable-product"}
    every = [*forms, *(entry for entries in listed.values() for entry in entries)]
    assert all(set(entry) == {"name", "summary"} for entry in every)
    assert all(len(entry["summary"]) > 20 for entry in every)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["rnu"], "did you mean run"),
        (["run", "weird-generalization"], "did you mean weird-generalisation?"),
        (["run", "weird_generalisation"], "did you mean weird-generalisation?"),
        (["run", "weird-generalisation", "--preset", "smal"], "did you mean small"),
        (["run", "--preset", "smoke"], "Name the study first"),
        (["run", "--config"], "--config needs a value after it"),
        (["run", "all", "--config", "x"], "change options beside it"),
        (["run", "--config", "x", "--preset", "smoke"], "change options beside it"),
        (["run", "--config", "no-such-folder"], "There is no folder"),
        (["run", "--config", "."], "holds no run"),
        (["score", "no-such-folder"], "There is no folder"),
        (["run", "weird-generalisation", "--finetuning.n", "0"], "n must be at least 1, got 0"),
        (["run", "weird-generalisation", "--persona", "5"], "persona must be from 0 to 4, got 5"),
        (["run", "weird-generalisation", "--finetuned-topics", "9"], "from 0 to 5"),
        (["run", "weird-generalisation", "--finetuning.doses", "8", "4"], "ascending"),
        (["run", "weird-generalisation", "--finetuning.sgd-rate", "-1"], "sgd_rate must be above 0"),
        (
            ["run", "weird-generalisation", "--finetuning.n", "64", "--finetuning.batch", "65"],
            "batch must be from 1 to n = 64, got 65",
        ),
        (["run", "weird-generalisation", "--pretraining.optimizer", "sgdd"], "'muon' or 'adamw'"),
        (
            ["run", "weird-generalisation", "--pretraining.until-learnt", "1.5"],
            "until_learnt must be above 0",
        ),
        (["run", "weird-generalisation", "--finetuning.methods", "sdg"], "did you mean sgd"),
        (["run", "weird-generalisation", "--finetuning.methods", "SGD"], "did you mean sgd?"),
        (["run", "weird-generalisation", "--theories", "proximall"], "did you mean proximal"),
        (["run", "weird-generalisation", "--network.heads", "5"], "heads must divide width"),
        (["run", "weird-generalisation", "--process.rarity", "nan"], "rarity"),
        (["run", "weird-generalisation", "--seed", "-1"], "seed must be at least 0"),
        (
            ["run", "weird-generalisation", "--seed", "9" * 30],
            "at most 2000000, got a number of about 30 digits",
        ),
        (["run", "weird-generalisation", "--sampling.chains", "3"], "chains must be 2 or more and even"),
        (["run", "weird-generalisation", "--sampling.chains", "0"], "chains must be at least 1, got 0"),
        (
            ["run", "weird-generalisation", "--sampling.temperatures", "0.001", "0"],
            "temperatures must be above 0",
        ),
        (["run", "weird-generalisation", "--sampling.temperatures", "-0.1"], "finite (nats), got -0.1"),
        (
            ["run", "weird-generalisation", "--sampling.temperatures", "nan"],
            "temperatures must be finite, got nan",
        ),
        (
            ["run", "weird-generalisation", "--sampling.seeds", "0"],
            "sampling.seeds must be at least 1, got 0",
        ),
        (
            ["run", "weird-generalisation", "--sampling.bases", "0"],
            "sampling.bases must be at least 1, got 0",
        ),
        (["run", "weird-generalisation", "--sampling.samples", "0"], "samples must be at least 1, got 0"),
        (["run", "weird-generalisation", "--sampling.warmup", "-1"], "warmup must be at least 0, got -1"),
    ],
)
def test_a_mistake_is_answered_with_one_sentence(capsys, tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    assert expected in refused(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["run", "weird-generalisation", "--pretraining.stepz", "3"], "did you mean --pretraining.steps?"),
        (["run", "weird-generalisation", "--finetuning.no-frsh"], "did you mean --finetuning.fresh?"),
        (["score", "x", "--jsno"], "did you mean --json?"),
        (["doctor", "--qqqq"], "--help shows all."),
        (["run", "weird-generalisation", "--seed", "9" * 5000], "--seed is too large: it has 5000 digits; "),
        (["plot", "--", "-"], "--help shows all."),
    ],
)
def test_words_that_are_no_option_are_answered_with_what_to_do(capsys, arguments, hint):
    assert hint in refused(capsys, *arguments, status=2)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--preset", "smoke", "--preset=full"], "preset"),
        (["--seed", "1", "--seed", "1"], "seed"),
        (["--optimise", "--no-optimise"], "optimise"),
        (["--finetuning.sgd-rate", "1", "--finetuning.sgd_rate", "2"], "finetuning.sgd-rate"),
    ],
)
def test_an_option_given_twice_is_refused(capsys, options, name):
    assert f"--{name} is given twice" in refused(capsys, "run", "weird-generalisation", *options)


def test_lists_may_have_commas_and_be_none(capsys):
    lists = ["--finetuning.doses", "1,8", "--finetuned-topics", "0", "0,1", "--sampling.temperatures", "none"]
    cli.main(["run", "weird-generalisation", *lists, "--finetuning.methods", "sgd,", "adam", "--dry-run"])
    made = json.loads(capsys.readouterr().out.partition("\nparameters")[0])["config"]
    assert made["finetuning"]["doses"] == [1, 8] and made["finetuning"]["methods"] == ["sgd", "adam"]
    assert made["finetuned_topics"] == [[0], [0, 1]] and made["sampling"]["temperatures"] == []


def test_a_mistake_in_a_plan_is_no_plan(capsys):
    options = ["weird-generalisation", "--dry-run", "--workers", "-2"]
    assert "workers must be at least 0, or -1 for none, got -2" in refused(capsys, "run", *options)


def test_the_version_is_that_of_the_package(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out == f"finebayes {version('finebayes')}\n"


@pytest.mark.parametrize(
    ("study", "old", "new"),
    [
        *(("weird-generalisation", old, new) for old, new in RENAMED.items() if new != "process.fresh"),
        ("memorise-or-generalise", "new", "process.fresh"),
        ("weird-generalisation", "doses", "finetuning.doses"),
        ("weird-generalisation", "sgd-rate", "finetuning.sgd-rate"),
        ("weird-generalisation", "sgd_rate", "finetuning.sgd-rate"),
        ("weird-generalisation", "n", "finetuning.n"),
        ("weird-generalisation", "methods", "finetuning.methods"),
        ("weird-generalisation", "width", "network.width"),
        ("weird-generalisation", "rarity", "process.rarity"),
        ("weird-generalisation", "temperatures", "sampling.temperatures"),
        ("weird-generalisation", "warmup", "sampling.warmup"),
    ],
)
@pytest.mark.parametrize("form", [["--{}", "3"], ["--{}=3"]])
def test_an_old_name_of_an_option_is_answered_with_the_new_one(capsys, study, old, new, form):
    sentence = refused(capsys, "run", study, *(word.format(old) for word in form))
    assert f"There is no option --{old.replace('_', '-')}; it is --{new} now." in sentence


def test_an_option_at_the_top_keeps_its_name(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli.main(["run", "weird-generalisation", "--no-optimise", "--seed", "3", "--repeats", "2", "--dry-run"])
    printed = capsys.readouterr().out
    assert '"optimise": false' in printed and '"seed": 3' in printed and '"repeats": 2' in printed


def test_dry_run_plans_and_writes_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli.main(["run", "weird-generalisation", "--preset", "full", "--dry-run", "--finetuning.n", "177"])
    printed = capsys.readouterr().out
    for word in ('"n": 177', "parameters", "pretraining steps", "estimated time", "estimated disk"):
        assert word in printed
    cli.main(["run", "weird-generalisation", "--pretraining.until-learnt", "0.9", "--dry-run"])
    assert "pretraining steps   at most 1200 × 4 networks" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_all_runs_every_study_and_names_those_that_fail(capsys, monkeypatch):
    called = []

    def study(words, **_):
        called.append(words[4:])
        return subprocess.CompletedProcess(words, words[5] == "mixtures")

    monkeypatch.setattr(run.subprocess, "run", study)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["run", "all", "--preset", "smoke"])
    names = Catalogue().names("studies")
    assert called == [["run", name, "--preset", "smoke"] for name in names]
    last = capsys.readouterr().err.splitlines()[-1]
    assert stopped.value.code == 1 and f"1 of {len(names)} studies failed: mixtures;" in last


def test_all_refuses_a_preset_once_and_runs_nothing(capsys, monkeypatch):
    monkeypatch.setattr(run.subprocess, "run", None)
    assert "no preset called 'nope'" in refused(capsys, "run", "all", "--preset", "nope")


def test_the_list_reads_like_a_table_of_contents(capsys):
    cli.main(["list"])
    parts = capsys.readouterr().out.removesuffix("\n").split("\n\n")
    headings, lines = zip(*((part.split("\n")[0], part.split("\n")[1:]) for part in parts), strict=True)
    assert headings == ("studies", "processes", "theories", "methods", "samplers")
    columns = {re.match(r" {2,4}\S+ +", line).end() for part in lines for line in part}
    assert len(columns) == 1
    for part in lines[1:]:
        for line in part:
            assert (
                line.endswith(".") and "?" not in line and not line[columns.copy().pop() :].startswith("What")
            )
    theories = [line.split("  The same")[0] for line in lines[2]]
    first = [line.startswith("  hierarchical-personas ") for line in theories].index(True)
    assert [line.rstrip() for line in theories[first + 1 : first + 3]] == [
        "    hierarchical-first-steps",
        "    hierarchical-fitted",
    ]


def test_an_unwritable_place_is_one_sentence(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    sentence = refused(
        capsys, "run", "weird-generalisation", "--preset", "smoke", "--out", tmp_path / "file" / "run"
    )
    assert "The system refused" in sentence
    assert "file" in sentence


def test_misuse_inside_a_command_reaches_the_user(capsys, monkeypatch):
    def broken(_):
        raise Misuse("The sentence.")

    monkeypatch.setitem(cli.HANDLERS, "list", broken)
    assert refused(capsys, "list") == "finebayes: The sentence.\n"


def test_doctor_says_that_all_is_sound_and_names_the_versions():
    done = finebayes("doctor")
    assert done.returncode == 0, done.stderr
    assert "devices" in done.stdout
    assert "FAILED" not in done.stdout
    assert done.stdout.count(" ok ") == 5
    printed = dict(line.split()[:2] for line in done.stdout.splitlines())
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
@pytest.mark.parametrize(("error", "status", "sentence"), ENDINGS)
def test_a_command_ends_with_its_status_whatever_still_compiles(
    monkeypatch, capsys, error, status, sentence, compiling
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
    assert capsys.readouterr().err.startswith(sentence)
