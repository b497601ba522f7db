"""Line widths: arms and groups, and which theory lets the context's lines take finetuning back."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.studies import linebreak_widths as study
from theory.errors import Misuse
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.tempered_posterior import TemperedPosterior

CONFIG = study.PRESETS["small"]
BREAK = 4  # the newline's token


@pytest.fixture(scope="module")
def told():
    return study.comparison(replace(CONFIG, repeats=8))


def shares(told, arm, theory, beta):
    """By lines shown: how far p(newline) is on the way from the exact process to the width of D' alone."""
    prior, data = told.process.distribution(), arm.data(jax.random.key(0), 32)
    moved = theory.predict(prior, data, beta)
    found = []
    for name, group in list(arm.contexts().items())[2:]:
        own = told.process.widths.index(int(arm.name.removeprefix("width")))
        asked = np.asarray(group.mask)
        base, after = (
            np.exp(np.asarray(process.predict(group.tokens))[asked][:, BREAK]).mean()
            for process in (prior, moved)
        )
        alone = np.exp(np.asarray(prior.component_log_probs(group.tokens))[own][asked][:, BREAK]).mean()
        assert abs(alone - base) > 0.1, name  # there is something to take back
        found.append((after - base) / (alone - base))
    return np.array(found)


def test_arms_are_the_widths_and_groups_the_lines_shown(told):
    assert [arm.name for arm in told.arms] == ["width4", "width9"]
    names = ["in_domain", "held_out", "first_line", "lines_1", "lines_2", "lines_3"]
    assert all(list(arm.contexts()) == names for arm in told.arms)
    assert not told.process.widths.index(7) and min(told.process.widths) == 4


def test_one_width_for_all_of_the_data_is_kept_and_a_width_a_document_given_up(told):
    for arm in told.arms:
        kept = shares(told, arm, TemperedPosterior(), 1.0)
        assert (kept > 0.99).all()
        given_up = shares(told, arm, ExchangeableMixture(), 1.0)
        assert given_up[0] > 0.5 and given_up[3] < given_up[0] / 2


def test_the_lines_that_undo_the_tempered_posterior_grow_with_the_dose(told):
    weak, strong = (shares(told, told.arms[0], TemperedPosterior(), beta) for beta in (0.01, 0.03))
    assert weak[0] > 0.8 and weak[1] < weak[0] - 0.2 and weak[3] < 0.2
    assert strong[1] > strong[0] - 0.2 and strong[3] > weak[3] + 0.2


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"finetuned_widths": ()}, "finetuned_widths needs at least one width"),
        ({"finetuned_widths": (5,)}, r"the narrowest or the widest of \(4, 9\), got 5"),
        ({"base_seeds": 0}, "base_seeds must be at least 1, got 0"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        replace(CONFIG, **wrong)
