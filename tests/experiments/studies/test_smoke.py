"""Every study there is, in its preset `smoke`: it ends, scores and draws."""

import json

import pytest

from experiments import cli
from experiments.discovery import Catalogue
from experiments.figures import style
from experiments.runs import environment

QUICK = (
    "axioms",
    "when-bayesian",
)  # of make test, which runs weird-generalisation, too, smaller (test_run.py)
NAMES = [
    pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK))
    for name in Catalogue().names("studies")
]


@pytest.fixture
def finebayes(monkeypatch, tmp_path, capsys):
    """The command line, in this process; figures in one format."""
    monkeypatch.setattr(environment, "prepare_devices", lambda **_: None)  # there are two: tests/conftest.py
    monkeypatch.setattr(style, "FORMATS", {"png": {}})

    def call(*words):
        cli.main(list(words))
        return capsys.readouterr().out

    return call


@pytest.mark.parametrize("name", NAMES)
def test_it_runs(name, tmp_path, finebayes):
    folder = str(tmp_path / "run")
    finebayes("run", name, "--preset", "smoke", "--out", folder)
    if name == "axioms":  # which scores no theory
        table = (tmp_path / "run" / "figures" / "axioms.csv").read_text().splitlines()
        assert table[0].startswith("data,method,axiom") and len(table) > 40
        assert "K(s)/K(0)" in finebayes("score", folder)
    elif name == "inside-beliefs":  # nor does this
        table = (tmp_path / "run" / "figures" / "inside-beliefs.csv").read_text().splitlines()
        assert table[0].startswith("data,test,measure") and len(table) > 40
        assert "T2 sufficiency" in finebayes("score", folder)
    elif name == "linebreak-manifold":
        table = (tmp_path / "run" / "figures" / "linebreak-manifold.csv").read_text().splitlines()
        assert table[0].startswith("data,test,measure,networks") and len(table) > 40
        assert "M3 substitution" in finebayes("score", folder)
    elif name == "three-currencies":  # nor this
        table = (tmp_path / "run" / "figures" / "three-currencies.csv").read_text().splitlines()
        assert table[0].startswith("test,measure,value") and len(table) > 40
        assert "K(s)/K(0)" in finebayes("score", folder)
    elif name == "factored-or-joint":
        table = (tmp_path / "run" / "figures" / f"{name}.csv").read_text().splitlines()
        assert table[0].startswith("test,measure,value") and len(table) > 40
        assert "Stated beforehand" in finebayes("score", folder)
    elif name in ("shared-concepts", "injected-beliefs"):
        table = (tmp_path / "run" / "figures" / f"{name}.csv").read_text().splitlines()
        assert table[0].startswith("test,measure,value") and len(table) > 20
        assert "Bayes" in finebayes("score", folder)
    elif name == "motor":
        table = (tmp_path / "run" / "figures" / "motor.csv").read_text().splitlines()
        assert table[0].startswith("data,part,event,source") and len(table) > 400
        assert "old probe, sgd" in finebayes("score", folder)
    else:
        lines = json.loads(finebayes("score", folder, "--json"))
        assert {line["study"] for line in lines} == {name}
        assert any(line["explained"] is not None and line["theory"] != "unchanged" for line in lines)
    assert list((tmp_path / "run" / "figures").glob("*.png")) and (tmp_path / "run" / "DONE").exists()
    quality = json.loads((tmp_path / "run" / "networks.json").read_text())
    assert quality["mean"] > 0
    assert (tmp_path / "run" / "measures.csv").exists() == (name in ("when-bayesian", "when-other-words"))
