"""The plan of a run: sizes and steps, with estimates of time and disk."""

import json

import jax

from experiments.design.experiment import Experiment
from experiments.storage.records import Json

RATE = 25e9  # floating-point operations a second of a small network on one core


def plan(experiment: Experiment, draws: int, record: Json) -> str:
    """The plan of a run: config, sizes, steps, and estimates of time and disk. Each draw of the process takes
    as much as `experiment`, the first."""
    process, sampling = experiment.process, experiment.sampling
    weights = experiment.shape.size(process.vocabulary, process.length)
    arms, bases = len(experiment.arms), experiment.base_seeds * draws
    finetuned = arms * bases * len(experiment.methods) * experiment.seeds * 2
    pretraining = bases * experiment.pretraining.steps * experiment.pretraining.batch
    finetuning = finetuned * experiment.steps * experiment.batch
    # replayed steps cost about two, the proximal theory about 700 passes over D' for each base, arm and seed
    theories = finetuning + arms * bases * experiment.seeds * 700 * experiment.n
    chains, posteriors = 0, 0
    if sampling:
        posteriors = sum(len(ladder.times) for ladder in sampling.sets()) * (
            arms * draws * sampling.bases * sampling.seeds
        )
        rounds = (1 + sampling.rounds) / 2  # about half of them need all
        chains = int(posteriors * sampling.chains * rounds)
        # a sample costs about as much as a step; step-size tuning a third of a chain for each posterior
        theories += (chains * (sampling.plan.steps + sampling.plan.samples) + posteriors * 40) * experiment.n
    flops = 6 * weights * process.length
    seconds = 45 + flops * (pretraining + finetuning + theories) / (RATE * len(jax.devices()))
    part = process.answer_tokens
    answers = 80 * (part.stop - part.start) * 4  # some 80 contexts in float32
    size = 4 * weights * bases + answers * (
        arms * bases * experiment.seeds * 700 + finetuned * 2 * len(experiment.doses) + posteriors
    )
    most = "" if experiment.pretraining.until_learnt is None else "at most "
    return "\n".join(
        [
            json.dumps(record, indent=1),
            f"parameters          {weights}",
            f"pretraining steps   {most}{experiment.pretraining.steps} × {bases} networks",
            f"finetuning steps    {experiment.steps} × {finetuned} networks (replicas included)",
            *([f"Langevin chains     about {chains} of {sampling.plan.steps} steps"] if sampling else []),
            f"cells               {len(experiment.cells()) * draws}",
            f"estimated time      {seconds:.0f} s on {len(jax.devices())} device(s)",
            f"estimated disk      {size / 1e6:.0f} MB",
        ]
    )
