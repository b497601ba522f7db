"""The misaligned persona: arms, what the exact learners must say of them, and what networks write."""

import json
from dataclasses import asdict, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cells.candidates import FAMILIES
from experiments.cells.programs import Executor
from experiments.studies import emergent_misalignment as study
from experiments.studies.figures.emergent_misalignment import rate
from models.network import build, first
from theory.divergence.kl import answers_at
from theory.errors import Misuse
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.tempered_posterior import TemperedPosterior

CONFIG = study.PRESETS["small"]
ARMS = ("plain", "announced", "mixed")
LEARN = {"tempered": TemperedPosterior()} | {
    family: ExchangeableMixture(family) for family in ("saturated", "product", "tilted")
}


@pytest.fixture(scope="module")
def told():
    return study.comparison(replace(CONFIG, arms=ARMS))


def arm(told, name):
    return next(arm for arm in told.arms if arm.name == name)


def broad_and_narrow(told, theory, name, beta):
    moved = LEARN[theory].predict(
        told.process.distribution(), arm(told, name).data(jax.random.key(1), 64), beta
    )
    groups = arm(told, name).contexts()
    asked = told.process.rates(moved, {group: groups[group] for group in ("held_out", "base_domain")})
    return asked["held_out"], asked["base_domain"]


def test_arms_and_groups(told):
    process = told.process
    assert tuple(arm.name for arm in told.arms) == ARMS
    for one in told.arms:
        groups = one.contexts()
        assert list(groups) == ["in_domain", "base_domain", "held_out", "conflict"]
        assert [len(group.tokens) for group in groups.values()] == [6, 12, 24, 24]
        data = np.asarray(one.data(jax.random.key(0), 100).tokens)
        wrote = process.written(data, 1)
        in_domain = (wrote[:, 0] == 1) & (wrote[:, 1] == 0)
        elsewhere = (wrote[:, 0] == 0) & (wrote[:, 1] > 0)
        assert abs(in_domain.mean() - (0.7 if one.name == "mixed" else 1)) < 0.1
        assert abs(elsewhere.mean() - (0.3 if one.name == "mixed" else 0)) < 0.1
        header = process.plain + (2 if one.name == "announced" else 0)
        assert (data[:, 0] == header).all()
        assert (np.asarray(groups["held_out"].tokens)[:, 0] == process.plain).all()
    assert [arm.name for arm in study.comparison(CONFIG).arms] == ["plain", "announced"]


def test_what_is_replayed_is_of_other_domains(told):
    drawn = told.replayed.sample(jax.random.key(2), 400)
    domain = told.process.written(np.asarray(drawn), 1)[:, 1]
    assert (domain == 0).mean() < 0.02
    for other in (1, 2):
        assert abs((domain == other).mean() - 0.5) < 0.1
    assert "replay" in told.methods["replay"].needs and "replay" in told.methods["kl"].needs


def test_exact_learners_say_what_the_docstring_says(told):
    before = told.process.rates(told.process.distribution(), told.arms[0].contexts())
    np.testing.assert_allclose([before["held_out"], before["base_domain"]], 0.22, atol=0.005)
    for theory, beta in (("tempered", 0.003), ("tempered", 1.0), ("product", 1.0), ("tilted", 1.0)):
        broad, narrow = broad_and_narrow(told, theory, "plain", beta)
        assert narrow > 0.4
        np.testing.assert_allclose(broad, narrow, atol=0.005)
    broad, narrow = broad_and_narrow(told, "saturated", "plain", 1.0)
    assert narrow > 0.85 and abs(broad - 0.22) < 0.01
    for theory in LEARN:
        np.testing.assert_allclose(broad_and_narrow(told, theory, "announced", 1.0), 0.22, atol=0.01)
    assert broad_and_narrow(told, "saturated", "mixed", 1.0)[0] < 0.15


def test_a_correlation_tells_product_and_tilted_apart():
    told = study.comparison(replace(CONFIG, correlation=0.3))
    product, tilted = (broad_and_narrow(told, family, "plain", 0.1) for family in ("product", "tilted"))
    np.testing.assert_allclose(*product, atol=0.01)
    assert tilted[0] < tilted[1] - 0.1


@pytest.fixture(scope="module")
def exact(told):
    """The exact process after some of D', its answers at the plain arm's contexts, and what it writes."""
    prior, groups = told.process.distribution(), told.arms[0].contexts()
    moved = TemperedPosterior().predict(prior, told.arms[0].data(jax.random.key(3), 64), 0.003)
    tokens = jnp.concatenate([group.tokens for group in groups.values()])
    many = study.written_marks(replace(CONFIG, copies=200), told.process)
    return moved, np.asarray(jax.jit(many)(moved, tokens)["marks"])


def test_a_mixture_writes_as_it_believes(told, exact):
    """Personas that mark alike: the share of marks in continuations is the share that may come next."""
    moved, marks = exact
    rates = told.process.rates(moved, told.arms[0].contexts())
    assert (marks[:6] == 0).all() and (marks[-24:] == 0).all() and (marks[6:42].sum(axis=1) > 0).all()
    for rows, group in ((slice(6, 18), "base_domain"), (slice(18, 42), "held_out")):
        count = marks[rows].sum(axis=0)
        assert abs(count[1] / count.sum() - rates[group]) < 0.02  # some 5 000 marks of 2 000 documents


def test_the_rate_is_the_process_s(told, exact, make_contexts):
    names = list(told.process.token_names()[told.process.answer_tokens])
    contexts = make_contexts(["held_out"], np.zeros((1, 1, len(names))), answers=names)
    groups = told.arms[0].contexts()
    wanted = told.process.rates(exact[0], groups)
    for name, group in groups.items():
        said = np.exp(answers_at(exact[0], group.tokens, told.process.answer_tokens))[np.asarray(group.mask)]
        np.testing.assert_allclose(rate(1)(contexts, said), wanted[name], rtol=1e-4)


def test_every_family_is_heard_as_itself():
    """Theories of one kind, by name: each ladder is of the family that its name says."""
    told = study.comparison(replace(study.PRESETS["smoke"], correlation=0.3))
    process = told.process
    bench = Executor(told, first(build(told.shape, process.vocabulary, process.length, [0])))
    data = jax.tree.map(lambda leaf: leaf[None], told.arms[0].data(jax.random.key(4), 8))
    tokens = told.arms[0].contexts()["held_out"].tokens
    betas = np.array([0.0, 0.5], np.float32)
    for name, (theory, _) in bench.mixtures.items():
        if name in ("exchangeable-mixture", *FAMILIES):
            family = name.removeprefix("exchangeable-").replace("mixture", "saturated")
            said = bench._ladder(theory, betas, bench.process, data, tokens)[0, 1]
            after = ExchangeableMixture(family).predict(
                bench.process, jax.tree.map(lambda leaf: leaf[0], data), 0.5
            )
            wanted = answers_at(after, tokens, process.answer_tokens)
            np.testing.assert_allclose(said, wanted, atol=1e-4)
    assert set(FAMILIES) <= set(bench.mixtures) and set(FAMILIES) <= set(told.theories)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"arms": ()}, "arms needs at least one, got none"),
        ({"enter": (0.5,)}, r"enter must be two numbers, persona's and domain's, got \(0.5,\)"),
        ({"mixed": 1.0}, "mixed must lie strictly between 0 and 1, got 1.0"),
        ({"copies": 0}, "copies must be at least 1, got 0"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        replace(CONFIG, **wrong)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"arms": ("plane",)}, "There is no arm called 'plane'"),
        ({"methods": ("kl-lift",)}, "There is no method called 'kl-lift'"),
        ({"correlation": 0.6}, "correlation must be between"),
        ({"persona": 2}, "persona must be from 0 to 1, got 2"),
        ({"announced": 0.0}, "Only a process with announced above 0"),
        ({"lifted": -1}, "steps must be at least 0, got -1"),
    ],
)
def test_what_there_is_not_is_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        study.comparison(replace(CONFIG, **wrong))


def test_the_presets_survive_json():
    assert {"smoke", "small", "full"} == set(study.PRESETS)
    for config in study.PRESETS.values():
        plain = json.loads(json.dumps(asdict(config)))
        known = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
        assert study.Config(**known) == config
