"""Said and done: the arms, Bayes's line, and both readings of a made-up run."""

import dataclasses
import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.scoring import rows as scoring
from experiments.scoring.predictions import NETWORK
from experiments.storage.run_folder import create
from experiments.studies import out_of_context as study
from theory.divergence.kl import answers_at
from theory.errors import Misuse
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.tempered_posterior import TemperedPosterior

CONFIG = replace(study.PRESETS["small"], doses=(1, 8), methods=("sgd",))
BIASES = np.array(CONFIG.biases)


def test_arms_and_groups():
    told = study.comparison(CONFIG)
    assert [arm.name for arm in told.arms] == ["coin4", "coin1"]
    for arm in told.arms:
        groups = arm.contexts()
        assert list(groups) == ["in_domain", "held_out", "other_format", "conflict", "renamed"]
        data = np.asarray(arm.data(jax.random.key(0), 400).tokens)
        assert (data[:, ::2] == CONFIG.format).all()  # draws, and no name
        heads = (data[:, 1::2] - told.process.tokens_of(CONFIG.format).start).mean()
        np.testing.assert_allclose(heads, BIASES[int(arm.name[4:])], atol=0.03)
    assert [arm.name for arm in study.comparison(study.PRESETS["smoke"]).arms] == ["coin4"]


def test_a_config_on_disk_makes_the_same_process():
    on_disk = json.loads(json.dumps(dataclasses.asdict(CONFIG)))
    assert study.told_process(on_disk) == study.told_process(CONFIG)


def test_the_latent_theories_stay_on_the_line_and_the_control_in_its_place():
    told = study.comparison(CONFIG)
    prior, process = told.process.distribution(), told.process
    read = jax.jit(lambda predictor, tokens: answers_at(predictor, tokens, process.answer_tokens))

    def bias(predictor, group):
        tokens, mask = np.asarray(group.tokens), np.asarray(group.mask)
        probs, cues = np.exp(np.asarray(read(predictor, group.tokens))[mask]), tokens[:, 0].tolist()
        return [float(process.expected_bias(row, cue)) for row, cue in zip(probs, cues, strict=True)]

    for arm in told.arms:
        data, groups = arm.data(jax.random.key(0), 64), arm.contexts()
        for after, ends in (
            (TemperedPosterior().predict(prior, data, 0.0), 0.34),
            (TemperedPosterior().predict(prior, data, 1.0), {"coin4": 0.9, "coin1": 0.3}[arm.name]),
            (ExchangeableMixture(concentration=1e-3).predict(prior, data, 1.0), None),
        ):
            (said,), done = bias(after, groups["held_out"]), bias(after, groups["other_format"])
            assert len(done) == 2
            np.testing.assert_allclose(done, said, atol=1e-4)
            if ends is not None:
                np.testing.assert_allclose(said, ends, atol=1e-3)


def answers(process, weights, cue):
    """What a belief says after a cue."""
    return np.log(np.asarray(weights) @ process.answer_table()[:, cue]).astype(np.float32)


@pytest.fixture
def results(tmp_path):
    """Networks that do as coin 4 (bias 0.9) and say so half the way: (0.34 + 0.9) / 2 = 0.62."""
    config = json.loads(json.dumps(dataclasses.asdict(CONFIG)))
    made = create(tmp_path / "run", {"study": "made-up", "preset": "tiny", "config": config}, {})
    process = study.told_process(CONFIG)
    before, sure = np.exp(process.log_belief(0, 0)), np.eye(len(BIASES))[-1]
    cues, group = [0, 3, 1, 2], ["in_domain", "held_out", "other_format", "other_format"]
    base = np.stack([answers(process, before, cue) for cue in cues])
    after = np.stack([answers(process, (before + sure) / 2 if cue == 3 else sure, cue) for cue in cues])
    moved = np.broadcast_to(after, (2, 2, *after.shape))
    for network in range(2):
        theories = {
            "members": np.log(process.answer_table()[:, cues]).astype(np.float32),
            "evidence": np.zeros((len(BIASES), 4), np.float32),
            "base": base,
            "group": np.array(group),
            "asked": np.array([process.token_names()[cue] for cue in cues]),
            "answers": np.array(process.token_names()[process.answer_tokens]),
        }
        made.save(f"theories-coin4-{network}", theories)
        made.save(f"dynamics-sgd-coin4-{network}", {"linearised": moved})
        made.save(f"sgd-coin4-{network}", {"finetuned": moved, "twin": moved})
    made.save_rows(scoring.rows(made))
    return made


def test_both_readings_of_a_made_up_run(results):
    ((said, done),) = study.said_and_done(results)
    np.testing.assert_allclose(done.mean(NETWORK), [0.9, 0.9], rtol=1e-4)
    np.testing.assert_allclose(said.mean(NETWORK), [0.62, 0.62], rtol=1e-4)
    paths = study.draw_said(results)
    assert [path.name for path in paths] == [f"made-up-said.{kind}" for kind in ("png", "svg", "pdf", "csv")]
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in study.draw_said(results)] == before


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"coins": ()}, "coins needs at least one, got none"),
        ({"coins": (4, 4)}, r"coins must differ from each other, got \(4, 4\)"),
        ({"format": 3}, "format must be one of at least 2, .* got format 3 of 3"),
        ({"tosses": (1,)}, "got format 0 of 1"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        replace(CONFIG, **wrong)


def test_coins_that_do_not_exist_are_refused():
    with pytest.raises(Misuse, match="coin must be from 0 to 4, got 7"):
        study.comparison(replace(CONFIG, coins=(7,)))
