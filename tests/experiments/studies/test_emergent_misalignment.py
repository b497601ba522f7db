"""The misaligned persona: arms, what the exact learners must say of them, and what networks write."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cells.candidates import candidates
from experiments.cells.programs import Executor
from experiments.design.options import with_options
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
def experiment():
    return study.experiment(with_options(CONFIG, {"arms": ARMS}))


def arm(experiment, name):
    return next(arm for arm in experiment.arms if arm.name == name)


def broad_and_narrow(experiment, theory, name, beta):
    moved = LEARN[theory].predict(
        experiment.process.distribution(), arm(experiment, name).task.data(jax.random.key(1), 64), beta
    )
    groups = experiment.contexts(arm(experiment, name))
    rates = experiment.process.rates(moved, {group: groups[group] for group in ("held_out", "base_domain")})
    return rates["held_out"], rates["base_domain"]


def test_arms_and_groups(experiment):
    process = experiment.process
    assert tuple(arm.name for arm in experiment.arms) == ARMS
    for each in experiment.arms:
        groups = experiment.contexts(each)
        assert list(groups) == ["in_domain", "base_domain", "held_out", "conflict"]
        assert [len(group.tokens) for group in groups.values()] == [6, 12, 24, 24]
        data = np.asarray(each.task.data(jax.random.key(0), 100).tokens)
        wrote = process.written(data, 1)
        in_domain = (wrote[:, 0] == 1) & (wrote[:, 1] == 0)
        elsewhere = (wrote[:, 0] == 0) & (wrote[:, 1] > 0)
        assert abs(in_domain.mean() - (0.7 if each.name == "mixed" else 1)) < 0.1
        assert abs(elsewhere.mean() - (0.3 if each.name == "mixed" else 0)) < 0.1
        header = process.plain + (2 if each.name == "announced" else 0)
        assert (data[:, 0] == header).all()
        assert (np.asarray(groups["held_out"].tokens)[:, 0] == process.plain).all()
    assert [arm.name for arm in study.experiment(CONFIG).arms] == ["plain", "announced"]


def test_what_is_replayed_is_of_other_domains(experiment):
    drawn = experiment.replayed.sample(jax.random.key(2), 400)
    domain = experiment.process.written(np.asarray(drawn), 1)[:, 1]
    assert (domain == 0).mean() < 0.02
    for other in (1, 2):
        assert abs((domain == other).mean() - 0.5) < 0.1
    assert "replay" in experiment.methods["replay"].needs and "replay" in experiment.methods["kl"].needs


@pytest.mark.slow
def test_exact_learners_say_what_the_docstring_says(experiment):
    before = experiment.process.rates(
        experiment.process.distribution(), experiment.contexts(experiment.arms[0])
    )
    np.testing.assert_allclose([before["held_out"], before["base_domain"]], 0.22, atol=0.005)
    for theory, beta in (("tempered", 0.003), ("tempered", 1.0), ("product", 1.0), ("tilted", 1.0)):
        broad, narrow = broad_and_narrow(experiment, theory, "plain", beta)
        assert narrow > 0.4
        np.testing.assert_allclose(broad, narrow, atol=0.005)
    broad, narrow = broad_and_narrow(experiment, "saturated", "plain", 1.0)
    assert narrow > 0.85 and abs(broad - 0.22) < 0.01
    for theory in LEARN:
        np.testing.assert_allclose(broad_and_narrow(experiment, theory, "announced", 1.0), 0.22, atol=0.01)
    assert broad_and_narrow(experiment, "saturated", "mixed", 1.0)[0] < 0.15


def test_a_correlation_tells_product_and_tilted_apart():
    experiment = study.experiment(with_options(CONFIG, {"process.correlation": 0.3}))
    product, tilted = (broad_and_narrow(experiment, family, "plain", 0.1) for family in ("product", "tilted"))
    np.testing.assert_allclose(*product, atol=0.01)
    assert tilted[0] < tilted[1] - 0.1


@pytest.fixture(scope="module")
def exact(experiment):
    """The exact process after some of D', its answers at the plain arm's contexts, and what it writes."""
    prior, groups = experiment.process.distribution(), experiment.contexts(experiment.arms[0])
    moved = TemperedPosterior().predict(prior, experiment.arms[0].task.data(jax.random.key(3), 64), 0.003)
    tokens = jnp.concatenate([group.tokens for group in groups.values()])
    many = study.continuation_marks(with_options(CONFIG, {"copies": 200}), experiment.process)
    return moved, np.asarray(jax.jit(many)(moved, tokens)["marks"])


@pytest.mark.slow
def test_a_mixture_writes_as_it_believes(experiment, exact):
    """Personas that mark alike: the share of marks in continuations is the share that may come next."""
    moved, marks = exact
    rates = experiment.process.rates(moved, experiment.contexts(experiment.arms[0]))
    assert (marks[:6] == 0).all() and (marks[-24:] == 0).all() and (marks[6:42].sum(axis=1) > 0).all()
    for rows, group in ((slice(6, 18), "base_domain"), (slice(18, 42), "held_out")):
        count = marks[rows].sum(axis=0)
        assert abs(count[1] / count.sum() - rates[group]) < 0.02  # some 5 000 marks of 2 000 documents


def test_the_rate_is_the_process_s(experiment, exact, make_contexts):
    names = list(experiment.process.token_names()[experiment.process.answer_tokens])
    contexts = make_contexts(["held_out"], np.zeros((1, 1, len(names))), answers=names)
    groups = experiment.contexts(experiment.arms[0])
    wanted = experiment.process.rates(exact[0], groups)
    for name, group in groups.items():
        answers = np.exp(answers_at(exact[0], group.tokens, experiment.process.answer_tokens))[
            np.asarray(group.mask)
        ]
        np.testing.assert_allclose(rate(1)(contexts, answers), wanted[name], rtol=1e-4)


@pytest.mark.slow
def test_every_family_is_scored_as_itself():
    """Theories of one kind, by name: each ladder is of the family that its name says."""
    smoke = study.PRESETS["smoke"]
    experiment = study.experiment(with_options(smoke, {"process.correlation": 0.3}))
    process, prior, arm = experiment.process, experiment.process.distribution(), experiment.arms[0]
    executor = Executor(experiment, first(build(experiment.shape, process.vocabulary, process.length, [0])))
    data = jax.tree.map(lambda leaf: leaf[None], arm.task.data(jax.random.key(4), 8))
    questions = executor.data.questions(arm)
    scored = {each.theory: each for each in candidates(experiment)}
    families = {name: each for name, each in scored.items() if name.startswith("exchangeable-")}
    assert set(families) == {"exchangeable-mixture", "exchangeable-product", "exchangeable-tilted"}
    assert {"exchangeable-product", "exchangeable-tilted"} == set(experiment.extra_theories)
    others = {each.theory for each in candidates(replace(experiment, extra_theories=()))}
    assert set(scored) == others | set(experiment.extra_theories)
    for name, each in families.items():
        family = name.removeprefix("exchangeable-").replace("mixture", "saturated")
        ladder = executor.theories.ladder(
            each,
            "process",
            {"process": prior, "network": executor.template},
            experiment.scale(8.0),
            data,
            np.asarray(jax.random.key_data(jax.random.key(0)))[None],
            questions.tokens,
            questions,
        )
        index = int(np.abs(ladder.betas - 0.5).argmin())
        beta = float(ladder.betas[index])
        assert 0.2 < beta < 1
        after = ExchangeableMixture(family).predict(prior, jax.tree.map(lambda leaf: leaf[0], data), beta)
        wanted = questions.at(np.asarray(answers_at(after, questions.tokens, process.answer_tokens)))
        np.testing.assert_allclose(ladder.log_probs[0, index], wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"arms": ()}, "arms needs at least one entry, got none"),
        ({"process.enter": (0.5,)}, r"process.enter must be like .*, got \(0.5,\)"),
        ({"mixed": 1.0}, "mixed must lie strictly between 0 and 1, got 1.0"),
        ({"copies": 0}, "copies must be at least 1, got 0"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        with_options(CONFIG, wrong)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"arms": ("plane",)}, "There is no arm called 'plane'"),
        ({"finetuning.methods": ("kl-lift",)}, "There is no method called 'kl-lift'"),
        ({"process.correlation": 0.6}, "correlation must be between"),
        ({"persona": 2}, "persona must be from 0 to 1, got 2"),
        ({"process.announced": 0.0}, "Only a process with announced above 0"),
        ({"lifted": -1}, "steps must be at least 0, got -1"),
    ],
)
def test_what_there_is_not_is_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        study.experiment(with_options(CONFIG, wrong))
