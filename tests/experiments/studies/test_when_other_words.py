"""The centre of the sweep is that of other-words; axes and points are tested with those of when-bayesian."""

from experiments.design.options import with_options
from experiments.studies import other_words
from experiments.studies import when_other_words as study


def test_the_second_centre_is_that_of_other_words():
    ours, theirs = study.PRESETS["small"], other_words.PRESETS["small"]
    (task,), (theirs_task,) = (
        [arm.task for arm in module.experiment(config).arms]
        for module, config in ((study, ours), (other_words, theirs))
    )
    assert ours.process == theirs.process and ours.network == theirs.network
    assert task.name == theirs_task.name == "topics0_1_2"
    assert {*ours.finetuning.doses} < {*theirs.finetuning.doses}


def test_d_prime_asks_a_block_of_as_many_topics_as_there_are_words():
    config = with_options(study.PRESETS["small"], {"process.answers": 4})
    assert [arm.name for arm in study.experiment(config).arms] == ["topics0_1_2_3"]
