"""Line widths: arms and groups, and which theory lets the context's lines take finetuning back."""

import jax
import numpy as np
import pytest

from experiments.design.options import with_options
from experiments.studies import linebreak_widths as study
from theory.errors import Misuse
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.tempered_posterior import TemperedPosterior

CONFIG = study.PRESETS["small"]
BREAK = 4  # the newline's token


@pytest.fixture(scope="module")
def experiment():
    return study.experiment(with_options(CONFIG, {"repeats": 8}))


def moved_shares(experiment, arm, theory, beta):
    """By lines shown: how far p(newline) is on the way from the exact process to the width of D' alone."""
    prior, data = experiment.process.distribution(), arm.task.data(jax.random.key(0), 32)
    moved = theory.predict(prior, data, beta)
    shares = []
    for name, group in list(experiment.contexts(arm).items())[2:]:
        own = experiment.process.widths.index(int(arm.name.removeprefix("width")))
        mask = np.asarray(group.mask)
        base, after = (
            np.exp(np.asarray(process.predict(group.tokens))[mask][:, BREAK]).mean()
            for process in (prior, moved)
        )
        alone = np.exp(np.asarray(prior.component_log_probs(group.tokens))[own][mask][:, BREAK]).mean()
        assert abs(alone - base) > 0.1, name  # there is something to take back
        shares.append((after - base) / (alone - base))
    return np.array(shares)


def test_arms_are_the_widths_and_groups_the_lines_shown(experiment):
    assert [arm.name for arm in experiment.arms] == ["width4", "width9"]
    names = ["in_domain", "held_out", "first_line", "lines_1", "lines_2", "lines_3"]
    assert all(list(experiment.contexts(arm)) == names for arm in experiment.arms)
    assert not experiment.process.widths.index(7) and min(experiment.process.widths) == 4


def test_one_width_for_all_of_the_data_is_kept_and_a_width_a_document_given_up(experiment):
    for arm in experiment.arms:
        kept = moved_shares(experiment, arm, TemperedPosterior(), 1.0)
        assert (kept > 0.99).all()
        given_up = moved_shares(experiment, arm, ExchangeableMixture(), 1.0)
        assert given_up[0] > 0.5 and given_up[3] < given_up[0] / 2


def test_the_lines_that_undo_the_tempered_posterior_grow_with_the_dose(experiment):
    weak, strong = (
        moved_shares(experiment, experiment.arms[0], TemperedPosterior(), beta) for beta in (0.01, 0.03)
    )
    assert weak[0] > 0.8 and weak[1] < weak[0] - 0.2 and weak[3] < 0.2
    assert strong[1] > strong[0] - 0.2 and strong[3] > weak[3] + 0.2


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"finetuned_widths": ()}, "finetuned_widths needs at least one entry"),
        ({"finetuned_widths": (5,)}, r"the narrowest or the widest of \(4, 9\), got 5"),
        ({"pretraining.seeds": 0}, "pretraining.seeds must be at least 1, got 0"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        study.experiment(with_options(CONFIG, wrong))
