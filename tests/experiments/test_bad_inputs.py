"""Bad inputs to every command, to every field of every study, and to the API: one sentence each.

`python -m pytest -m slow -s tests/experiments/test_bad_inputs.py` prints how many were tried. They run in
processes of their own, without the checks of types that tests have. A command must end with a status other
than 0, nothing on stdout and one line on stderr; a call must raise `Misuse` with a sentence.
"""

import collections
import contextlib
import dataclasses
import importlib
import inspect
import io
import itertools
import json
import math
import os
import pkgutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import get_origin

import pytest

from experiments import cli
from experiments.design import options as design
from experiments.design.study import Study
from experiments.discovery import Catalogue
from theory.errors import Misuse

pytestmark = pytest.mark.slow

WORDS = {int: ("abc", "1.5", "", "1e3"), float: ("abc", "", "1,5"), str: ("no-such-word",)}
LISTED = {int: ("abc", "1.5"), float: ("abc", "1,x"), str: ("no-such-word",)}  # a list may be empty
VALUES = {int: (None, "a", 1.5, True, [1], math.nan), float: (None, "a", True, [1.0], math.nan, 1j)}
VALUES |= {bool: (None, "a", 2), str: (3, None), tuple: (None, 3, "ab", {1: 2})}
FREE = {"files"}  # any text may name a file; it is tried with the commands
READING = ("plot", "report", "score", "compare")


def fields(study):
    """Dotted name and type of every option of a study."""
    config = Study.find(study).preset("smoke")
    return dict(design.kinds(config))


def commands(folder):
    """Words of commands, all of them wrong, in a folder with files that are no runs."""
    (folder / "file").write_text("x")
    (folder / "empty").mkdir()
    (folder / "broken.py").write_text("def :")
    (folder / "nothing.py").write_text("x = 1\n")
    for name, text in {
        "list": "[1]",
        "null": "null",
        "text": "{",
        "deep": "[" * 10_000,
        "bare": "{}",
    }.items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(text)
    yield from (["nope"], ["Run"], ["--nope"], ["run list"], [""], ["run", ""], ["-x"])
    for command in cli.COMMANDS:
        study = ["weird-generalisation"] if command in ("run", "forecast") else []
        yield from ([command, *study, "--nope"], [command, *study, "--nope=3"], [command, *study, "-q"])
        yield [command, *study, "a", "surplus", "word"]
    for command in READING:
        for place in ("missing", "file", "empty", ".", "list", "null", "text", "deep", "bare", "x" * 5000):
            yield [command, place]
        yield from ([command], [command, "list", "list"], [command, "--json=maybe", "list"])
    for place in ("missing", "file", "empty", "list", "null", "text", "bare"):
        yield ["probe", place, "newline next"]
    yield from (["compare", "empty", "--out"], ["compare", "--out", "file/x", "bare"], ["list", "--with"])
    for file in ("missing.py", "broken.py", "nothing.py", "empty", "file"):
        yield from (["list", "--with", file], ["run", "mixtures", "--with", file, "--dry-run"], ["run", file])
    for command in ("run", "forecast"):
        for study in ("nope", "Mixtures", "mixtures ", "../mixtures", "mixtures.py", "all-of-them", "0"):
            yield [command, study]
        for preset in ("", "nope", "SMALL", "0"):
            yield [command, "mixtures", "--preset", preset]
            yield [command, "all", "--preset", preset or "none"]
        for place in ("missing", "file", "empty", "list", "null", "deep"):
            yield [command, "--config", place]
        for word in ("--preset", "--out", "--networks", "--config", "--seed", "--with"):
            yield [command, "mixtures", word]  # no value
        yield from ([command, "mixtures", "--out", "file/x"], [command, "mixtures", "--again=maybe"])
    for place in ("missing", "file", "empty", "list", "null", "text", "deep", "bare"):
        yield ["work", place]
    yield from (["work"], ["work", "list", "--share", "3/2"], ["work", "--share"])
    for workers in ("-2", "abc", "1.5", ""):
        yield ["run", "mixtures", "--workers", workers, "--dry-run"]
    for study in Catalogue().names("studies"):
        for name, kind in fields(study).items():
            inner = kind
            while get_origin(inner) is tuple:
                inner = inner.__args__[0]
            option = f"--{name.replace('_', '-')}"
            words = WORDS.get(inner, ()) if kind is inner else LISTED.get(inner, ())
            for word in words if name not in FREE else ():
                yield ["run", study, option, word, "--dry-run"]
            if inner is bool:
                yield from (["run", study, f"{option}=maybe", "--dry-run"], ["run", study, option, "yes"])
            yield ["run", study, f"{option}x", "1", "--dry-run"]
            if inner is not bool and name not in FREE:
                yield ["run", study, option, "1", option, "1", "--dry-run"]


def command_end(words):
    """How a command ends: "refused", or what is wrong with its end."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main(list(words))
        return f"accepted: {out.getvalue()[:60]!r}"
    except SystemExit as stop:
        said = err.getvalue()
        whole = said.startswith("finebayes: ") and said.count("\n") == 1 and said[-2] in ".?"
        return "refused" if stop.code and whole and not out.getvalue() else f"{stop.code}: {said[-200:]!r}"


def replaced(function, name, value):
    """The call of a function with one of its arguments, the others at their defaults."""
    return lambda: function(**{name: value})


def of_kind(hint):
    """Bad values for an annotation."""
    text, kinds = str(hint), (int, float, bool, str)
    kind: type | None = next((kind for kind in kinds if hint is kind or text.startswith(kind.__name__)), None)
    if any(word in text for word in ("Sequence", "tuple", "Iterable")):
        kind = tuple
    return [bad for bad in VALUES.get(kind, ()) if bad is not None or "None" not in text]


def calls(folder):
    """Label and call of everything that people call in Python, each with one thing wrong."""
    import jax
    import numpy as np

    import finebayes as fb
    import models.finetuning
    import theory.processes
    import theory.theories
    from theory.contracts import required_prior

    key = jax.random.key(0)
    for module in pkgutil.iter_modules(theory.processes.__path__):
        process = importlib.import_module(f"theory.processes.{module.name}").example()
        kind = type(process)
        for field in dataclasses.fields(kind):
            for bad in of_kind(field.type):
                yield f"{kind.__name__}({field.name}={bad!r})", replaced(kind, field.name, bad)
        for name, argument in inspect.signature(kind().task).parameters.items():
            for bad in of_kind(argument.annotation):
                yield f"{module.name}.task({name}={bad!r})", replaced(kind().task, name, bad)
        task, exact = kind().task(), process.distribution()
        for bad in (0, -1, 2.5, "a", None, True, math.nan):
            yield f"{module.name} data({bad!r})", lambda task=task, bad=bad: task.data(key, bad)
        for bad in (None, 0, "key", np.zeros(2, np.uint32)):
            yield f"{module.name} key {bad!r}", lambda task=task, bad=bad: task.data(bad, 2)
            yield f"{module.name} contexts {bad!r}", lambda task=task, bad=bad: task.contexts(bad)
        for bad in ([[0, 1]], "ab", [0]):
            yield f"{module.name} predict({bad!r})", lambda exact=exact, bad=bad: exact.predict(bad)
            yield f"{module.name} log_prob({bad!r})", lambda exact=exact, bad=bad: exact.log_prob(bad)
    tokens = np.zeros((2, 4), np.int32)
    for bad in ("a", [[True] * 4] * 2, np.ones(4, bool), np.ones((2, 3), bool), np.ones((2, 4))):
        yield f"Dataset(tokens, {bad!r})", lambda bad=bad: fb.Dataset(tokens, bad)
    for bad in ("a", [[0] * 4] * 2, np.zeros((2, 4)), np.zeros(4, int)):
        yield f"Dataset({bad!r}, mask)", lambda bad=bad: fb.Dataset(bad, np.ones((2, 4), bool))
    world = fb.processes.PersonaTopics(personas=3, topics=4, pairs=3)
    data, quiet = world.task().data(key, 4), {"progress": False}
    network = fb.pretrain(world, width=8, layers=1, heads=2, steps=2, batch=4, **quiet)
    for module in pkgutil.iter_modules(theory.theories.__path__):
        example = getattr(importlib.import_module(f"theory.theories.{module.name}"), "example", None)
        if example is None:
            continue
        form = example()
        weights = required_prior(form) is fb.Parametric
        prior = network.network() if weights else world.distribution()
        for bad in ("a", None, -1, math.nan, math.inf, True, [0.1]):
            yield (
                f"{module.name} β {bad!r}",
                lambda form=form, prior=prior, bad=bad: form.predict(prior, data, bad),
            )
        for bad in (world, None, 3, fb.processes):
            yield f"{module.name} prior {bad!r:.30}", lambda form=form, bad=bad: form.predict(bad, data, 0.1)
        for bad in (tokens, None, [[0, 1]], "D"):
            yield (
                f"{module.name} data {bad!r:.30}",
                lambda form=form, p=prior, bad=bad: form.predict(p, bad, 0.1),
            )
    for module in pkgutil.iter_modules(models.finetuning.__path__):
        example = getattr(importlib.import_module(f"models.finetuning.{module.name}"), "example", None)
        for field in dataclasses.fields(type(example())) if example else ():
            kind = "float" if isinstance(getattr(example(), field.name), float) else str(field.type)
            for bad in of_kind(kind) if field.init else ():
                label = f"{type(example()).__name__}({field.name}={bad!r})"
                yield label, lambda e=example, n=field.name, bad=bad: dataclasses.replace(e(), **{n: bad})
    task, method = world.task(), fb.methods.Sgd()
    for name, argument in inspect.signature(fb.pretrain).parameters.items():
        for bad in of_kind(argument.annotation) if name != "progress" else ():
            if not (name == "folder" and isinstance(bad, str)):
                yield (
                    f"pretrain({name}={bad!r})",
                    lambda n=name, bad=bad: fb.pretrain(world, **{n: bad}, **quiet),
                )
    for bad in (3, None, "persona-topics", [], fb.processes.PersonaTopics, task):
        yield f"pretrain({bad!r:.30})", lambda bad=bad: fb.pretrain(bad, **quiet)
    for name, argument in list(inspect.signature(fb.finetune).parameters.items())[3:-1]:
        for bad in of_kind(argument.annotation):
            yield (
                f"finetune({name}={bad!r})",
                lambda n=name, bad=bad: fb.finetune(network, task, method, **{n: bad}, **quiet),
            )
    for bad in (None, 3, "task0", [], world, [task, 3]):
        yield f"finetune task {bad!r:.30}", lambda bad=bad: fb.finetune(network, bad, method, **quiet)
        yield f"finetune base {bad!r:.30}", lambda bad=bad: fb.finetune(bad, task, method, **quiet)
    for bad in (None, 3, "sgd", [], fb.methods.Sgd, {"a/b": method}, [method, method], {}):
        yield f"finetune method {bad!r:.30}", lambda bad=bad: fb.finetune(network, task, bad, **quiet)
    for bad in (None, 1.5, 7, -1, "a", True):
        yield f"network({bad!r})", lambda bad=bad: network.network(bad)
        yield f"predict index {bad!r}", lambda bad=bad: network.predict([[0]], bad)
    for bad in ([[9]], [[0.5]], [0], [[-1]], [[0], [0, 1]], "ab", None, [[0] * 99], [["a"]], [[True]]):
        yield f"predict({bad!r:.30})", lambda bad=bad: network.predict(bad)
    for bad in (None, 3, "", "missing", folder / "file", folder / "empty", folder / "deep", 1.5, []):
        yield f"load({bad!r:.30})", lambda bad=bad: fb.load(bad)
    for bad in ("nope", None, 3, "", "Mixtures"):
        yield f"run({bad!r})", lambda bad=bad: fb.run(bad, **quiet)
        yield f"run preset {bad!r}", lambda bad=bad: fb.run("mixtures", bad, **quiet)
    for name, kind in fields("weird-generalisation").items():
        for bad in of_kind(tuple if get_origin(kind) is tuple else kind):
            nested = bad
            for part in reversed(name.split(".")):
                nested = {part: nested}
            if name not in FREE:
                yield (
                    f"run({nested!r})",
                    lambda n=nested: fb.run("weird-generalisation", "smoke", **n, **quiet),
                )
    tuned = fb.finetune(network, task, method, n=4, batch=2, doses=[1], seeds=1, **quiet)
    for bad in ("linearized", 3, [world], fb.theories.Proximal, {"a/b": fb.theories.Proximal()}, [3], ""):
        yield f"compare({bad!r:.30})", lambda bad=bad: fb.compare(tuned, bad, **quiet)
    for bad in (None, network, 3, "tuned", []):
        yield f"compare base {bad!r:.30}", lambda bad=bad: fb.compare(bad, **quiet)
    for bad in ({"method": "adam"}, {"task": "x"}, {"base": 7}, {"base": "a"}, {"method": 3}):
        yield f"log_probs({bad!r})", lambda bad=bad: tuned.log_probs(**bad)


def call_end(call):
    """How a call ends."""
    try:
        return f"accepted: {call()!r:.80}"
    except Misuse as error:
        return "refused" if len(str(error)) > 15 and str(error)[-1] in ".?" else f"no sentence: {error}"


def end(function, *arguments):
    """How something ends, within ten seconds."""
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError))
    signal.alarm(10)
    try:
        return function(*arguments)
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:150]}"
    finally:
        signal.alarm(0)


def main(part, folder):
    """Print the label and the end of everything of a part, a line of JSON each."""
    os.chdir(folder)
    real, sys.stderr = sys.stdout, open(os.devnull, "w")  # noqa: SIM115
    if part == "commands":
        ends = ((" ".join(words), end(command_end, words)) for words in commands(Path(folder)))
    else:
        (Path(folder) / "file").write_text("x")
        ends = ((label, end(call_end, call)) for label, call in calls(Path(folder)))
    for pair in ends:
        print(json.dumps(pair), file=real, flush=True)


@pytest.mark.parametrize(("part", "least"), [("commands", 1000), ("calls", 1000)])
def test_every_bad_input_is_refused_in_one_sentence(part, least, tmp_path):
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_bad_inputs as here; "
    done = subprocess.run(
        [sys.executable, "-c", f"{code}here.main({part!r}, {str(tmp_path)!r})"],
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = [pair for pair in ends if pair[1] != "refused"]
    kinds = collections.Counter(what.partition(":")[0] for _, what in ends)
    print(f"\n{part}: {dict(kinds)} of {len(ends)} bad inputs")
    assert wrong == []
    assert len(ends) >= least


def test_every_command_and_every_study_is_tried(tmp_path):
    words = list(itertools.chain(commands(tmp_path)))
    assert {first for first, *_ in words} >= set(cli.COMMANDS)
    assert {line[1] for line in words if line[0] == "run" and line[1:]} >= set(Catalogue().names("studies"))
    assert len(words) > 4000
