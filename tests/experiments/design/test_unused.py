"""Options that a study makes nothing of are refused, in a sentence, before anything is run."""

import pytest

from experiments.design.options import with_options
from experiments.design.study import Study, StudyRun
from theory.errors import Misuse


def run_of(name, changes):
    study = Study.find(name)
    return StudyRun.make(study, "smoke", with_options(study.preset("smoke"), changes))


@pytest.mark.parametrize(
    ("name", "changes", "option"),
    [
        ("injected-beliefs", {"theories": ("linearised",)}, "theories"),
        ("injected-beliefs", {"sampling.temperatures": (0.001,)}, "sampling.temperatures"),
        ("injected-beliefs", {"retrained.shares": (0.1,)}, "retrained.shares"),
        ("three-currencies", {"repeats": 3}, "repeats"),
        ("axioms", {"fit_on": "all"}, "fit_on"),
    ],
)
def test_an_option_without_effect_is_refused(name, changes, option):
    with pytest.raises(Misuse, match=rf"^{option} has no effect in {name}, .*, got .*; omit it\.$"):
        run_of(name, changes).experiments()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("injected-beliefs", {"finetuning.seeds": 1}),
        ("shared-concepts", {"repeats": 3}),
        ("weird-generalisation", {"fit_on": "all", "theories": ("unchanged",)}),
    ],
)
def test_what_has_an_effect_is_not(name, changes):
    assert run_of(name, changes).experiments()
