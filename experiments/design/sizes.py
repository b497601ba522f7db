"""Sizes of an experiment's arrays, from its numbers alone: what cannot fit is refused before it is made.

Each is a lower bound: gradients, activations and compiled programs come on top.
"""

from typing import TYPE_CHECKING

from theory.compute.memory import check_fits

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


def check_sizes(experiment: "Experiment") -> None:
    """Refuse networks, documents or chains that would take more memory than there is."""
    process, shape, seeds = experiment.process, experiment.shape, experiment.seeds
    tokens, vocabulary = process.length, process.vocabulary
    weights = shape.size(vocabulary, tokens)
    batch = max([experiment.batch, *(arm.batch or 0 for arm in experiment.arms)])
    networks = f"networks of width {shape.width} and {shape.layers} layer{'s' * (shape.layers != 1)}"
    read = {"tokens": tokens, "vocabulary": vocabulary}  # log-probabilities of all tokens at every position

    check_fits(f"The base {networks}, with moments", 8, seeds=experiment.base_seeds, weights=weights)
    check_fits(
        "A pretraining step", 4, seeds=experiment.base_seeds, batch=experiment.pretraining.batch, **read
    )
    check_fits(
        f"The finetuned {networks}, with replicas",
        8,
        seeds=seeds,
        doses=len(experiment.doses),
        weights=weights,
    )
    check_fits("A finetuning step", 8, seeds=seeds, batch=batch, **read)
    check_fits("The order of D'", 16, seeds=seeds, steps=experiment.steps, batch=batch)
    check_fits("A pass over D'", 4, n=experiment.n, **read)
    check_fits("All D'", 4, seeds=seeds, n=experiment.n, tokens=tokens)
    if experiment.sampling:
        plan, chains = experiment.sampling.plan, experiment.sampling.chains
        strengths = max(len(ladder.times) for ladder in experiment.sampling.sets())
        check_fits("Chains", 4, strengths=strengths, chains=chains, weights=weights)
        check_fits("Watched samples", 4, strengths=strengths, chains=chains, samples=plan.samples)
