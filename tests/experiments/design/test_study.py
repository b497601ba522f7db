"""Studies, ours and in a file of one's own, and what a run folder is made for."""

import dataclasses
import pickle

import pytest

from experiments.design.options import to_json, with_options
from experiments.design.study import Study, StudyRun
from experiments.studies import mixtures
from theory.errors import Misuse

OWN = '''"""Is a study of my own a study?"""

from experiments.studies.mixtures import PRESETS, Config, draw, experiment as theirs

def experiment(config):
    return theirs(config)
'''


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "my_study.py"
    file.write_text(OWN)
    return str(file)


def test_a_study_is_found_by_its_name_or_its_file(own):
    assert Study.find("mixtures") == Study("mixtures") and Study("mixtures").module is mixtures
    found = Study.find(own)
    assert found == Study("my-study", own)
    assert found.preset("small") == mixtures.PRESETS["small"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mixture", "no study called 'mixture'; did you mean mixtures"),
        ("no_such_file.py", "is not there; give a Python file"),
    ],
)
def test_what_is_no_study_is_refused(name, sentence):
    with pytest.raises(Misuse, match=sentence):
        Study.find(name)


def test_a_file_named_without_its_ending_is_suggested(tmp_path, monkeypatch):
    (tmp_path / "my_study.py").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Misuse, match=r"no study called 'my_study'; did you mean the file my_study\.py\?"):
        Study.find("my_study")


def test_a_file_that_is_something_else_is_refused(tmp_path):
    file = tmp_path / "a_theory.py"
    file.write_text("from theory.contracts import Theory\n\nclass A(Theory): ...\n")
    with pytest.raises(Misuse, match=r"is no study: it defines no experiment.* add it with --with"):
        Study.find(str(file))
    file = tmp_path / "half_a_study.py"
    file.write_text("def experiment(config): ...\n")
    with pytest.raises(Misuse, match="The study half-a-study lacks Config, PRESETS, draw"):
        _ = Study.find(str(file)).module


def test_a_misspelt_preset_is_refused():
    with pytest.raises(Misuse, match="no preset called 'smal'; did you mean small"):
        Study("mixtures").preset("smal")


def test_a_run_holds_its_config_and_can_be_sent():
    config = with_options(mixtures.PRESETS["smoke"], {"repeats": 3})
    run = StudyRun.make(Study("mixtures"), "smoke", config)
    assert pickle.loads(pickle.dumps(run)) == run
    assert run.config == config
    assert run.record == {"study": "mixtures", "preset": "smoke", "config": to_json(config)}
    assert [arm.name for arm in run.experiments()[0].arms]


def test_own_files_are_part_of_a_record_by_their_content(own, tmp_path):
    theory = tmp_path / "my_theory.py"
    theory.write_text("from theory.contracts import Theory\n\nclass A(Theory): ...\n")
    config = dataclasses.replace(mixtures.PRESETS["smoke"], files=(str(theory),))
    run = StudyRun.make(Study.find(own), "smoke", config)
    assert run.config == config and run.options["files"] == []
    files = run.record["files"]
    assert [entry["file"] for entry in files] == ["my_study.py", "my_theory.py"]
    assert str(tmp_path) not in repr(run.record)
    theory.write_text(theory.read_text() + "\n# another\n")
    changed = run.record["files"]
    assert changed[1]["sha256"] != files[1]["sha256"] and changed[0] == files[0]
    folder = tmp_path / "run"
    run.keep_files(folder)
    assert (folder / "files" / "my_study.py").read_text() == OWN
    assert (folder / "files" / "my_theory.py").read_bytes() == theory.read_bytes()


def test_groups_of_base_networks_are_refused_where_one_writes_the_data_of_another():
    study = Study.find("subliminal")
    config = with_options(study.preset("small"), {"pretraining.seeds": 4, "pretraining.groups": 2})
    with pytest.raises(Misuse, match=r"pretraining\.groups must be 1 where a base network writes the D'"):
        StudyRun.make(study, "small", config).experiments()
