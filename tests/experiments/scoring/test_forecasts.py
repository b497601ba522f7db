"""What theories expect before any finetuning: how far the answers move, by dose; and its table."""

import numpy as np
import pytest

from experiments.figures.forecast import draw_forecast
from experiments.reports.expectations import forecast_text
from experiments.scoring.forecasts import Forecast, forecasts
from experiments.storage.contents import Contexts, ReplayCell, TheoryCell
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell, Ladder
from experiments.storage.run_folder import create

BASE = np.log([[0.5, 0.5], [0.9, 0.1]])  # (c, a): an in-domain context and a held-out one
MOVED = np.log([[0.5, 0.5], [0.6, 0.4]])


def run():
    """Two base networks, two doses: one theory follows the steps, one forecasts β, one can but be fitted."""
    none = np.zeros((1, 2, 2))
    contexts = Contexts(
        np.array(["in_domain", "held_out"]), np.array(["q", "q"]), np.array(["a", "b"]), none, none[..., 0],
        none[0], BASE,
    )  # fmt: skip
    path = np.stack([BASE, MOVED])[None]  # (s, b, c, a)
    ladders = tuple(Ladder(name, "process", np.array([0.0, 1.0]), path) for name in ("told", "fitted"))
    theories = TheoryCell(contexts, ladders, np.ones(1), np.ones(1))
    replays = ReplayCell({"follows": np.stack([MOVED, np.full_like(MOVED, np.nan)])[None]}, {
        "told/process": np.array([0.0, 1.0])
    })  # fmt: skip
    made = MemoryRun("made-up", (1, 8))
    for base in range(2):
        made = made.with_content(Cell("theories", "topics0", base), theories)
        made = made.with_content(Cell("replays", "topics0", base, "sgd"), replays)
    return made


def test_the_shift_is_the_divergence_from_the_base_network():
    expected = float(np.sum(np.exp(MOVED[1]) * (MOVED[1] - BASE[1])))
    assert expected == pytest.approx(0.6 * np.log(0.6 / 0.9) + 0.4 * np.log(4))
    shifts = {(line.theory, line.dose): line.shift for line in forecasts(run()) if line.group == "held_out"}
    assert shifts == {
        ("follows", 1): pytest.approx(expected, rel=1e-3),
        ("follows", 8): None,  # it fails there
        ("told", 1): pytest.approx(0, abs=1e-6),
        ("told", 8): pytest.approx(expected, rel=1e-3),
    }


def test_the_figure_has_a_line_for_each_theory_and_a_panel_for_each_method(tmp_path):
    made = create(tmp_path / "run", {"study": "made-up", "preset": "tiny", "config": {}}, {})
    lines = forecasts(run()) + [
        Forecast("adam", "topics0", "told", prior, "held_out", dose, shift * dose, 2)
        for prior, shift in (("process", 0.5), ("implied", 0.2))
        for dose in (1, 8)
    ]
    drawn = draw_forecast(made, lines)
    assert [path.name for path in drawn] == [f"made-up-forecast.{kind}" for kind in ("png", "svg", "pdf")]
    words = drawn[1].read_text()
    for name in ("follows", "told", "SGD, D′ on topic 0", "Adam, D′ on topic 0", "expected shift (nats)"):
        assert f"<!-- {name} -->" in words
    before = drawn[0].read_bytes()
    implied = [line for line in lines if line.prior != "process" or line.method == "sgd"]
    assert draw_forecast(made, implied)[0].read_bytes() == before  # of two priors it is the one that is drawn
    assert draw_forecast(made, []) == []


def test_the_table_has_theories_and_doses():
    lines = forecast_text(forecasts(run())).splitlines()
    assert lines[0].split() == ["method", "data", "theory", "prior", "dose", "1", "dose", "8"]
    assert lines[1].split()[:5] == ["sgd", "topics0", "follows", "network", "0.31120"]
    assert lines[1].endswith("failed for 2 of 2 networks")
    assert lines[2].split()[-2:] == ["0.00000", "0.31120"]
    assert "mean over contexts of held_out" in lines[-1] and len(lines) == 5
    assert forecast_text([]) == "No theory forecasts anything of this study."
