"""The declaration, and the exponents and the figure of made-up scores."""

import dataclasses
import json

import numpy as np
import pytest

from experiments.runs.base_networks import describe
from experiments.storage.run_folder import create
from experiments.studies import lazy_limit as study
from experiments.studies import weird_generalisation
from theory.errors import Misuse


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_preset_makes_a_comparison(preset):
    config = study.PRESETS[preset]
    comparison = study.comparison(config)
    assert len(comparison.cells()) == len(set(comparison.cells()))
    assert {name: method.learning_rate for name, method in comparison.methods.items()} == {
        name: rate for name, (_, rate) in study.rates(config).items()
    }


def test_step_sizes_are_halved_and_networks_are_those_of_the_other_studies_of_personas():
    config = study.Config(halvings=2)
    found = study.rates(config)
    assert found["sgd-0.008"] == ("sgd", 0.008) and found["adam-0.0012"] == ("adam", 0.0012)
    assert len(found) == 6
    main = weird_generalisation.Config()
    assert describe(study.comparison(config)) == describe(weird_generalisation.comparison(main))


CONFIG = study.Config(halvings=3)
SIZES = {"sgd": study.Config().sgd_rate, "adam": study.Config().adam_rate}


@pytest.fixture
def results(tmp_path):
    """Log-odds move by 0.8 (η/η0), and a theory of order k misses that by 0.4 (η/η0)^(k+1)."""
    config = CONFIG
    plain = json.loads(json.dumps(dataclasses.asdict(config)))
    made = create(tmp_path / "run", {"study": "lazy-limit", "preset": "small", "config": plain}, {})

    def answers(odds):
        moved = np.broadcast_to(np.asarray([odds, 0.0, -odds]), (2, 1, 3, 3))
        return (moved - np.logaddexp.reduce(moved, axis=-1, keepdims=True)).astype(np.float32)

    group = np.asarray(["held_out", "held_out", "in_domain"])
    for base in range(2):
        made.save(f"theories-topics0_1_2-{base}", {"group": group, "base": answers(0.0)[0, 0]})
        for name, (rule, rate) in study.rates(config).items():
            size = rate / SIZES[rule]
            told = {theory: answers(0.8 * size + 0.4 * size ** (k + 1)) for theory, k in study.ORDERS.items()}
            made.save(f"dynamics-{name}-topics0_1_2-{base}", told)
            made.save(f"{name}-topics0_1_2-{base}", {"finetuned": answers(0.8 * size)})
    return made


def test_exponents_of_made_up_answers(results):
    found = study.unexplained(results, CONFIG)
    assert set(found) == {(rule, theory) for rule in SIZES for theory in study.ORDERS}
    for (rule, theory), (rate, left) in found.items():
        np.testing.assert_allclose(rate, SIZES[rule] / np.asarray([8, 4, 2, 1]))
        assert abs(study.exponent(np.stack([rate, left])) - 2 * study.ORDERS[theory]) < 0.05
        np.testing.assert_allclose(left[0], 0.25 / 64 ** study.ORDERS[theory], rtol=0.05)
    assert np.isnan(study.exponent(np.ones((2, 1))))


def test_what_is_rounding_alone_is_no_point(results):
    for cell in results.cells():
        if cell.startswith("dynamics-sgd-0.004"):
            finetuned = results.load(cell.removeprefix("dynamics-"))["finetuned"]
            results.save(cell, {**results.load(cell), "quadratic": finetuned})
    found = study.unexplained(results, CONFIG)
    assert found["sgd", "quadratic"].shape == (2, 3) and found["sgd", "linearised"].shape == (2, 4)


def test_the_figure_is_drawn_from_what_is_on_disk(results):
    paths = study.draw(results)
    kinds = ("png", "svg", "pdf", "csv")
    assert {path.name for path in paths} == {f"lazy-limit.{kind}" for kind in kinds}
    text = next(path for path in paths if path.suffix == ".svg").read_text()
    assert text.count("<!-- linearised: slope ") == text.count("<!-- quadratic: slope ") == 2


def test_no_halving_is_refused():
    with pytest.raises(Misuse, match="halvings must be at least 1, got 0"):
        study.Config(halvings=0)
