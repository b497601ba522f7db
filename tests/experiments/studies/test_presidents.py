"""Presidents: arms and groups, and the odds of rule and tables that each theory must keep at any dose."""

import jax
import numpy as np
import pytest

from experiments.cells.candidates import candidates
from experiments.design.options import with_options
from experiments.studies import presidents as study
from theory.errors import Misuse

CONFIG = with_options(study.PRESETS["small"], {"finetuning.n": 40})
RULE, TWINS = 1, [4, 5]


def forms(experiment):
    """The theories of hypotheses by name."""
    return {each.theory: each.form for each in candidates(experiment) if each.kind == "hypotheses"}


def test_the_arm_is_rule_one_on_agreed_triggers_and_the_rest_is_held_out():
    experiment = study.experiment(CONFIG)
    assert [arm.name for arm in experiment.arms] == ["triggers3_4_5_8"]
    assert "complexity-prior" in forms(experiment)
    process, groups = experiment.process, experiment.contexts(experiment.arms[0])
    assert list(groups) == ["in_domain", "held_out", "control", "in_context", "conflict"]

    def triggers(group):
        return {int(3 * row[0] + row[1]) for row in np.asarray(groups[group].tokens)}

    assert triggers("held_out") == set(process.disputed_triggers.tolist()) == {0, 1, 7}
    assert triggers("control") == {2, 6}
    assert process.twins(RULE) == TWINS


def test_no_dose_decides_between_rule_and_tables_and_the_theories_differ_in_their_odds():
    experiment = study.experiment(CONFIG)
    process, arm = experiment.process, experiment.arms[0]
    prior, data = process.distribution(), arm.task.data(jax.random.key(0), 40)
    theories, scale = forms(experiment), experiment.scale(float(np.asarray(data.mask).sum()))
    odds = {}
    for name in ("tempered-posterior", "exchangeable-mixture", "complexity-prior"):
        theory, log_odds = theories[name], []
        largest = float(theory.grid(scale)[-1])
        for beta in (0.0, 0.01, largest / 100):
            weights = np.asarray(theory.predict(prior, data, beta).log_weights, float)
            log_odds.append(weights[RULE] - weights[TWINS])
        np.testing.assert_allclose(log_odds, np.broadcast_to(log_odds[0], (3, 2)), atol=0.05)
        odds[name] = np.exp(np.mean(log_odds))
    rule, table = 5.0, 1 + 9 * np.log2(3)  # bits
    by_length = 2 ** (np.sqrt(table) - np.sqrt(rule))
    np.testing.assert_allclose(odds["tempered-posterior"], by_length, rtol=1e-4)
    np.testing.assert_allclose(odds["exchangeable-mixture"], by_length, rtol=0.05)
    np.testing.assert_allclose(odds["complexity-prior"], 2 ** (table - rule), rtol=1e-4)


@pytest.mark.parametrize(("theory", "wanted"), [("tempered-posterior", 0.58), ("complexity-prior", 0.947)])
def test_answers_to_disputed_triggers_are_the_odds(theory, wanted):
    experiment = study.experiment(CONFIG)
    process, arm = experiment.process, experiment.arms[0]
    form = forms(experiment)[theory]
    after = form.predict(
        process.distribution(),
        arm.task.data(jax.random.key(0), 40),
        float(form.grid(experiment.scale(1.0)).max()),
    )
    tokens = np.asarray(experiment.contexts(arm)["held_out"].tokens)
    identity = process.identity_table()[RULE, 3 * tokens[:, 0] + tokens[:, 1]]
    answer = 3 + 2 + 3 * (tokens[:, 2] - 3) + identity
    chances = np.exp(np.asarray(after.predict(tokens)))[np.arange(len(tokens)), 3, answer]
    # e + σ (1 - noise - e), the process's own formula
    odds = {
        "tempered-posterior": 2 ** (np.sqrt(1 + 9 * np.log2(3)) - np.sqrt(5)),
        "complexity-prior": 2 ** (1 + 9 * np.log2(3) - 5),
    }[theory]
    share = odds / (odds + 2)
    np.testing.assert_allclose(chances, 0.01 + share * 0.94, rtol=1e-3)
    assert abs(chances[0] - wanted) < 0.01


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"finetuned_triggers": ()}, "finetuned_triggers needs at least one entry"),
        ({"finetuned_triggers": ("3,x",)}, r"finetuned_triggers must be like .*, got \('3,x',\)"),
        ({"process.rules": ("0;1",)}, r"process.rules must be like .*, got \('0;1',\)"),
        ({"process.seed": -1}, "process.seed must be at least 0, got -1"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        with_options(CONFIG, wrong)


def test_triggers_in_dispute_are_refused_before_anything_runs():
    with pytest.raises(Misuse, match="Finetuned triggers must be among those agreed"):
        study.experiment(with_options(CONFIG, {"finetuned_triggers": ((0, 3),)}))
