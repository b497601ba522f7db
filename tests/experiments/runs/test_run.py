"""The whole road on a tiny config, and what a kill, a second process, a diverging run do to it."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments import cli
from experiments.design.study import StudyRun
from experiments.runs.run import run
from experiments.storage.files import digest, locked
from experiments.storage.records import Cell, ScoreLine
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse

TINY = [
    *("--preset", "smoke", "--pretraining.steps", "100", "--pretraining.batch", "8", "--network.width", "8"),
    *("--finetuning.n", "4", "--finetuning.batch", "4", "--finetuning.doses", "1", "2", "--repeats", "1"),
]
SAMPLED = [
    *("--sampling.temperatures", "0.001", "--sampling.warmup", "3", "--sampling.samples", "6"),
    *("--pretraining.seeds", "1", "--finetuning.methods", "sgd", "--finetuning.seeds", "2"),
]


def command(*arguments):
    return [sys.executable, "-m", "experiments.cli", *map(str, arguments)]


def arguments(folder, *more, verb="run"):
    return [*map(str, (verb, "weird-generalisation", *TINY, "--out", folder, *more))]


def study(folder, *more, verb="run"):
    return command(*arguments(folder, *more, verb=verb))


def refused(capsys, folder, *more):
    """What is said where a run is refused, in this process."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments(folder, *more))
    assert stopped.value.code == 1
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A compilation cache shared by the runs of this file."""
    return {**os.environ, "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="module")
def call(environment):
    """Run a command to its end."""

    def run(words):
        return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=400)

    return run


@pytest.fixture(scope="module")
def forecast(tmp_path_factory, call):
    """A folder with sealed forecasts, before any finetuning: its files then, and what was printed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    done = call(study(folder, verb="forecast"))
    assert done.returncode == 0, done.stderr
    return folder, {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}, done


@pytest.fixture(scope="module")
def finished(forecast, call):
    """An uninterrupted run of these forecasts."""
    folder = forecast[0]
    done = call(study(folder))
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_forecast_is_sealed_and_the_run_scores_exactly_that(forecast, finished):
    folder, before, done = forecast
    record = json.loads(before["forecast.json"])
    assert not any(name.startswith("finetuned--") for name in before) and "rows.jsonl" not in before
    assert record["hash"] in done.stdout and record["hash"] in finished[1].stderr
    assert json.loads((folder / "finetuning.json").read_text())["forecast"] == record["hash"]
    for cell in record["cells"]:
        assert (folder / "cells" / f"{cell}.npz").read_bytes() == before[f"{cell}.npz"]


@pytest.mark.slow
def test_a_forecast_after_finetuning_or_of_another_run_is_refused(finished, call, tmp_path):
    folder = tmp_path / "late"
    shutil.copytree(finished[0], folder)
    (folder / "forecast.json").unlink()
    (folder / "finetuning.json").write_text('{"began": "2026-01-01", "forecast": null}')
    late = call(study(folder, verb="forecast"))
    assert late.returncode == 1 and "a forecast made now would come after it" in late.stderr
    shutil.copytree(finished[0], folder, dirs_exist_ok=True)
    cell = folder / "cells" / "theories--topics0--0.npz"
    cell.write_bytes((folder / "cells" / "theories--topics0--1.npz").read_bytes())
    changed = call(study(folder))
    assert changed.returncode == 1 and "they cannot be scored" in changed.stderr


def test_the_run_leaves_everything_it_promises(forecast, finished):
    folder, done = finished
    for name in ("config.json", "environment.json", "rows.jsonl", "report.html", "DONE"):
        assert (folder / name).exists(), name
    figures = {path.name for path in (folder / "figures").iterdir()}
    for name in ("weird-generalisation", "weird-generalisation-swap"):
        assert {f"{name}.png", f"{name}.svg", f"{name}.pdf"} <= figures
    assert "report.html" in done.stdout
    assert "pretraining" in forecast[2].stderr
    assert sorted(cell.name for cell in RunFolder(folder).cells()) == sorted(
        f"{kind}--topics0--{base}"
        for kind in ("theories", *(f"{k}--{m}" for k in ("finetuned", "replays") for m in ("sgd", "adam")))
        for base in (0, 1)
    )
    environment = json.loads((folder / "environment.json").read_text())
    assert {"packages", "devices", "commit", "dirty"} <= environment.keys()


def test_the_scorecard_has_its_keys(finished, capsys):
    cli.main(["score", str(finished[0]), "--json"])
    lines = json.loads(capsys.readouterr().out)
    names = {field.name for field in dataclasses.fields(ScoreLine)}
    pairs = {field for field in names if field.endswith("interval")}
    starts = {"interval"} | {pair.removesuffix("_interval") for pair in pairs - {"interval"}}
    names = names - {"sample", *pairs} | {f"{start}_{end}" for start in starts for end in ("low", "high")}
    assert all(set(line) == {*names, "floor", "ceiling"} for line in lines)
    theories = {line["theory"] for line in lines}
    assert theories >= {"unchanged", "linearised", "proximal", "tempered-posterior", "geometric-path"}
    assert {line["group"] for line in lines} == {"in_domain", "held_out", "in_context", "conflict"}
    assert {line["dose"] for line in lines} == {1, 2}
    grades = {(line["theory"], line["grade"]) for line in lines}
    assert ("linearised", "forecast") in grades
    assert ("proximal", "fitted") in grades
    names = ("method", "data", "dose", "theory", "prior", "grade", "group")
    keys = [tuple(line[name] for name in names) for line in lines]
    assert len(set(keys)) == len(keys)


def test_the_linearised_theory_is_nearly_exact_after_one_small_step(finished):
    run, cell = RunFolder(finished[0]), Cell("finetuned", "topics0", 0, "sgd")
    base = run.theories(cell).contexts.base
    linearised = run.replays(cell).predictions["linearised"][:, 0]
    target = run.finetuned(cell).finetuned[:, 0]
    left, shift = (
        np.mean(np.sum(np.exp(target) * (target - predictions), axis=-1))
        for predictions in (linearised, base)
    )
    assert 0 <= left < 0.05 * shift


def test_updates_are_kept_beside_the_linear_theory_s(finished):
    """One step of gradient descent is the linear theory's own; further steps are not."""
    run, cell = RunFolder(finished[0]), Cell("finetuned", "topics0", 1, "sgd")
    network, linear = run.finetuned(cell).update, run.replays(cell).update
    assert "blocks.0.up_proj.kernel" in network and set(linear) == set(network)
    ours, theirs = (
        np.concatenate([update[name].reshape(2, -1) for name in network], axis=1)
        for update in (network, linear)
    )
    length = np.linalg.norm(ours, axis=1)
    np.testing.assert_allclose(length, run.finetuned(cell).distance[0], rtol=1e-5)
    gap = np.linalg.norm(ours - theirs, axis=1) / length
    assert gap[0] < 1e-3 < gap[1] < 0.5


@pytest.mark.slow
def test_the_kept_directions_are_the_leading_eigenvectors_of_gauss_newton(finished):
    """Of the dense matrix, in double precision, at the network on disk."""
    import jax

    from experiments.cells.programs import Executor
    from experiments.design.study import StudyRun
    from experiments.runs.base_networks import BaseNetworks
    from experiments.runs.progress import Progress
    from theory.weights.curvature import gauss_newton

    run = RunFolder(finished[0])
    experiment = StudyRun.of(run).experiments()[0]
    networks = BaseNetworks(run.folder / "networks")
    network = jax.tree.map(lambda leaf: leaf[1], networks.pretrained(experiment, Progress()))
    data = Executor(experiment, network).data.finetuning(experiment.arms[0], network).data
    curvature = gauss_newton(network, jax.tree.map(lambda leaf: leaf[0], data))
    outputs = np.eye(curvature.push(network.params).size).reshape(-1, *curvature.push(network.params).shape)
    pulled = jax.jit(jax.vmap(curvature.pull))(outputs.astype(np.float32))
    root = np.concatenate(
        [np.asarray(leaf, float).reshape(len(outputs), -1) for leaf in jax.tree.leaves(pulled)], 1
    )
    values, vectors = np.linalg.eigh(root @ root.T)
    cell = run.theories(Cell("theories", "topics0", 1))
    modes = np.concatenate([mode.reshape(16, -1) for mode in cell.modes.values()], axis=1)
    np.testing.assert_allclose(cell.curvatures, values[::-1][:16], rtol=1e-3)
    np.testing.assert_allclose(modes @ modes.T, np.eye(16), atol=1e-4)
    overlap = np.abs(np.sum((vectors.T @ root)[::-1][:4] * modes[:4], axis=1)) / np.sqrt(values[::-1][:4])
    np.testing.assert_allclose(overlap, 1, atol=1e-3)


def test_the_report_says_where_the_best_forecast_errs(finished):
    text = (finished[0] / "report.html").read_text()
    assert "Where the best forecast errs" in text
    assert re.search(r"<summary>SGD, D′ on topic 0: [a-z-]+</summary>", text)
    assert "layer by layer" in text and "in leading directions, of " in text


def test_replicas_met_the_same_data_in_another_order(finished):
    cell = RunFolder(finished[0]).load(Cell("finetuned", "topics0", 0, "adam"))
    assert cell.finetuned.shape == cell.replica.shape == (2, 2, *cell.finetuned.shape[2:])


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_bytes(finished, environment, tmp_path):
    whole, _ = finished
    folder = tmp_path / "killed"
    # kill after the first checkpoint, then after the first cell, then let it end
    for awaited in ("networks/*.checkpoint.safetensors", "cells/*.npz"):
        running = subprocess.Popen(
            study(folder), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment
        )
        deadline = time.monotonic() + 300
        while not list(folder.glob(awaited)):
            assert running.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
        running.wait()
        assert not (folder / "DONE").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in (folder / "cells").glob("*.npz")}
    assert kept
    subprocess.run(study(folder), check=True, capture_output=True, env=environment, timeout=400)
    assert {name: (folder / "cells" / name).stat().st_mtime_ns for name in kept} == kept
    for path in ("rows.jsonl", *(f"cells/{cell.name}.npz" for cell in RunFolder(whole).cells())):
        assert (folder / path).read_bytes() == (whole / path).read_bytes(), path
    for network in (whole / "networks").glob("*.safetensors"):
        assert (folder / "networks" / network.name).read_bytes() == network.read_bytes()


@pytest.fixture(scope="module")
def sampled(tmp_path_factory, environment):
    """An uninterrupted run with chains too short to be trusted."""
    folder = tmp_path_factory.mktemp("chains") / "whole"
    done = subprocess.run(
        study(folder, *SAMPLED), capture_output=True, text=True, env=environment, timeout=400
    )
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.mark.slow
def test_killed_while_it_samples_it_ends_with_the_same_bytes(sampled, environment, tmp_path):
    whole, _ = sampled
    folder = tmp_path / "killed"
    running = subprocess.Popen(
        study(folder, *SAMPLED), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment
    )
    deadline = time.monotonic() + 300
    while not list(folder.glob("cells/theories--*.npz")):
        assert running.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert [cell.name for cell in RunFolder(folder).cells()] == [
        "theories--topics0--0"
    ]  # it was at the chains
    subprocess.run(study(folder, *SAMPLED), check=True, capture_output=True, env=environment, timeout=400)
    cells = RunFolder(whole).cells()
    kinds = ("finetuned--sgd", "posteriors", "replays--sgd", "theories")
    assert [cell.name for cell in cells] == [f"{kind}--topics0--0" for kind in kinds]
    for path in ("rows.jsonl", *(f"cells/{cell.name}.npz" for cell in cells)):
        assert (folder / path).read_bytes() == (whole / path).read_bytes(), path


@pytest.mark.slow
def test_sampled_posteriors_are_scored_drawn_and_judged(sampled):
    folder, done = sampled
    rows = RunFolder(folder).rows()
    fitted = {(row.theory, row.prior): len(row.nats) for row in rows if row.grade == "fitted"}
    assert fitted["langevin-posterior", "T=0.001"] == fitted["adam-gibbs", "T=0.001"] == 1
    assert fitted["proximal", "network"] == 2
    assert {row.theory for row in rows if row.converged is not None} == {
        "langevin-posterior",
        "adam-gibbs",
    }
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert {f"weird-generalisation-posteriors.{kind}" for kind in ("png", "svg", "pdf")} <= figures
    assert "CONVERGENCE: " in done.stdout and "have not converged" in done.stdout
    assert "class=banner" in (folder / "report.html").read_text().replace('"', "")


@pytest.mark.slow
def test_a_strict_run_fails_on_bad_chains_after_everything_is_written(sampled, environment):
    folder, done = sampled
    kept = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    for name in ("report.html", "DONE", "rows.jsonl"):
        (folder / name).unlink()
    again = subprocess.run(
        study(folder, *SAMPLED, "--strict"), capture_output=True, text=True, env=environment, timeout=400
    )
    assert again.returncode == 1
    assert again.stdout == done.stdout
    sentence = again.stderr.splitlines()[-1]
    assert sentence.startswith("finebayes: Strict: ") and "posteriors--topics0--0, D' 0" in sentence
    assert "Traceback" not in again.stderr
    assert all((folder / name).exists() for name in ("report.html", "DONE", "rows.jsonl"))
    assert {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()} == kept


def test_a_finished_run_is_not_redone_and_says_the_same(finished, capsys):
    folder, done = finished
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    cli.main(arguments(folder))
    again = capsys.readouterr()
    assert again.out == done.stdout and "10 of 10 cells were finished before" in again.err
    assert {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()} == before


@pytest.mark.slow
def test_results_of_other_code_are_refused_and_begun_anew_if_that_is_asked(finished, call, tmp_path):
    """As if the process had been corrected since: the folder names its code of before."""
    whole, folder = finished[0], tmp_path / "run"
    shutil.copytree(whole, folder)
    config = json.loads((folder / "config.json").read_text())
    config.pop("hash")
    config["code"]["theory.processes.persona_topics"] = "0" * 12
    (folder / "config.json").write_text(json.dumps(config | {"hash": digest(config)}))
    done = call(study(folder))
    assert done.returncode == 1 and "made by other code: theory.processes.persona_topics" in done.stderr
    assert "--again" in done.stderr and len(list((folder / "cells").iterdir())) == 10
    kept = {path: path.stat().st_mtime_ns for path in (folder / "networks").iterdir()}
    done = call(study(folder, "--again"))
    assert done.returncode == 0, done.stderr
    assert "finished before" not in done.stderr and "pretraining" not in done.stderr
    assert {path: path.stat().st_mtime_ns for path in (folder / "networks").iterdir()} == kept
    for path in (
        "rows.jsonl",
        "config.json",
        *(f"cells/{cell.name}.npz" for cell in RunFolder(whole).cells()),
    ):
        assert (folder / path).read_bytes() == (whole / path).read_bytes(), path


def test_another_config_in_the_same_folder_is_refused(finished, capsys):
    folder, _ = finished
    before = (folder / "rows.jsonl").read_bytes()
    assert "another config" in refused(capsys, folder, "--seed", 1)
    assert (folder / "rows.jsonl").read_bytes() == before


def test_a_folder_that_another_process_writes_is_refused(finished, capsys):
    with locked(finished[0]):
        assert "Another process is writing to" in refused(capsys, finished[0])


def test_ctrl_c_ends_with_130_and_keeps_what_is_finished(finished, environment, heeding, tmp_path):
    folder = tmp_path / "interrupted"
    few = ("--theories", "unchanged", "--finetuning.methods", "sgd")  # the first cell comes soon
    words = study(folder, "--networks", finished[0] / "networks", *few)
    running = subprocess.Popen(
        [*heeding, *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    deadline = time.monotonic() + 300
    while not list(folder.glob("cells/*.npz")):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=100)
    assert running.returncode == 130 and out == ""
    assert "Interrupted; what was finished is kept" in err and "Traceback" not in err
    assert list(folder.glob("cells/*.npz")) and not (folder / "DONE").exists()


@pytest.mark.slow
def test_plot_report_and_score_need_no_jax(finished):
    folder, _ = finished
    code = (
        "import sys; sys.modules['jax'] = None; from experiments import cli\n"
        f"for command in ('plot', 'report', 'score'): cli.main([command, {str(folder)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout


def test_where_drawing_fails_everything_else_is_written(finished, tmp_path, capsys):
    folder = tmp_path / "undrawn"
    shutil.copytree(finished[0], folder)
    page = (folder / "report.html").read_text()
    (folder / "report.html").unlink()

    def draw(run):
        raise Misuse("The process that draws was killed.")

    with pytest.raises(Misuse, match="draws was killed"):
        run(StudyRun.of(RunFolder(folder)), str(folder), draw=draw, show=True)
    assert f"folder  {folder}" in capsys.readouterr().out
    assert (folder / "report.html").read_text() == page and (folder / "DONE").exists()


@pytest.mark.slow
def test_a_damaged_cell_is_named_and_only_it_is_redone(finished, environment, tmp_path):
    whole, _ = finished
    folder = tmp_path / "damaged"
    shutil.copytree(whole, folder)
    victim = folder / "cells" / "finetuned--adam--topics0--1.npz"
    victim.write_bytes(victim.read_bytes()[:100])
    (folder / "rows.jsonl").unlink()
    done = subprocess.run(command("score", folder), capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert "finetuned--adam--topics0--1.npz is damaged" in done.stderr
    victim.unlink()
    subprocess.run(study(folder), check=True, capture_output=True, env=environment, timeout=400)
    assert (folder / "rows.jsonl").read_bytes() == (whole / "rows.jsonl").read_bytes()


BURST = '''"""Gradient descent whose first step is endless."""
from dataclasses import dataclass
from models.finetuning.sgd import Sgd

@dataclass(frozen=True)
class Burst(Sgd):
    """With a step size of its own."""
    learning_rate: float = 1e30

def example():
    """At its defaults."""
    return Burst()
'''


@pytest.mark.slow
def test_a_diverging_method_fails_alone(environment, finished, tmp_path):
    whole, _ = finished
    folder, method = tmp_path / "diverging", tmp_path / "burst.py"
    method.write_text(BURST)
    words = ["--with", method, "--finetuning.methods", "burst", "adam", "--networks", whole / "networks"]
    words += ["--theories", "tempered-posterior"]
    done = subprocess.run(study(folder, *words), capture_output=True, text=True, env=environment, timeout=400)
    assert done.returncode == 0, done.stderr
    run = RunFolder(folder)
    failed = {cell.name: reason for cell, reason in run.failures().items()}
    assert set(failed) == {"finetuned--burst--topics0--0", "finetuned--burst--topics0--1"}
    assert all("Non-finite" in reason for reason in failed.values())
    assert {row.method for row in run.rows()} == {"adam"}
    assert "finetuned--burst--topics0--0" in done.stdout
    assert "finetuned--burst--topics0--0" in (folder / "report.html").read_text()


@pytest.mark.slow
def test_every_draw_of_the_process_is_a_run_of_its_own(finished, call, tmp_path):
    """The first draw has the cells of a run of one; the second has other tables and its own networks."""
    one, folder = RunFolder(finished[0]), tmp_path / "draws"
    done = call(study(folder, "--process-seeds", "2", "--networks", one.folder / "networks"))
    assert done.returncode == 0, done.stderr
    run = RunFolder(folder)
    assert [cell.base for cell in run.cells("theories")] == [0, 1, 2, 3]
    for cell in one.cells():
        ours, theirs = run.load(cell).to_arrays(), one.load(cell).to_arrays()
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()] == [], cell
    first, second = (run.theories(Cell("theories", "topics0", base)).contexts for base in (0, 2))
    assert np.abs(first.exact - second.exact).max() > 0.1
    assert {(row.draw, row.base) for row in run.rows()} == {(0, 0), (0, 1), (1, 2), (1, 3)}
    assert [row for row in run.rows() if not row.draw] == list(one.rows())
    assert len(json.loads((folder / "networks.json").read_text())["networks"]) == 4
    # another pretraining seed of the same draw: of two networks each is the other's
    cells = [run.finetuned(Cell("finetuned", "topics0", base, "sgd")).finetuned for base in (2, 3)]
    row = next(row for row in run.rows() if (row.base, row.method, row.group) == (2, "sgd", "held_out"))
    inside = run.theories(Cell("theories", "topics0", 2)).contexts.inside("held_out")
    ours, other = (answers[:, run.doses.index(row.dose), inside].astype(float) for answers in cells)
    gap = np.sum(np.exp(ours) * (ours - other), axis=-1).mean(axis=-1)
    np.testing.assert_allclose(row.other_base, gap, rtol=1e-3, atol=1e-7)
