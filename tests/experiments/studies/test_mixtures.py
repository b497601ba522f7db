"""D' of two personas: shares, arms, and what the two latent theories must say of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.design.options import with_options
from experiments.studies import mixtures as study
from theory.base import Dataset
from theory.errors import Misuse
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.tempered_posterior import TemperedPosterior

CONFIG = with_options(study.PRESETS["small"], {"finetuning.n": 40})


def test_arms_are_the_shares():
    experiment = study.experiment(CONFIG)
    assert [arm.name for arm in experiment.arms] == ["50_50", "70_30", "90_10"]
    groups = experiment.contexts(experiment.arms[0])
    assert list(groups) == ["in_domain", "held_out", "in_context", "conflict"]


def test_the_tempered_posterior_selects_and_the_exchangeable_mixture_ends_at_the_shares(posterior_mode):
    experiment = study.experiment(CONFIG)
    prior, blends = experiment.process.distribution(), []
    for arm, share in zip(experiment.arms, CONFIG.shares, strict=True):
        data = arm.task.data(jax.random.key(0), 400)
        selected = np.exp(TemperedPosterior().predict(prior, data, 1.0).log_weights)
        assert selected.max() > 0.999
        blended = np.exp(ExchangeableMixture().predict(prior, data, 1e6).log_weights)
        whole = Dataset(data.tokens, jnp.ones(data.tokens.shape, bool))
        told = np.asarray(prior.log_likelihoods(whole), float)
        wanted = posterior_mode(np.exp(prior.log_weights), told, 1.0, 1e-6)
        np.testing.assert_allclose(blended, wanted, atol=5e-5)
        # the information of documents on a share that goes from one persona of D' to the other
        first, second = np.exp(told[[CONFIG.persona, CONFIG.rival]])
        spread = np.sum(((first - second) / (share * first + (1 - share) * second)) ** 2) ** -0.5
        assert spread < 0.05
        np.testing.assert_allclose(
            blended[[CONFIG.persona, CONFIG.rival]], [share, 1 - share], rtol=0, atol=3 * spread
        )
        blends.append(blended[CONFIG.persona])
    assert (np.diff(blends) > 0.1).all()


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
