"""Candidates: the theories that an experiment scores, in every form, found, named or given as instances."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cells.candidates import Candidate, candidates
from experiments.discovery import Catalogue
from theory.base import Predictor, check_beta
from theory.contracts import Scale, Setting, Theory, kebab_case, variants
from theory.errors import Misuse
from theory.processes.persona_domain import example as product
from theory.processes.persona_topics import example
from theory.processes.presidents import Presidents
from theory.processes.urns import Urns
from theory.theories import complexity_prior
from theory.theories.langevin_posterior import LangevinPosterior
from theory.theories.noise import Noise
from theory.theories.proximal import Proximal
from theory.theories.unchanged import Unchanged

SCALE = Scale(answers=36.0, longest=0.5)
BY_DEFAULT = {
    *("tempered-posterior", "exchangeable-mixture", "geometric-path", "linear-mixture"),
    *("proximal", "linearised", "langevin-posterior", "adam-gibbs"),
}
OPTIONAL = {
    *("narrow-or-broad", "complexity-prior", "belief-dynamics", "in-context", "quadratic", "relinearised"),
    "two-looks",
    *("spectrum", "kernel-predictor", "gaussian-process", "laplace", "linear-response"),
    *("hierarchical-personas", "finite-time-langevin", "steering-posterior"),
    *("initial-transfer", "noise"),
}

OF_TABLES = {"hierarchical-first-steps", "hierarchical-fitted"}  # more forms, under names of their own
OF_PRODUCTS = {"structure-posterior"}  # by default, where the hidden variable is a product


def experiment(process, *theories, extra=(), more=None, catalogue=None, n=8):
    """The part of an experiment that candidates depend on."""
    return SimpleNamespace(
        sampling=None,
        axioms=None,
        inside=None,
        n=n,
        process=process,
        theories=theories,
        extra_theories=extra,
        more_theories=more or {},
        catalogue=catalogue or Catalogue(),
    )


def names(*theories, **more):
    return {each.theory for each in candidates(experiment(example(), *theories, **more))}


@dataclass(frozen=True)
class Still(Theory[Predictor]):
    """The prior, under any strength."""

    breaks: dict[str, str] = field(default_factory=dict)

    def predict(self, prior: Predictor, data, beta, *, key=None) -> Predictor:
        check_beta(beta)
        return prior


EVERY = candidates(experiment(example(), "all"))
OVER_WEIGHTS = [each for each in EVERY if each.kind == "weights"]


def test_all_are_the_theories_of_the_catalogue():
    """But for the reference, whose answers are those of the base network, and what needs a product."""
    known = {entry.name for entry in Catalogue().entries("theories")}
    assert names("all") - OF_TABLES == known - {"unchanged", *OF_PRODUCTS} == BY_DEFAULT | OPTIONAL
    assert names("all") >= OF_TABLES
    forms = [(each.theory, prior) for each in EVERY for prior in each.priors]
    assert len(set(forms)) == len(forms)


def test_a_costly_theory_is_scored_only_where_it_is_named():
    assert names() == BY_DEFAULT
    assert all(not each.form.optional for each in candidates(experiment(example())))
    assert names(extra=("complexity-prior",)) == BY_DEFAULT | {"complexity-prior"}
    assert names("spectrum") == {"spectrum"}
    assert names("proximal", "complexity-prior") == {"proximal", "complexity-prior"}
    assert (
        names("unchanged") == names("unchanged", more={"unchanged": Unchanged()}) == set()
    )  # every table has it anyway


def test_other_families_are_scored_where_the_hidden_variable_is_a_product():
    families = {"exchangeable-product", "exchangeable-tilted"}
    every = {each.theory: each for each in candidates(experiment(product(), "all"))}
    tables = {"hierarchical-personas"}  # it needs tables of answers
    assert set(every) == BY_DEFAULT | OPTIONAL - tables | OF_PRODUCTS | families
    assert all(every[name].form.optional and every[name].form.bound == "path" for name in families)
    assert {each.theory for each in candidates(experiment(product()))} == BY_DEFAULT | OF_PRODUCTS


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"theories": ("tempred-posterior",)},
            "'tempred-posterior'; did you mean tempered-",
        ),
        ({"extra": ("complexity-prio",)}, "did you mean complexity-prior"),
        ({"theories": ("adam-gibbs",)}, "adam-gibbs is sampled, and there is no temperature"),
    ],
)
def test_a_theory_that_would_not_be_scored_is_refused(changes, sentence):
    """Before anything is pretrained, whoever names it."""
    with pytest.raises(Misuse, match=sentence):
        candidates(experiment(product(), *changes.get("theories", ()), extra=changes.get("extra", ())))


def test_the_kind_of_a_theory_says_where_it_starts():
    kinds = {}
    for each in EVERY:
        kinds.setdefault(each.kind, {}).setdefault(each.theory, []).extend(each.priors)
    assert kinds["sampled"] == {"langevin-posterior": [], "adam-gibbs": []}  # priors are temperatures
    hypotheses = ("tempered-posterior", "exchangeable-mixture", "narrow-or-broad", "complexity-prior")
    both = ["process", "implied"]
    assert kinds["hypotheses"] == dict.fromkeys(
        (*hypotheses, "belief-dynamics", "hierarchical-personas", *OF_TABLES), both
    )
    predictors = "geometric-path", "linear-mixture", "in-context", "steering-posterior"
    replays = "linearised", "quadratic", "relinearised", "two-looks"
    assert kinds["noise"] == {"noise": []}
    assert kinds["predictor"] == {name: ["network"] for name in predictors}
    assert kinds["replay"] == {name: ["network"] for name in replays}
    assert kinds["weights"] == {
        "proximal": ["network"],
        **{name: ["identity", "adam"] for name in ("spectrum", "initial-transfer")},
        "laplace": ["isotropic", "fisher", "kronecker", "last-layer", "sequential"],
        "finite-time-langevin": ["network"],
        **{name: ["identity"] for name in ("kernel-predictor", "gaussian-process", "linear-response")},
    }


def test_a_form_is_told_by_the_learning_rate_time_of_its_metric():
    metrics = {(each.theory, *each.priors): each.form.metric_name for each in OVER_WEIGHTS}
    identity = {name for name, metric in metrics.items() if metric == "identity"}
    assert identity == {
        *(("proximal", "network"), ("laplace", "isotropic"), ("spectrum", "identity")),
        ("initial-transfer", "identity"),
        ("finite-time-langevin", "network"),
        *((name, "identity") for name in ("kernel-predictor", "gaussian-process", "linear-response")),
    }
    adam = {name for name, metric in metrics.items() if metric == "adam"}
    assert adam == {("spectrum", "adam"), ("initial-transfer", "adam")}


def test_the_grids_of_closed_forms():
    likelihood = np.concatenate([[0.0], np.logspace(-6, 3, 109)]).astype(np.float32)
    counts = np.concatenate([[0.0], np.logspace(-5, 3, 99)]).astype(np.float32)
    path = np.concatenate([[0.0], np.logspace(-4, 1.2, 79)]).astype(np.float32)
    grids = {
        **dict.fromkeys(("tempered-posterior", "narrow-or-broad", "complexity-prior"), likelihood),
        "belief-dynamics": likelihood,
        **dict.fromkeys(
            ("exchangeable-mixture", "hierarchical-personas", "hierarchical-first-steps"), counts
        ),
        "hierarchical-fitted": np.concatenate([[0.0], np.logspace(-5, 3, 33)]).astype(np.float32),
        **dict.fromkeys(("geometric-path", "linear-mixture"), path),
        "in-context": np.concatenate([[0.0], np.logspace(-2, 0, 13)]).astype(np.float32),
        "steering-posterior": np.concatenate([[0.0], np.logspace(-4, 2, 37)]).astype(np.float32),
    }
    for each in EVERY:
        if each.kind in ("hypotheses", "predictor"):
            np.testing.assert_array_equal(each.form.grid(SCALE), grids[each.theory], err_msg=each.theory)


def test_the_octaves_of_theories_over_weights():
    """Narrow where τ is the time of gradient flow, wide where its unit is another, far with a replay."""
    ends = {("spectrum", "adam"): (-13, 8), ("laplace", "sequential"): (2, 13)}
    ends[("initial-transfer", "adam")] = (-13, 8)
    ends |= {("laplace", prior): (-13, 8) for prior in ("fisher", "kronecker", "last-layer")}
    for each in OVER_WEIGHTS:
        if each.theory != "proximal":  # as far as the longest training
            low, high = ends.get((each.theory, *each.priors), (-8, 4))
            times = np.concatenate([[0.0], 2.0 ** np.arange(low, high + 1.0)])
            np.testing.assert_array_equal(each.form.times(SCALE), times)
            np.testing.assert_allclose(each.form.grid(SCALE), times / 36, rtol=1e-6)
    units = {each.theory: each.form.unit for each in OVER_WEIGHTS}
    temperate = ("gaussian-process", "linear-response")
    assert units == dict.fromkeys(units, 1.0) | dict.fromkeys(temperate, 1e5)


def test_an_instance_stands_for_the_theory_of_its_name():
    more = {"proximal": Proximal(tolerance=0.5)}
    found = candidates(experiment(example(), "tempered-posterior", more=more))
    assert [(each.theory, each.priors) for each in found] == [
        ("tempered-posterior", ("process", "implied")),
        ("proximal", ("network",)),
    ]
    assert found[1].form.tolerance == 0.5
    every = candidates(experiment(example(), "all", more=more))
    assert [each.form.tolerance for each in every if each.theory == "proximal"] == [0.5]
    assert len(every) == len(EVERY)


def test_an_instance_of_a_class_of_one_s_own():
    ours = Candidate("mine", ("network",), "predictor", Still())
    found = candidates(experiment(example(), "unchanged", more={"mine": ours.form}))
    assert [(each.theory, each.priors, each.kind, each.form) for each in found] == [
        (ours.theory, ours.priors, ours.kind, ours.form)
    ]
    assert (kebab_case("MyTheory"), kebab_case("Adam"), kebab_case("MyNTK")) == (
        "my-theory",
        "adam",
        "my-ntk",
    )


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tempered-posterio", "no theory called 'tempered-posterio'; did you mean tempered-posterior"),
        ("exchangeable-product", "^exchangeable-product does not take this study's process, PersonaTopics, "),
        ("structure-posterior", "^structure-posterior does not take .* another kind of hidden variable"),
        (
            "hierarchical-first-steps-by-rate",
            "^hierarchical-first-steps-by-rate is a forecast of hierarchical-first-steps, where that has a "
            "rate; write hierarchical-first-steps.$",
        ),
        ("no-theory-by-rate", "no theory called 'no-theory-by-rate'"),
    ],
)
def test_a_name_that_no_theory_has_is_refused(name, sentence):
    with pytest.raises(Misuse, match=sentence):
        candidates(experiment(example(), name))


def test_every_name_that_a_study_can_score_is_listed():
    """Names are read from the source, before any process is known."""
    every = [*EVERY, *candidates(experiment(product(), "all"))]
    listed = [name for entry in Catalogue().entries("theories") for name in entry.all_names]
    assert sorted(listed) == sorted({"unchanged", *(each.theory for each in every)})


@pytest.mark.parametrize(
    ("theory", "sentence"),
    [
        (3, "mine is a int, which is no theory"),
        (LangevinPosterior(), "mine is sampled by chains; choose its"),
    ],
)
def test_an_instance_that_cannot_be_scored_is_refused(theory, sentence):
    with pytest.raises(Misuse, match=sentence):
        candidates(experiment(example(), more={"mine": theory}))


def test_one_document_has_no_order():
    """Who asks for its noise is refused before anything is pretrained; among all theories it is left out."""
    for asked in ({"theories": ("noise",)}, {"extra": ("noise",)}, {"more": {"noise": Noise()}}):
        named = asked.pop("theories", ())
        with pytest.raises(Misuse, match=r"^noise needs two documents or more in D', got n = 1; omit it"):
            candidates(experiment(example(), *named, **asked, n=1))
        assert "noise" in names(*named, **asked)
    assert names("all", n=1) == names("all") - {"noise"}


def test_a_name_of_a_null_is_refused():
    with pytest.raises(Misuse, match="answer-bias is a null"):
        candidates(experiment(example(), more={"answer-bias": Still()}))


def test_a_misspelt_extra_theory_is_refused():
    with pytest.raises(Misuse, match="did you mean complexity-prior"):
        candidates(experiment(example(), extra=("complexity-priors",)))


def test_a_theory_in_a_file_of_one_s_own(tmp_path):
    file = tmp_path / "standing_still.py"
    file.write_text(
        "from theory.base import Predictor\nfrom theory.contracts import Theory\n\n\n"
        "class Still(Theory[Predictor]):\n    breaks = {}\n\n"
        "    def predict(self, prior: Predictor, data, beta, *, key=None):\n        return prior\n"
    )
    with pytest.raises(Misuse, match=r"standing_still.py: it needs a function example\(\)") as refused:
        names(catalogue=Catalogue((str(file),)))
    assert str(tmp_path) not in str(refused.value)
    file = file.rename(tmp_path / "quite_still.py")
    file.write_text(file.read_text() + "\n\ndef example():\n    return Still()\n")
    catalogue = Catalogue((str(file),))
    assert names(catalogue=catalogue) == BY_DEFAULT | {"quite-still"}
    assert names("quite-still", catalogue=catalogue) == {"quite-still"}


def test_the_complexity_prior_weighs_the_predictors_that_a_process_names():
    for process, parts in ((example(), None), (Urns(urns=2), (0, 0, 1))):
        (theory,) = variants(complexity_prior, process).values()
        assert theory.predictors == parts
        assert theory.description_lengths is None


def test_the_complexity_prior_has_the_description_lengths_of_a_process():
    process = Presidents()
    theory = variants(complexity_prior, process)["complexity-prior"]
    np.testing.assert_allclose(theory.description_lengths, process.description_lengths())
    assert theory.exponent == 1.0 != process.exponent
    data = process.task(1, (3, 4, 5, 8), 1).data(jax.random.key(0), 2)
    after = theory.predict(process.distribution(), data, 0.0)
    bits = -np.asarray(after.log_weights) / np.log(2)
    np.testing.assert_allclose(bits - bits[0], process.description_lengths() - 5, atol=1e-4)


@pytest.mark.slow  # on a tiny predictor each form moves in make test (tests/theory/theories/test_contract.py)
@pytest.mark.parametrize("each", OVER_WEIGHTS, ids=lambda each: "-".join((each.theory, *each.priors)))
def test_a_theory_over_weights_moves_from_the_base_network(each, process, network, documents):
    times = each.form.times(SCALE)
    assert times[0] == 0
    assert (np.diff(times) > 0).all()

    @jax.jit
    def answers(beta):
        key = jax.random.key(1)
        theory = each.form.complete(Setting(process.distribution(), network, documents, documents, key))
        return theory.predict(network, documents, beta * theory.unit, key=key).predict(documents.tokens)

    start, moved = (np.exp(answers(beta)) for beta in (0.0, 0.01))
    # those with a temperature vary
    np.testing.assert_allclose(start, np.exp(network.predict(jnp.asarray(documents.tokens))), atol=3e-3)
    assert np.isfinite(moved).all()
    assert np.abs(moved - start).max() > 1e-5
