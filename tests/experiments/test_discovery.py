"""A theory, process, method, sampler or study enters by one file, of one's own or in the house."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import cli
from experiments.design.options import process_options
from experiments.design.study import FILES, Study, StudyRun
from experiments.discovery import FOLDERS, ROOT, Catalogue, Namespace, read_file
from experiments.own_files import LARGEST
from experiments.scoring.labels import NULLS
from experiments.storage.files import digest
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse

OWN = Path(__file__).parent / "own"
KINDS = {"studies": "study", "processes": "process", "theories": "theory", "methods": "method"} | {
    "samplers": "sampler"
}
TINY = [
    *("--preset", "smoke", "--pretraining.steps", "10", "--pretraining.seeds", "1", "--network.width", "8"),
    *("--finetuning.doses", "1", "--finetuning.n", "8", "--finetuning.batch", "8", "--repeats", "1"),
]


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    """Run finebayes in a folder to its end, with a compilation cache shared by the runs of this file."""
    cache = {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}

    def run(folder, *words, house=ROOT):
        return subprocess.run(
            [sys.executable, "-m", "experiments.cli", *map(str, words)],
            capture_output=True,
            text=True,
            cwd=folder,
            env={**os.environ, **cache, "PYTHONPATH": str(house)},
            timeout=500,
        )

    return run


@pytest.fixture
def own(tmp_path):
    """A folder with one file of each kind."""
    return Path(shutil.copytree(OWN, tmp_path / "own", ignore=shutil.ignore_patterns("__pycache__")))


def rows(folder):
    """The rows of the only run below a folder."""
    (path,) = Path(folder).rglob("rows.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def refused(capsys, *arguments):
    """The one sentence with which a command is refused."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(map(str, arguments)))
    printed = capsys.readouterr()
    assert stopped.value.code == 1 and printed.out == ""
    assert printed.err.startswith("finebayes: ") and printed.err.count("\n") == 1
    return printed.err


@pytest.mark.slow
def test_a_theory_and_a_method_enter_a_study_of_ours_by_one_file_each(call, own):
    files = ("--with", "own/my_theory.py", "--with", "own/my_method.py")
    chosen = ("--finetuning.methods", "sgd", "my-method")
    done = call(own.parent, "run", "mixtures", *TINY, *chosen, *files)
    assert done.returncode == 0, done.stderr
    scored = {(row["method"], row["theory"]) for row in rows(own.parent / "results")}
    assert scored >= {(m, t) for m in ("sgd", "my-method") for t in ("my-theory", "tempered-posterior")}
    assert sorted(path.name for path in own.iterdir()) == sorted(path.name for path in OWN.glob("*.py"))


@pytest.fixture(scope="module")
def studied(call, tmp_path_factory):
    """A run of a study of one's own on a process of one's own, whose files are gone since."""
    folder = tmp_path_factory.mktemp("studied")
    for name in ("my_study", "my_process", "my_theory", "my_method"):
        shutil.copy(OWN / f"{name}.py", folder)
    words = ("--with", "my_process.py", "--with", "my_theory.py", "--with", "my_method.py")
    narrowed = ("--finetuning.methods", "my-method", "--theories", "my-theory", "--process.length", "4")
    words = ("run", "my_study.py", *TINY, *narrowed, *words)
    done = call(folder, *words)
    assert done.returncode == 0, done.stderr
    for path in folder.glob("*.py"):
        path.unlink()
    return folder, words, done


def test_a_study_and_a_process_enter_by_one_file_each(studied):
    folder, _, done = studied
    assert {row["theory"] for row in rows(folder)} == {*NULLS, "my-theory"}
    assert {(row["study"], row["data"]) for row in rows(folder)} == {("my-study", "coin2")}
    assert "my-study.png" in done.stdout


@pytest.mark.slow
def test_a_run_is_drawn_reported_and_run_again_when_its_files_are_gone(studied, call):
    folder, words, done = studied
    (run,) = (folder / "results" / "my-study").iterdir()
    for command in ("plot", "report", "score"):
        again = call(folder, command, run)
        assert again.returncode == 0, again.stderr
    cells = {path: path.stat().st_mtime_ns for path in (run / "cells").iterdir()}
    again = call(folder, "run", "--config", run)
    assert again.returncode == 0, again.stderr
    assert again.stdout == done.stdout
    assert {path: path.stat().st_mtime_ns for path in (run / "cells").iterdir()} == cells
    assert list((folder / "results" / "my-study").iterdir()) == [run]
    assert not list(run.rglob("__pycache__"))
    gone = call(folder, *words)
    assert gone.returncode == 1 and "my_study.py is not there" in gone.stderr
    planned = call(folder, "run", "--config", run, "--finetuning.n", "9", "--dry-run")
    assert planned.returncode == 0 and '"n": 9' in planned.stdout and '"length": 4' in planned.stdout


def test_a_run_s_files_are_those_that_were_given(studied):
    (run,) = (studied[0] / "results" / "my-study").iterdir()
    kept = {path.name: path.read_bytes() for path in (run / FILES).iterdir()}
    assert kept == {name: (OWN / name).read_bytes() for name in kept} and len(kept) == 4
    stored = StudyRun.of(RunFolder(run))
    assert stored.config.process.entry.path == run / FILES / "my_process.py"
    config = json.loads((run / "config.json").read_text())
    assert config.items() >= stored.record.items() and digest(stored.record) == run.name
    assert config["code"].keys() >= {"my_process.py", "my_study.py", "my_theory.py", "my_method.py"}


@pytest.mark.slow
def test_the_same_files_in_the_folders_of_the_house_enter_with_nothing_else_touched(call, tmp_path):
    house = tmp_path / "house"
    for package in ("theory", "models", "experiments"):
        shutil.copytree(ROOT / package, house / package, ignore=shutil.ignore_patterns("__pycache__"))
    for kind, folder in FOLDERS.items():
        text = (OWN / f"my_{KINDS[kind]}.py").read_text()
        (house / folder / f"my_{KINDS[kind]}.py").write_text(text.replace(", CATALOGUE", ""))
    listed = json.loads(call(tmp_path, "list", "--json", house=house).stdout)
    for kind, entries in listed.items():
        assert f"my-{KINDS[kind]}" in {entry["name"] for entry in entries}
    chosen = ("--finetuning.methods", "sgd", "my-method")
    for study in ("mixtures", "my-study"):
        done = call(tmp_path, "run", study, *TINY, *chosen, "--out", study, house=house)
        assert done.returncode == 0, done.stderr
        scored = {(row["method"], row["theory"]) for row in rows(tmp_path / study)}
        assert scored >= {(m, t) for m in ("sgd", "my-method") for t in ("my-theory", "tempered-posterior")}


def test_a_sampler_enters_by_one_file(own):
    import jax
    import numpy as np

    from theory.mcmc.chains import Plan, mean, results, run_chains

    kernel = Catalogue((str(own / "my_sampler.py"),)).find("samplers", "my-sampler").example()
    plan, streams = Plan(100, 400, 2), {"square": mean(lambda state: state.z**2)}
    *_, last = run_chains(kernel, jax.random.key(0), 64, plan, streams, np.zeros(()))
    square = np.asarray(results(plan, streams, last)["square"])
    assert square.shape[0] == 64 and 0.8 < square.mean() < 1.3


def test_own_files_are_listed_by_their_kind(capsys, own):
    words = [word for path in sorted(own.iterdir()) for word in ("--with", str(path))]
    cli.main(["list", "--json", *words])
    listed = json.loads(capsys.readouterr().out)
    for kind, entries in listed.items():
        mine = [entry for entry in entries if entry["name"].startswith("my-")]
        assert [entry["name"] for entry in mine] == [f"my-{KINDS[kind]}"]
        assert len(mine[0]["summary"]) > 20


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("from theory.contracts import WeightTheory as W\nclass A(W): ...", "theories"),
        ("import theory.contracts as c\nclass A(c.Theory[int]): ...", "theories"),
        ("from theory.theories.laplace import Laplace\nclass A(Laplace): ...", "theories"),
        ("from models.finetuning.sgd import Sgd\nclass A(Sgd): ...", "methods"),
        ("from theory.samplers.ula import Ula\nclass A(Ula): ...", "samplers"),
        ("class A:\n    def distribution(self): ...\n    def answer_tokens(self): ...", "processes"),
        ("def experiment(config): ...", "studies"),
    ],
)
def test_the_kind_of_a_file_is_read_from_its_source(tmp_path, source, kind):
    path = tmp_path / "mine.py"
    path.write_text(source)
    assert read_file(str(path)).kind == kind


@pytest.mark.parametrize(
    ("forms", "names"),
    [('{"my-form": "The same."}', ["file", "my-form"]), ("dict(a=1)", ["file"]), ("3", ["file"])],
)
def test_the_forms_of_a_theory_are_read_from_its_source(tmp_path, capsys, forms, names):
    """A dict of names, if it is a literal."""
    path = tmp_path / "file.py"
    path.write_text(
        f'"""What it is."""\nfrom theory.contracts import Theory\nFORMS = {forms}\nclass A(Theory): ...'
    )
    assert list(read_file(str(path)).all_names) == names
    cli.main(["list", "--with", str(path)])
    assert ("    my-form " in capsys.readouterr().out) == ("my-form" in names)


def test_a_run_is_named_by_the_content_of_its_files_and_not_by_their_place(own, tmp_path):
    def record(*files):
        study = Study.find("mixtures")
        config = dataclasses.replace(study.preset("smoke"), files=tuple(map(str, files)))
        return StudyRun.make(study, "smoke", config).record

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    theory, method = own / "my_theory.py", own / "my_method.py"
    other = Path(shutil.copy(theory, elsewhere))
    assert record(theory) == record(other) != record()
    assert record(theory, method) == record(method, other, theory)
    before = record(theory)
    theory.write_text(theory.read_text() + "\n")
    assert record(theory) != before
    with pytest.raises(Misuse, match="have one name but differ"):
        record(theory, other)


def test_base_networks_are_named_by_the_content_of_their_process(own, tmp_path):
    from experiments.runs.base_networks import BaseNetworks

    def name(folder):
        study = Study.find(str(folder / "my_study.py"))
        experiment = StudyRun.make(study, "smoke", study.preset("smoke")).experiments()[0]
        return BaseNetworks(tmp_path).path(experiment).name

    moved, changed = (Path(shutil.copytree(own, tmp_path / name)) for name in ("moved", "changed"))
    process = changed / "my_process.py"
    process.write_text(process.read_text().replace("1 - heads, heads", "heads, 1 - heads"))
    assert name(own) == name(moved) != name(changed)


def test_two_catalogues_in_one_process_are_apart(own, tmp_path):
    """Files of one name, and a file that changes, are each what they say."""
    other = tmp_path / "other"
    other.mkdir()
    changed = (own / "my_process.py").read_text().replace("length: int = 6", "length: int = 5")
    (other / "my_process.py").write_text(changed)
    lengths = []
    for folder in (own, other, own):
        made = process_options("my-process", Catalogue((str(folder / "my_process.py"),)))
        lengths.append((made.length, made.build().length, made.build().distribution().components.length))
    assert lengths == [(6, 6, 6), (5, 5, 5), (6, 6, 6)]
    (own / "my_process.py").write_text(changed)
    assert process_options("my-process", Catalogue((str(own / "my_process.py"),))).build().length == 5
    assert "my-process" not in Catalogue().names("processes") and not hasattr(Namespace("processes"), "Coins")


THEORY = (OWN / "my_theory.py").read_text()
WITHOUT = THEORY[: THEORY.index("def example")]
LAST, EXAMPLE = len(THEORY.splitlines()), len(WITHOUT.splitlines()) + 2
NOT_READ = [
    ("my_theory.py", None, "my_theory.py is not there"),
    ("folder.py", "folder", "folder.py is a folder; give a Python file"),
    ("my_theory.py", "", "my_theory.py defines nothing that finebayes knows"),
    ("my_theory.py", "x = 1\n", "my_theory.py defines nothing that finebayes knows"),
    ("my_theory.py", b"\x00\x01\xff\x80" * 9, "my_theory.py"),
    ("my_theory.py", b"\xff\xfe = 3", "my_theory.py"),
    ("my_theory.py", "\n\nclass A(:\n", "my_theory.py, line 3: invalid syntax"),
    ("my_theory.py", "x = " + "[" * 5000 + "]" * 5000, "my_theory.py, line 1: too many nested parentheses"),
    ("my_theory.py", "x = " + "-" * 50000 + "1", "my_theory.py"),
    ("my_theory.py", "#" * (LARGEST + 1), "a Python file has 1000000 at most"),
    ("my-theory.py", THEORY, "my-theory.py cannot be a module"),
    ("my_theory", THEORY, "my_theory cannot be a module"),
    ("my_theory.txt", THEORY, "my_theory.txt cannot be a module"),
    ("proximal.py", THEORY, "there is a theory called proximal already; rename the file"),
]
NOT_RUN = [
    (
        "my_theory.py",
        "import no_such_module\n" + THEORY,
        "my_theory.py, line 1: ModuleNotFoundError: No module named 'no_such_module'.",
    ),
    (
        "my_theory.py",
        THEORY + "\n\n1 / 0\n",
        f"my_theory.py, line {LAST + 3}: ZeroDivisionError: division by zero.",
    ),
    ("my_theory.py", THEORY + "\nimport sys\nsys.exit()\n", f"my_theory.py, line {LAST + 3}: SystemExit."),
    ("my_theory.py", THEORY + "\nraise SystemExit(0)\n", f"my_theory.py, line {LAST + 2}: SystemExit: 0."),
    (
        "my_theory.py",
        THEORY + "\nraise BaseException('a\\nb')\n",
        f"my_theory.py, line {LAST + 2}: BaseException: a b.",
    ),
    ("my_theory.py", WITHOUT, "my_theory.py: it needs a function example() that returns its theory."),
    (
        "my_theory.py",
        WITHOUT + "def example():\n    return {}['a']\n",
        f"my_theory.py, line {EXAMPLE}: KeyError: 'a'.",
    ),
    (
        "my_theory.py",
        WITHOUT + "def example():\n    exit(0)\n",
        f"my_theory.py, line {EXAMPLE}: SystemExit: 0.",
    ),
    (
        "my_theory.py",
        WITHOUT + "def example():\n    return 3\n",
        "my_theory.py: my-theory is a int, which is no theory",
    ),
    (
        "my_theory.py",
        THEORY + "\ndef variants(process):\n    return {'proximal/mine': example()}\n",
        "my_theory.py: there is a theory called proximal already",
    ),
]


@pytest.mark.parametrize(("name", "content", "sentence"), NOT_READ)
def test_a_file_that_is_no_extension_is_refused_before_anything_runs(
    capsys, tmp_path, monkeypatch, name, content, sentence
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / name, content)
    there = sorted(tmp_path.rglob("*"))
    assert sentence in refused(capsys, "list", "--with", name)
    assert sentence in refused(capsys, "run", "mixtures", *TINY, "--with", name)
    assert sorted(tmp_path.rglob("*")) == there


def write(path, content):
    """A file of text or bytes, a folder, or nothing."""
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.mark.parametrize(("name", "content", "sentence"), NOT_RUN)
def test_a_file_that_cannot_run_is_one_sentence_with_its_line(
    capsys, tmp_path, monkeypatch, name, content, sentence
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / name, content)
    assert sentence in refused(capsys, "run", "mixtures", *TINY, "--with", name)
    assert list(tmp_path.iterdir()) == [tmp_path / name]


@pytest.mark.parametrize(
    ("line", "sentence"), [("1 / 0", "ZeroDivisionError: division by zero"), ("exit(0)", "SystemExit: 0")]
)
def test_a_theory_that_cannot_predict_is_one_sentence_and_no_success(
    capsys, tmp_path, monkeypatch, line, sentence
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "my_theory.py", THEORY.replace("check_beta(beta)\n", f"{line}\n"))
    write(tmp_path / "my_study.py", STUDY)
    write(tmp_path / "my_process.py", PROCESS)
    with pytest.raises(SystemExit) as stopped:
        words = ("--finetuning.methods", "sgd", "--theories", "my-theory", "--with", "my_theory.py")
        cli.main(["run", "my_study.py", *TINY, *words])
    number = THEORY.splitlines().index("        check_beta(beta)") + 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert stopped.value.code == 1
    assert last.removesuffix(".") == f"finebayes: my_theory.py, line {number}: {sentence}"


def test_ctrl_c_in_a_file_is_no_success(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "my_theory.py", THEORY + "\nraise KeyboardInterrupt\n")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["run", "mixtures", *TINY, "--with", "my_theory.py"])
    assert stopped.value.code == 130 and "Interrupted" in capsys.readouterr().err


METHOD = (OWN / "my_method.py").read_text()
STUDY = (OWN / "my_study.py").read_text()
PROCESS = (OWN / "my_process.py").read_text()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (METHOD.replace("def example", "def other"), "my_method.py: it needs a function example() that"),
        (METHOD.replace("return SignDescent()", "return 1 / 0"), "my_method.py, line 23: ZeroDivisionError"),
        (METHOD.replace("return SignDescent()", "return 7"), "example() returns a int, which is no method"),
    ],
)
def test_a_method_that_is_none_is_refused(capsys, tmp_path, monkeypatch, content, sentence):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "my_method.py", content)
    words = ("--finetuning.methods", "my-method", "--with", "my_method.py")
    assert sentence in refused(capsys, "run", "mixtures", *TINY, *words)
    assert list(tmp_path.iterdir()) == [tmp_path / "my_method.py"]


@pytest.mark.parametrize(
    ("study", "process", "sentence"),
    [
        (STUDY, PROCESS.replace("def task", "def job"), "Coins lacks task, which a comparison needs"),
        (STUDY, PROCESS.replace("def answer_mask", "def mask"), "Coins lacks answer_mask, which a"),
        (
            STUDY,
            PROCESS.replace("length: int = 6", "length: int"),
            "my_process.py, line 40: the field length",
        ),
        (
            STUDY,
            PROCESS.replace("length: int = 6", "length: list = 6"),
            "my_process.py, line 40: the field length",
        ),
        (STUDY, None, "my_process.py is not there"),
        (STUDY, PROCESS + "\n1 / 0\n", "ZeroDivisionError"),
        (STUDY.replace("    return config.experiment", "    return len"), PROCESS, "my_study.py, line 32: "),
        (STUDY.replace("    return config.experiment(", "    return dict(a="), PROCESS, "my_study.py"),
        (STUDY.replace("def draw", "def picture"), PROCESS, "The study my-study lacks draw"),
        (STUDY.replace('{"smoke":', '{"smoke": 3, "brief":'), PROCESS, "smoke of my-study is a int"),
        (THEORY, PROCESS, "is no study: it defines no experiment(config)"),
    ],
)
def test_a_study_that_is_none_is_refused(capsys, tmp_path, monkeypatch, study, process, sentence):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "my_study.py", study)
    write(tmp_path / "my_process.py", process)
    assert sentence in refused(capsys, "run", "my_study.py", *TINY)
    assert not (tmp_path / "results").exists()


def test_a_study_of_one_s_own_must_not_have_a_name_of_ours(capsys, tmp_path):
    write(tmp_path / "mixtures.py", STUDY)
    write(tmp_path / "my_process.py", PROCESS)
    sentence = refused(capsys, "run", tmp_path / "mixtures.py", *TINY)
    assert "there is a study called mixtures already; rename the file" in sentence


@pytest.mark.parametrize("config", ["[]", "{}", '{"study": "mixtures"}', "nonsense", b"\xff"])
def test_a_folder_that_is_no_run_is_refused(capsys, tmp_path, config):
    write(tmp_path / "config.json", config)
    assert "config.json" in refused(capsys, "run", "--config", tmp_path)
