"""The result of a study that scores no theories says so, and where its numbers are."""

import pytest

from experiments.runs.study_result import StudyResult
from experiments.storage.run_folder import DONE, create
from theory.errors import Misuse


def test_a_finished_study_without_theories_names_its_figures(tmp_path):
    run = create(
        tmp_path, {"study": "motor", "preset": "smoke", "config": {"finetuning": {"doses": [1]}}}, {}
    )
    result = StudyResult(run)
    with pytest.raises(Misuse, match="Nothing is scored yet"):
        result.table()
    (tmp_path / DONE).touch()
    assert "it scores no theories" in repr(result)
    with pytest.raises(Misuse, match=r"motor scores no theories; its figures and its numbers .*/figures"):
        result.table()
