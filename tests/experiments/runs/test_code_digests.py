"""Code counts by what it does: a comment costs no run, a changed law does, and only where it is used."""

import pytest

from experiments.design.study import Study, StudyRun
from experiments.runs import code_digests
from experiments.runs.code_digests import digest_source, network_code, run_code
from theory.processes.persona_topics import PersonaTopics

LAW = '''"""A law."""

def law(x):
    """Twice."""
    return [2 * x, f"{x!r}", None]
'''


@pytest.mark.parametrize(
    "change",
    [
        ("Twice.", "It doubles."),
        ("    return", "    # doubled\n    return"),
        ('"""A law."""', ""),
        ("2 * x", "(2\n     *  x)"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(change):
    assert digest_source(LAW.replace(*change)) == digest_source(LAW)


@pytest.mark.parametrize(
    "change",
    [
        ("2 * x", "x * 2"),
        ("2 * x", "2.0 * x"),
        ("law(x)", "law(x, *y)"),
        ("None]", "None, None]"),
        ("!r", ""),
    ],
)
def test_what_is_computed_counts(change):
    assert digest_source(LAW.replace(*change)) != digest_source(LAW)


def experiment(study="weird-generalisation"):
    study = Study.find(study)
    return study, StudyRun.make(study, "smoke", study.preset("smoke")).experiments()[0]


def test_the_code_of_a_run_is_that_of_its_study_process_methods_theories_and_networks():
    study, declared = experiment()
    code = run_code(study.module.__name__, declared)
    assert code.keys() >= {
        *("experiments.studies.weird_generalisation", "theory.processes.persona_topics"),
        *("models.finetuning.sgd", "models.finetuning.adam", "models.transformer", "models.pretraining"),
        *("theory.theories.tempered_posterior", "theory.theories.linearised"),
    }
    assert not {
        name for name in code if ".figures" in name or name.endswith("spectrum")
    }  # an optional theory
    assert code.items() >= network_code(declared.process).items()
    assert network_code(declared.process).keys() == {
        *(
            "models.network",
            "models.optimizers.muon",
            "models.pretraining",
            "models.optimizers.stalls",
            "models.transformer",
        ),
        "theory.processes.persona_topics",
    }


def test_a_changed_law_is_another_code_and_a_changed_picture_is_not(monkeypatch):
    study, declared = experiment()
    before = run_code(study.module.__name__, declared)
    original = code_digests._source

    def edited(module, name, old, new):
        source = original(module)
        if module != name:
            return source
        assert old in source
        return source.replace(old, new)

    head = b"def draw(run: RunFolder) -> list[Path]:\n"
    picture = (study.module.__name__, head, head + b"    1 / 1\n")
    monkeypatch.setattr(code_digests, "_source", lambda module: edited(module, *picture))
    assert run_code(study.module.__name__, declared) == before
    law = ("theory.processes.persona_topics", b"self.rarity", b"self.rarity / 2")
    monkeypatch.setattr(code_digests, "_source", lambda module: edited(module, *law))
    after = run_code(study.module.__name__, declared)
    assert {name for name in after if after[name] != before[name]} == {"theory.processes.persona_topics"}
    assert network_code(declared.process).items() <= after.items()


class Mine(PersonaTopics):
    def distribution(self):
        return super().distribution()


class MineCorrected(PersonaTopics):
    def distribution(self):
        return PersonaTopics.distribution(self)


def test_a_process_in_a_notebook_counts_by_its_class():
    before, after = network_code(Mine()), network_code(MineCorrected())
    assert before.keys() - after.keys() == {"Mine"} and "theory.processes.persona_topics" in before
    assert len({before["Mine"], after["MineCorrected"], digest_source("")}) == 3


def test_the_digest_is_the_same_in_every_version_of_python():
    """Of this very source; a change of it changes the number here, another Python must not."""
    assert digest_source(LAW) == "22dce8be1bbf"
