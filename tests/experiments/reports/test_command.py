"""The command line of a run makes the same run again."""

from experiments.design.options import options, with_options
from experiments.design.study import Study, StudyRun
from experiments.reports.command import command_line, command_words

STUDY = "weird-generalisation"


def test_the_command_names_the_preset_and_what_differs_from_it():
    study = Study.find(STUDY)
    config = study.preset("smoke")
    assert command_line(StudyRun.make(study, "smoke", config)) == f"finebayes run {STUDY} --preset smoke"
    changes = {"finetuning.fresh": True, "finetuning.doses": (1, 2), "finetuned_topics": ((0,), (1, 2))}
    changed = StudyRun.make(study, "smoke", with_options(config, changes))
    line = command_line(changed)
    assert "--finetuning.fresh" in line and "--finetuning.doses 1 2" in line
    assert line.endswith("--finetuned-topics 0 1,2")


def test_a_flag_that_is_off_has_no_in_its_last_part():
    study = Study.find(STUDY)
    config = study.preset("small")
    name = next(name for name, value in options(config) if value is True)
    section, dot, field = name.replace("_", "-").rpartition(".")
    words = command_words(StudyRun.make(study, "small", with_options(config, {name: False})))
    assert words[-1] == f"--{section}{dot}no-{field}"
