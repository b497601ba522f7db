"""Labels say what they name, and numbers are not rounded to what they are not."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.scoring import labels


def lines(*values):
    """Lines with the given (theory, prior) alone, of one panel and group."""
    names = {"method": "sgd", "data": "topics0", "group": "held_out"}
    return [SimpleNamespace(theory=theory, prior=prior, **names) for theory, prior in values]


@pytest.mark.parametrize(
    ("method", "data", "name"),
    [
        ("sgd", "topics0", "SGD, D′ on topic 0"),
        ("adam", "topics0_1_2", "Adam, D′ on topics 0, 1, 2"),
        ("kl-lifted", "questions2-batch16", "kl-lifted, D′ on question 2, batch 16"),
        ("sgd", "blob2", "SGD, D′ on blob2"),
        ("sgd", "same-start", "SGD, D′ on same-start"),
        ("sgd", "far_away", "SGD, D′ on far away"),
    ],
)
def test_panels_have_names(method, data, name):
    assert labels.panel_name(method, data) == name


def test_panels_come_by_method_and_the_broadest_data_last():
    panels = "adam topics0_1", "sgd topics10", "zeta topics2", "adam topics2", "sgd topics2"
    every = [SimpleNamespace(method=panel.split()[0], data=panel.split()[1]) for panel in panels]
    assert labels.panels(every) == [
        *(("sgd", "topics2"), ("adam", "topics2"), ("zeta", "topics2")),
        *(("sgd", "topics10"), ("adam", "topics0_1")),
    ]
    assert labels.of_panel(every, ("adam", "topics2")) == [every[3]]


def test_of_several_priors_the_implied_or_the_coldest_is_shown():
    every = lines(
        ("unchanged", "network"),
        ("tempered-posterior", "process"),
        ("tempered-posterior", "implied"),
        ("langevin-posterior", "T=0.1"),
        ("langevin-posterior", "T=0.001"),
        ("proximal", "network"),
    )
    assert [(line.theory, line.prior) for line in labels.one_prior(every)] == [
        ("tempered-posterior", "implied"),
        ("langevin-posterior", "T=0.001"),
        ("proximal", "network"),
    ]
    assert labels.temperature("v of 3 steps, T=0.5") == 0.5 and labels.temperature("process") == 0.0


def test_theories_are_judged_outside_the_domain_where_there_is_an_outside():
    groups = [SimpleNamespace(group=group) for group in ("in_domain", "conflict", "held_out", "conflict")]
    assert labels.judged_groups(groups) == ["held_out", "conflict"]
    assert labels.judged_groups(groups[:1]) == ["in_domain"]


def test_three_doses_are_shown_from_the_first_with_a_score():
    scores = {1: None, 2: 0.5, 4: 0.5, 8: np.nan, 16: 0.5}
    every = [SimpleNamespace(dose=dose, explained=score) for dose, score in scores.items()]
    assert labels.three(every) == [2, 8, 16]
    assert labels.three(every[:1]) == [1]


def test_scores_close_to_one_say_what_they_leave():
    assert labels.score(0.9961) == "1 − 0.0039" and labels.score(1 - 3e-7) == "1 − 3e-07"
    assert labels.score(0.98) == "0.980" and labels.score(1.0) == "1.000" and labels.score(1.02) == "1.020"
    assert labels.score(-13.23) == "-13.2" and labels.score(-4308.2) == "-4308"
    assert labels.score(-np.inf) == "-∞" and labels.score(None) == labels.score(np.nan) == "-"
    assert labels.interval((0.931, 0.98)) == "[0.931, 0.980]" and labels.interval(None) == ""
    assert (
        labels.interval((0.99213, 0.99951)) == "[0.9921, 0.99951]"
        and labels.interval((0.99, 1.0))[-4:] == ", 1]"
    )
    assert labels.with_interval(0.5, None) == "0.500" and labels.interval((0.0, 0.0)) == ""
    assert labels.difference(0.004, (-0.001, 0.009)) == "0.004 [-0.001, 0.009]"


def test_numbers_close_to_one_are_not_rounded_to_it():
    assert labels.number(0.9998) == "0.9998" and labels.number(1.0) == "1.000"
    assert labels.number(-3e-7) == "0.0000" and labels.number(-2e-4) == "-0.0002"
    assert labels.number(np.nan) == "-" and labels.number(-4308.2) == "-4308" and labels.number(None) == "-"
    assert labels.nats(None) == "-" and labels.nats(2e-5) == "2.00e-05" and labels.nats(0.25) == "0.25000"
