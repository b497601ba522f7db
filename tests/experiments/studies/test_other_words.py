"""The study's declaration: D' and contexts are what the docstring says, for every draw of the process."""

import jax
import numpy as np
import pytest

from experiments.cells.program_store import alike
from experiments.design.options import with_options
from experiments.design.study import Study, StudyRun
from experiments.runs.base_networks import describe
from experiments.runs.run import _part
from experiments.studies import other_words as study
from theory.errors import Misuse

GROUPS = {"in_domain", "held_out", "in_context", "conflict"}


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_preset_makes_a_comparison(preset):
    for config in study.PRESETS[preset].draws():
        experiment = study.experiment(config)
        assert len(experiment.cells()) == len(set(experiment.cells()))
        assert set(experiment.methods) == {"sgd", "adam"}
        assert set(experiment.contexts(experiment.arms[0])) == GROUPS


def test_small_has_eight_draws_and_as_many_networks():
    draws = study.PRESETS["small"].draws()
    assert len(draws) == 8 and len({config.process.seed for config in draws}) == 8
    assert sum(config.pretraining.seeds for config in draws) >= 8


def test_the_demo_pretrains_two_groups_whose_first_networks_are_those_of_small():
    def parts(preset, **changes):
        config = with_options(study.PRESETS[preset], changes)
        return StudyRun.make(Study.find("other-words"), preset, config).experiments()

    first, second = parts("demo")
    (whole,) = parts("demo", **{"pretraining.groups": 1})
    assert [*first.cells(), *second.cells()] == whole.cells()
    assert [describe(part)["seeds"] for part in (first, second)] == [[0, 1], [2, 3]]
    assert describe(first) == describe(parts("small")[0]) and alike(first, second)
    several = parts("demo", **{"process_seeds": 2})
    assert [(part.first_base, part.first_seed) for part in several] == [(0, 0), (2, 2), (4, 0), (6, 2)]
    assert [_part(part, several) for part in several[2:]] == [
        "draw 2 of 2 of the process, group 1 of 2 of base networks",
        "draw 2 of 2 of the process, group 2 of 2 of base networks",
    ]
    assert _part(second, [first, second]) == "group 2 of 2 of base networks"


def test_the_persona_is_the_rarest_and_twelve_topics_are_held_out():
    config = study.PRESETS["small"]
    experiment = study.experiment(config)
    assert int(np.argmin(experiment.process.distribution().log_weights)) == config.persona
    (arm,) = experiment.arms
    asked = set(np.asarray(arm.task.data(jax.random.key(0), 32).tokens)[:, ::2].ravel().tolist())
    assert asked == set(config.finetuned_topics[0])
    for group in GROUPS - {"in_domain"}:
        contexts = experiment.contexts(arm)[group]
        rows, places = np.nonzero(np.asarray(contexts.mask))
        topics = set(np.asarray(contexts.tokens)[rows, places - 1].tolist())
        assert len(topics) == 12 and not topics & asked


def test_no_topics_of_the_data_are_refused():
    with pytest.raises(Misuse, match="finetuned_topics"):
        with_options(study.Config(), {"finetuned_topics": ()})
