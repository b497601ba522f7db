"""D' of two personas: shares, arms, and what the two latent theories must say of them."""

import jax
import numpy as np
import pytest

from experiments.design.options import with_options
from experiments.studies import mixtures as study
from theory.errors import Misuse
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.tempered_posterior import TemperedPosterior

CONFIG = with_options(study.PRESETS["small"], {"finetuning.n": 40})


def test_arms_are_the_shares():
    experiment = study.experiment(CONFIG)
    assert [arm.name for arm in experiment.arms] == ["50_50", "70_30", "90_10"]
    groups = experiment.contexts(experiment.arms[0])
    assert list(groups) == ["in_domain", "held_out", "in_context", "conflict"]


def test_the_tempered_posterior_selects_and_the_exchangeable_mixture_blends():
    experiment = study.experiment(CONFIG)
    prior, blends = experiment.process.distribution(), []
    for arm in experiment.arms:
        data = arm.task.data(jax.random.key(0), 400)
        selected = np.exp(TemperedPosterior().predict(prior, data, 1.0).log_weights)
        assert selected.max() > 0.999
        blended = np.exp(ExchangeableMixture().predict(prior, data, 1e6).log_weights)
        responsibilities = np.exp(prior.posterior(data.tokens)).mean(axis=0)
        np.testing.assert_allclose(blended, responsibilities, atol=1e-4)
        blends.append(blended[[CONFIG.persona, CONFIG.rival]])
    assert (np.array(blends) > 0.05).all()  # neither is given up at any strength
    assert (np.diff(blends, axis=0) * [1, -1] > 0.02).all()  # and their weights follow the shares of D'


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"rival": 4}, "rival must be another persona than persona, got 4"),
        ({"shares": (1.0,)}, "shares must lie strictly between 0 and 1, got 1.0"),
        ({"shares": ()}, "shares needs at least one"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        with_options(CONFIG, wrong)
