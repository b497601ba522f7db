"""Assembly of an experiment from a study's config; here jax is loaded, the config itself needs none."""

from collections.abc import Iterable, Mapping
from typing import Any

from experiments.design.checks import check_some
from experiments.design.config import StudyConfig
from experiments.design.experiment import Arm, Experiment
from experiments.design.sampling import Sampling
from experiments.discovery import Entry, choose
from models.finetuning.adam import Adam
from models.finetuning.method import Method
from models.finetuning.sgd import Sgd
from models.pretraining import recipe
from models.step_sizes import scaled
from models.transformer import Architecture
from theory.compute.memory import check_fits
from theory.contracts import Process
from theory.errors import Misuse
from theory.mcmc.chains import Plan


def assemble(
    config: StudyConfig,
    process: Process,
    arms: Iterable[Arm],
    methods: Mapping[str, Method] | None,
    more: Mapping[str, Any],
) -> Experiment:
    """The experiment of a config. `methods` are the study's own; others are found by name, at their defaults.
    `more` are fields of `Experiment`."""
    network, pretraining, finetuning = config.network, config.pretraining, config.finetuning
    fields: dict[str, Any] = {
        "process": process,
        "shape": Architecture(
            network.width,
            network.layers,
            network.heads,
            activation=network.activation,
            output_scale=network.output_scale,
        ),
        "pretraining": recipe(
            network.width,
            pretraining.optimizer,
            pretraining.rate,
            pretraining.steps,
            pretraining.batch,
            pretraining.targets,
            pretraining.until_learnt,
            network.output_scale,
        ),
        "base_seeds": pretraining.seeds,
        "arms": tuple(arms),
        "methods": _methods(config, methods),
        "doses": finetuning.doses,
        "n": finetuning.documents,
        "batch": finetuning.batch,
        "seeds": finetuning.seeds,
        "seed": config.seed,
        "fresh": finetuning.fresh,
        "sampling": _sampling(config),
        "retraining": config.retrained,
        "theories": config.theories,
        "fit_on": config.fit_on,
        "anchored": config.anchored,
        "catalogue": config.catalogue,
    }
    check_some("experiment(config): the list of arms", fields["arms"])
    read = {"tokens": process.length, "vocabulary": process.vocabulary}
    networks = {"seeds": finetuning.seeds, "doses": len(finetuning.doses)}
    check_fits("The answers to all contexts", 4, repeats=config.repeats, **networks, **read)
    return Experiment(**fields | dict(more))


def _methods(config: StudyConfig, made_here: Mapping[str, Method] | None) -> dict[str, Method]:
    """The chosen ways of finetuning: the study's, and others at their defaults."""
    tuned, catalogue = config.finetuning, config.catalogue
    made = dict(made_here or {"sgd": Sgd(tuned.sgd_rate), "adam": Adam(tuned.adam_rate)})
    known = dict.fromkeys([*made, *catalogue.names("methods")])
    return {
        choose("method", name, known): scaled(
            made.get(name) or _example(catalogue.find("methods", name)), config.network.output_scale
        )
        for name in tuned.methods
    }


def _example(entry: Entry) -> Method:
    """A method at its defaults; refuses what is none."""
    method = entry.example()
    if not isinstance(method, Method):
        raise Misuse(
            f"{entry.path.name}: example() returns a {type(method).__name__}, which is no method; inherit "
            "from models.finetuning.method.Method."
        )
    return method


def _sampling(config: StudyConfig) -> Sampling | None:
    """The plan of sampled posteriors; None without a temperature."""
    sampled = config.sampling
    if not sampled.temperatures:
        return None
    return Sampling(
        sampled.temperatures,
        plan=Plan(sampled.warmup, sampled.samples, 2),
        chains=sampled.chains,
        rounds=sampled.rounds,
        bases=min(sampled.bases, config.pretraining.seeds),
        seeds=min(sampled.seeds, config.finetuning.seeds),
    )
