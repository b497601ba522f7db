"""Lines of axioms over networks: sums, intervals by base network and D', and what is judged where."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.scoring import violations
from experiments.scoring.axioms import AXIOMS, MEASURES, axiom_lines, judged
from experiments.storage.axiom_cell import AxiomCell
from experiments.storage.contents import Contexts, RetrainedCell
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell, Ladder

GROUPS = ["in_domain", "in_domain", "held_out", "held_out", "conflict"]
SEEDS, ANSWERS = 2, 3


def log_probs(random, *shape):
    values = random.normal(size=shape)
    return (values - np.log(np.exp(values).sum(axis=-1, keepdims=True))).astype(np.float32)


@pytest.fixture(scope="session")
def make_axioms():
    """A cell of random answers, near its base network's."""

    def make(random, seeds=SEEDS, spread=0.1, **changes):
        count = len(GROUPS)
        base = log_probs(random, count, ANSWERS)

        def near(*leading):
            values = base + spread * random.normal(size=(*leading, count, ANSWERS))
            return (values - np.log(np.exp(values).sum(axis=-1, keepdims=True))).astype(np.float32)

        contexts = Contexts(
            np.array(GROUPS),
            np.array([f"question {c}" for c in range(count)]),
            np.array([f"answer {a}" for a in range(ANSWERS)]),
            log_probs(random, 2, count, ANSWERS),
            random.normal(size=(2, count)).astype(np.float32),
            base,
            base,
        )
        names = ("ordered", "reordered", "resumed", "forward", "backward", "pooled", "pooled_reordered")
        values = {name: near(seeds) for name in names}
        values |= {"drawn": near(4), "drawn_evidence": random.normal(size=(4, count))}
        rows = np.array([0, 2])
        values |= {"shown": near(seeds)[:, rows], "taught": near(seeds, 2)[:, :, rows], "rows": rows}
        values |= {"doses": np.array([1, 4]), "pairs": np.asarray(2)}
        return AxiomCell(contexts, **(values | changes))

    return make


@pytest.fixture(scope="module")
def run(make_axioms):
    random = np.random.default_rng(0)
    cells = {Cell("axioms", "arm", base, "sgd"): make_axioms(random) for base in range(3)}
    for base in range(2):
        ladder = Ladder(
            "retrained", "network", np.arange(3) / 4, log_probs(random, 1, 3, len(GROUPS), ANSWERS)
        )
        cells[Cell("retrained", "arm", base)] = RetrainedCell(ladder)
    return MemoryRun("axioms", (1, 4), cells)


def test_every_axiom_has_a_measure_and_lines_in_its_groups(run):
    lines = axiom_lines(run)
    assert list(MEASURES) == [axiom.name for axiom in AXIOMS]
    groups = {name: [line.group for line in lines if line.axiom == name] for name in MEASURES}
    every = ["in_domain", "held_out", "conflict"]
    for name in ("exchangeable", "commutes", "pools", "additive", "martingale"):
        assert groups[name] == every
    assert groups["filter"] == ["all"] and groups["context"] == groups["retrained"] == ["held_out"]
    assert {line.axiom: line.networks for line in lines} == dict.fromkeys(MEASURES, 3 * SEEDS) | {
        "martingale": 3,
        "retrained": 2,
    }


def test_a_line_sums_over_networks(run):
    line = next(line for line in axiom_lines(run) if (line.axiom, line.group) == ("commutes", "held_out"))
    inside = np.array(GROUPS) == "held_out"
    parts = []
    for cell in (content for content in run.contents.values() if isinstance(content, AxiomCell)):
        arrays = cell.forward, cell.backward, cell.pooled, cell.pooled_reordered
        parts.append(violations.commutes(*(array[:, inside] for array in arrays), cell.contexts.base[inside]))
    nats, noise, shift = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("nats", "noise", "shift")
    )
    np.testing.assert_allclose(line.share.value, nats.sum() / shift.sum())
    np.testing.assert_allclose(line.excess.value, (nats - noise).sum() / shift.sum())
    np.testing.assert_allclose([line.nats, line.noise], [nats.mean(), noise.sum() / shift.sum()])
    assert line.share.interval[0] < line.share.value < line.share.interval[1]
    assert line.violated == (line.excess.interval[0] > 0)
    record = line.record()
    assert record["share_low"] == line.share.interval[0] and record["violated"] == line.violated


def test_an_axiom_is_violated_where_all_networks_agree_on_it(run, make_axioms):
    """Every network ends far from where it would at a stretch, whatever the base network."""
    cells = {}
    for base in range(4):
        cell = make_axioms(np.random.default_rng(1), seeds=4, spread=0.1 + 0.01 * base)
        reversed_ = cell.ordered[..., ::-1]
        cells[Cell("axioms", "arm", base, "adam")] = replace(cell, reordered=cell.ordered, resumed=reversed_)
    lines = axiom_lines(MemoryRun("axioms", (1, 4), cells))
    violated = {line.axiom for line in lines if line.violated and line.group == "held_out"}
    assert "additive" in violated and "commutes" not in violated


def test_a_martingale_has_a_value_a_base_network(run):
    line = next(line for line in axiom_lines(run) if (line.axiom, line.group) == ("martingale", "held_out"))
    assert line.networks == 3 and line.share.interval is not None


def test_what_was_not_measured_has_no_line(make_axioms):
    absent = dict.fromkeys(("shown", "taught", "rows", "doses", "pairs"))
    cells = {
        Cell("axioms", "arm", base, "sgd"): make_axioms(np.random.default_rng(base), **absent)
        for base in (0, 1)
    }
    names = {line.axiom for line in axiom_lines(MemoryRun("axioms", (1, 4), cells))}
    assert names == {*MEASURES} - {"context", "retrained"}
    with_nothing = AxiomCell.from_arrays(next(iter(cells.values())).to_arrays())
    assert with_nothing.shown is None


def test_the_judged_group_is_held_out_or_the_first_that_is_not_of_the_data():
    assert judged(["in_domain", "base_domain", "held_out"]) == "held_out"
    assert judged(["in_domain", "others"]) == "others"
