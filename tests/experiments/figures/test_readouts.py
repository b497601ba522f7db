"""Numbers read off answers: means, errors and shares of made-up ones, and the figure of a made-up run."""

import numpy as np
import pytest

from experiments.figures.readouts import Reading, draw_readings, readings
from experiments.scoring import rows as scoring
from experiments.scoring.predictions import BASE, NETWORK
from experiments.storage.run_folder import create

DOSES, SEEDS = (1, 8), 2


def log(second):
    """Two answers, the second with this probability."""
    second = np.asarray(second, float)
    return np.log(np.stack([1 - second, second], axis=-1)).astype(np.float32)


def second(context, probs):
    """The probability of the second answer, mean over contexts."""
    assert context["answers"].tolist() == ["good", "bad"] and len(context["asked"]) == probs.shape[2]
    return probs[..., 1].mean(axis=-1)


@pytest.fixture
def results(tmp_path):
    """Two base networks that say 0.2; finetuned by dose to 0.3 and 0.4, and to 0.5 and 0.8; asked twice."""
    config = {"doses": list(DOSES), "n": 4, "batch": 2, "pairs": 2, "sgd_rate": 0.1, "methods": ["sgd"]}
    made = create(tmp_path / "run", {"study": "made-up", "preset": "tiny", "config": config}, {})
    betas, group = np.linspace(0, 1, 6).astype(np.float32), np.repeat(["in_domain", "held_out"], 2)
    for base, moved in enumerate(((0.3, 0.4), (0.5, 0.8))):
        ladder = log(np.tile(0.2 + 0.7 * betas[:, None], (SEEDS, 1, 4)))
        theories = {
            "members": log([[0.1] * 4, [0.9] * 4]),
            "evidence": np.zeros((2, 4), np.float32),
            "base": log([0.2] * 4),
            "group": group,
            "asked": np.array(["a", "b", "a", "b"]),
            "answers": np.array(["good", "bad"]),
            "ladder/tempered-posterior/process": ladder,
            "betas/tempered-posterior/process": betas,
        }
        told = log(np.tile(np.array(moved)[:, None], (SEEDS, 1, 4)))
        made.save(f"theories-one-{base}", theories)
        made.save(f"dynamics-sgd-one-{base}", {"linearised": log(np.full((SEEDS, 2, 4), 0.25))})
        made.save(f"sgd-one-{base}", {"finetuned": told, "twin": log(np.full((SEEDS, 2, 4), 0.35))})
    made.save_rows(scoring.rows(made))
    return made


def test_what_networks_and_theories_said_is_read_by_one_measure(results):
    (one,) = readings(results, "held_out", second)
    assert (one.method, one.data, one.doses) == ("sgd", "one", DOSES)
    wanted = {NETWORK: [0.4, 0.6], BASE: [0.2, 0.2], "linearised": [0.25, 0.25]}
    for who, mean in wanted.items():
        assert one.values[who].shape == (2, SEEDS, 2)
        np.testing.assert_allclose(one.mean(who), mean, rtol=1e-5)
    # β fitted in-domain reaches what the network says there, up to the ladder's rungs
    np.testing.assert_allclose(one.mean("tempered-posterior"), [0.4, 0.6], atol=0.005)
    assert readings(results, "no such group", second) == []


def test_errors_are_of_base_networks_and_shares_of_networks():
    values = np.array([[[0.1, 0.9], [0.3, 0.4]], [[0.6, 0.8], [0.8, 0.9]]])
    one = Reading("sgd", "one", (0, 1), DOSES, {NETWORK: values})
    np.testing.assert_allclose(one.error(NETWORK), [0.25, 0.1])  # half the difference of two means
    np.testing.assert_allclose(one.share_above(0.5), [[0, 0.5], [1, 1]])
    assert np.isnan(Reading("sgd", "one", (0, 1), DOSES, {NETWORK: values[:1]}).error(NETWORK)).all()


def test_the_figure_is_the_same_twice(results):
    wanted = {"bad": ("held_out", second), "inside": ("in_domain", second)}
    paths = draw_readings(results, wanted, "bad", 0.5, "share above 1/2")
    assert [path.name for path in paths] == [f"made-up-bad.{kind}" for kind in ("png", "svg", "pdf", "csv")]
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in draw_readings(results, wanted, "bad", 0.5, "share above 1/2")] == (
        before
    )
    assert draw_readings(results, {"none": ("no such group", second)}, "none") == []
