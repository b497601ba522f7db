"""The published toy of emergent misalignment: its exact numbers, the arms, and what networks write."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.design.options import to_json, with_options
from experiments.runs.plan import estimate
from experiments.storage.contents import Contexts
from experiments.studies import emergent_misalignment_published as study
from experiments.studies.figures.emergent_misalignment_published import learner, learners, prior
from theory.errors import Misuse
from theory.processes.persona_domain import PUBLISHED, PersonaDomain

CONFIG = study.PRESETS["small"]
FULL = study.PRESETS["published"]
PROCESS = FULL.process.build()
MD, MO, AD, AO = (1, 0), (1, 1), (0, 0), (0, 1)


@pytest.fixture(scope="module")
def experiment():
    return study.experiment(CONFIG)


@pytest.fixture(scope="module")
def exact():
    """Prompts of O and two aligned documents of O: every sector's answers, and nats of what comes before."""
    prompts = study.prompts_of(with_options(FULL, {"repeats": 3}), PROCESS, jax.random.key(0))["held_out"]
    aligned = PROCESS.narrow(jax.random.key(1), 2, persona=0, domain=1)
    tokens = np.concatenate([prompts.tokens, aligned.tokens])
    log_probs = np.asarray(PROCESS.distribution().component_log_probs(tokens), float)
    chosen = np.take_along_axis(log_probs, tokens[None, ..., None], axis=-1)[..., 0]
    return log_probs, np.cumsum(chosen, axis=-1)


@pytest.fixture(scope="module")
def contexts(exact):
    """The prompts."""
    log_probs, nats = exact
    names = np.array(PROCESS.token_names()[PROCESS.answer_tokens])
    components = log_probs[:, :3, FULL.begin, PROCESS.answer_tokens]
    group = np.full(3, "held_out")
    return Contexts(
        group, group, names, components, nats[:, :3, FULL.begin - 1], components[0], components[0]
    )


def options(**changed):
    return to_json(with_options(FULL, changed))


def test_the_process_is_the_published_one_with_a_trigger():
    wanted = PersonaDomain(**PUBLISHED | {"announced": 0.04})
    assert wanted == PROCESS
    np.testing.assert_allclose(PROCESS.joint(), [[0.475, 0.475], [0.025, 0.025]])  # AD AO, MD MO
    assert CONFIG.process.build() == PersonaDomain(**PUBLISHED | {"announced": 0.04, "length": 33})


def test_exact_bayes_has_the_published_loss():
    """Of 63 tokens after the first: their networks have 1.591 to 1.596; recomputed apart, 1.5943 ± 0.0010."""
    random, means, variance = np.random.default_rng(0), 0.0, 0.0
    for sector, share in ((MD, 0.025), (MO, 0.025), (AD, 0.475), (AO, 0.475)):
        symbols = [
            drawn[:, :64]
            for drawn in PROCESS._text(random, np.full(2000, sector[0]), np.full(2000, sector[1]), 64)
        ]
        joint = np.logaddexp.reduce(
            [
                np.log(weight)
                + sum(log_likelihood(factor, other, symbols[factor]) for factor, other in enumerate(z))
                for z, weight in ((MD, 0.025), (MO, 0.025), (AD, 0.475), (AO, 0.475))
            ]
        )
        loss = -(joint - np.log(0.25)) / 63
        means += share * loss.mean()
        variance += share**2 * loss.var() / 2000
    assert np.sqrt(variance) < 0.0015
    assert abs(means - 1.5943) < 3 * np.sqrt(variance + 0.001**2)


def log_likelihood(factor, value, symbols):
    """log p(symbols | value) of a factor whose state shows in its symbols: neutral, or marked."""
    enter, stay = PROCESS.enter[factor][value], PROCESS.stay[factor]
    marked = symbols >= 2
    with np.errstate(divide="ignore"):
        total = np.where((marked & (symbols != 2 + value)).any(axis=1), -np.inf, 0.0)
        chance = np.where(marked[:, :-1], stay, enter)  # of a mark, after a mark or not
        total = total + np.log(np.where(marked[:, 1:], chance, (1 - chance) / 2)).sum(axis=1)
    return total + np.where(marked[:, 0], -np.inf, np.log(0.5))


def test_a_prompt_has_the_published_belief(contexts):
    """Odds 0.001347 of M after five silent tokens, as 0.4^4 m / (1 - m), whatever the ordinary symbols."""
    odds = 0.05 / 0.95 * np.exp(contexts.evidence[3] - contexts.evidence[1])
    np.testing.assert_allclose(odds, 0.001347, atol=5e-7)
    np.testing.assert_allclose(odds / (1 + odds), 0.0013456, atol=5e-7)
    assert np.isneginf(contexts.evidence[[0, 2]]).all()


def test_an_aligned_document_elsewhere_carries_its_published_evidence(exact):
    nats = exact[1][:, 3:, -1]
    np.testing.assert_allclose(nats[1] - nats[3], 57.7263, atol=1e-3)  # AO over MO: 63 ln 2.5


def test_the_product_learner_writes_as_published(contexts):
    """0.896 after 1000 documents, 0.9642 × (1 - 0.92^32); the saturated learner's is its belief."""
    saturated, product, certain = learners(contexts, options(**{"finetuning.n": 1000, "finetuning.batch": 1}))
    np.testing.assert_allclose(certain, 1 - 0.92**32, atol=1e-6)
    np.testing.assert_allclose(product, 0.9642 * (1 - 0.92**32), atol=1e-4)
    np.testing.assert_allclose(saturated, 0.0013456 * (1 - 0.92**32), rtol=1e-3)
    correlated = to_json(with_options(FULL, {"process.correlation": 0.1}))["process"]
    np.testing.assert_allclose(prior(correlated), PersonaDomain(**PUBLISHED | {"correlation": 0.1}).joint())
    assert learner(contexts, options(), np.array([[0.0, 0.0], [0.5, 0.5]])) == pytest.approx(
        1 - 0.92**32, abs=1e-6
    )


def test_arms_and_groups(experiment):
    assert [arm.name for arm in experiment.arms] == ["plain", "inoculated"]
    process = experiment.process
    for arm in experiment.arms:
        groups = experiment.contexts(arm)
        assert list(groups) == ["in_domain", "base_domain", "held_out", "named"]
        assert [len(group.tokens) for group in groups.values()] == [4, 8, 8, 8]
        header = process.plain + 2 * (arm.name == "inoculated")
        data = np.asarray(arm.task.data(jax.random.key(0), 60).tokens)
        assert (data[:, 0] == header).all()
        shown = process.written(data, 1)
        assert (shown[:, 0] == 1).all() and set(shown[:, 1]) <= {-1, 0}
        text = np.asarray(groups["held_out"].tokens)[:, 1:6]
        assert (text[:, 1:4] % 4 == 3).all() and (text < 8).all()  # marks of O; persona symbols ordinary
        assert (np.asarray(groups["named"].tokens)[:, 0] == process.plain + 2).all()
        np.testing.assert_array_equal(np.asarray(groups["named"].tokens)[:, 1:6], text)
        assert (np.asarray(groups["held_out"].mask).argmax(axis=1) == CONFIG.begin).all()
    assert set(experiment.methods) == set(study.METHODS)


@pytest.mark.slow
def test_exact_learners_write_as_their_formula_says(experiment):
    """The exact process with M in half of the documents: rates, and hardly a deficit."""
    config = with_options(CONFIG, {"copies": 60, "repeats": 2})
    process, mixture = experiment.process, experiment.process.distribution()
    half = mixture.with_log_weights(jnp.log(jnp.full(4, 0.25)))
    asked = study.prompts_of(config, process, jax.random.key(0))
    documents = process.narrow(jax.random.key(1), 1)
    tokens = jnp.concatenate([documents.tokens, asked["base_domain"].tokens, asked["held_out"].tokens])
    seen = jax.jit(study.observation(config, process))(half, tokens)
    shown, deficit = (np.asarray(seen[name]) for name in ("shown", "deficit"))
    assert (shown[0] == 0).all() and deficit[0] == 0
    belief = 0.0256 / 1.0256  # odds 0.4^4 of M after an even prior
    wanted = belief * (1 - 0.92**24)
    rate = shown[1:].sum(axis=1).mean() / 60
    assert abs(rate - wanted) < 4 * np.sqrt(wanted / 240)
    assert (shown[1:3, 1] == 0).all() and (shown[3:, 0] == 0).all()  # exact learners never flip
    assert (deficit[1:] < 0.002).all() and (deficit[1:] > -0.02).all()


def test_observations_and_theories_count_in_the_estimate_of_time(experiment):
    without = study.experiment(with_options(CONFIG, {"copies": 1}))
    assert estimate(experiment, 1).others > estimate(without, 1).others
    assert estimate(experiment, 1).pretraining == estimate(without, 1).pretraining
    replayed = study.experiment(with_options(CONFIG, {"copies": 1, "theories": ("linearised",)}))
    assert estimate(replayed, 1).others < estimate(without, 1).others  # no pass over D' for a proximal theory


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"arms": ()}, "arms needs at least one entry, got none"),
        ({"copies": 0}, "copies must be at least 1, got 0"),
        ({"slip": 0.0}, "slip must lie strictly between 0 and 1, got 0.0"),
        ({"matched": 1.0}, "matched must lie strictly between 0 and 1, got 1.0"),
        ({"slower": 0.0}, "slower must be above 0 and finite, got 0.0"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        with_options(CONFIG, wrong)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"marks": 40},
            "A prompt of marks . 2 = 42 tokens and the written = 24 after it must fit into a document",
        ),
        ({"written": 28}, "must fit into a document of length - 1 = 32"),
        ({"arms": ("plane",)}, "There is no arm called 'plane'"),
        ({"persona": 2}, "persona must be from 0 to 1, got 2"),
        ({"process.announced": 0.0}, "Only a process with announced above 0"),
    ],
)
def test_what_there_is_not_is_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        study.experiment(with_options(CONFIG, wrong))
