"""Scores against the share of D' learnt: the table beside the figure has the shares of a made-up run."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from experiments.figures.by_share import draw_by_share
from experiments.scoring import rows as scoring
from experiments.storage.run_folder import create

DOSES, SEEDS = (1, 8), 2


def log(second):
    second = np.asarray(second, float)
    return np.log(np.stack([1 - second, second], axis=-1)).astype(np.float32)


@pytest.fixture
def run(tmp_path, make):
    """Two base networks whose loss on D' goes from 2 to 1.75 and to 0.9; the best hypothesis has 1."""
    config = {"doses": list(DOSES), "n": 4, "batch": 2, "pairs": 2, "sgd_rate": 0.1, "methods": ["sgd"]}
    made = create(tmp_path / "run", {"study": "made-up", "preset": "tiny", "config": config}, {})
    betas, group = np.linspace(0, 1, 6).astype(np.float32), np.repeat(["in_domain", "held_out"], 2)
    ladder = log(np.tile(0.2 + 0.7 * betas[:, None], (SEEDS, 1, 4)))
    theories = make.theories(
        log([0.2] * 4),
        group,
        ["a", "b", "a", "b"],
        ["good", "bad"],
        log([[0.1] * 4, [0.9] * 4]),
        [make.ladder("tempered-posterior/process", betas, ladder)],
    )
    theories = replace(theories, reachable=np.tile([2.0, 1.9, 1.0], (SEEDS, 1)))
    networks = make.networks(log(np.tile([[0.3], [0.5]], (SEEDS, 1, 4))), log(np.full((SEEDS, 2, 4), 0.35)))
    networks = replace(networks, data_loss=np.tile([1.75, 0.9], (SEEDS, 1)))
    replay = make.replay(log(np.full((SEEDS, 2, 4), 0.25)))
    for base in range(2):
        make.save(made, "one", base, {"theories": theories, "replays": replay, "finetuned": networks})
    made.save_rows(scoring.rows(made))
    return made


def test_every_score_stands_beside_the_share_of_its_dose(run):
    paths = draw_by_share(run)
    assert [path.name for path in paths] == [
        f"made-up-by-share.{kind}" for kind in ("png", "svg", "pdf", "csv")
    ]
    with paths[-1].open() as file:
        table = list(csv.DictReader(file))
    assert {(line["dose"], line["data_learnt"]) for line in table} == {("1", "0.2500"), ("8", "1.1000")}
    assert {line["group"] for line in table} == {"held_out"}
    assert {"answer-bias", "linearised", "tempered-posterior", "unchanged"} <= {
        line["theory"] for line in table
    }


def test_nothing_is_drawn_where_no_share_is_known(run, make):
    for cell in run.cells("theories"):
        run.save(cell, replace(run.theories(cell), reachable=None))
    assert draw_by_share(run) == []
