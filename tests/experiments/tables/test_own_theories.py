"""Theories of the user's own files on a table: scored like ours, or refused with file and line."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.discovery import Catalogue
from experiments.storage.run_folder import find
from experiments.tables import cells
from experiments.tables.importing import import_tables
from experiments.tables.inputs import Reader, make_plan
from experiments.tables.ladders import Form, _along, _of_hypotheses, _towards_best, make_ladders
from experiments.tables.own_theories import check_declared, own_forms
from experiments.tables.reading import from_records
from experiments.tables.sidecar import Sidecar
from theory.errors import Misuse
from theory.theories.linear_mixture import LinearMixture
from theory.theories.tempered_posterior import TemperedPosterior

IMPORTS = """
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from theory.base import Parametric, Predictor
from theory.contracts import Theory
from theory.latent.mixture import Mixture
from theory.theories.linear_mixture import LinearMixture
from theory.theories.tempered_posterior import TemperedPosterior
"""
THEORY = """
class Mine(Theory[PRIOR]):
    breaks = {}

    def predict(self, prior: PRIOR, data, beta, *, key=None):
        return ANSWER

    def grid(self, scale):
        return GRID

def example():
    return Mine()
"""
LINE = (IMPORTS + THEORY)[: (IMPORTS + THEORY).index("    def predict")].count("\n") + 1


@pytest.fixture
def file(tmp_path):
    """An own file of a theory, made of a few words."""

    def write(
        prior="Mixture", answer="prior.condition(data, beta)", grid="np.array([0.0, 1.0])", name="mine"
    ):
        text = IMPORTS + THEORY.replace("PRIOR", prior).replace("ANSWER", answer).replace("GRID", grid)
        (path := tmp_path / f"{name}.py").write_text(text)
        return str(path)

    return write


@pytest.fixture(scope="module")
def world(tables):
    return tables.World()


@pytest.fixture(scope="module")
def inputs(world):
    sidecar = Sidecar.from_json(json.loads(json.dumps(world.sidecar())))
    table = from_records(world.expectations())
    return Reader(table, sidecar, make_plan(table, sidecar), "letters", "").inputs(), sidecar


def ladders(inputs, file, *more):
    """The ladders of an own file, and of some forms of ours."""
    made, sidecar = inputs
    own = own_forms(Catalogue((file,)), {"tempered-posterior"})
    check_declared(own, sidecar)
    log_prior = sidecar.log_prior(list(sidecar.prior))
    return {
        ladder.name: ladder for ladder in make_ladders(made, (*own, *more), log_prior, (), "given").ladders
    }


def test_a_copy_of_a_theory_of_hypotheses_has_its_ladders(inputs, tmp_path):
    (tmp_path / "copied.py").write_text(
        IMPORTS + "class Copied(TemperedPosterior):\n    pass\n\ndef example():\n    return Copied()\n"
    )
    ours = Form("tempered-posterior", TemperedPosterior(), _along(_of_hypotheses(TemperedPosterior())))
    made = ladders(inputs, str(tmp_path / "copied.py"), ours)
    assert set(made) == {f"{name}/{prior}" for name in ("copied", "tempered-posterior")
                         for prior in ("given", "implied")}  # fmt: skip
    for prior in ("given", "implied"):
        one, other = made[f"copied/{prior}"], made[f"tempered-posterior/{prior}"]
        np.testing.assert_array_equal(one.betas, other.betas)
        np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-6)


def test_a_theory_of_the_base_model_takes_hypotheses_where_it_is_completed(inputs, tmp_path):
    """Without hypotheses in `variants` they are the table's; forms have labels."""
    (tmp_path / "towards.py").write_text(
        IMPORTS + "class Towards(LinearMixture):\n    pass\n\n"
        "def variants(process):\n    return {'towards/best': Towards()}\n"
    )
    ours = Form("linear-mixture", LinearMixture(), _along(_towards_best(LinearMixture())), anchored=False)
    made = ladders(inputs, str(tmp_path / "towards.py"), ours)
    assert set(made) == {"towards/best", "linear-mixture/network"}
    np.testing.assert_allclose(
        made["towards/best"].log_probs, made["linear-mixture/network"].log_probs, atol=1e-6
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prior": "Parametric"}, r"mine.py: mine needs weights \(its prior is Parametric\), and a table"),
        ({"name": "tempered_posterior"}, "there is a theory called tempered-posterior already"),
        (
            {"prior": "Predictor", "answer": "type('P', (), {'predict': lambda self, tokens: prior.predict("
             "tokens) + beta * prior.predict(data.tokens).mean()})()"},
            rf"mine.py, line {LINE}: the theory mine predicts no numbers on a table, in which a",
        ),
        ({"answer": "prior.log_weights"}, "the theory mine returns an array, which is no predictor"),
        ({"answer": "1 / 0"}, rf"mine.py, line {LINE + 1}: ZeroDivisionError: division by zero"),
        ({"grid": "np.array([1.0, 2.0])"}, "the theory mine has an unfit grid"),
        (
            {"grid": "np.array([0.0, 1.0])\n    hyperparameters = np.array([1.0, 2.0])"},
            "mine has hyperparameters, and on a table β alone is fitted",
        ),
        (
            {"answer": "type('P', (), {'predict': lambda self, tokens: prior.predict(tokens) + 1})()"},
            r"predicts probabilities that sum to 2.72, not to 1",
        ),
        (
            {"answer": "type('P', (), {'predict': lambda self, tokens: prior.predict(tokens)[..., :2]})()"},
            r"shape \(6, 2\), but \(contexts, answers\) is \(6, 4\)",
        ),
    ],
)  # fmt: skip
def test_what_no_score_can_be_made_of_is_refused(inputs, file, changes, sentence):
    with pytest.raises(Misuse, match=sentence):
        ladders(inputs, file(**changes))


def test_a_process_that_is_no_table_s_is_refused(inputs, tmp_path):
    (tmp_path / "mine.py").write_text(
        IMPORTS + "class Mine(LinearMixture):\n    pass\n\n"
        "def variants(process):\n    return {'mine': Mine(process.distribution())}\n"
    )
    with pytest.raises(Misuse, match=r"mine.py, line \d+: a table has no process, so that process.dis"):
        ladders(inputs, str(tmp_path / "mine.py"))
    (tmp_path / "method.py").write_text(
        "from models.finetuning.method import Method\nclass A(Method): pass\n"
    )
    with pytest.raises(Misuse, match=r"method\.py is a method; a table takes theories alone"):
        ladders(inputs, str(tmp_path / "method.py"))


def test_an_own_theory_is_scored_kept_and_part_of_the_run(tables, world, tmp_path, file, monkeypatch):
    """The theories of the house are left out, as they take a while."""
    from experiments.cli import main
    from experiments.design.study import Study

    monkeypatch.setattr(Study, "draw", lambda self, run: [])
    monkeypatch.setattr(cells, "make_forms", lambda *given: ())
    path, own, out = tables.write(tmp_path, world.rows(), world.sidecar()), file(), str(tmp_path / "out")
    main(["import", str(path), "--with", own, "--out", out])
    run = find(out)
    rows = [row for row in run.rows() if (row.theory, row.dose, row.group) == ("mine", 2, "held_out")]
    assert {row.grade for row in rows} >= {"fitted"}
    fitted = [row for row in rows if (row.grade, row.prior) == ("fitted", "given")]
    assert fitted[0].beta == pytest.approx((1, 1), abs=0.01)  # finetuning is this theory at β = dose / 2
    assert max(fitted[0].nats) < 1e-6
    assert (run.folder / "files" / "mine.py").read_text() == Path(own).read_text()
    assert "finebayes import TABLE --with mine.py" in (run.folder / "report.html").read_text()
    with pytest.raises(Misuse, match=r"another config \(it differs in files\)"):
        import_tables([path], out)
