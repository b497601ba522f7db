"""A sweep runs every point once, goes on after failures and interrupts, and ends with the same bytes."""

import os
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

from experiments import cli
from experiments.reports.sweep import summary
from experiments.runs.code_digests import run_code
from experiments.runs.progress import Silent
from experiments.runs.sweep import check_points, dry_run, estimated_seconds, refuse_failed, run_sweep
from experiments.runs.sweep_executor import Settings
from experiments.storage.files import locked, write, write_json
from experiments.storage.manifests import NetworkQuality, Quality
from experiments.storage.run_folder import DONE, NETWORKS, REPORT, RunFolder, create
from experiments.storage.sweep_folder import SweepFolder
from theory.errors import Misuse

POINTS = ["style=0.5", "style=1", "style=3"]
STYLES = "style=0.5,1,3"


class Stub:
    """An executor that writes a finished run at once, and raises what it is told at some points."""

    def __init__(self, sweeps, errors=None):
        self.rows, self.errors, self.calls = sweeps.rows, errors or {}, []

    def __call__(self, study_run, folder, settings, progress):
        self.calls.append(folder.name)
        code = run_code(study_run.study.module.__name__, study_run.experiments()[0])
        made = create(folder, study_run.record, {}, code, settings.again)
        if folder.name in self.errors:
            raise self.errors[folder.name]
        made.save_rows(list(self.rows({"linearised": 0.9})))
        quality = Quality((NetworkQuality(0, 0.25, 0.25, (0.25,), 1.0, (1.0,), 50),))
        write_json(made.folder / NETWORKS, quality.to_json())
        write(made.folder / DONE, lambda file: None)
        return made


@pytest.fixture
def call(sweeps, tmp_path):
    """Run the sweep with a stub; returns the sweep and the runs that were made."""

    def run(errors=None, **settings):
        stub = Stub(sweeps, errors)
        progress = Silent(Console(quiet=True))
        folder = tmp_path / "s"
        made = run_sweep(
            sweeps.plan(STYLES), folder, Settings(folder / "networks", **settings), stub, progress
        )
        return made, stub.calls

    return run


def test_every_point_is_run_once(call):
    made, calls = call()
    assert calls == POINTS
    assert [made.status(point) for point in made.record.points] == ["finished"] * 3
    assert (made.folder / "scores.csv").read_text().count("\n") == 1 + 3 * 16
    again, calls = call()
    assert calls == [] and again.record == made.record
    assert call(again=True)[1] == POINTS


def test_a_finished_run_is_made_again_for_its_figures_alone(call):
    sweep, _ = call()
    assert call()[1] == []
    (sweep.folder / "style=1" / REPORT).touch()
    assert call(figures=True)[1] == ["style=0.5", "style=3"]


def test_a_failure_is_noted_and_the_others_go_on(call):
    made, calls = call({"style=0.5": Misuse("It diverged."), "style=1": KeyError("x")})
    assert calls == POINTS
    assert [made.status(point) for point in made.record.points] == ["failed", "failed", "finished"]
    assert made.reason(made.record.points[1]) == "KeyError: 'x'"
    with pytest.raises(Misuse, match=r"^2 of 3 runs failed: style=0\.5; style=1; see above for why\."):
        refuse_failed(made)
    text = summary(made)
    assert "failed: It diverged." in text and "0.75" in text and text.count("finished") == 1
    made, calls = call()
    assert calls == ["style=0.5", "style=1"]  # failed ones are tried again, finished ones are not
    refuse_failed(made)


def test_an_interrupt_ends_it_and_the_same_call_goes_on(call, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        call({"style=1": KeyboardInterrupt()})
    stopped = SweepFolder(tmp_path / "s")
    assert [stopped.status(point) for point in stopped.record.points] == ["finished", "unfinished", "missing"]
    assert call()[1] == POINTS[1:]


def test_a_run_of_other_code_is_refused_and_the_others_are_kept(call):
    made, _ = call()
    run = made.run(made.record.points[0])
    config = run.config
    other = config.code | {"models.pretraining": "0" * 12}
    values = {"study": config.study, "preset": config.preset, "config": config.config}
    (run.folder / "config.json").unlink()
    create_again = type(config).make(values, other)
    write_json(run.folder / "config.json", create_again)
    made, calls = call()
    assert calls == [POINTS[0]]
    assert "was made by other code: models.pretraining changed since" in made.reason(made.record.points[0])
    with pytest.raises(Misuse, match=r"^1 of 3 runs failed: style=0\.5;"):
        refuse_failed(made)
    assert call(again=True)[1] == POINTS
    refuse_failed(made)


def test_a_damaged_run_is_named_and_does_not_stop_the_others(call):
    made, _ = call({"style=3": Misuse("It diverged.")})
    (made.run(made.record.points[0]).folder / "config.json").write_text("{")
    made, calls = call()
    assert calls == [POINTS[0], POINTS[2]]
    assert "config.json is damaged" in made.reason(made.record.points[0])
    assert "config.json is damaged" in summary(made)
    assert made.status(made.record.points[2]) == "finished"


def test_two_processes_on_one_sweep_are_refused(call, tmp_path):
    with locked(tmp_path / "s"), pytest.raises(Misuse, match="Another process is writing"):
        call()


def test_a_point_that_an_experiment_refuses_is_refused_before_anything(sweeps, tmp_path):
    with pytest.raises(Misuse, match=r"^At n=4: batch must be from 1 to n = 4, got 8"):
        run_sweep(sweeps.plan("finetuning.n=16,4"), tmp_path / "s", Settings(tmp_path), Stub(sweeps))
    assert not (tmp_path / "s").exists()


def test_points_share_base_networks_that_are_described_alike(sweeps, tmp_path):
    checked = check_points(sweeps.plan("finetuning.n=8,16", "width=8,16"))
    files = [part.networks for part in checked]
    assert files[0] == files[1] != files[2] == files[3]  # those of one shape follow each other
    several = check_points(sweeps.plan("process_seeds=1,2"))
    assert several[0].networks == several[1].networks[:1] and len(several[1].networks) == 2
    text = dry_run(sweeps.plan("finetuning.n=8,16", "width=8,16"), tmp_path / "s", tmp_path / "networks")
    assert "base networks       2 sets, of which 0 are trained" in text
    assert "runs                4, of which 0 are finished" in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "compiling", "training"),
    [
        (["process.style=1,2,3"], 1, 3),
        (["finetuning.n=8,16", "network.heads=1,2"], 2, 2),  # those of one shape follow each other
        (["network.heads=1,2", "finetuning.n=8,16"], 2, 2),
        (["until_learnt=0.3,0.5,0.7"], 1, 1),  # a training to a larger share goes on from a smaller one
    ],
)
def test_an_estimate_counts_what_points_share_once(sweeps, words, compiling, training):
    checked = check_points(sweeps.plan(*words))
    one, others = checked[0].estimate, sum(part.estimate.others for part in checked)
    expected = compiling * one.compiling + training * one.pretraining + others
    assert estimated_seconds(checked, ()) == pytest.approx(expected)
    everything = {name for part in checked for name in part.networks}
    assert estimated_seconds(checked, everything) == pytest.approx(expected - training * one.pretraining)


def test_one_at_a_time_the_smallest_share_of_inference_is_run_first(sweeps):
    shares, style = "until_learnt=0.5,0.3,none", "process.style=1,2"
    checked = check_points(sweeps.plan(style, shares, one_at_a_time=True))
    assert [part.point.folder for part in checked] == [
        *("until_learnt=0.3", "until_learnt=0.5", "centre", "style=1", "style=2"),
    ]
    assert len({part.trainings for part in checked}) == len({part.networks for part in checked}) - 2 == 3
    heads = check_points(sweeps.plan("heads=1,2", shares, style, one_at_a_time=True))
    assert [part.point.folder for part in heads] == [  # one shape after the other, the centre's first
        *("until_learnt=0.3", "until_learnt=0.5", "centre", "style=1", "style=2", "heads=1"),
    ]
    whole = check_points(sweeps.plan(style, shares))
    assert [part.point.values["pretraining.until_learnt"] for part in whole] == [0.5, 0.3, None] * 2


TINY = [
    *("--preset", "smoke", "--pretraining.steps", "20", "--pretraining.batch", "8", "--network.width", "8"),
    *("--finetuning.batch", "4", "--finetuning.doses", "1", "2", "--repeats", "1"),
    *(
        "--theories",
        "linearised",
        "--finetuning.methods",
        "sgd",
        "--over",
        "finetuning.n=4,8",
        "--over",
        "process.style=1,2",
    ),
]


def command(folder):
    words = ["sweep", "weird-generalisation", *TINY, "--one-at-a-time", "--out", str(folder)]
    return [sys.executable, "-m", "experiments.cli", *words]


@pytest.mark.slow
def test_killed_and_interrupted_it_ends_with_the_same_bytes(heeding, tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = subprocess.run(command(whole), env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    names = [point.folder for point in SweepFolder(whole).record.points]
    assert names == ["centre", "n=4", "n=8", "style=1", "style=2"] and "finished" in done.stdout
    assert len(list((whole / "networks").glob("*.safetensors"))) == 3

    for name, stop, status in (("centre", signal.SIGKILL, -9), ("n=8", signal.SIGINT, 130)):
        running = subprocess.Popen(
            [*heeding, *command(broken)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 300
        while not list((broken / name / "cells").glob("*.npz")):
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        running.send_signal(stop)
        said = running.communicate(timeout=60)[1]
        assert running.returncode == status
        assert not (broken / name / DONE).exists()
    assert said.splitlines()[-1].startswith("finebayes: Interrupted; what was finished is kept")

    done = subprocess.run(command(broken), env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0 and done.stderr.count("was finished before") == 2
    for path in (SweepFolder(whole).folder / "sweep.json", whole / "scores.csv"):
        assert (broken / path.name).read_bytes() == path.read_bytes()
    for name in names:
        for cell in RunFolder(whole / name).cells():
            path = f"{name}/cells/{cell.name}.npz"
            assert (broken / path).read_bytes() == (whole / path).read_bytes(), path
    words = ["run", "--config", str(whole / "style=1"), "--out", str(tmp_path / "alone")]
    words = [sys.executable, "-m", "experiments.cli", *words]
    subprocess.run(words, env=environment, check=True, capture_output=True, timeout=400)
    for cell in RunFolder(tmp_path / "alone").cells():  # each is an ordinary run, to the byte
        path = f"cells/{cell.name}.npz"
        assert (tmp_path / "alone" / path).read_bytes() == (whole / "style=1" / path).read_bytes(), path
    assert not list(whole.glob("*/figures")) and not list(whole.glob(f"*/{REPORT}"))
    drawn = [*command(broken), "--figures"]
    done = subprocess.run(drawn, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0 and len(list(broken.glob(f"*/{REPORT}"))) == len(names)
    for path in sorted((tmp_path / "alone").glob("figures/*.svg")):
        assert (broken / "style=1" / "figures" / path.name).read_bytes() == path.read_bytes(), path.name
    for path in (*whole.glob("*/rows.jsonl"), whole / "scores.csv"):
        assert (broken / path.relative_to(whole)).read_bytes() == path.read_bytes()
    cli.main(["score", str(broken / "centre")])
    cli.main(["sweep", str(broken), "--plot", "explained"])
    assert {path.name for path in (broken / "figures").glob("*.png")} == {
        *("explained-by-n.png", "explained-by-style.png"),
    }
