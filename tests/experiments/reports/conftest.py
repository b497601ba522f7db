"""Made-up lines of a scorecard."""

import numpy as np
import pytest

from experiments.storage.records import Sample, ScoreLine


def sample(explained, shift=0.1, replica=0.01, best_in_class=0.97, spread=0.01, bases=2, data=2):
    """Networks of crossed base networks and D' whose scores lie about `spread` around the mean."""
    places = [(base, seed) for base in range(bases) for seed in range(data)]
    tilt = np.linspace(-1, 1, bases)[[base for base, _ in places]]
    every = (shift,) * len(places)
    nats = shift * (1 - explained + spread * tilt)
    return Sample(
        (0,) * len(places),
        tuple(base for base, _ in places),
        tuple(seed for _, seed in places),
        tuple(nats.tolist()),
        every,
        tuple(replica * value for value in every),
        ((1 - best_in_class) * shift,) * len(places),
    )


def line(theory, explained, dose=4, grade="fitted", group="held_out", half=0.02, **changes):
    """A line with these values, `half` its interval on both sides, and any for the other fields."""
    interval = None if explained is None or half is None else (explained - half, explained + half)
    null = None if explained is None else "answer-bias"
    values = {
        "study": "weird-generalisation",
        "method": "sgd",
        "data": "topics0",
        "prior": "network",
        "standard_error": 0.01,
        "interval": interval,
        "best_null": null,
        "over_null": None if explained is None else explained - 0.3,
        "over_null_interval": interval and (interval[0] - 0.3, interval[1] - 0.3),
        "noise_ceiling": 0.98,
        "order_blind": 0.99,
        "other_base": None,
        "best_in_class": 0.97,
        "nats": 0.01,
        "shift": 0.1,
        "beta": 1.0,
        "converged": None,
        "split": None,
        "networks": 4,
    }
    values |= {"theory": theory, "explained": explained, "dose": dose, "grade": grade, "group": group}
    values |= changes
    if "sample" not in values and explained is not None and half is not None:
        ceiling, best = values["noise_ceiling"], values["best_in_class"]
        replica = 0.02 if ceiling is None else 1 - ceiling
        values["sample"] = sample(
            values["explained"], values["shift"], replica, 1.0 if best is None else best, half / 12.7
        )
    return ScoreLine(**values)


@pytest.fixture
def make_line():
    """The maker of lines."""
    return line
