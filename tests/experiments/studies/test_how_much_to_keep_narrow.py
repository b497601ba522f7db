"""Arms, the documents that are added by each rule, and what the structure posterior must say of them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cells.candidates import candidates
from experiments.design.additions import Addition
from experiments.design.options import with_options
from experiments.studies import how_much_to_keep_narrow as study
from experiments.studies.data.added_documents import AddedDocuments
from models.network import build, first
from models.transformer import Architecture
from theory.errors import Misuse
from theory.processes.persona_domain import PersonaDomain
from theory.theories.structure_posterior import StructurePosterior

CONFIG = study.PRESETS["small"]
EVIDENCE = {"marginals": ((0.95, 0.05), (0.5, 0.5)), "enter": ((0.6, 0.6), (0.7, 0.7)), "length": 33}
KEY = jax.random.key(2)


@pytest.fixture(scope="module")
def made():
    return AddedDocuments(PersonaDomain(), 1, 0, pool=200, shown=9, repeats=4)


def test_arms_share_what_has_no_additions():
    arms = CONFIG.additions()
    assert len(arms) == 3 + 3 * 3 * 6 + 2 * 6 == len({arm.name for arm in arms})
    assert {arm.n for arm in arms if arm.rule in study.CHOICES} == {64}
    assert Addition(64, "", 0) in arms and Addition(256, "same-domain", 32) in arms


def test_every_arm_has_its_own_d_prime_and_the_same_contexts():
    experiment = study.experiment(with_options(CONFIG, {"added": (0, 3), "documents": (16, 64)}))
    sizes = {arm.name: arm.n for arm in experiment.arms}
    assert sizes["n16"] == 16 and sizes["n64-neutral-3"] == 67 and experiment.n == 288
    groups = [experiment.contexts(arm) for arm in experiment.arms[:2]]
    assert list(groups[0]) == ["in_domain", "base_domain", "held_out"]
    for name in groups[0]:
        np.testing.assert_array_equal(*(group[name].tokens for group in groups))
    assert {arm.name for arm in experiment.arms if arm.teacher} == {"n64-susceptibility-3"}
    forms = [(form.theory, form.priors) for form in candidates(experiment)]
    assert forms == [("linearised", ("network",)), ("structure-posterior", ("process",))]


def test_documents_are_nested_and_of_their_kind(made):
    process = made.process
    alone = np.asarray(made.data(KEY, 20, "", 0).tokens)
    assert alone.shape == (20, 16)
    kinds = {"elsewhere": (True, False), "same-domain": (True, True), "neutral": None}
    for rule, wanted in kinds.items():
        few, many = (np.asarray(made.data(KEY, 20, rule, added).tokens) for added in (4, 40))
        np.testing.assert_array_equal(few[:20], alone)
        np.testing.assert_array_equal(many[:24], few)
        assert (many[:, 0] == process.plain).all()
        persona, domain = process.written(many[20:], 1).T
        clear = (persona >= 0) & (domain >= 0)
        aligned, home = (persona == 0)[clear].mean(), (domain == 0)[clear].mean()
        if wanted:
            assert aligned > 0.9 and abs(home - wanted[1]) < 0.1
        else:
            assert abs(aligned - 0.85) < 0.2 and abs(home - 0.4) < 0.25
    assert set(np.asarray(domain)) >= {0, 1, 2}  # in no order of domains


def test_a_pool_that_is_too_small_is_refused(made):
    with pytest.raises(
        Misuse, match="pool must hold 190 documents for elsewhere, got 102 of 200; raise pool"
    ):
        made.data(KEY, 20, "elsewhere", 190)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "added", "price"), [("elsewhere", 1, 4.17), ("elsewhere", 4, 13.63), ("same-domain", 1, -0.69)]
)
def test_the_structure_posterior_of_an_arm_pays_what_the_evidence_says(rule, added, price):
    """n = 64, κ = 1, where documents show their cell nearly: nats by which broad loses."""
    made = AddedDocuments(PersonaDomain(**EVIDENCE), 1, 0, pool=100, shown=9, repeats=4)
    theory, prior = StructurePosterior(), made.process.distribution()
    alone, more = (theory.belief(prior, made.data(KEY, 64, rule, count), 1.0) for count in (0, added))
    assert abs((alone[1] - alone[0]) - (more[1] - more[0]) - price) < 0.1


@pytest.mark.slow
def test_the_likelihood_ratio_prefers_aligned_documents_elsewhere(made):
    """The best of them are worth log 65 nats, and no document more."""
    narrow = made.data(KEY, 64, "", 0)
    pool = made.process.blend(KEY, 50, {(0, 1): 0.4, (0, 0): 0.3, (1, 0): 0.3})
    score = made.likelihood_ratio(narrow, pool)
    assert (score < np.log(65) + 0.01).all() and np.sort(score)[-5] > np.log(65) - 0.1
    assert score[:20].mean() > 3 and score[20:35].mean() < 0 and abs(score[35:].mean()) < 0.1
    chosen = np.asarray(made.data(KEY, 64, "likelihood-ratio", 10).tokens)[64:]
    assert (made.process.written(chosen, 1)[:, 0] == 0).all()
    assert (made.process.written(chosen, 1)[:, 1] > 0).all()


@pytest.mark.slow
def test_the_susceptibility_is_the_slope_of_broad_over_narrow(made):
    """Against the rise of both log odds by a small step of descent on D' and a document of some weight."""
    network = first(build(Architecture(8, 1, 2), made.process.vocabulary, made.process.length, [0]))
    narrow, pool = made.data(KEY, 8, "", 0), made.process.blend(KEY, 3, {(0, 1): 0.5, (1, 2): 0.5})
    task = made.process.task(1, 0, repeats=4, shown=9)
    prompts = task.contexts(jax.random.key(4))
    found = made.susceptibility(jax.random.key(4), network, narrow, pool)

    def loss(params, documents):
        log_probs = network.with_params(params).predict(documents.tokens)
        chosen = jnp.take_along_axis(log_probs, documents.tokens[..., None], -1)[..., 0]
        return -jnp.sum(chosen * documents.mask, axis=1) / 14

    def odds(params):
        rates = made.process.rates(network.with_params(params), prompts)
        return np.array([np.log(rates[name] / (1 - rates[name])) for name in ("base_domain", "held_out")])

    def ratio(weights):
        """Broad over narrow rise, to first order by central differences, weights of the pool's documents."""
        slope = jax.grad(lambda params: loss(params, narrow).sum() + loss(params, pool) @ weights)(
            network.params
        )
        ends = [
            odds(jax.tree.map(lambda w, g, s=sign: w - s * 1e-3 * g, network.params, slope))
            for sign in (1, -1)
        ]
        return (ends[0] - ends[1])[1] / (ends[0] - ends[1])[0]

    slopes = [ratio(0.3 * row) - ratio(-0.3 * row) for row in np.eye(3)]
    assert np.corrcoef(found, -np.array(slopes))[0, 1] > 0.99


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"documents": (0, 16)}, "n must be at least finetuning.batch = 16, got 0"),
        ({"documents": ()}, "documents needs at least one entry, got none"),
        ({"documents": (64, 64)}, "documents must differ from each other, got 64, 64"),
        ({"documents": (64, 1024)}, "must be at most finetuning.n = 288, got 1056; raise finetuning.n"),
        ({"added": (0, -1)}, "added must ascend from 0, got 0, -1"),
        ({"added": (1, 2)}, "added must ascend from 0, got 1, 2"),
        ({"added": (0, 32), "pool": 16}, "N must be at most pool = 16, got 32; raise pool"),
        ({"kinds": ("near",)}, "There is no rule called 'near'"),
        ({"choices": ("best",)}, "There is no rule called 'best'"),
        ({"chosen_n": 32}, "chosen_n must be one of documents, 16, 64, 256, got 32"),
        ({"matched": 1.0}, "matched must lie strictly between 0 and 1, got 1.0"),
        ({"limit": 1.0}, "limit must be above 1, got 1.0"),
        ({"pool": 0}, "pool must be at least 1, got 0"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        with_options(CONFIG, wrong)


def test_what_goes_with_no_n_of_an_arm_is_refused():
    with pytest.raises(Misuse, match=r"The arm n16 has an n of its own, which goes with no fresh documents"):
        study.experiment(with_options(CONFIG, {"finetuning.methods": ("early-stopping",)}))
    experiment = study.experiment(with_options(CONFIG, {"documents": (64,), "added": (0,)}))
    arm = experiment.arms[0]
    for n, batch, sentence in (
        (0, None, "n of the arm n64 must be from batch = 16 to n = 288, got 0"),
        (289, None, "to n = 288, got 289"),
        (64, 65, "must be from 1 to n = 64, got 65"),
    ):
        with pytest.raises(Misuse, match=sentence):
            replace(experiment, arms=(replace(arm, n=n, batch=batch),))
    assert experiment.training("adam", arm).documents == 64
