"""Axes: names and values of fields, points of a product and one at a time, and what is refused."""

import numpy as np
import pytest

from experiments.design.axes import (
    full_name,
    make_axes,
    over_words,
    parse_axes,
    refuse_settled,
    short_names,
)
from experiments.design.options import options
from experiments.design.study import Study
from experiments.storage.sweep_folder import Axis
from theory.errors import Misuse

CONFIG = Study.find("weird-generalisation").preset("smoke")


def values(*words):
    return {axis.field: axis.values for axis in parse_axes(words, CONFIG)}


def test_values_have_the_types_of_their_fields():
    read = values("process.style=1,2.5", "network.width=24,48", "fit_on=first,all", "anchored=true,FALSE")
    assert read == {
        "process.style": (1.0, 2.5),
        "network.width": (24, 48),
        "fit_on": ("first", "all"),
        "anchored": (True, False),
    }
    assert all(isinstance(value, float) for value in read["process.style"])


def test_a_value_may_be_a_list_and_a_list_of_lists():
    read = values("methods=sgd,sgd+adam", "finetuned-topics=0,0/0+1+2", "temperatures=none,1e-4+1e-3")
    assert read["finetuning.methods"] == (("sgd",), ("sgd", "adam"))
    assert read["finetuned_topics"] == (((0,),), ((0,), (0, 1, 2)))
    assert read["sampling.temperatures"] == ((), (1e-4, 1e-3))


@pytest.mark.parametrize(
    "words",
    [
        ["process.style=0.1,1e-05,2", "optimise=true,false"],
        ["finetuned_topics=0,0/0+1+2", "sampling.temperatures=none,0.0001+1e-05", "fit_on=all"],
        ["pretraining.until_learnt=0.5,0.95,none", "pretraining.rate=0.006"],
    ],
)
def test_axes_as_words_are_read_back(words):
    axes = parse_axes(words, CONFIG)
    assert parse_axes([word for word in over_words(axes) if word != "--over"], CONFIG) == axes


def test_a_field_has_a_short_name_where_it_is_the_only_one():
    assert full_name("width", CONFIG) == "network.width"
    assert full_name("seed", CONFIG) == "seed"  # a field of the study itself, beside process.seed
    assert full_name("finetuning.sgd-rate", CONFIG) == "finetuning.sgd_rate"
    assert short_names(["process.seed", "seed", "network.width"]) == {
        "process.seed": "process.seed",
        "seed": "seed",
        "network.width": "width",
    }


def test_every_field_can_be_an_axis_but_files():
    for name, value in options(CONFIG):
        if name != "files":
            assert make_axes({name: [value]}, CONFIG) == (Axis(name, (value,)),)
    with pytest.raises(Misuse, match="no field called 'files'"):
        make_axes({"files": [("a.py",)]}, CONFIG)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "A sweep needs an axis; write FIELD=VALUE"),
        (["width"], "--over width has no values; write FIELD"),
        (["width="], "The axis network.width has no values"),
        (["widht=3"], "There is no field called 'widht'; did you mean width?"),
        (["process.styel=3"], "did you mean process.style"),
        (["pretraining.width=3"], "There is no field called 'pretraining.width'"),
        (
            ["seeds=3"],
            "is pretraining.seeds or finetuning.seeds or sampling.seeds; write one of them in full",
        ),
        (["width=24", "network.width=32"], "There are two axes of network.width"),
        (["style=1,1.0"], "The axis process.style has 1 twice"),
        (["width=1.5"], "The axis network.width needs whole numbers, got '1.5'"),
        (["style=a"], "The axis process.style needs numbers, got 'a'"),
        (["optimise=1"], "The axis optimise needs true or false, got '1'"),
        (["until-learnt=0.5,most"], "The axis pretraining.until_learnt needs numbers, got 'most'"),
    ],
)
def test_a_mistake_in_words_is_a_sentence(words, sentence):
    with pytest.raises(Misuse) as refused:
        parse_axes(words, CONFIG)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        ({"process.style": "0.5"}, "must be a list of values, got '0.5'"),
        ({"process.style": 0.5}, "must be a list of values, got 0.5"),
        ({"process.style": ["0.5"]}, "process.style must be like 1.5, got '0.5'"),
        ({"network.width": [True]}, "network.width must be like 24, got True"),
        ({"network.width": []}, "The axis network.width has no values"),
    ],
)
def test_a_mistake_in_values_is_a_sentence(over, sentence):
    with pytest.raises(Misuse) as refused:
        make_axes(over, CONFIG)
    assert sentence in str(refused.value)


def test_numbers_of_numpy_are_numbers():
    (style, width) = make_axes({"style": np.array([0.5, 1.0]), "width": np.array([8, 16])}, CONFIG)
    assert style.values == (0.5, 1.0) and type(style.values[0]) is float
    assert width.values == (8, 16) and type(width.values[0]) is int


def test_a_product_has_every_combination(sweeps):
    made = sweeps.plan("style=0.5,1", "width=8,16,32")
    assert made.size == len(made.points) == 6
    assert list(made.points)[:2] == ["style=0.5,width=8", "style=0.5,width=16"]
    point, run = made.points["style=1,width=32"]
    assert point.values == {"process.style": 1.0, "network.width": 32}
    assert (run.config.process.style, run.config.network.width) == (1.0, 32)
    assert run.config.finetuning == made.centre.config.finetuning


def test_one_at_a_time_the_centre_is_a_point_once(sweeps):
    made = sweeps.plan("style=0.5,1.5,3", "width=8,24", one_at_a_time=True)
    assert (made.centre.config.process.style, made.centre.config.network.width) == (1.5, 24)
    assert made.size == len(made.points) == 4
    assert list(made.points) == ["centre", "style=0.5", "style=3", "width=8"]
    assert made.points["centre"][1].record == made.centre.record
    assert made.points["width=8"][0].values == {"process.style": 1.5, "network.width": 8}


def test_a_centre_that_is_no_value_of_its_axis_is_a_point_too(sweeps):
    made = sweeps.plan("style=0.5,3", one_at_a_time=True)
    assert list(made.points) == ["centre", "style=0.5", "style=3"] and made.size == 3


def test_a_config_refuses_a_point_before_anything_runs(sweeps):
    with pytest.raises(Misuse, match=r"At seeds=0: pretraining.seeds must be at least 1, got 0"):
        sweeps.plan("pretraining.seeds=1,0").points  # noqa: B018


def test_names_of_folders_are_safe(sweeps):
    long = ",".join(str(1 / number) for number in range(1, 12))
    made = sweeps.plan(f"sampling.temperatures={long.replace(',', '+')},none", "finetuned_topics=0/0+1")
    (hashed, plain) = made.points
    assert len(hashed) == 12 and hashed.isalnum()
    assert plain == "temperatures=none,finetuned_topics=0_0+1"


def test_an_option_that_would_count_for_nothing_is_refused():
    axes = (Axis("process.style", (1.0,)),)
    refuse_settled(axes, ["network.width"])
    with pytest.raises(Misuse, match=r"process\.style is an axis and an option too"):
        refuse_settled(axes, ["process.style"])


def test_a_thousand_points_are_made_at_once(sweeps):
    made = sweeps.plan(f"process.seed={','.join(map(str, range(1001)))}")
    assert made.size == 1001
