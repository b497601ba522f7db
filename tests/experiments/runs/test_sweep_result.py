"""fb.sweep calls the command line with its axes, and reads what lies in the folder."""

import warnings
from pathlib import Path

import pytest

import finebayes as fb
from experiments import cli
from experiments.runs import sweep_result
from theory.errors import Misuse

OVER = {"process.style": [0.5, 2.0], "finetuning.methods": [("sgd",), ("sgd", "adam")]}
OPTIONS = {"finetuning": {"seeds": 3}, "network": {"width": 8}}


@pytest.fixture
def command(monkeypatch, sweeps):
    """The words of the command that is called, which makes a sweep of made-up scores."""
    words = []

    def relay(given, shown):
        words.extend(given)
        axes = [given[index + 1] for index, word in enumerate(given) if word == "--over"]
        out = Path(given[given.index("--out") + 1])
        plan = sweeps.plan(*axes, one_at_a_time="--one-at-a-time" in given)
        reason = "It diverged."
        sweeps.make(out, plan, lambda values: reason if values.get("network.width") == 16 else SHARES)
        if "network.width=8,16" in axes:
            raise Misuse("1 of 2 runs failed.")

    monkeypatch.setattr(sweep_result, "relay_command", relay)
    return words


SHARES = {"linearised": 0.9, "tempered-posterior": 0.5, "answer-bias": 0.2}


def test_the_command_is_that_of_the_arguments(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fb.sweep("weird-generalisation", OVER, "smoke", out="s", networks="kept", **OPTIONS)
    assert "--one-at-a-time" not in command and command[command.index("--networks") + 1] == "kept"
    cli.main([*command, "--dry-run"])
    printed = capsys.readouterr().out
    assert "runs                4" in printed and "style=2,methods=sgd+adam" in printed
    values = [command[command.index(f"--{name}") + 1] for name in ("finetuning.seeds", "network.width")]
    assert values == ["3", "8"]


def test_a_result_has_runs_scores_and_figures(command, tmp_path):
    made = fb.sweep("weird-generalisation", {"style": [0.5, 2.0]}, "smoke", out=tmp_path / "s")
    assert list(made.runs) == ["style=0.5", "style=2"] and made.failures == {}
    assert made.values["style=2"] == {"process.style": 2.0}
    assert made.runs["style=2"].lines and len(made.records()) == 2 * 16
    figure = made.plot("explained", by="style", theories=["linearised"], dose=1)
    assert figure.axes[0].get_xlabel() == "process.style"
    assert "finished" in repr(fb.load_sweep(made.folder))


def test_failed_runs_are_warned_of_and_in_the_result(command, tmp_path):
    with pytest.warns(UserWarning, match="1 of 2 runs failed"):
        made = fb.sweep("weird-generalisation", {"width": [8, 16]}, "smoke", out=tmp_path / "s")
    assert made.failures == {"width=16": "It diverged."} and list(made.runs) == ["width=8"]


def test_another_mistake_is_raised(command, tmp_path, monkeypatch):
    def relay(given, shown):
        raise Misuse("It is wrong.")

    monkeypatch.setattr(sweep_result, "relay_command", relay)
    with pytest.raises(Misuse, match="It is wrong"):
        fb.sweep("weird-generalisation", {"width": [8, 16]}, "smoke", out=tmp_path / "s")


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        ((), {}, "A sweep needs an axis"),
        (({"widht": [8]},), {}, "did you mean width"),
        (({"width": 8},), {}, "must be a list of values, got 8"),
        (({"width": [8, 25]},), {"workers": 0}, "workers must be an integer from 1 on"),
        (({"width": [8]},), {"network": {"width": 16}}, "network.width is an axis and an option too"),
        (({"process.seed": range(1001)},), {}, "These are 1001 runs; give yes=True"),
    ],
)
def test_a_mistake_is_raised_before_anything_runs(command, arguments, options, sentence):
    with warnings.catch_warnings(), pytest.raises(fb.Misuse) as refused:
        fb.sweep("weird-generalisation", *arguments, **options)
    assert sentence in str(refused.value) and command == []
