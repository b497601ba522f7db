"""Presidents: arms and groups, and the odds of rule and tables that each theory must keep at any dose."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.cells.candidates import LIKELIHOOD, mixtures
from experiments.studies import presidents as study
from theory.errors import Misuse

CONFIG = replace(study.PRESETS["small"], n=40)
RULE, TWINS = 1, [4, 5]


def test_the_arm_is_rule_one_on_agreed_triggers_and_the_rest_is_held_out():
    told = study.comparison(CONFIG)
    assert [arm.name for arm in told.arms] == ["triggers3_4_5_8"]
    assert "complexity-prior" in told.theories
    process, groups = told.process, told.arms[0].contexts()
    assert list(groups) == ["in_domain", "held_out", "control", "in_context", "conflict"]

    def triggers(group):
        return {int(3 * row[0] + row[1]) for row in np.asarray(groups[group].tokens)}

    assert triggers("held_out") == set(process.disputed_triggers.tolist()) == {0, 1, 7}
    assert triggers("control") == {2, 6}
    assert process.twins(RULE) == TWINS


def test_no_dose_decides_between_rule_and_tables_and_the_theories_differ_in_their_odds():
    told = study.comparison(CONFIG)
    process, arm = told.process, told.arms[0]
    prior, data = process.distribution(), arm.data(jax.random.key(0), 40)
    known = mixtures(process)
    odds = {}
    for name in ("tempered-posterior", "exchangeable-mixture", "complexity-prior"):
        theory, ladder = known[name]
        told_odds = []
        for beta in (0.0, 0.01, float(ladder[-1]) / 100):
            weights = np.asarray(theory.predict(prior, data, beta).log_weights, float)
            told_odds.append(weights[RULE] - weights[TWINS])
        np.testing.assert_allclose(told_odds, np.broadcast_to(told_odds[0], (3, 2)), atol=0.05)
        odds[name] = np.exp(np.mean(told_odds))
    rule, table = 5.0, 1 + 9 * np.log2(3)  # bits
    taught = 2 ** (np.sqrt(table) - np.sqrt(rule))
    np.testing.assert_allclose(odds["tempered-posterior"], taught, rtol=1e-4)
    np.testing.assert_allclose(odds["exchangeable-mixture"], taught, rtol=0.05)
    np.testing.assert_allclose(odds["complexity-prior"], 2 ** (table - rule), rtol=1e-4)


@pytest.mark.parametrize(("theory", "wanted"), [("tempered-posterior", 0.58), ("complexity-prior", 0.947)])
def test_answers_to_disputed_triggers_are_the_odds(theory, wanted):
    told = study.comparison(CONFIG)
    process, arm = told.process, told.arms[0]
    after = mixtures(process)[theory][0].predict(
        process.distribution(), arm.data(jax.random.key(0), 40), float(LIKELIHOOD.max())
    )
    asked = np.asarray(arm.contexts()["held_out"].tokens)
    identity = process.identity_table()[RULE, 3 * asked[:, 0] + asked[:, 1]]
    answer = 3 + 2 + 3 * (asked[:, 2] - 3) + identity
    said = np.exp(np.asarray(after.predict(asked)))[np.arange(len(asked)), 3, answer]
    # e + σ (1 - noise - e), the process's own formula
    odds = {
        "tempered-posterior": 2 ** (np.sqrt(1 + 9 * np.log2(3)) - np.sqrt(5)),
        "complexity-prior": 2 ** (1 + 9 * np.log2(3) - 5),
    }[theory]
    share = odds / (odds + 2)
    np.testing.assert_allclose(said, 0.01 + share * 0.94, rtol=1e-3)
    assert abs(said[0] - wanted) < 0.01


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"finetuned_triggers": ()}, "finetuned_triggers needs at least one set"),
        (
            {"finetuned_triggers": ("3,x",)},
            "finetuned_triggers must be numbers with commas between, like 3,4",
        ),
        ({"rules": ("0;1",)}, "rules must be numbers with commas between, like 0,0,1; got '0;1'"),
        ({"process_seed": -1}, "Seeds must be at least 0, got -1"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        replace(CONFIG, **wrong)


def test_triggers_in_dispute_are_refused_before_anything_runs():
    with pytest.raises(Misuse, match="Finetuned triggers must be among those agreed"):
        study.comparison(replace(CONFIG, finetuned_triggers=("0,3",)))
