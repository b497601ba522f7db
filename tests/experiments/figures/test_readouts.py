"""Numbers read off answers: means, errors and shares of made-up ones, and the figure of a made-up run."""

import numpy as np
import pytest

from experiments.figures.readouts import Readout, draw_readings, readings
from experiments.scoring import rows as scoring
from experiments.scoring.predictions import BASE, NETWORK
from experiments.storage.run_folder import create

DOSES, SEEDS = (1, 8), 2


def log(second):
    """Two answers, the second with this probability."""
    second = np.asarray(second, float)
    return np.log(np.stack([1 - second, second], axis=-1)).astype(np.float32)


def second(contexts, probs):
    """The probability of the second answer, mean over contexts."""
    assert contexts.answers.tolist() == ["good", "bad"] and len(contexts.questions) == probs.shape[2]
    return probs[..., 1].mean(axis=-1)


@pytest.fixture
def run(tmp_path, make):
    """Two base networks that say 0.2; finetuned by dose to 0.3 and 0.4, and to 0.5 and 0.8; asked twice."""
    config = {"doses": list(DOSES), "n": 4, "batch": 2, "pairs": 2, "sgd_rate": 0.1, "methods": ["sgd"]}
    made = create(tmp_path / "run", {"study": "made-up", "preset": "tiny", "config": config}, {})
    betas, group = np.linspace(0, 1, 6).astype(np.float32), np.repeat(["in_domain", "held_out"], 2)
    for base, moved in enumerate(((0.3, 0.4), (0.5, 0.8))):
        ladder = log(np.tile(0.2 + 0.7 * betas[:, None], (SEEDS, 1, 4)))
        theories = make.theories(
            log([0.2] * 4),
            group,
            ["a", "b", "a", "b"],
            ["good", "bad"],
            log([[0.1] * 4, [0.9] * 4]),
            [make.ladder("tempered-posterior/process", betas, ladder)],
        )
        networks = make.networks(
            log(np.tile(np.array(moved)[:, None], (SEEDS, 1, 4))), log(np.full((SEEDS, 2, 4), 0.35))
        )
        replay = make.replay(log(np.full((SEEDS, 2, 4), 0.25)))
        make.save(made, "one", base, {"theories": theories, "replays": replay, "finetuned": networks})
    made.save_rows(scoring.rows(made))
    return made


def test_answers_of_networks_and_theories_are_read_by_one_measure(run):
    (one,) = readings(run, "held_out", second)
    assert (one.method, one.data, one.doses) == ("sgd", "one", DOSES)
    wanted = {NETWORK: [0.4, 0.6], BASE: [0.2, 0.2], "linearised": [0.25, 0.25]}
    for name, mean in wanted.items():
        assert one.values[name].shape == (2, SEEDS, 2)
        np.testing.assert_allclose(one.mean(name), mean, rtol=1e-5)
    # β fitted in-domain reaches what the network says there, up to the ladder's rungs
    np.testing.assert_allclose(one.mean("tempered-posterior"), [0.4, 0.6], atol=0.005)
    assert readings(run, "no such group", second) == []


def test_means_and_shares_are_of_networks():
    values = np.array([[[0.1, 0.9], [0.3, 0.4]], [[0.6, 0.8], [0.8, 0.9]]])
    one = Readout("sgd", "one", (0, 1), DOSES, {NETWORK: values})
    np.testing.assert_allclose(one.mean(NETWORK), [0.45, 0.75])
    np.testing.assert_allclose(one.above(0.5), [[[0, 1], [0, 0]], [[1, 1], [1, 1]]])


def test_the_figure_is_the_same_twice(run):
    wanted = {"bad": ("held_out", second), "inside": ("in_domain", second)}
    paths = draw_readings(run, wanted, "bad", 0.5, "share above 1/2")
    assert [path.name for path in paths] == [f"made-up-bad.{kind}" for kind in ("png", "svg", "pdf", "csv")]
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in draw_readings(run, wanted, "bad", 0.5, "share above 1/2")] == (
        before
    )
    assert draw_readings(run, {"none": ("no such group", second)}, "none") == []
