"""Lines and statements of the study of events: whole intervals decide, and ratios are of sums."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.scoring.intervals import Estimate
from experiments.scoring.motor import Statement, followed, growth, motor_lines, statements, worlds
from experiments.storage.inside_cell import FEATURES
from experiments.storage.motor_cell import (
    BASELINES,
    LINKS,
    MOVES,
    QUALITY,
    REGIMES,
    STEERED,
    VECTORS,
)


def noisy(value, base):
    return value + 1e-4 * (base % 3 - 1)


def excess(cell, regime, value):
    array = cell.by_depth.copy()
    array[-1, REGIMES.index(regime), -1, LINKS.index("log-odds"), QUALITY.index("excess")] = value
    return replace(cell, by_depth=array)


def test_lines_are_means_with_the_columns_of_their_axes(events):
    cells = [events.cell(bounds=np.full((2, 3), float(base))) for base in range(4)]
    lines = motor_lines(events.run(cells))
    (line,) = (
        one for one in lines if (one.part, one.event, one.measure) == ("bounds", "newline next", "floor")
    )
    assert line.value.value == 1.5 and line.networks == 4 and line.value.interval is not None
    ladder = [one for one in lines if one.part == "labels"]
    assert len(ladder) == 2 * 6 * 2 * 2 * 4 and {one.labels for one in ladder} == {64, 256}
    old = [one for one in lines if one.part == "old"]
    assert {(one.method, one.dose, one.networks) for one in old} == {
        (method, dose, 12) for method in events.names["methods"] for dose in events.names["doses"]
    }
    assert {"data", "part", "event", "source", "low", "high"} < {*lines[0].record()}


def test_information_has_lines_where_all_cells_have_it(events):
    table = np.zeros((2, 3, len(FEATURES)), np.float32)
    table[..., FEATURES.index("streams")] = 0.5
    table[..., FEATURES.index("foreign")] = np.nan
    new = events.cell(information=table)
    lines = [line for line in motor_lines(events.run([new] * 2)) if line.part == "information"]
    assert {line.source for line in lines} == {*FEATURES} - {"foreign"} and {
        line.depth for line in lines
    } == {*(0, 1, 2)}
    assert {line.value.value for line in lines if line.source == "streams"} == {0.5}
    old = motor_lines(events.run([new, events.cell()]))
    assert not [line for line in old if line.part == "information"]


def test_what_is_not_measured_has_no_line(events):
    ladder = events.ones("ladder")
    ladder[:, REGIMES.index("soft"), -1] = np.nan
    lines = motor_lines(events.run([events.cell(ladder=ladder)] * 2))
    soft = [one for one in lines if one.part == "labels" and one.source == "soft"]
    assert {one.labels for one in soft} == {64}


def test_shares_are_ratios_of_sums(events):
    """Of one network squares are 3 and products 1, of the others both are 1."""
    moves = events.ones("moves")
    moves[:, 0, :, :, MOVES.index("squares")] = 3.0
    run = events.run([events.cell(moves=moves)])
    lines = motor_lines(run)
    shares = [line.value.value for line in lines if line.measure == "followed share"]
    assert shares == pytest.approx([3 / 5] * 8)
    assert {line.measure for line in lines if line.part == "finetuned"} >= {"moved", "off after"}
    (state,) = {line.value.value for line in lines if line.measure == "state share"}
    assert state == 1
    points = followed(worlds(run)["pages"])
    assert len(points) == 4 and points[0].followed == pytest.approx(3 / 5) and points[0].cost == 0


def test_statements_hold_where_networks_do_what_was_said(events):
    cells = []
    for base in range(6):
        cell = events.cell()
        for regime, value in zip(REGIMES, (0.02, 0.02, 0.02, 0.02, 0.4, 0.05, 0.021), strict=True):
            cell = excess(cell, regime, noisy(value, base))
        baselines = cell.baselines.copy()
        baselines[-1, BASELINES.index("tokens"), 0] = noisy(0.1, base)
        steering = cell.steering.copy()
        for vector, score in zip(VECTORS, (0.8, 0.1, 0.7, 0.5, 0.5, -0.5), strict=True):
            steering[:, VECTORS.index(vector), :, STEERED.index("score")] = noisy(score, base)
        cells.append(replace(cell, baselines=baselines, steering=steering))
    verdicts = {found.name: found.verdict for found in statements(events.run(cells))}
    assert {name: verdicts[name] for name in ("description", "policy", "detection")} == dict.fromkeys(
        ("description", "policy", "detection"), "holds"
    )
    assert verdicts["steering, depth 1"] == verdicts["steering, depth 2"] == "holds"
    assert verdicts["old probe, sgd"] == "holds" and "old probe, head-only" not in verdicts
    worse = [excess(cell, "description", noisy(0.08, base)) for base, cell in enumerate(cells)]
    assert {found.name: found.verdict for found in statements(events.run(worse))}["description"] == "refuted"


def test_the_cost_of_the_process_as_a_slope_on_what_is_not_state(events):
    """Networks whose read-out made all of the shift pay 0.3 nats, the others nothing."""
    cells = []
    for base in range(4):
        cell = events.cell()
        shift, new = cell.shift.copy(), cell.new.copy()
        shift[1, ..., 1] = 1.0  # head-only: nothing is left with the base network's read-out
        new[1, ..., REGIMES.index("off-policy"), 0] += noisy(0.3, base)
        cells.append(replace(cell, shift=shift, new=new))
    (found,) = (found for found in statements(events.run(cells)) if found.name == "shift")
    assert found.value.value == pytest.approx(0.3, abs=1e-3) and found.verdict == "holds"
    (whole,) = worlds(events.run(cells)).values()
    assert np.isnan(growth(whole, within=True).value)  # of a method all networks have one S


def test_within_methods_what_is_between_them_has_no_say(events):
    random, cells = np.random.default_rng(0), []
    for _ in range(6):
        cell = events.cell()
        shift, new = cell.shift.copy(), cell.new.copy()
        shift[..., 1] = random.uniform(0.1, 0.4, shift.shape[:-1])
        shift[1, ..., 1] += 0.5
        index = REGIMES.index("off-policy")
        # within methods the cost falls by 0.2 nats; between them it grows
        new[..., index, 0] = new[..., REGIMES.index("on-policy"), 0] - 0.2 * shift[..., None, 1]
        new[1, ..., index, 0] += 0.5
        cells.append(replace(cell, shift=shift, new=new))
    (found,) = worlds(events.run(cells)).values()
    assert growth(found).value > 0
    assert growth(found, within=True).value == pytest.approx(-0.2, abs=1e-6)


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((0.1, 0.2), "holds"), ((-0.2, -0.1), "refuted"), ((-0.1, 0.1), "open"), (None, "open")],
)
def test_a_whole_interval_decides(interval, verdict):
    assert Statement("", "", "", (0.0, np.inf), Estimate(0.1, 0.1, interval)).verdict == verdict
