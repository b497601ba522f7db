"""The plan of a run: sizes and steps, with estimates of time and disk."""

import json
from dataclasses import dataclass

import jax

from experiments.cells.axiom_data import FIRST, SECOND
from experiments.cells.candidates import candidates
from experiments.design.experiment import Experiment
from experiments.storage.records import Json

RATE = 25e9  # floating-point operations a second of a small network on one core
COMPILING = 45.0  # seconds


@dataclass(frozen=True)
class Estimate:
    """An estimate of a run: seconds of pretraining, of compiling and of all else, and bytes on disk."""

    pretraining: float
    compiling: float
    others: float
    disk: float

    @property
    def seconds(self) -> float:
        """All of them, as a run alone takes."""
        return self.pretraining + self.compiling + self.others


def estimate(experiment: Experiment, draws: int) -> Estimate:
    """Time and disk of a run of so many experiments like this one (`draws`, or groups of base networks), of
    which only the first compiles."""
    process, sampling = experiment.process, experiment.sampling
    weights = experiment.shape.size(process.vocabulary, process.length)
    arms, bases = len(experiment.arms), experiment.base_seeds * draws
    pretraining = pretrained(experiment, draws) * experiment.pretraining.steps * experiment.pretraining.batch
    finetuned = networks(experiment, draws)
    finetuning = finetuned * experiment.steps * experiment.batch
    # replayed steps cost about two, the proximal theory about 700 passes over D' for each base, arm and seed
    scored = {candidate.theory for candidate in candidates(experiment)}
    theories = finetuning + arms * bases * experiment.seeds * 700 * experiment.n * ("proximal" in scored)
    theories *= experiment.axioms is None and experiment.inside is None
    count, posteriors = chains(experiment, draws)
    if sampling:
        # a sample costs about as much as a step; step-size tuning a third of a chain for each posterior
        theories += (count * (sampling.plan.steps + sampling.plan.samples) + posteriors * 40) * experiment.n
    # an observation goes forth alone, of every finetuned network but the replicas
    theories += finetuned / 2 * len(experiment.doses) * experiment.observed_tokens / (3 * process.length)
    reading = experiment.inside.seconds if experiment.inside else 0.0
    probing = reading * finetuned / 2 * len(experiment.doses)
    a_second = RATE * len(jax.devices()) / (6 * weights * process.length)  # documents, forth and back
    part = process.answer_tokens
    answers = 80 * (part.stop - part.start) * 4  # some 80 contexts in float32
    size = 4 * weights * bases + answers * (
        arms * bases * experiment.seeds * 700 + finetuned * 2 * len(experiment.doses) + posteriors
    )
    return Estimate(pretraining / a_second, COMPILING, probing + (finetuning + theories) / a_second, size)


def pretrained(experiment: Experiment, draws: int) -> int:
    """Networks that are pretrained: base networks, and those that meet a share of D' from the start."""
    retraining, bases = experiment.retraining, experiment.base_seeds
    again = min(retraining.bases, bases) * len(retraining.shares) * len(experiment.arms)
    return (bases + again) * draws


def networks(experiment: Experiment, draws: int) -> int:
    """Finetuned networks, replicas included."""
    rows = experiment.seeds * 2
    if experiment.axioms is not None:  # so many rows for each D', and the documents of the base network
        rows = experiment.seeds * (len(FIRST) + len(SECOND)) + experiment.axioms.documents
    return len(experiment.arms) * experiment.base_seeds * draws * len(experiment.methods) * rows


def chains(experiment: Experiment, draws: int) -> tuple[int, int]:
    """About how many Langevin chains are run, of how many posteriors."""
    sampling = experiment.sampling
    if not sampling:
        return 0, 0
    cells = len(experiment.arms) * draws * sampling.bases * sampling.seeds
    posteriors = sum(len(ladder.times) for ladder in sampling.sets()) * cells
    rounds = (1 + sampling.rounds) / 2  # about half of them need all
    return int(posteriors * sampling.chains * rounds), posteriors


def plan(experiment: Experiment, draws: int, record: Json) -> str:
    """The plan of a run: config, sizes, steps, and estimates of time and disk."""
    process, sampling = experiment.process, experiment.sampling
    weights = experiment.shape.size(process.vocabulary, process.length)
    trained, needed = pretrained(experiment, draws), estimate(experiment, draws)
    count = chains(experiment, draws)[0]
    finetuned = networks(experiment, draws)
    most = "" if experiment.pretraining.until_learnt is None else "at most "
    return "\n".join(
        [
            json.dumps(record, indent=1),
            f"parameters          {weights}",
            f"pretraining steps   {most}{experiment.pretraining.steps} × {trained} networks",
            f"finetuning steps    {experiment.steps} × {finetuned} networks (replicas included)",
            *([f"Langevin chains     about {count} of {sampling.plan.steps} steps"] if sampling else []),
            f"cells               {len(experiment.cells()) * draws}",
            f"estimated time      {needed.seconds:.0f} s on {len(jax.devices())} device(s)",
            f"estimated disk      {needed.disk / 1e6:.0f} MB",
        ]
    )
