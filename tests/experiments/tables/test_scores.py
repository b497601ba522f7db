"""Scores of a made table: they are those that its closed form has, and what it lacks is said."""

import json

import numpy as np
import pytest

import finebayes as fb
from experiments.scoring.fits import mean_kl
from experiments.storage.contents import TheoryCell
from theory.errors import Misuse

KEY = ("method", "data", "dose", "theory", "prior", "grade", "group")


def by_key(lines):
    return {tuple(getattr(line, name) for name in KEY): line for line in lines}


def cell(scores, kind):
    run = scores.source
    return run.read(run.cells(kind)[0])


@pytest.fixture(scope="module")
def world(tables):
    return tables.World()


@pytest.fixture(scope="module")
def scores(tables, world, tmp_path_factory):
    """Networks that are the tempered posterior itself, one pass counting D' once."""
    folder = tmp_path_factory.mktemp("table")
    return fb.load_table(tables.write(folder, world.rows(noise=0.01), world.sidecar()))


def test_the_ladder_is_the_posterior_in_closed_form(scores, world):
    theories = cell(scores, "theories")
    ladder = next(part for part in theories.ladders if part.name == "tempered-posterior/given")
    for seed in range(2):
        for index in (0, 40, 70, 90):
            expected = world.after(seed, float(ladder.betas[index]))
            np.testing.assert_allclose(ladder.log_probs[seed, index], expected, atol=2e-4)


def test_networks_that_are_the_posterior_are_explained_and_forecast(scores, tables):
    lines = by_key(scores.lines)
    for dose in tables.DOSES:
        line = lines["sgd", "letters", dose, "tempered-posterior", "given", "forecast", "held_out"]
        assert line.explained > 0.99 and line.beta == pytest.approx(dose / 2, rel=0.1)
    fitted = lines["sgd", "letters", 8, "tempered-posterior", "given", "fitted", "held_out"]
    assert fitted.explained > 0.99 and fitted.beta == pytest.approx(4, rel=0.2)
    assert {theory for _, _, _, theory, *_ in lines} == {
        *("unchanged", "answer-bias", "position-bias", "mean-shift", "last-dose"),
        *("tempered-posterior", "exchangeable-mixture", "geometric-path", "linear-mixture"),
        "narrow-or-broad",
    }


def test_intervals_of_one_base_model_are_over_its_seeds(scores, tables):
    """The jackknife over two seeds, times Student's quantile."""
    line = by_key(scores.lines)["sgd", "letters", 8, "linear-mixture", "network", "fitted", "held_out"]
    nats, shift = np.array(line.sample.nats), np.array(line.sample.shift)
    value = nats.sum() / shift.sum()
    without_one = value - nats[::-1] / shift[::-1]
    error = np.sqrt(np.sum(without_one**2) / 2)
    assert line.standard_error == pytest.approx(error)
    assert line.explained - line.interval[0] == pytest.approx(12.7062 * error, rel=1e-5)
    assert str(scores.table()).endswith("over 2 D′ of this base model, and say nothing of another one.")


def test_a_table_says_over_what_its_intervals_are(tables, world, tmp_path):
    rows = without(world.rows(), "hypothesis", "context", "document", "replica")
    said = " ".join(imported(tables, tmp_path, rows, world.sidecar(prior={})).facts.notes)
    assert "There is one base model: intervals are over its 2 finetuning seeds" in said
    alone = [row | {"seed": ""} for row in rows if row.get("seed") in (None, 0)]
    path = tables.write(tmp_path, alone, world.sidecar(prior={}), "alone")
    scores = fb.load_table(path)
    assert str(scores.table()).endswith("; a table of more finetuning seeds has some.")
    assert all(line.interval is None for line in scores.lines)
    said = " ".join(imported(tables, tmp_path, alone, world.sidecar(prior={})).facts.notes)
    assert "There is one finetuning seed, and so no interval" in said
    both = [row | {"base": base} for base in ("small", "large") for row in rows]
    scores = fb.load_table(tables.write(tmp_path, both, world.sidecar(prior={}), "both"))
    assert str(scores.table()).endswith("Intervals are over 2 base networks and 2 D′.")
    notes = imported(tables, tmp_path, both, world.sidecar(prior={})).facts.notes
    assert "one base model" not in " ".join(notes)


def test_shift_and_noise_are_those_of_the_table(scores, world):
    line = by_key(scores.lines)["sgd", "letters", 8, "unchanged", "network", "forecast", "held_out"]
    networks = cell(scores, "finetuned")
    held_out = np.array(world.groups) == "held_out"
    shift = mean_kl(networks.finetuned[:, 1][:, held_out], world.base[held_out]).mean()
    noise = mean_kl(networks.finetuned[:, 1][:, held_out], networks.replica[:, 1][:, held_out]).mean()
    assert line.shift == pytest.approx(shift, rel=1e-5)
    assert line.noise_ceiling == pytest.approx(1 - noise / shift, rel=1e-5)


def test_the_implied_prior_is_that_of_the_base_model(scores, tables):
    np.testing.assert_allclose(cell(scores, "theories").implied_weights, tables.PRIOR, atol=1e-3)


def imported(tables, folder, rows, sidecar):
    """The cells of a table without its ladders: of what does not depend on theories."""
    from experiments.tables.cells import import_table
    from experiments.tables.reading import read_table
    from experiments.tables.sidecar import Sidecar

    path = tables.write(folder, rows, sidecar)
    return import_table(read_table(path), Sidecar.read(path))


def without(rows, *kinds):
    return [row for row in rows if row["kind"] not in kinds]


def test_missing_kinds_switch_off_theories_with_a_sentence(tables, world, tmp_path):
    rows = without(world.rows(), "hypothesis", "context", "document", "replica")
    made = imported(tables, tmp_path, rows, world.sidecar(prior={}))
    (theories,) = [part.content for part in made.expected if isinstance(part.content, TheoryCell)]
    assert theories.ladders == () and theories.contexts.components.shape == (0, 6, 4)
    said = " ".join(made.facts.notes)
    for kind in ("hypothesis", "shots", "replica", "again"):
        assert f"There are no {kind} rows" in said
    scores = fb.load_table(tmp_path / "table.csv")
    line = by_key(scores.lines)["sgd", "letters", 8, "unchanged", "network", "forecast", "held_out"]
    assert line.noise_ceiling is None and line.order_blind is None and line.explained == 0
    assert scores.rows[0].replica is None


def test_what_counts_as_a_shift_is_measured(tables, world, tmp_path):
    """The base model is scored again with noise that is larger than the first dose's shift."""
    rows = without(world.rows(), "hypothesis", "context", "document", "replica")
    random = np.random.default_rng(5)
    noisy = world.base + 0.6 * random.normal(size=world.base.shape)
    noisy -= np.log(np.exp(noisy).sum(axis=-1, keepdims=True))
    rows += list(world.answers(noisy, kind="again"))
    path = tables.write(tmp_path, rows, world.sidecar(prior={}, precision="bfloat16"))
    lines = by_key(fb.load_table(path).lines)
    held_out = np.array(world.groups) == "held_out"
    resolution = mean_kl(world.base[held_out], noisy[held_out])
    for dose in tables.DOSES:
        line = lines["sgd", "letters", dose, "unchanged", "network", "forecast", "held_out"]
        assert (line.explained is None) == (line.shift <= resolution)
    shifts = [
        lines["sgd", "letters", dose, "unchanged", "network", "forecast", "held_out"].shift
        for dose in tables.DOSES
    ]
    assert shifts[0] < resolution < shifts[1]


def test_the_precision_is_a_resolution_where_nothing_was_scored_again(tables, world, tmp_path):
    rows = without(world.rows(), "hypothesis", "context", "document", "replica")
    made = imported(tables, tmp_path, rows, world.sidecar(prior={}, precision="bfloat16"))
    assert set(made.facts.resolution.values()) == {1.3e-3}
    assert made.facts.outside["base"] == pytest.approx((0.02, 0.02))


def test_shots_are_in_context_learning_and_predictions_are_forecasts(tables, world, tmp_path):
    rows = without(world.rows(), "hypothesis", "context", "document", "replica")
    for seed in range(2):
        for count in (1, 4):
            shot = {"kind": "shots", "data": "letters", "seed": seed, "dose": count}
            rows += list(world.answers(world.after(seed, count / 4), **shot))
        for dose in tables.DOSES:
            of = {"method": "sgd", "data": "letters", "seed": seed, "dose": dose, "model": "my-theory"}
            rows += list(world.answers(world.after(seed, dose / 2), kind="prediction", **of))
    lines = by_key(fb.load_table(tables.write(tmp_path, rows, world.sidecar(prior={}))).lines)
    exact = lines["sgd", "letters", 8, "my-theory", "network", "forecast", "held_out"]
    assert exact.explained == pytest.approx(1, abs=1e-5)
    shots = lines["sgd", "letters", 2, "in-context", "network", "fitted", "held_out"]
    assert shots.explained > 0.99 and shots.beta == pytest.approx(4, rel=0.05)


def test_belief_dynamics_weighs_the_shots_of_contexts(tables, world, tmp_path):
    """With N shots in every context its evidence counts N^-0.3 times, in closed form."""
    from experiments.tables.ladders import make_forms, make_ladders

    rows = [row | ({"dose": 8} if row["kind"] == "context" else {}) for row in world.expectations()]
    from experiments.tables.inputs import Reader, make_plan
    from experiments.tables.reading import from_records
    from experiments.tables.sidecar import Sidecar

    table, sidecar = from_records(rows), Sidecar.from_json(json.loads(json.dumps(world.sidecar())))
    plan = make_plan(table, sidecar)
    inputs = Reader(table, sidecar, plan, "letters", "").inputs()
    forms = [form for form in make_forms(3, ()) if form.name == "belief-dynamics"]
    made = make_ladders(inputs, forms, sidecar.log_prior(plan.hypotheses), (), "given")
    ladder = next(part for part in made.ladders if part.prior == "given")
    few = tables.World()
    few.evidence = world.evidence * 8**-0.3
    change = few.after(0, float(ladder.betas[80])) - few.after(0, 0.0)
    expected = world.base + change
    expected -= np.log(np.exp(expected).sum(axis=-1, keepdims=True))
    np.testing.assert_allclose(ladder.log_probs[0, 80], expected, atol=2e-4)


def test_a_table_without_networks_has_no_scores(tables, world, tmp_path):
    rows = without(world.expectations(), "hypothesis", "context", "document")
    rows = [row | {"data": "letters"} for row in rows]
    with pytest.raises(Misuse, match="no finetuned rows"):
        fb.load_table(tables.write(tmp_path, rows, world.sidecar(prior={})))
