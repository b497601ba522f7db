"""The study of two factors: its worlds, exact codes of its process, and what is refused."""

import jax
import numpy as np
import pytest

from experiments.cells.factors import States
from experiments.design.factors_plan import FactorsPlan
from experiments.design.options import with_options
from experiments.studies import factored_or_joint as study
from theory.errors import Misuse
from theory.probes.factors import factor_beliefs, interaction, varies

FACTORS = 4, 6


def test_worlds_are_correlations_with_base_networks_of_their_own():
    config = study.PRESETS["small"]
    made = [study.experiment(draw) for draw in config.draws()]
    assert [part.process.correlation for part in made] == [0.0, -0.2, 0.3]
    assert [part.arms[0].name for part in made] == [f"correlation_{c}" for c in ("0", "-0.2", "0.3")]
    assert config.pretraining.seeds >= 8 and all(isinstance(part.inside, FactorsPlan) for part in made)


@pytest.mark.parametrize("correlation", [0.0, pytest.param(0.3, marks=pytest.mark.slow)])
def test_two_beliefs_have_eight_dimensions_and_one_has_twenty_three(correlation):
    """And they lose nothing where persona and domain are independent."""
    changes = {"process.correlation": correlation, "worlds": (), "process.length": 10}
    made = study.experiment(with_options(study.PRESETS["small"], changes))
    process = made.process.distribution()
    tokens = np.asarray(process.sample(jax.random.key(0), 400))
    known = States.of(process, made.inside.foreign, tokens, 0)
    rows = known.beliefs[known.positions]
    np.testing.assert_allclose(known.beliefs.sum(axis=-1), 1, atol=1e-5)
    apart = np.concatenate(factor_beliefs(rows, FACTORS), axis=-1)
    ranks = [np.linalg.matrix_rank(part - part.mean(axis=0), tol=1e-3) for part in (apart, rows)]
    assert ranks == [8, 23]
    # a header that names a persona says nothing of the domain, so nothing couples them at correlation 0
    assert varies(interaction(known.beliefs, FACTORS)) == bool(correlation)
    group = known.group(2)
    assert group.beliefs.shape == (*tokens.shape, 2) and not np.allclose(
        group.beliefs, group.foreign, atol=0.1
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"documents": 4}, "documents must be at least 20, got 4"),
        ({"worlds": (0.3, 0.3)}, "must differ"),
        ({"worlds": (0.0,)}, "must differ"),
    ],
)
def test_what_cannot_be_measured_is_refused(changes, words):
    with pytest.raises(Misuse, match=words):
        with_options(study.Config(), changes)
