"""Checks of the ways of finetuning in a user's own files and of instances of own classes, before anything is
compiled: by tracing one finetuning. A method of the house is checked by its tests."""

import dataclasses
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cells.replays import extra_data
from experiments.design import random_streams
from experiments.design.experiment import Experiment
from models.finetuning.method import ExtraData, FinetuningRun, Method
from models.network import Network
from theory.base import Dataset
from theory.compute.descent import epochs
from theory.errors import Misuse

HOUSE = "models.finetuning."


def check_methods(experiment: Experiment, template: Network) -> None:
    """Refuse a way of finetuning that cannot be traced, or whose declarations are of another kind."""
    for name, method in experiment.methods.items():
        if type(method).__module__.startswith(HOUSE):
            continue
        try:
            _check(experiment, template, name, method)
        except Misuse as error:
            raise Misuse(f"{_location(method)}: {error}") from error
        except Exception as error:
            text = (str(error).strip().splitlines() or ["no message"])[0]
            raise Misuse(f"{_location(method, error)}: {type(error).__name__}: {text}") from error


def _check(experiment: Experiment, template: Network, name: str, method: Method) -> None:
    known = [field.name for field in dataclasses.fields(ExtraData)]
    unknown = [need for need in method.needs if need not in known]
    if unknown:
        raise Misuse(f"the method {name} needs {', '.join(unknown)}; there are {', '.join(known)}.")
    times = method.training_time(experiment.doses)
    if not isinstance(times, Mapping):
        raise Misuse(f"the method {name} has training times of type {type(times).__name__}; give a dict.")
    for metric, time in times.items():
        values = np.asarray(time)
        fits = values.dtype.kind in "iuf" and values.shape == (len(experiment.doses),)
        if not (fits and np.isfinite(values).all() and (values >= 0).all()):
            raise Misuse(
                f"the method {name} has an unfit training time ({metric}). It must be finite and at least 0, "
                f"one number a dose ({len(experiment.doses)}), got {time!r:.60}."
            )
    key = random_streams.stream(experiment.seed, random_streams.METHOD_CHECKS)
    documents, ordering = jax.random.split(key)
    tokens = experiment.process.distribution().sample(documents, experiment.n)
    data = Dataset(tokens, jnp.broadcast_to(jnp.asarray(experiment.process.answer_mask()), tokens.shape))
    order = jnp.asarray(epochs(ordering, experiment.n, experiment.batch, experiment.steps))

    def trace(network: Network) -> object:
        extra = extra_data(experiment, method, data, jnp.asarray(0, jnp.int32))
        return FinetuningRun(data, order, method, experiment.doses, extra).finetune(network)

    jax.eval_shape(trace, template)


def _location(method: Method, error: Exception | None = None) -> str:
    """The method's file, and the line where an error left it; a machine's path is nobody else's business."""
    kind = type(method)
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if file is None:
        return kind.__name__
    frames = traceback.extract_tb(error.__traceback__) if error is not None else ()
    lines = [frame.lineno for frame in frames if frame.filename == file]
    return f"{Path(file).name}{f', line {lines[-1]}' if lines else ''}"
