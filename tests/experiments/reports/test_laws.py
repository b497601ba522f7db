"""The laws of a sweep with planted scores and measures, from its folder to its tables."""

import csv

import numpy as np
import pytest

from experiments import cli
from experiments.reports import laws as module
from experiments.reports.laws import sweep_laws, write_laws
from experiments.runs.sweep_result import load_sweep
from experiments.scoring.laws import Observation
from experiments.scoring.sealed_laws import LAWS
from theory.errors import Misuse

STYLES = [0.1 * index for index in range(1, 31)]


def planted(run, point):
    """κ is 0.3 × style, and the linear theory leaves κ² unexplained."""
    kappa = 0.3 * float(point.partition("=")[2])
    random = np.random.default_rng(round(1000 * kappa))
    known = {"kappa": kappa, "norm": random.uniform(10, 60), "leak": random.uniform()}
    return [Observation(point, method, 8, "linearised", 1 - kappa**2, known) for method in ("adam", "sgd")]


@pytest.fixture
def sweep(sweeps, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "observations", planted)
    monkeypatch.setattr("experiments.figures.laws.FORMATS", {"svg": {"Date": None}})
    words = ",".join(f"{style:.1f}" for style in STYLES)
    return lambda explained: sweeps.make(tmp_path / "s", sweeps.plan(f"style={words}"), explained)


@pytest.mark.slow
def test_laws_are_sealed_scored_written_and_drawn(sweep):
    made = sweep(lambda values: "it diverged" if values["process.style"] == 3.0 else {"linearised": 1.0})
    found = sweep_laws(made)
    assert len({line.point for line in found.observations}) == 29  # a failed run is no point
    text = str(found)
    assert "linearised" in text and "in kappa" in text and found.sealed.hash in text
    assert found.verdicts[0].r2 > 0.99 and (made.folder / LAWS).exists()
    names = [path.name for path in write_laws(made, found)]
    assert names == ["laws.svg", "kappa.svg", "laws.csv", "ranks.csv", "observations.csv"]
    with open(made.folder / "observations.csv", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 58 and float(lines[0]["explained"]) == pytest.approx(
        1 - float(lines[0]["kappa"]) ** 2
    )
    with open(made.folder / "ranks.csv", encoding="utf-8") as file:
        ranks = {line["measure"]: float(line["linearised"]) for line in csv.DictReader(file)}
    assert ranks["kappa"] == -1 and abs(ranks["norm"]) < 0.9
    assert sweep_laws(made).sealed == found.sealed


@pytest.mark.slow
def test_the_command_and_the_notebook_give_the_same_laws(sweep, capsys):
    made = sweep(lambda values: {"linearised": 1.0})
    cli.main(["sweep", str(made.folder), "--law"])
    printed = capsys.readouterr().out
    assert "in kappa" in printed and str(made.folder / "observations.csv") in printed
    assert str(load_sweep(made.folder).laws()) in printed


def test_laws_wait_for_the_sweep(sweep):
    made = sweep(lambda values: None if values["process.style"] == 0.2 else {"linearised": 1.0})
    with pytest.raises(Misuse, match=r"1 of 30 runs are not finished \(first style=0.2\)"):
        sweep_laws(made)
    assert not (made.folder / LAWS).exists()


def test_laws_of_another_sweep_are_scored_on_the_points_that_it_has_not(
    sweeps, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(module, "observations", planted)
    monkeypatch.setattr("experiments.figures.laws.FORMATS", {"svg": {"Date": None}})

    def made(name, values):
        words = ",".join(f"{value:.2f}" for value in values)
        return sweeps.make(tmp_path / name, sweeps.plan(f"style={words}"), lambda values: {"linearised": 1.0})

    old, new = made("old", STYLES[::2]), made("new", [0.1, 0.25, 0.55, 2.95])
    with pytest.raises(SystemExit):
        cli.main(["sweep", str(new.folder), "--laws-of", str(old.folder)])
    assert "has no sealed laws" in capsys.readouterr().err
    sealed = sweep_laws(old).sealed
    cli.main(["sweep", str(new.folder), "--laws-of", str(old.folder)])
    printed = capsys.readouterr().out
    assert sealed.hash in printed and f"none of which is in {old.folder}" in printed
    assert not (new.folder / LAWS).exists() and not list((new.folder / "figures").glob("kappa*"))
    found = sweep_laws(new, old)
    assert {line.point for line in found.observations} == {"style=0.25", "style=0.55", "style=2.95"}
    assert found.verdicts[0].points == 3 and found.verdicts[0].r2 > 0.99
    assert str(load_sweep(new.folder).laws(of=old.folder)) in printed
    with pytest.raises(Misuse, match="has no point that is not in"):
        sweep_laws(old, old)
    with pytest.raises(SystemExit):
        cli.main(["sweep", str(new.folder), "--law", "--laws-of", str(old.folder)])
    assert "give one of them" in capsys.readouterr().err
