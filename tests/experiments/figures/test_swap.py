"""The figure of state and read-out shares: its table, its controls, and nothing where nothing is known."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from experiments.figures import style
from experiments.figures.swap import draw_swap, is_control
from experiments.scoring import rows as scoring
from experiments.scoring.scorecard import scorecard
from experiments.storage.run_folder import create

DOSES, SEEDS = (1, 8), 2
PARTS = {"head-only": (0.0, 1.0), "lora": (1.0, 0.0), "sgd": (0.7, -2.0)}  # state, read-out


def log(second):
    return np.log(np.stack([1 - np.asarray(second, float), second], axis=-1)).astype(np.float32)


@pytest.fixture
def run(tmp_path, make, monkeypatch):
    """Two base networks; each method leaves known parts of the shift, which is noise at SGD's first dose."""
    monkeypatch.setattr(style, "FORMATS", {"svg": {"Date": None}})
    config = {"doses": list(DOSES), "n": 4, "batch": 2}
    made = create(tmp_path / "run", {"study": "made-up", "preset": "tiny", "config": config}, {})
    group, base = np.repeat(["in_domain", "held_out"], 2), log([0.2] * 4)
    theories = make.theories(base, group, list("abab"), ["good", "bad"], log([[0.1] * 4, [0.9] * 4]), [])
    tuned = log(np.tile([[0.3], [0.5]], (SEEDS, 1, 4)))
    shift = np.sum(np.exp(tuned) * (tuned - base), axis=-1)
    for index in range(2):
        for method, (state, read_out) in PARTS.items():
            noise = (0.5 * (method == "sgd") * (np.array(DOSES) == 1))[:, None, None]
            cell = replace(
                make.networks(tuned, tuned - noise),
                base_read_out=(1 - state) * shift,
                base_blocks=(1 - read_out) * shift,
            )
            make.save(made, "one", index, {"theories": theories, "finetuned": cell}, method)
    made.save_rows(scoring.rows(made))
    return made


def test_every_share_is_in_the_table_and_controls_are_marked(run):
    paths = draw_swap(run)
    assert [path.name for path in paths] == ["made-up-swap.svg", "made-up-swap.csv"]
    with paths[1].open() as file:
        table = {(line["method"], line["dose"], line["group"]): line for line in csv.DictReader(file)}
    assert len(table) == 2 * (2 + 2 + 1)
    for (method, *_), line in table.items():
        shares = float(line["state_share"]), float(line["read_out_share"])
        assert shares == pytest.approx(PARTS[method], abs=1e-5)
        assert float(line["state_share_low"]) <= shares[0] <= float(line["state_share_high"])
    drawn = paths[0].read_text()
    assert all(f"<!-- {name} -->" in drawn for name in ("head-only (control)", "lora (control)", "SGD"))
    lines = [line for line in scorecard(run.rows()) if line.theory == "unchanged"]
    assert not is_control([line for line in lines if line.method != "lora"])  # two that are not one


def test_nothing_is_drawn_of_cells_without_a_swap(run):
    run.save_rows([replace(row, base_blocks=None) for row in run.rows()])
    assert draw_swap(run) == []
