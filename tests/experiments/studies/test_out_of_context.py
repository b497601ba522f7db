"""Self-report and behaviour: the arms, and Bayes's line."""

import jax
import numpy as np
import pytest

from experiments.design.options import with_options
from experiments.studies import out_of_context as study
from theory.divergence.kl import answers_at
from theory.errors import Misuse
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.tempered_posterior import TemperedPosterior

CONFIG = with_options(study.PRESETS["small"], {"finetuning.doses": (1, 8), "finetuning.methods": ("sgd",)})
BIASES = np.array(CONFIG.process.biases)


def test_arms_and_groups():
    experiment = study.experiment(CONFIG)
    assert [arm.name for arm in experiment.arms] == ["coin4", "coin1"]
    for arm in experiment.arms:
        groups = experiment.contexts(arm)
        assert list(groups) == ["in_domain", "held_out", "other_format", "conflict", "renamed"]
        data = np.asarray(arm.task.data(jax.random.key(0), 400).tokens)
        assert (data[:, ::2] == CONFIG.format).all()  # draws, and no name
        heads = (data[:, 1::2] - experiment.process.tokens_of(CONFIG.format).start).mean()
        np.testing.assert_allclose(heads, BIASES[int(arm.name[4:])], atol=0.03)
    assert [arm.name for arm in study.experiment(study.PRESETS["smoke"]).arms] == ["coin4"]


def test_the_latent_theories_stay_on_the_line_and_the_control_in_its_place():
    experiment = study.experiment(CONFIG)
    prior, process = experiment.process.distribution(), experiment.process
    read = jax.jit(lambda predictor, tokens: answers_at(predictor, tokens, process.answer_tokens))

    def bias(predictor, group):
        tokens, mask = np.asarray(group.tokens), np.asarray(group.mask)
        probs, cues = np.exp(np.asarray(read(predictor, group.tokens))[mask]), tokens[:, 0].tolist()
        return [float(process.expected_bias(row, cue)) for row, cue in zip(probs, cues, strict=True)]

    for arm in experiment.arms:
        data, groups = arm.task.data(jax.random.key(0), 64), experiment.contexts(arm)
        for after, ends in (
            (TemperedPosterior().predict(prior, data, 0.0), 0.34),
            (TemperedPosterior().predict(prior, data, 1.0), {"coin4": 0.9, "coin1": 0.3}[arm.name]),
            (ExchangeableMixture(concentration=1e-3).predict(prior, data, 1.0), None),
        ):
            (reported,), shown = bias(after, groups["held_out"]), bias(after, groups["other_format"])
            assert len(shown) == 2
            np.testing.assert_allclose(shown, reported, atol=1e-4)
            if ends is not None:
                np.testing.assert_allclose(reported, ends, atol=1e-3)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"coins": ()}, "coins needs at least one entry, got none"),
        ({"coins": (4, 4)}, r"coins must differ from each other, got \(4, 4\)"),
        ({"format": 3}, "format must be from 0 to 2 .*, got 3"),
        ({"process.tosses": (1,)}, r"tosses must have at least 2 formats .*, got \(1,\)"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        study.experiment(with_options(CONFIG, wrong))


def test_coins_that_do_not_exist_are_refused():
    with pytest.raises(Misuse, match="coin must be from 0 to 4, got 7"):
        study.experiment(with_options(CONFIG, {"coins": (7,)}))
