"""Programs of theories of hypotheses and of predictors, and of the exact process, compiled ahead of their
first call."""

import jax
import numpy as np

from experiments.cells.data import Questions
from experiments.cells.theories import TheoryPrograms
from theory.base import Dataset


def compile_closed_forms(theories: TheoryPrograms, questions: Questions) -> None:
    """Compile the programs that `TheoryPrograms.compile` leaves out: for an untrained network, and for
    documents of which nothing counts."""
    experiment, process, network = theories.experiment, theories.process, theories.template
    shape = (experiment.seeds, experiment.n, experiment.process.length)
    data = Dataset(np.zeros(shape, np.int32), np.zeros(shape, bool))
    keys = np.stack([jax.random.key_data(theories.key())] * experiment.seeds)
    tokens, scale = theories.answers.padded(questions.tokens), experiment.scale(1.0)
    documents = jax.tree.map(lambda leaf: leaf[0], data)
    implied = theories.implied_prior(network)  # this and notes are called: they have small operations
    theories.known.compile(process, implied, network, documents)
    priors = {"process": process, "implied": implied, "network": network}
    for candidate in theories.candidates:
        for label in candidate.priors if candidate.kind != "weights" else ():
            betas = candidate.form.grid(scale)
            program, inputs = theories.closed_form(candidate, label, priors, betas, data, keys, tokens)
            program.compile(*inputs)
            candidate.form.note(documents, questions.positions)
