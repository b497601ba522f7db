"""Every study there is, in its preset `smoke`, by the command line: it ends, scores and draws."""

import json
import os
import subprocess
import sys

import pytest

from experiments.study import catalogue

QUICK = ("mixtures",)  # half a minute of one core each: the others are run by make test-slow
NAMES = [
    entry["name"] if entry["name"] in QUICK else pytest.param(entry["name"], marks=pytest.mark.slow)
    for entry in catalogue()["studies"]
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A compilation cache shared by the runs of one worker."""
    return {**os.environ, "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}


@pytest.mark.parametrize("name", NAMES)
def test_it_runs(name, tmp_path, environment):
    def finebayes(*words):
        words = [sys.executable, "-m", "experiments.cli", *words]
        done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=600)
        assert done.returncode == 0, done.stderr
        return done.stdout

    folder = str(tmp_path / "run")
    finebayes("run", name, "--preset", "smoke", "--out", folder)
    lines = json.loads(finebayes("score", folder, "--json"))
    assert {line["study"] for line in lines} == {name}
    assert any(line["explained"] is not None and line["theory"] != "unchanged" for line in lines)
    assert list((tmp_path / "run" / "figures").glob("*.png")) and (tmp_path / "run" / "DONE").exists()
    quality = json.loads((tmp_path / "run" / "networks.json").read_text())
    assert quality["mean"] > 0
