"""Notebooks, the page of the API and the script of the results run from top to bottom, at smaller sizes."""

import io
import re
import sys
import types
from pathlib import Path

import matplotlib
import numpy as np
import pytest

import finebayes as fb
from experiments.scoring.labels import LAST_DOSE, NULLS

DOCS = Path(__file__).resolve().parents[1] / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.py"))
BRIEF = {  # the notebook and the page run one study: the second call finds it finished
    "network": {"width": 8},
    "pretraining": {"steps": 20},
    "finetuning": {"doses": (1, 4), "methods": ("sgd",), "seeds": 2},
    "theories": ("tempered-posterior", "linearised"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture
def smaller(monkeypatch, folder):
    """Small networks, few steps; results go to a folder that is thrown away."""
    pretrain, finetune, run, sweep = fb.pretrain, fb.finetune, fb.run, fb.sweep

    def finetuned(*arguments, **options):
        return finetune(*arguments, **options | {"n": 8, "batch": 4, "seeds": 2, "progress": False})

    monkeypatch.chdir(folder)
    brief = {"width": 8, "layers": 1, "steps": 20, "batch": 16, "progress": False}
    monkeypatch.setattr(fb, "pretrain", lambda *arguments, **options: pretrain(*arguments, **options | brief))
    monkeypatch.setattr(fb, "finetune", finetuned)
    monkeypatch.setattr(fb, "run", lambda study, **options: run(study, **options | BRIEF))
    monkeypatch.setattr(fb, "sweep", lambda study, over, **options: sweep(study, over, **options | BRIEF))
    matplotlib.use("agg")


def execute(code, name, monkeypatch):
    """Run code as a notebook does: as the module __main__."""
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    exec(compile(code, name, "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.slow
def test_a_notebook_runs(path, smaller, monkeypatch):
    text = path.read_text(encoding="utf-8")
    cells = re.split(r"^# %%", text, flags=re.M)[1:]
    assert text.startswith("# ---\n# jupyter:") and len(cells) > 5
    assert all(cell.startswith((" [markdown]\n# ", "\n")) for cell in cells)
    module = execute(text, path.name, monkeypatch)
    assert module.result.lines and module.run.rows
    again = fb.load(module.run.folder)
    assert again.rows == module.run.rows and not again.failures
    assert repr(again).startswith("StudyResult(weird-generalisation; doses 1, 4; ")
    assert again.report.exists() and again.figures
    assert "<img" in again._repr_html_()
    again.figure().savefig(io.BytesIO(), format="png")
    with pytest.raises(fb.Misuse, match="has no sampled posteriors"):
        again.to_arviz()


@pytest.mark.slow
def test_every_block_of_the_page_runs(smaller, monkeypatch, capsys):
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    module = execute(
        "\n".join(re.findall(r"^```python\n(.*?)^```$", text, flags=re.M | re.S)), "api.md", monkeypatch
    )
    printed = capsys.readouterr().out
    assert "order-blind bound" in printed and "persona must be from 0 to 4, got 9" in printed
    assert module.again.rows == module.run.rows
    assert len(module.sweep.runs) == 2 and module.same.records() == module.sweep.records()
    assert {line.theory for line in module.named.lines} == {*NULLS, LAST_DOSE, "mine"}


@pytest.mark.slow
def test_the_script_of_the_results_runs(smaller, monkeypatch, capsys):
    """When the path would be the posterior: the larger the pull, the sooner."""
    (code,) = re.findall(
        r"^```python\n(.*?)^```$", (DOCS / "results.md").read_text("utf-8"), flags=re.M | re.S
    )
    execute(code, "results.md", monkeypatch)
    printed = capsys.readouterr().out.splitlines()
    values = np.array([re.findall(r"[\d.e+-]+", line) for line in printed], float)
    steps, drops, *noise = values.reshape(3, 4, 4).transpose(1, 0, 2)  # pull; mean, least and most
    assert (np.diff(steps[:, 1]) < 0).all() and (np.diff(drops[:, 1]) > 0).all()
    np.testing.assert_array_equal(noise[0][:, 1:], noise[0][:1, 1:].repeat(3, axis=0))
    assert (noise[0] < noise[1])[:, 1:].all()
