"""A tiny process with an untrained network and D' of it, tiny experiments, and pages that a network read."""

import jax
import jax.numpy as jnp
import pytest

from experiments.cells.curve_reading import CurveReading
from experiments.cells.pages import Pages
from experiments.design.options import with_options
from experiments.studies import linebreak_manifold
from experiments.studies import weird_generalisation as study
from models.network import build, first
from models.transformer import Architecture
from theory.base import Dataset
from theory.processes.persona_topics import example

TINY = {
    **{"pretraining.steps": 1, "finetuning.n": 6, "finetuning.batch": 4, "finetuning.doses": (1, 2)},
    **{"network.width": 8, "repeats": 1, "finetuning.seeds": 2},
}


@pytest.fixture(scope="session")
def process():
    return example()


@pytest.fixture(scope="session")
def network(process):
    return first(build(Architecture(8, 1, 2), process.vocabulary, process.length, [0]))


@pytest.fixture(scope="session")
def documents(process):
    tokens = process.distribution().sample(jax.random.key(0), 6)
    return Dataset(tokens, jnp.ones(tokens.shape, bool))


@pytest.fixture(scope="session")
def tiny():
    """The experiment of weird-generalisation, smaller, with options changed by dotted name."""

    def make(changes=()):
        return study.experiment(with_options(study.PRESETS["smoke"], TINY | dict(changes)))

    return make


@pytest.fixture(scope="session")
def untrained():
    """An untrained network of an experiment."""

    def make(experiment, seed=0):
        process = experiment.process
        return first(build(experiment.shape, process.vocabulary, process.length, [seed]))

    return make


@pytest.fixture(scope="session")
def reading(untrained):
    """Pages of line breaks, and an untrained network of two blocks that reads them."""
    small = {"network.layers": 2, "documents": 200}
    made = linebreak_manifold.experiment(with_options(linebreak_manifold.PRESETS["smoke"], small))
    return CurveReading.of(untrained(made), Pages.drawn(made, 200), 4)


@pytest.fixture(scope="session")
def pages(reading):
    return reading.pages
