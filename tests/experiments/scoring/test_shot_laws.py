"""Laws of a pair among many: each misses nothing of its own numbers, and more of another's."""

import numpy as np
import pytest

from experiments.scoring.shot_laws import ShotLaws

TOTALS = np.array([1, 3, 5, 7, 9, 11])


@pytest.mark.parametrize(
    ("nats", "name", "value"),
    [
        (1.8 * TOTALS**-0.4, "power", {"alpha": 0.4}),
        (1.8 * 2 / (TOTALS + 1), "average", {"averaged": 0.5}),
        (1.8 + 0.0 * TOTALS, "exact", {"alpha": 0.0, "averaged": 0.0}),
    ],
)
def test_a_law_misses_nothing_of_its_own(nats, name, value):
    laws = ShotLaws.of(TOTALS, nats, 1.8)
    missed = {law: getattr(laws, law) for law in ("exact", "power", "average")}
    assert missed[name] < 0.002
    if name != "exact":  # of which both others are limits
        assert min(part for law, part in missed.items() if law != name) > 0.02
    assert {key: getattr(laws, key) for key in value} == pytest.approx(value, abs=0.002)


@pytest.mark.parametrize("nats", [[1.8, 1.7, np.nan, 1.5, 1.4, 1.3], [1.8, 1.7]])
def test_nothing_is_said_of_what_is_not_resolved(nats):
    laws = ShotLaws.of(TOTALS[: len(nats)], nats, 1.8)
    assert np.isnan([laws.exact, laws.power, laws.average, laws.alpha]).all()
