"""The command line of a run makes the same run again."""

from dataclasses import replace

from experiments.design.options import to_json
from experiments.design.study import Study, StudyRun
from experiments.reports.command import command_words

STUDY = "weird-generalisation"


def test_the_command_names_the_preset_and_what_differs_from_it():
    study = Study.find(STUDY)
    config = study.preset("smoke")
    run = StudyRun.make(study, "smoke", config)
    assert command_words(run) == ["run", STUDY, "--preset", "smoke"]
    options = to_json(config)
    options["seed"] = 3
    options["finetuning"] |= {"fresh": True, "doses": [1, 2]}
    options["finetuned_topics"] = [[0], [1, 2]]
    words = " ".join(command_words(replace(run, options=options, files=("mine.py",))))
    assert "--finetuning.fresh" in words and "--finetuning.doses 1 2" in words and "--finetuned-topics 0 1,2" in words
    assert "--seed 3" in words and words.endswith("--with mine.py")
    assert "--preset" not in command_words(replace(run, preset="gone"))


def test_a_flag_that_is_off_has_no_in_its_last_part():
    study = Study.find(STUDY)
    run = StudyRun.make(study, "smoke", study.preset("smoke"))
    words = command_words(replace(run, options={"pretraining": {"some_flag": False}}))
    assert words[-1] == "--pretraining.no-some-flag"
