"""Workers under GNU parallel, and the rule of docs/cluster.md under Snakemake: the bytes of one process.

Each is skipped where its command is not on the path.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.system import surroundings

pytestmark = pytest.mark.slow
FINEBAYES = f"{sys.executable} -m experiments.cli"
PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"
TINY = (
    "weird-generalisation --preset smoke --pretraining.steps 50 --pretraining.batch 8 --network.width 8 "
    "--finetuning.n 4 --finetuning.batch 4 --finetuning.doses 1 2 --repeats 1 --finetuning.methods sgd "
    "--theories tempered-posterior linearised"
)


def call(words, folder):
    """Run a command of a shell in a folder; fails with what it says."""
    variables = surroundings.variables(XDG_CACHE_HOME=str(folder.parent / "cache"))
    done = subprocess.run(
        words,
        shell=True,
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,  # which parallel hands on
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The rows of one process."""
    folder = tmp_path_factory.mktemp("alone")
    call(f"{FINEBAYES} run {TINY} --out run", folder)
    return (folder / "run" / "rows.jsonl").read_bytes()


@pytest.mark.skipif(not shutil.which("parallel"), reason="no GNU parallel here")
@pytest.mark.parametrize(
    "options", ["-N0 {} work run ::: 1 2", '--sshlogin : --nonall "cd $PWD; {} work run"']
)
def test_parallel(alone, tmp_path, options):
    call(f"{FINEBAYES} run {TINY} --workers 0 --out run", tmp_path)
    call(f"parallel {options.format(FINEBAYES)}", tmp_path)
    assert (tmp_path / "run" / "DONE").exists()
    assert (tmp_path / "run" / "rows.jsonl").read_bytes() == alone


@pytest.mark.skipif(not shutil.which("snakemake"), reason="no Snakemake here")
def test_snakemake(alone, tmp_path):
    (rule,) = re.findall("^rule run:.*?(?=^```)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    named, study = "finebayes run {wildcards.study}", TINY.partition(" ")[0]
    assert named in rule
    (tmp_path / "Snakefile").write_text(rule.replace(named, f"{FINEBAYES} run {TINY}"))
    for said in ("1 of 1 steps", "Nothing to be done"):  # the second time it is made
        assert said in call(f"snakemake --cores 2 results/{study}/DONE", tmp_path)
    assert (tmp_path / "results" / study / "rows.jsonl").read_bytes() == alone
