"""The command `probe`: the base networks of a run give what a notebook gets; a mistake is a sentence."""

import csv
from dataclasses import asdict

import jax
import pytest

import finebayes as fb
from experiments import cli
from experiments.design.study import Study, StudyRun
from experiments.runs import base_networks
from experiments.runs.base_networks import BaseNetworks, describe
from experiments.storage.manifests import NetworkQuality
from experiments.storage.run_folder import create
from models.network import build


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run with untrained base networks, and one of them."""
    study = Study.find("linebreak-widths")
    study_run = StudyRun.make(study, "smoke", study.preset("smoke"))
    folder = tmp_path_factory.mktemp("probed") / "run"
    create(folder, study_run.record, {})
    (experiment,) = study_run.experiments()
    seeds, process = describe(experiment)["seeds"], experiment.process
    networks = build(experiment.shape, process.vocabulary, process.length, seeds)
    quality = [asdict(NetworkQuality(seed, 1.0, 1.0, (1.0,), 1.0, (1.0,), 5)) for seed in seeds]
    record = {"description": describe(experiment), "quality": quality}
    path = BaseNetworks(folder / "networks").path(experiment)
    path.parent.mkdir()
    base_networks._save(path, networks.params, record)
    return folder, process, networks


def refused(capsys, *words):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["probe", *map(str, words)])
    printed = capsys.readouterr()
    assert stopped.value.code and not printed.out and printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["newlin within 3"], "did you mean 'newline'?"),
        (["newline within 99"], "is 99 tokens, and a document has"),
        (["* next"], "is always true"),
        (["newline next", "--base", "2"], "The base networks of this run are 0 to 1, got --base 2"),
        (["newline next", "--depth", "2"], "to 1, after the last block, got 2"),
        (["newline next", "--networks", "nowhere"], "are not in nowhere; name their folder"),
        (["newline next", "--link", "probit"], "link must be 'probability' or 'log-odds', got 'probit'"),
    ],
)
def test_a_mistake_of_the_command_is_one_sentence(run, capsys, words, sentence):
    assert sentence in refused(capsys, run[0], *words)


@pytest.mark.slow
def test_the_command_prints_and_draws_what_a_notebook_gets(run, capsys):
    folder, process, networks = run
    cli.main(["probe", str(folder), "newline within 2", "--base", "1", "--depth", "1"])
    printed = capsys.readouterr().out
    network = jax.tree.map(lambda leaf: leaf[1], networks)
    wanted = fb.probe(network, process, "newline within 2", depth=1)
    assert printed.startswith(str(wanted.table()))
    stem = folder / "figures" / "probe-newline-within-2-base1"
    assert stem.with_suffix(".png").exists()
    lines = list(csv.DictReader(stem.with_suffix(".csv").open()))
    assert [float(line["excess"]) for line in lines] == [line["excess"] for line in wanted.records()]
