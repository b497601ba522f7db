"""Forecasts are sealed before the finetuning, or they are not scored."""

import json
import re

import numpy as np
import pytest

from experiments.reports import html as report
from experiments.scoring import rows as scoring
from experiments.storage import seal as forecast
from experiments.storage.contents import Contexts, FinetunedCell, PosteriorCell, ReplayCell, TheoryCell
from experiments.storage.files import write_json
from experiments.storage.records import Cell, Ladder
from experiments.storage.run_folder import create
from theory.errors import Misuse

CONFIG = {"finetuning": {"doses": [1], "n": 4, "batch": 2}}
STUDY = {"study": "weird-generalisation", "preset": "smoke", "config": CONFIG}
NETWORK = Cell("finetuned", "topics0", 0, "head-only")
THEORIES, POSTERIORS = NETWORK.other("theories"), NETWORK.other("posteriors")
REPLAYS = NETWORK.other("replays", "head-only")
EVEN = np.log(np.full((2, 2), 0.5))
CONTEXTS = Contexts(
    np.array(["in_domain", "held_out"]),
    np.array(["q", "r"]),
    np.array(["a", "b"]),
    EVEN[None],
    np.zeros((1, 2)),
    EVEN,
    EVEN,
)


def theory_cell(change=0.0):
    return TheoryCell(CONTEXTS, (), np.ones(1), np.arange(3.0) + change)


def networks(answers):
    return FinetunedCell(answers, answers, np.zeros((1, 1)), np.zeros((1, 1)))


@pytest.fixture
def run(tmp_path):
    """Forecasts of one arm and one base, nothing finetuned."""
    results = create(tmp_path / "run", STUDY, {"commit": None})
    results.save(THEORIES, theory_cell())
    sampled = Ladder("adam-gibbs", "T=0.001", np.array([0.0, 1.0]), np.broadcast_to(EVEN, (1, 2, 2, 2)))
    results.save(POSTERIORS, PosteriorCell((sampled,)))
    results.save(REPLAYS, ReplayCell({}, {"adam-gibbs/T=0.001": np.ones(1)}))
    return results


def finetune(run):
    forecast.begin(run)
    moved = np.log(np.array([0.4, 0.6])) * np.ones((1, 1, 2, 1))
    run.save(NETWORK, networks(moved))


def test_cells_of_theories_hold_no_finetuned_network(run):
    finetune(run)
    assert [cell for cell in run.cells() if not cell.is_forecast] == [NETWORK]


def test_a_sealed_forecast_is_scored_after_the_finetuning(run):
    sealed = forecast.seal(run)
    assert sealed == forecast.check(run) == forecast.seal(run)
    assert (sealed.cells, sealed.began) == (3, "")
    finetune(run)
    after = forecast.check(run)
    assert (after.hash, after.made) == (sealed.hash, sealed.made)
    assert after.made <= after.began
    text = report.write_report(run).read_text()
    assert all(part in text for part in (after.made, after.began, after.hash))
    assert forecast.seal(run) == after  # nothing to do, and nothing to refuse


def test_a_run_without_a_seal_is_scored_and_the_report_says_so(run):
    finetune(run)
    assert forecast.check(run) is None
    assert "not sealed before the finetuning" in report.write_report(run).read_text()


def test_a_forecast_after_the_finetuning_is_refused(run):
    finetune(run)
    with pytest.raises(Misuse, match="Finetuning has begun"):
        forecast.seal(run)
    assert not (run.folder / forecast.FORECAST).exists()


def test_cells_without_a_note_of_when_they_began_are_refused_too(run):
    run.save(NETWORK, networks(np.zeros((1, 1, 2, 2))))
    with pytest.raises(Misuse, match="Finetuning has begun"):
        forecast.seal(run)


@pytest.mark.parametrize("change", ["other numbers", "no file"])
def test_a_changed_cell_is_refused_wherever_it_would_be_scored(run, change):
    forecast.seal(run)
    finetune(run)
    if change == "no file":
        run.path(THEORIES).unlink()
    else:
        run.save(THEORIES, theory_cell(change=1e-9))
    for use in (forecast.check, forecast.seal, scoring.table, report.write_report):
        with pytest.raises(Misuse, match=r"1 of 3 forecasts are not those sealed .* theories--topics0--0"):
            use(run)


@pytest.mark.parametrize("field", ["made", "config", "cells", "hash"])
def test_a_changed_seal_is_refused(run, field):
    forecast.seal(run)
    path = run.folder / forecast.FORECAST
    record = json.loads(path.read_text())
    record[field] = {} if field == "cells" else "0" * 12
    write_json(path, record)
    with pytest.raises(Misuse, match="changed after it was sealed"):
        forecast.check(run)


@pytest.mark.parametrize("late", [POSTERIORS, REPLAYS])
def test_a_forecast_added_after_sealing_is_not_scored_as_sealed(run, late):
    content = run.load(late)
    run.path(late).unlink()
    forecast.seal(run)
    finetune(run)
    assert forecast.check(run).cells == 2
    run.save(late, content)
    for use in (forecast.check, scoring.table, report.write_report):
        with pytest.raises(Misuse, match=f"{late.name} is not among the forecasts sealed on .* move it away"):
            use(run)
    run.path(late).unlink()
    assert forecast.check(run).cells == 2


def test_a_forecast_that_failed_is_sealed_with_its_reason(run):
    run.path(POSTERIORS).unlink()
    run.fail(POSTERIORS, "It diverged.")
    assert forecast.seal(run).cells == 3
    finetune(run)
    run.fail(POSTERIORS, "It was not looked at.")
    with pytest.raises(Misuse, match="1 of 3 forecasts are not those sealed"):
        forecast.check(run)


def test_a_seal_made_again_after_the_finetuning_is_refused(run):
    """Somebody who deletes the seal and makes another one has a hash that finetuning did not see."""
    forecast.seal(run)
    finetune(run)
    (run.folder / forecast.FORECAST).unlink()
    with pytest.raises(Misuse, match="under which finetuning began, is gone"):
        forecast.check(run)
    run.path(NETWORK).unlink()
    begun = (run.folder / forecast.FINETUNING).read_text()
    (run.folder / forecast.FINETUNING).unlink()
    forecast.seal(run)
    (run.folder / forecast.FINETUNING).write_text(begun)
    with pytest.raises(Misuse, match=re.escape("was made after finetuning began")):
        forecast.check(run)


@pytest.mark.parametrize("name", [forecast.FORECAST, forecast.FINETUNING])
@pytest.mark.parametrize("text", ["[]", "{}", '{"began": 3, "forecast": null}', "7", "{"])
def test_a_damaged_seal_is_not_to_be_deleted(run, name, text):
    forecast.seal(run)
    finetune(run)
    (run.folder / name).write_text(text)
    with pytest.raises(Misuse, match=f"{name} is damaged .* put it back, or run again in another folder"):
        forecast.check(run)


def test_a_machine_whose_clock_is_before_the_seal_does_not_finetune(run, monkeypatch):
    forecast.seal(run)
    with monkeypatch.context() as changed:
        changed.setattr(forecast, "_now", lambda: "2001-01-01T00:00:00.000+00:00")
        with pytest.raises(Misuse, match=r"This machine's clock says 2001-.*; set the clock, or let another"):
            forecast.begin(run)
    forecast.begin(run)
    forecast.check(run)
