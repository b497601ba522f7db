"""Nested options: by dotted name, from and to JSON, and the fields of a process read from its source."""

import dataclasses
import importlib
import json

import pytest

from experiments.design.config import StudyConfig
from experiments.design.options import from_json, options, process_options, to_json, with_options
from experiments.design.study import Study
from experiments.discovery import Catalogue
from experiments.studies import presidents, weird_generalisation
from theory.errors import Misuse

STUDIES = Catalogue().names("studies")
PROCESSES = [
    name for name in Catalogue().names("processes") if name != "subliminal"
]  # a process in a process
CONFIG = weird_generalisation.PRESETS["small"]


def test_there_are_twenty_four_studies():
    assert len(STUDIES) == 24


@pytest.mark.parametrize("name", STUDIES)
def test_presets_go_to_json_and_back(name):
    presets = Study(name).module.PRESETS
    assert {"smoke", "small", "full"} <= set(presets)
    for preset in presets.values():
        stored = json.loads(json.dumps(to_json(preset)))
        assert from_json(preset, stored) == preset
        assert from_json(presets["small"], stored) == preset  # whatever it starts from
        assert dict(options(from_json(presets["small"], stored))) == dict(options(preset))


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_has_exactly_the_fields_and_defaults_of_its_class(name):
    made = process_options(name)
    module = importlib.import_module(f"theory.processes.{name.replace('-', '_')}")
    kind = getattr(module, made.class_name)
    fields = {field.name: field.default for field in dataclasses.fields(kind)}
    assert dict(options(made)) == fields
    assert list(dict(options(made))) == list(fields)
    built = made.build()
    assert type(built) is kind and built == kind()
    assert {field.name: type(field.default) for field in dataclasses.fields(made)} == {
        name: type(value) for name, value in fields.items()
    }


def test_a_process_with_another_default():
    assert process_options("persona-topics", pairs=5).build().pairs == 5
    with pytest.raises(Misuse, match=r"no field of persona-topics called 'pair'; did you mean pairs"):
        process_options("persona-topics", pair=5)
    with pytest.raises(Misuse, match="no process called 'persona-topic'; did you mean persona-topics"):
        process_options("persona-topic")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("    size: dict = None\n", r"line 6: the field size of a process needs one of the types int, "),
        ("    size: int\n", r"line 6: the field size of a process needs .* and a plain default"),
        ("    size: int = 2 * 3 - len('a')\n", r"line 6: the field size .* plain default"),
    ],
)
def test_a_field_that_is_not_plain_is_refused(tmp_path, source, sentence):
    file = tmp_path / "odd_process.py"
    head = "from dataclasses import dataclass\n\n\n@dataclass(frozen=True)\nclass Odd:\n"
    body = "\n    def distribution(self): ...\n\n    def answer_tokens(self): ...\n"
    file.write_text(head + source + body)
    with pytest.raises(Misuse, match=rf"^odd_process.py, {sentence}"):
        process_options("odd-process", Catalogue((str(file),)))


def test_options_are_set_by_dotted_names():
    changed = with_options(CONFIG, {"process.rarity": 0.25, "finetuning.doses": [1, 3], "repeats": 9})
    assert (changed.process.rarity, changed.finetuning.doses, changed.repeats) == (0.25, (1, 3), 9)
    before, after = dict(options(CONFIG)), dict(options(changed))
    different = {name for name in before if before[name] != after[name]}
    assert different == {"process.rarity", "finetuning.doses", "repeats"}
    assert type(changed) is weird_generalisation.Config
    assert with_options(changed, {name: before[name] for name in different}) == CONFIG


def test_a_tuple_of_tuples():
    changed = with_options(CONFIG, {"finetuned_topics": [[1], [2, 3], []]})
    assert changed.finetuned_topics == ((1,), (2, 3), ())
    assert to_json(changed)["finetuned_topics"] == [[1], [2, 3], []]
    rules = with_options(presidents.PRESETS["small"], {"process.rules": [[0, 1, 1], [1, 0, 0]]})
    assert rules.process.build().rules == ((0, 1, 1), (1, 0, 0))


def test_whole_numbers_of_a_real_option_make_the_same_run():
    whole = with_options(CONFIG, {"process.rarity": 1, "sampling.temperatures": (1,)})
    assert json.dumps(to_json(whole)) == json.dumps(
        to_json(with_options(CONFIG, {"process.rarity": 1.0, "sampling.temperatures": [1.0]}))
    )


def test_an_option_may_be_none():
    given = with_options(CONFIG, {"pretraining.rate": 1, "pretraining.until_learnt": 0.9})
    assert json.dumps(to_json(given.pretraining)["rate"]) == "1.0"
    assert from_json(CONFIG, to_json(given)) == given
    assert from_json(given, to_json(CONFIG)) == CONFIG and CONFIG.pretraining.rate is None


def test_options_are_checked_together():
    """A rate of 0 is refused, and sizes that only fit each other are set together."""
    with pytest.raises(Misuse, match=r"finetuning.sgd_rate must be above 0 and finite, got 0"):
        with_options(CONFIG, {"finetuning.sgd_rate": 0})
    assert with_options(CONFIG, {"finetuning.n": 8, "finetuning.batch": 8}).finetuning.documents == 8


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pretraining.step": 3}, r"no option called 'pretraining.step'; did you mean pretraining.steps"),
        ({"steps": 3}, "no option called 'steps'"),
        ({"finetuning": {}}, "no option called 'finetuning'"),
        ({"process.rarety": 0.5}, "did you mean process.rarity"),
        ({"pretraining.steps": "many"}, "pretraining.steps must be like 1200, got 'many'"),
        ({"pretraining.steps": 2.5}, "pretraining.steps must be like 1200, got 2.5"),
        ({"pretraining.steps": True}, "pretraining.steps must be like 1200, got True"),
        ({"process.rarity": "rare"}, "process.rarity must be like 0.6, got 'rare'"),
        ({"finetuning.fresh": 1}, "finetuning.fresh must be like False, got 1"),
        ({"finetuning.doses": 4}, r"finetuning.doses must be like \(1, 2, .*, got 4"),
        ({"finetuning.doses": ["one"]}, r"finetuning.doses must be like \(1, 2, .*, got \['one'\]"),
        ({"finetuning.methods": "sgd"}, r"finetuning.methods must be like \('sgd', 'adam'\), got 'sgd'"),
        ({"theories": [3]}, r"theories must be like tuple\[str, \.\.\.\], got \[3\]"),
        ({"finetuned_topics": [0, 1]}, r"finetuned_topics must be like \(\(0,\), .*, got \[0, 1\]"),
        ({"pretraining.rate": "fast"}, r"pretraining.rate must be like float \| None, got 'fast'"),
        ({"pretraining.until_learnt": True}, r"until_learnt must be like float \| None, got True"),
        ({"network.activation": None}, "network.activation must be like 'relu', got None"),
    ],
)
def test_what_is_no_option_is_refused(changes, sentence):
    with pytest.raises(Misuse, match=sentence):
        with_options(CONFIG, changes)


def test_json_is_refused_alike():
    stored = to_json(CONFIG)
    stored["pretraining"]["stepz"] = 3
    with pytest.raises(Misuse, match=r"did you mean pretraining.steps"):
        from_json(CONFIG, stored)
    with pytest.raises(Misuse, match=r"must be a mapping by name, got \[\]"):
        from_json(CONFIG, [])


def test_the_own_files_of_a_config_are_an_option():
    assert dict(options(StudyConfig()))["files"] == ()
