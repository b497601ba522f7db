"""Theories of own files: what no score could be made of is refused in a sentence, with file and line."""

import sys
from dataclasses import replace

import pytest

from experiments.cells import theory_checks
from experiments.cells.candidates import candidates
from experiments.cells.programs import Executor
from experiments.cells.theory_checks import check_theories
from experiments.discovery import Catalogue
from theory.errors import Misuse
from theory.theories.proximal import Proximal

FILE = """
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from theory.base import Predictor
from theory.contracts import Theory
from theory.latent.mixture import Mixture


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Forecast:
    start: Predictor
    beta: jax.Array

    def predict(self, tokens):
        log_probs = self.start.predict(tokens)
        return READ


@dataclass(frozen=True)
class Mine(Theory[PRIOR]):
    breaks: dict = field(default_factory=dict)

    def predict(self, prior: PRIOR, data, beta, *, key=None):
        return FORECAST
MORE

def example():
    return Mine()
"""
LINE = 1 + FILE[: FILE.index("    def predict(self, prior")].count("\n")
NORMALISED = "jax.nn.log_softmax(log_probs + self.beta, axis=-1)"


@pytest.fixture
def check(tiny, untrained, tmp_path):
    """Check a theory of one's own, made of a few words."""

    def run(read=NORMALISED, prior="Predictor", forecast="Forecast(prior, beta)", more="", name="my_theory"):
        text = FILE.replace("READ", read).replace("PRIOR", prior).replace("FORECAST", forecast)
        file = tmp_path / f"{name}.py"
        file.write_text(text.replace("MORE", more))
        experiment = replace(tiny(), catalogue=Catalogue((str(file),)), theories=(name.replace("_", "-"),))
        try:
            check_theories(experiment, untrained(experiment), candidates(experiment))
        finally:
            sys.modules.pop(f"finebayes_own_files.{name}", None)

    return run


@pytest.mark.parametrize("prior", ["Predictor", "Mixture"])
def test_a_theory_that_keeps_the_contract_passes(check, prior):
    check(prior=prior, name=f"good_{prior.lower()}")


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        (
            "transposed",
            {"read": "jnp.moveaxis(log_probs, -1, -2)"},
            r"shape \(8, 11, 10\), but .* \(8, 10, 11\)",
        ),
        ("answers_only", {"read": "log_probs[..., 7:]"}, r"shape \(8, 10, 4\), but"),
        ("last_token", {"read": "log_probs[:, -1]"}, r"shape \(8, 11\), but"),
        (
            "probabilities",
            {"read": "jnp.exp(log_probs)"},
            "probabilities that sum to .*, not to 1, at position 0",
        ),
        (
            "unnormalised",
            {"read": "log_probs + self.beta"},
            "probabilities that sum to .*, not to 1, at position 0",
        ),
        ("not_a_number", {"read": "log_probs * jnp.nan"}, "sum to nan, not to 1"),
        (
            "no_predictor",
            {"forecast": "prior.predict(data.tokens)"},
            "is no predictor; give it a method predict",
        ),
    ],
)
def test_what_is_no_prediction_is_refused(check, tmp_path, name, changes, sentence):
    with pytest.raises(Misuse, match=sentence) as refused:
        check(name=name, **changes)
    text = str(refused.value)
    assert text.startswith(f"{name}.py, line {LINE}: the theory {name.replace('_', '-')} ")
    assert str(tmp_path) not in text and "\n" not in text


def test_an_error_inside_is_a_sentence_with_its_line(check, tmp_path):
    with pytest.raises(
        Misuse, match=rf"^raising\.py, line {LINE + 1}: ZeroDivisionError: division by zero"
    ) as refused:
        check(name="raising", forecast="1 / 0")
    assert str(tmp_path) not in str(refused.value)


def test_a_broken_law_of_normalisation_is_allowed_where_it_is_admitted(check):
    with pytest.raises(Misuse, match="not to 1"):
        check(name="bold", read="log_probs + self.beta")
    admitted = (
        "\n    def __post_init__(self):\n        self.breaks['normalised'] = 'scores are no probabilities'\n"
    )
    check(name="honest", read="log_probs + self.beta", more=admitted)


def test_unconverged_rungs_may_be_nan(check):
    """As theories over weights say that they have not converged."""
    check(name="gives_up", read="jnp.where(self.beta > 0, jnp.nan, log_probs)")


def test_a_grid_that_does_not_ascend_is_refused(check):
    more = "\n    def grid(self, scale):\n        return np.array([0.0, 2.0, 1.0], np.float32)\n"
    with pytest.raises(
        Misuse, match=r"the theory odd-grid has an unfit grid. A ladder of strengths must ascend"
    ):
        check(name="odd_grid", more=more)


@pytest.mark.parametrize(
    ("member", "sentence"),
    [
        ("grid(self, scale): return None", "unfit grid.* got no array of numbers"),
        ("grid(self, scale): return ['a']", "unfit grid.* got no array of numbers"),
        ("grid(self, scale): return np.zeros((2, 3))", r"unfit grid.* got shape \(2, 3\)"),
        ("grid(self, scale): return np.zeros(0)", r"unfit grid.* got shape \(0,\)"),
        ("grid(self, scale): return np.zeros(1)", r"unfit grid.* got shape \(1,\)"),
        ("grid(self, scale): return np.array([1.0, 2.0])", r"unfit grid.* got shape \(2,\): \[1.0, 2.0\]"),
        ("grid(self, scale): return np.array([0.0, np.nan])", "unfit grid.* got nan"),
        ("grid(self, scale): raise KeyError(3)", "KeyError: 3"),
        ("strength(self, training, scale): return np.ones(99)", "unfit strength.* one number a dose"),
        ("strength(self, training, scale): return np.nan * training.passes", "unfit strength.*nan"),
        ("strength(self, training, scale): return -training.passes", "unfit strength"),
        ("strength(self, training, scale): return 'much'", "unfit strength.* got 'much'"),
        ("strength(self, training, scale): return 1 / 0", "ZeroDivisionError"),
    ],
)
def test_what_a_theory_declares_is_checked(check, member, sentence):
    name = "declares"
    with pytest.raises(Misuse, match=sentence) as refused:
        check(name=name, more=f"\n    def {member}\n")
    assert str(refused.value).startswith(f"{name}.py, line ")


def test_a_bound_and_breaks_of_another_kind_are_refused(check):
    with pytest.raises(Misuse, match="has the bound 'sky'; it must be 'path' or 'mixture'"):
        check(name="bound_by_sky", more="\n    bound = 'sky'\n")
    with pytest.raises(Misuse, match="has breaks of type NoneType"):
        more = "\n    def __post_init__(self):\n        self.__dict__['breaks'] = None\n"
        check(name="breaks_none", more=more)


@pytest.mark.parametrize(
    "value", ["np.ones(2)", "np.ones(0)", "np.float32(3)", "np.array([1.0, np.inf])", "'x'"]
)
def test_hyperparameters_are_finite_and_ascend(check, value):
    more = f"\n    @property\n    def hyperparameters(self):\n        return {value}\n"
    with pytest.raises(
        Misuse, match=r"my-theory has unfit hyperparameters: they must be \(m,\) finite numbers"
    ):
        check(more=more)


def test_a_class_is_no_theory(check):
    with pytest.raises(Misuse, match=r"is the class Mine, not an instance of it; write Mine\(\)"):
        check(
            name="uninstantiated", more="\n\ndef variants(process):\n    return {'uninstantiated': Mine}\n\n"
        )


def test_one_pass_over_all_strengths_is_checked(check):
    more = (
        "\n    def path(self, prior, data, betas, *, key=None):"
        "\n        return jax.vmap(lambda beta: Forecast(prior, beta))(betas)\n"
    )
    check(name="in_one_pass", more=more)
    with pytest.raises(Misuse, match="not to 1"):
        check(name="in_one_bad_pass", more=more, read="log_probs + self.beta")


def test_a_replay_is_checked_at_its_doses(check):
    replay = (
        "\n    def follow(self, network, run):"
        "\n        params = run.finetune(network)"
        "\n        return FORECASTS, params\n"
    )
    good = "network.with_params(params)"
    check(name="good_replay", more=replay.replace("FORECASTS", good))
    bad = "jax.vmap(lambda p: Forecast(network.with_params(p), jnp.ones(())))(params)"
    with pytest.raises(Misuse, match="not to 1"):
        check(name="bad_replay", more=replay.replace("FORECASTS", bad), read="log_probs + self.beta")


def test_theories_of_the_house_are_left_to_their_tests(tiny, untrained, monkeypatch):
    monkeypatch.setattr(theory_checks, "_check", lambda *given: pytest.fail("checked"))
    experiment = replace(tiny(), theories=("all",), more_theories={"proximal": Proximal(tolerance=0.5)})
    check_theories(experiment, untrained(experiment), candidates(experiment))


def test_an_executor_refuses_it_before_anything_is_compiled(tiny, untrained, tmp_path):
    file = tmp_path / "too_short.py"
    text = FILE.replace("READ", "log_probs[..., 1:]").replace("PRIOR", "Predictor")
    file.write_text(text.replace("FORECAST", "Forecast(prior, beta)").replace("MORE", ""))
    experiment = replace(tiny(), catalogue=Catalogue((str(file),)))
    with pytest.raises(Misuse, match=r"^too_short\.py, line \d+: the theory too-short predicts"):
        Executor(experiment, untrained(experiment))
