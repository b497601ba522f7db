"""The whole road on a tiny config, and what a kill, a second process, a diverging run do to it."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments.scoring.rows import KEYS
from experiments.storage import run_folder as disk

TINY = [
    *("--preset", "smoke", "--pretraining-steps", "100", "--n", "4", "--batch", "4", "--width", "8"),
    *("--pretraining-batch", "8", "--doses", "1", "2", "--repeats", "1", "--temperatures"),
]
SAMPLED = [
    *(
        "--temperatures",
        "0.001",
        "--warmup",
        "3",
        "--samples",
        "6",
        "--base-seeds",
        "1",
        "--methods",
        "sgd",
        "--seeds",
        "2",
    ),
]


def command(*arguments):
    return [sys.executable, "-m", "experiments.cli", *map(str, arguments)]


def study(folder, *more):
    return command("run", "weird-generalisation", *TINY, "--out", folder, *more)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A compilation cache shared by the runs of this file."""
    return {**os.environ, "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, environment):
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    done = subprocess.run(study(folder), capture_output=True, text=True, env=environment, timeout=400)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_the_run_leaves_everything_it_promises(finished):
    folder, done = finished
    for name in ("config.json", "environment.json", "rows.jsonl", "report.html", "DONE"):
        assert (folder / name).exists(), name
    suffixes = {path.suffix for path in (folder / "figures").iterdir()}
    assert {".png", ".svg", ".pdf"} <= suffixes
    assert "report.html" in done.stdout
    assert "pretraining" in done.stderr
    assert disk.Results(folder).cells() == sorted(
        f"{name}-topics0-{base}"
        for name in ("theories", "sgd", "adam", "dynamics-sgd", "dynamics-adam")
        for base in (0, 1)
    )
    environment = json.loads((folder / "environment.json").read_text())
    assert {"packages", "devices", "commit", "dirty"} <= environment.keys()


def test_the_scorecard_has_its_keys(finished, environment):
    folder, _ = finished
    done = subprocess.run(command("score", folder, "--json"), capture_output=True, text=True, env=environment)
    lines = json.loads(done.stdout)
    assert all(set(KEYS) <= set(line) for line in lines)
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
    folder, _ = finished
    cell = disk.Results(folder).load("sgd-topics0-0")
    base = disk.Results(folder).load("theories-topics0-0")["base"]
    linearised = disk.Results(folder).load("dynamics-sgd-topics0-0")["linearised"][:, 0]
    target = cell["finetuned"][:, 0]
    left, shift = (np.mean(np.sum(np.exp(target) * (target - told), axis=-1)) for told in (linearised, base))
    assert 0 <= left < 0.05 * shift


def test_updates_are_kept_beside_the_linear_theory_s(finished):
    """One step of gradient descent is the linear theory's own; further steps are not."""
    results = disk.Results(finished[0])
    network, linear = results.load("sgd-topics0-1"), results.load("dynamics-sgd-topics0-1")
    names = [name for name in network if name.startswith("update/")]
    assert "update/blocks.0.up_proj.kernel" in names and {
        name for name in linear if "update/" in name
    } == set(names)
    ours, theirs = (
        np.concatenate([told[name].reshape(2, -1) for name in names], axis=1) for told in (network, linear)
    )
    length = np.linalg.norm(ours, axis=1)
    np.testing.assert_allclose(length, network["distance"][0], rtol=1e-5)
    gap = np.linalg.norm(ours - theirs, axis=1) / length
    assert gap[0] < 1e-3 < gap[1] < 0.5


def test_the_kept_directions_are_the_leading_eigenvectors_of_gauss_newton(finished):
    """Of the dense matrix, in double precision, at the network on disk."""
    import jax

    from experiments import discovery as studies
    from experiments.cells.programs import Executor
    from experiments.runs.base_networks import Networks
    from experiments.runs.progress import Progress
    from theory.weights.curvature import gauss_newton

    results = disk.Results(finished[0])
    module = studies.load("weird-generalisation")
    known = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in results.config["config"].items()
    }
    comparison = module.comparison(module.Config(**known))
    networks = Networks(results.folder / "networks")
    network = jax.tree.map(lambda leaf: leaf[1], networks.pretrained(comparison, Progress()))
    data, _, _ = Executor(comparison, network).written.data(comparison.arms[0], network)
    curvature = gauss_newton(network, jax.tree.map(lambda leaf: leaf[0], data))
    outputs = np.eye(curvature.push(network.params).size).reshape(-1, *curvature.push(network.params).shape)
    pulled = jax.jit(jax.vmap(curvature.pull))(outputs.astype(np.float32))
    root = np.concatenate(
        [np.asarray(leaf, float).reshape(len(outputs), -1) for leaf in jax.tree.leaves(pulled)], 1
    )
    values, vectors = np.linalg.eigh(root @ root.T)
    cell = results.load("theories-topics0-1")
    modes = np.concatenate([cell[name].reshape(16, -1) for name in cell if name.startswith("mode/")], axis=1)
    np.testing.assert_allclose(cell["curvatures"], values[::-1][:16], rtol=1e-3)
    np.testing.assert_allclose(modes @ modes.T, np.eye(16), atol=1e-4)
    overlap = np.abs(np.sum((vectors.T @ root)[::-1][:4] * modes[:4], axis=1)) / np.sqrt(values[::-1][:4])
    np.testing.assert_allclose(overlap, 1, atol=1e-3)


def test_the_report_says_where_the_best_forecast_errs(finished):
    text = (finished[0] / "report.html").read_text()
    assert (
        "Where the best forecast errs" in text and "<summary>SGD, D′ on topic 0: linearised</summary>" in text
    )
    assert "layer by layer" in text and "Leading directions, of " in text


def test_twins_met_the_same_data_in_another_order(finished):
    cell = disk.Results(finished[0]).load("adam-topics0-0")
    assert cell["finetuned"].shape == cell["twin"].shape == (2, 2, *cell["finetuned"].shape[2:])


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
    for path in ("rows.jsonl", *(f"cells/{cell}.npz" for cell in disk.Results(whole).cells())):
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
    while not list(folder.glob("cells/theories-*.npz")):
        assert running.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert disk.Results(folder).cells() == ["theories-topics0-0"]  # it was at the chains
    subprocess.run(study(folder, *SAMPLED), check=True, capture_output=True, env=environment, timeout=400)
    cells = disk.Results(whole).cells()
    assert cells == ["dynamics-sgd-topics0-0", "langevin-topics0-0", "sgd-topics0-0", "theories-topics0-0"]
    for path in ("rows.jsonl", *(f"cells/{cell}.npz" for cell in cells)):
        assert (folder / path).read_bytes() == (whole / path).read_bytes(), path


def test_sampled_posteriors_are_scored_drawn_and_judged(sampled):
    folder, done = sampled
    rows = disk.Results(folder).rows()
    fitted = {(row["theory"], row["prior"]): len(row["nats"]) for row in rows if row["grade"] == "fitted"}
    assert fitted["langevin-posterior", "T=0.001"] == fitted["adam-gibbs", "T=0.001"] == 1
    assert fitted["proximal", "network"] == 2
    assert {row["theory"] for row in rows if row["trusted"] is not None} == {
        "langevin-posterior",
        "adam-gibbs",
    }
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert {f"weird-generalisation-posteriors.{kind}" for kind in ("png", "svg", "pdf")} <= figures
    assert "GATE: " in done.stdout and "are untrustworthy" in done.stdout
    assert "class=banner" in (folder / "report.html").read_text().replace('"', "")


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
    told = again.stderr.splitlines()[-1]
    assert told.startswith("finebayes: Strict: ") and "langevin-topics0-0, D' 0" in told
    assert "Traceback" not in again.stderr
    assert all((folder / name).exists() for name in ("report.html", "DONE", "rows.jsonl"))
    assert {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()} == kept


def test_a_finished_run_is_not_redone_and_says_the_same(finished, environment):
    folder, done = finished
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    again = subprocess.run(study(folder), capture_output=True, text=True, env=environment, timeout=400)
    assert again.returncode == 0, again.stderr
    assert again.stdout == done.stdout
    assert {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()} == before


def test_another_config_in_the_same_folder_is_refused(finished, environment):
    folder, _ = finished
    before = (folder / "rows.jsonl").read_bytes()
    done = subprocess.run(study(folder, "--seed", 1), capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert "another config" in done.stderr
    assert (folder / "rows.jsonl").read_bytes() == before


def test_plot_report_and_score_need_no_jax(finished):
    folder, _ = finished
    code = (
        "import sys; sys.modules['jax'] = None; from experiments import cli\n"
        f"for command in ('plot', 'report', 'score'): cli.main([command, {str(folder)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout


def test_a_damaged_cell_is_named_and_only_it_is_redone(finished, environment, tmp_path):
    import shutil

    whole, _ = finished
    folder = tmp_path / "damaged"
    shutil.copytree(whole, folder)
    victim = folder / "cells" / "adam-topics0-1.npz"
    victim.write_bytes(victim.read_bytes()[:100])
    (folder / "rows.jsonl").unlink()
    done = subprocess.run(command("score", folder), capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert "adam-topics0-1.npz is damaged" in done.stderr
    victim.unlink()
    subprocess.run(study(folder), check=True, capture_output=True, env=environment, timeout=400)
    assert (folder / "rows.jsonl").read_bytes() == (whole / "rows.jsonl").read_bytes()


def test_a_diverging_method_fails_alone(environment, finished, tmp_path):
    whole, _ = finished
    folder = tmp_path / "diverging"
    done = subprocess.run(
        study(folder, "--sgd-rate", "1e30", "--networks", whole / "networks"),
        capture_output=True,
        text=True,
        env=environment,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    results = disk.Results(folder)
    assert set(results.failures()) == {"sgd-topics0-0", "sgd-topics0-1"}
    assert all("Non-finite" in reason for reason in results.failures().values())
    assert {row["method"] for row in results.rows()} == {"adam"}
    assert "sgd-topics0-0" in done.stdout
    assert "sgd-topics0-0" in (folder / "report.html").read_text()
