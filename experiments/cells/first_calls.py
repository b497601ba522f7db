"""First calls of the programs of theories that are compiled where they are called, and not ahead."""

import jax
import numpy as np

from experiments.cells.data import Questions
from experiments.cells.theories import TheoryPrograms
from theory.base import Dataset


def call_once(theories: TheoryPrograms, questions: Questions) -> None:
    """Call the programs that `TheoryPrograms.compile` leaves out, so that they are compiled: on an untrained
    network, and with documents of which nothing counts. They take a moment each."""
    experiment, process, network = theories.experiment, theories.process, theories.template
    shape = (experiment.seeds, experiment.n, experiment.process.length)
    data = Dataset(np.zeros(shape, np.int32), np.zeros(shape, bool))
    keys = np.stack([jax.random.key_data(theories.key())] * experiment.seeds)
    tokens = theories.answers.padded(questions.tokens)
    theories.contexts(network, questions)
    implied = theories.implied_prior(network)
    theories.known(process, implied, network, jax.tree.map(lambda leaf: leaf[0], data))
    priors = {"process": process, "implied": implied, "network": network}
    for candidate in theories.candidates:
        for label in candidate.priors if candidate.kind != "weights" else ():
            theories.ladder(candidate, label, priors, experiment.scale(1.0), data, keys, tokens, questions)
