"""The options of workers: a mistake is one sentence, before anything is loaded."""

import pytest

from experiments import cli

RUN = ("run", "mixtures", "--preset", "smoke")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("work",), "Name the folders of runs or sweeps: finebayes work FOLDER ..."),
        (("work", "x", "--share", "3/2"), "--share must be a part of the cores like 1/4, got '3/2'"),
        (("work", "x", "--share", "half"), "--share must be a part of the cores like 1/4, got 'half'"),
        ((*RUN, "--workers", "-2"), "workers must be at least 0, or -1 for none, got -2"),
        ((*RUN, "--workers", "10000"), "workers on this machine must be at most"),
        ((*RUN, "--slurm", "time=1"), "--slurm needs a number of jobs from 1 on: add --workers N"),
        ((*RUN, "--slurm", "time=1", "--workers", "0"), "--slurm needs a number of jobs from 1 on"),
    ],
)
def test_mistakes_are_sentences(words, sentence, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(list(words))
    said = capsys.readouterr().err
    assert end.value.code == 1 and sentence in said and said.count("\n") == 1


def test_a_worker_that_sees_no_folder_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit):
        cli.main(["work", str(tmp_path / "run")])
    assert "There is no folder" in capsys.readouterr().err
