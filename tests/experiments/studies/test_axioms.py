"""The study of axioms: worlds, their two D', and what is refused."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.design.options import from_json, to_json, with_options
from experiments.design.study import Study, StudyRun
from experiments.runs.progress import Silent
from experiments.runs.run import create_run
from experiments.storage.run_folder import create
from experiments.studies import axioms as study
from theory.errors import Misuse


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_world_is_a_draw_with_base_networks_of_its_own(preset):
    config = study.PRESETS[preset]
    experiments = StudyRun.make(Study.find("axioms"), preset, config).experiments()
    assert [made.arms[0].name for made in experiments] == ["persona-topics", *config.worlds]
    cells = [cell for made in experiments for cell in made.cells()]
    names = [cell.name for cell in cells if cell.kind == "axioms"]
    assert {cell.kind for cell in cells} == {"axioms", "retrained"}
    assert (
        len(names)
        == len(set(names))
        == len(experiments) * config.pretraining.seeds * len(config.finetuning.methods)
    )
    assert json.loads(json.dumps(to_json(config)))["worlds"] == list(config.worlds)
    assert from_json(config, to_json(config)) == config


def test_small_has_eight_base_networks_and_all_ways_of_finetuning():
    config = study.PRESETS["small"]
    assert config.pretraining.seeds >= 8 and config.finetuning.methods == study.METHODS
    assert {config.process.entry.name, *config.worlds} == {*study.WORLDS}


@pytest.mark.parametrize("draw", range(2))
def test_the_two_data_are_rivals_in_the_questions_of_the_first(draw):
    """More likely under different hypotheses, and both never ask what is held out."""
    config = study.PRESETS["small"].draws()[draw]
    made = study.experiment(config)
    arm, mixture = made.arms[0], made.process.distribution()
    ours, theirs = (task.data(jax.random.key(0), 32) for task in (arm.task, arm.rival))
    best = [int(np.asarray(mixture.log_likelihoods(data)).sum(axis=1).argmax()) for data in (ours, theirs)]
    assert best[0] != best[1]
    groups = made.contexts(arm)
    assert "held_out" in groups and next(iter(groups)) == "in_domain"


def test_a_run_knows_the_world_of_a_base_network(tmp_path):
    config = with_options(study.PRESETS["smoke"], {"worlds": ("persona-domain",)})
    run = create(tmp_path / "run", StudyRun.make(Study.find("axioms"), "smoke", config).record, {})
    assert [run.draw(base) for base in range(4)] == [0, 0, 1, 1]
    alone = StudyRun.make(Study.find("axioms"), "smoke", study.PRESETS["smoke"]).record
    assert create(tmp_path / "alone", alone, {}).draw(1) == 0


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"worlds": ("persona-domian",)}, "did you mean persona-domain"),
        ({"worlds": ("persona-topics",)}, "differ from the process"),
        ({"worlds": ("persona-domain",) * 2}, "differ from the process"),
    ],
)
def test_worlds_that_there_are_not_are_refused(changes, words):
    with pytest.raises(Misuse, match=words):
        with_options(study.PRESETS["smoke"], changes)


@pytest.mark.parametrize(
    "changes, words", [({"documents": 1}, "at least 2"), ({"finetuning.doses": (1, 3)}, "half of it")]
)
def test_plans_that_cannot_be_are_refused(changes, words):
    config = with_options(study.PRESETS["smoke"], changes)
    with pytest.raises(Misuse, match=words):
        study.experiment(config)


def test_step_sizes_follow_the_world():
    configs = replace(study.PRESETS["small"]).draws()
    rates = [study.experiment(config).methods["sgd"].learning_rate for config in configs]
    assert rates == [study.WORLDS[name].rate * 0.02 for name in study.WORLDS]


def test_a_run_is_of_the_code_of_all_its_worlds(tmp_path):
    config = with_options(study.PRESETS["smoke"], {"worlds": ("persona-domain",)})
    made = StudyRun.make(Study.find("axioms"), "smoke", config)
    run = create_run(tmp_path, made, made.experiments(), Silent(), False)
    assert {"theory.processes.persona_topics", "theory.processes.persona_domain"} <= run.config.code.keys()
