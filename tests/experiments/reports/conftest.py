"""Made-up lines of a scorecard."""

import pytest

from experiments.storage.records import ScoreLine


def line(theory, explained, dose=4, grade="fitted", group="held_out", **changes):
    """A line with these values, and any for the other fields."""
    values = {
        "study": "weird-generalisation",
        "method": "sgd",
        "data": "topics0",
        "prior": "network",
        "standard_error": 0.01,
        "noise_ceiling": 0.99,
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
    return ScoreLine(**values | changes)


@pytest.fixture
def make_line():
    """The maker of lines."""
    return line
