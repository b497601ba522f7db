"""Cells made by hand, whose residual, updates and directions are known exactly."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr

from experiments.reports import html
from experiments.scoring import residuals
from experiments.scoring.leaderboard import TheoryKey, column
from experiments.scoring.rows import table
from experiments.scoring.scorecard import scorecard
from experiments.storage.contents import ReplayCell
from experiments.storage.records import Cell, Ladder
from experiments.storage.run_folder import create

DOSES = [1, 4, 16]
GROUPS = np.array(["in_domain"] * 2 + ["held_out"] * 4 + ["conflict"] * 3)
QUESTIONS = np.array([0, 0, 1, 1, 2, 2, 1, 2, 2])
OUTSIDE = GROUPS == "conflict"
RNG = np.random.default_rng(0)
BASES = log_softmax(RNG.normal(size=(2, 9, 4)), axis=-1)
TILT = RNG.normal(size=(2, 2, 1, 9, 4))
TARGETS = log_softmax(
    BASES[:, None, None] + 0.1 * np.array(DOSES)[:, None, None] * TILT, axis=-1
)  # base s d c a
DIRECTIONS = np.linalg.qr(RNG.normal(size=(20, 20)))[0].T
ORDER = RNG.permutation(16)  # of the directions on disk
IN, OUT = DIRECTIONS[:16], DIRECTIONS[16]
UPDATES = np.array([3 * IN[0] + 4 * IN[5], IN[0] + OUT])  # base p
LINEAR = np.array([3 * IN[0], OUT])
NETWORKS = [Cell("finetuned", "topics0", base, "sgd") for base in range(2)]
THEORIES = [cell.other("theories") for cell in NETWORKS]
REPLAYS = [cell.other("replays", "sgd") for cell in NETWORKS]


def half_right(target, base):
    """Right but in conflict contexts, where it has gone half of the way (in log-probability)."""
    half = log_softmax((target + base) / 2, axis=-1)
    return np.where(OUTSIDE[:, None], half, target)


def leaves(rows):
    """Two layers of 8 and 12 weights."""
    return {
        "blocks.0.up_proj.kernel": rows[:, :8].reshape(-1, 2, 4).astype(np.float32),
        "unembed.kernel": rows[:, 8:].reshape(-1, 4, 3).astype(np.float32),
    }


@pytest.fixture
def run(tmp_path, make):
    """Two base networks, two finetuning seeds each, by SGD: the content of every cell, and how to write
    it."""
    cells = {}
    for b in range(2):
        base, target, scale = BASES[b], TARGETS[b], np.array([0.1, 1.0, 2.0])[:, None]
        linear = scale * np.stack([UPDATES[b] * (1 + 1e-6), *[LINEAR[b]] * 2])  # the first gap is rounding
        components = log_softmax(RNG.normal(size=(3, 9, 4)), axis=-1)
        contexts = make.contexts(base, GROUPS, components, questions=QUESTIONS.astype(str))
        curvatures = np.logspace(2, 0, 16)[ORDER]
        cells[THEORIES[b]] = make.theories(contexts, (), curvatures, leaves(IN[ORDER]))
        cells[REPLAYS[b]] = ReplayCell({"linearised": half_right(target, base)}, update=leaves(linear))
        replica = log_softmax(target + 1e-3 * RNG.normal(size=target.shape), axis=-1)
        cells[NETWORKS[b]] = make.finetuned(target, replica, leaves(scale * UPDATES[b]))

    def written():
        config = {"finetuning": {"doses": DOSES, "n": 8, "batch": 8}}
        results = create(
            tmp_path, {"study": "scorecard", "preset": "smoke", "config": config}, {"commit": None}
        )
        for cell, content in cells.items():
            results.save(cell, content)
        return results

    return cells, written


def reported(results):
    return residuals.where(results, scorecard(table(results)))


def change(cells, cell, **values):
    cells[cell] = replace(cells[cell], **values)


def divergence(target, theory):
    return rel_entr(np.exp(target), np.exp(theory)).sum(axis=-1)


def test_the_residual_of_a_theory_wrong_in_one_group_is_found_there(run):
    (panel,) = reported(run[1]())
    assert (panel.name, panel.theory, panel.doses) == ("SGD, D′ on topic 0", "linearised", (4, 16))
    residual = divergence(TARGETS, half_right(TARGETS, BASES[:, None, None]))[:, :, 1:].mean(axis=(0, 1))
    shift = divergence(TARGETS, BASES[:, None, None])[:, :, 1:].mean(axis=(0, 1))
    np.testing.assert_allclose(panel.residual, residual, atol=1e-12)
    assert panel.groups.labels.tolist() == ["in_domain", "held_out", "conflict"]
    np.testing.assert_allclose(panel.groups.share, [[0, 0, 1]] * 2, atol=1e-12)
    explained = 1 - residual[:, OUTSIDE].sum(axis=1) / shift[:, OUTSIDE].sum(axis=1)
    np.testing.assert_allclose(panel.groups.explained[:, 2], explained)
    for column_, (label, topic) in enumerate((("0 (in D′)", 0), ("1", 1), ("2", 2))):
        assert panel.questions.labels[column_] == label
        share = residual[:, topic == QUESTIONS].sum(axis=1) / residual.sum(axis=1)
        np.testing.assert_allclose(panel.questions.share[:, column_], share, atol=1e-12)
    first = panel.tables["Residual of linearised, by group of contexts"][1]
    of_shift = shift[0, OUTSIDE].sum() / shift[0].sum()
    assert first[:3] == ["4", "conflict", "3"] and first[4:6] == ["100 %", f"{100 * of_shift:.0f} %"]
    largest = np.sort(residual[1])[::-1].cumsum() / residual[1].sum()
    row = panel.tables["Share of it in the contexts that have most"][2]
    assert row == ["16", "9", *(f"{100 * largest[k]:.0f} %" for k in (0, 0, 1)), str(1 + sum(largest < 0.5))]


def test_layers_are_averaged_over_base_networks(run):
    (panel,) = reported(run[1]())
    assert panel.layers == ("blocks.0.up_proj.kernel", "unembed.kernel", "all weights")
    for layer, part in enumerate((slice(0, 8), slice(8, 20), slice(0, 20))):
        ours, theirs = 2 * UPDATES[:, part], 2 * LINEAR[:, part]
        gap = ours - theirs
        norms = np.linalg.norm(ours, axis=1), np.linalg.norm(theirs, axis=1)
        cosine = np.sum(ours * theirs, axis=1) / (norms[0] * norms[1])
        error = np.linalg.norm(gap, axis=1) / norms[0]
        shares = (
            np.sum((rows[:, part] / np.linalg.norm(rows, axis=1, keepdims=True)) ** 2, axis=1)
            for rows in (UPDATES, UPDATES - LINEAR)
        )
        wanted = np.mean([*norms, cosine, error, *shares], axis=1)
        np.testing.assert_allclose(panel.moved[1, layer], wanted, rtol=1e-5)


def test_leading_directions_hold_known_shares(run):
    (panel,) = reported(run[1]())
    update = [(9 / 25 + 1 / 2) / 2, (9 / 25 + 1 / 2) / 2, (1 + 1 / 2) / 2]
    np.testing.assert_allclose(panel.inside, [[update, [0.5, 0.5, 1]]] * 2, atol=1e-5)
    assert panel.tables["Shares of ‖update‖² and ‖gap‖² in leading directions, of 20"][1:] == [
        [dose, "43 %", "43 %", "75 %", "50 %", "50 %", "100 %"] for dose in ("4", "16")
    ]


def test_what_rounding_leaves_has_no_shares(run):
    cells, written = run
    for b in range(2):
        linear = leaves(np.ones((3, 1)) * UPDATES[b] * (1 + 1e-6))
        cells[REPLAYS[b]] = ReplayCell({"linearised": TARGETS[b] + 1e-9}, update=linear)
        change(cells, NETWORKS[b], update=leaves(np.ones((3, 1)) * UPDATES[b]))
    (panel,) = reported(written())
    assert np.isnan(panel.groups.share).all() and np.isnan(panel.moved[:, :, 5]).all()
    assert np.isnan(panel.inside[:, 1]).all() and np.isfinite(panel.inside[:, 0]).all()
    assert {row[-1] for row in panel.tables["Share of it in the contexts that have most"][1:]} == {"-"}
    assert [sentence.split(".")[0] for sentence in residuals.sentences([panel])] == [
        "The best forecast is linearised",
        "The linear theory's update and the network's have the cosine 1",
    ]


def test_fewer_directions_than_asked_for_leave_a_hole(run):
    cells, written = run
    for b in range(2):
        change(cells, THEORIES[b], curvatures=np.where(ORDER < 5, 1.0 - ORDER / 8, 1e-9))
    (panel,) = reported(written())
    np.testing.assert_allclose(panel.inside[:, 0, :2], 0.43, atol=1e-5)
    assert np.isnan(panel.inside[:, :, 2]).all()


def test_a_direction_that_is_nothing_but_rounding_is_left_out(run):
    cells, written = run
    nothing = IN[ORDER] * (ORDER < 15)[:, None]  # the last of the leading directions is 0
    for b in range(2):
        change(cells, THEORIES[b], modes=leaves(nothing))
    (panel,) = reported(written())
    np.testing.assert_allclose(panel.inside[:, 0, :2], 0.43, atol=1e-5)
    assert np.isnan(panel.inside[:, :, 2]).all()


def test_the_sentences_say_what_the_tables_hold(run):
    (panel,) = panels = reported(run[1]())
    contexts, moved, directions = residuals.sentences(panels)
    assert "best forecast is linearised. At the large dose its residual is largest on conflict" in contexts
    assert "they hold 100 % of the residual" in contexts and "of 9 contexts" in contexts
    layer = panel.layers[int(panel.moved[1, :2, 5].argmax())]
    assert f"The gap is largest in {layer}: {100 * panel.moved[1, :2, 5].max():.0f} % of ‖gap‖²" in moved
    assert f"the gap is {100 * panel.moved[1, 2, 3]:.0f} % of the update in length" in moved
    held = "The 16 leading directions hold 75 % of ‖update‖² and 100 % of ‖gap‖² at the large dose"
    assert directions == f"{held}."
    twice = residuals.sentences(panels * 2)
    assert "largest on conflict contexts in 2 of 2 cases" in twice[0]
    assert twice[2] == f"{held}, less of the gap than of the update in 0 of 2 cases."


def with_ladder(cells, last):
    """A theory on a ladder, half right at times 1, 4 and 16; the recipe asks for 1, 4 and `last`."""
    for b in range(2):
        rungs = half_right(TARGETS[b], BASES[b])
        still = np.broadcast_to(BASES[b], (2, 1, 9, 4))
        times = np.array([0.0, 1.0, 4.0, 16.0])
        ladder = Ladder("proximal", "network", times / 10, np.concatenate([still, rungs], axis=1))
        change(cells, THEORIES[b], ladders=(ladder,))
        strengths = {"proximal/network": np.array([1.0, 4.0, last]) / 10}
        linearised = log_softmax((TARGETS[b] + BASES[b]) / 2, axis=-1)
        change(cells, REPLAYS[b], predictions={"linearised": linearised}, strengths=strengths)


def test_the_best_forecast_may_be_on_a_ladder(run):
    cells, written = run
    with_ladder(cells, 16.0)
    (panel,) = reported(written())
    assert panel.theory == "proximal"
    np.testing.assert_allclose(panel.groups.share, [[0, 0, 1]] * 2, atol=1e-9)


def test_a_forecast_without_a_prediction_at_a_dose_is_not_the_best(run):
    cells, written = run
    with_ladder(cells, 17.0)
    results = written()
    (panel,) = reported(results)
    assert panel.theory == "linearised"
    lines = scorecard(table(results))
    predicted = {line.dose for line in lines if (line.theory, line.grade) == ("proximal", "forecast")}
    wanted = TheoryKey("linearised", "network", "forecast")
    assert predicted == {1, 4} and residuals.best(column("", lines, "sgd", "topics0")) == wanted


def test_networks_that_the_best_forecast_fails_for_are_counted_and_the_others_stay(run):
    """One of four, by a single answer at the large dose; the other seed of its base network counts."""
    cells, written = run
    predictions = cells[REPLAYS[0]].predictions["linearised"].copy()
    predictions[1, 2, 0, 0] = np.nan
    change(cells, REPLAYS[0], predictions={"linearised": predictions})
    (panel,) = reported(written())
    assert (panel.networks, panel.finetuned, panel.failed) == (3, 4, 1)
    residual = divergence(TARGETS, half_right(TARGETS, BASES[:, None, None]))[:, :, 1:]
    kept = residual.reshape(4, 2, 9)[[0, 2, 3]]
    np.testing.assert_allclose(panel.residual, kept.mean(axis=0), atol=1e-12)
    caption = "Residual of linearised (over 3 of 4 networks; it fails for 1), by group of contexts"
    assert caption in panel.tables
    text = "It fails for 1 of 4 networks, which the following leaves out. At the large dose its residual"
    assert text in residuals.sentences([panel])[0]


def test_older_folders_and_unfinished_runs_say_less(run):
    cells, written = run
    for theories, replays, network in zip(THEORIES, REPLAYS, NETWORKS, strict=True):
        change(cells, theories, modes={})
        change(cells, replays, update={})
        change(cells, network, update={})
    results = written()
    (panel,) = reported(results)
    assert len(panel.tables) == 3 and len(residuals.sentences([panel])) == 1
    text = html.write_report(results).read_text()
    assert "Where the best forecast errs" in text and "layer by layer" not in text
    for b in range(2):
        results.path(REPLAYS[b]).unlink()
    assert reported(results) == [] and residuals.sentences([]) == []
    assert "Where the best forecast errs" not in html.write_report(results).read_text()


def test_the_report_has_a_section_with_every_table(run):
    results = run[1]()
    (panel,) = reported(results)
    text = html.write_report(results).read_text()
    assert "<summary>SGD, D′ on topic 0: linearised</summary>" in text
    assert len(panel.tables) == 5 and all(
        f"<h3>{html.escape(caption)}</h3>" in text for caption in panel.tables
    )
    assert all(f"<p>{html.escape(text_)}</p>" in text for text_ in residuals.sentences([panel]))
