"""Compiled programs by name, which experiments share that differ in numbers alone.

A program takes all that may differ as arguments: the networks, D', contexts, strengths, and the process. What
it closes over is that of the experiment which first asked for it; `alike` says of which others that holds.
"""

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.cells.candidates import candidates
from experiments.design.experiment import Arm, Experiment
from models.finetuning.method import Method
from theory.base import PyTree
from theory.compute.devices import Programs, ShardedMap
from theory.contracts import Process

NUMBERS = "pretraining", "first_base", "first_seed", "n", "batch"
ARGUMENTS = "process", "arms", *NUMBERS  # that programs do not close over
NAMED = "methods", "doses"  # that are part of the names of programs which close over them


def of_method(kind: str, method: Method, doses: Sequence[int]) -> Hashable:
    """The name of a program of a method at some doses."""
    try:
        hash(method)
    except TypeError:  # an own method that holds a list, say; its program keeps it alive
        return kind, id(method), tuple(doses)
    return kind, method, tuple(doses)


class ProgramStore:
    """The programs of alike experiments, each made once."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}

    def sharded(self, name: Hashable, function: Callable[..., PyTree], shared: int = 0) -> ShardedMap:
        """The program of this name that splits rows over the devices."""
        return self._made.setdefault(name, ShardedMap(function, shared))

    def single(self, name: Hashable, function: Callable[..., PyTree]) -> Programs:
        """The program of this name on one device."""
        return self._made.setdefault(name, Programs(function))


def alike(ours: Experiment, theirs: Experiment) -> bool:
    """Whether programs of one experiment serve another: all is the same but what is an argument, or named.

    Not where more is closed over: by chains, by plans of the axioms or the inside, and by methods that replay
    documents or distil.
    """
    closed = any(
        part.sampling or part.axioms or part.inside or any(method.needs for method in part.methods.values())
        for part in (ours, theirs)
    )
    fields = [field.name for field in dataclasses.fields(Experiment)]
    fields = [name for name in fields if name not in (*ARGUMENTS, *NAMED)]
    return (
        not closed
        and all(equal(getattr(ours, name), getattr(theirs, name)) for name in fields)
        and equal(_of_process(ours.process), _of_process(theirs.process))
        and equal(list(map(_of_arm, ours.arms)), list(map(_of_arm, theirs.arms)))
        and equal(candidates(ours), candidates(theirs))
    )


def equal(ours: object, theirs: object) -> bool:
    """Whether two values are equal in all that they hold; what is no plain value, array or dataclass is
    equal to itself alone."""
    if ours is theirs:
        return True
    if type(ours) is not type(theirs):
        return False
    if dataclasses.is_dataclass(ours) and not isinstance(ours, type):
        names = [field.name for field in dataclasses.fields(ours)]
        return all(equal(getattr(ours, name), getattr(theirs, name)) for name in names)
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return list(ours) == list(theirs) and all(equal(ours[name], theirs[name]) for name in ours)
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(equal, ours, theirs))
    if isinstance(ours, np.ndarray | jax.Array):
        return np.array_equal(np.asarray(ours), np.asarray(theirs))
    return isinstance(ours, str | int | float | slice) and ours == theirs


def _of_process(process: Process) -> list[object]:
    """All of a process but its numbers."""
    leaves, structure = jax.tree.flatten(process.distribution())
    shapes = [(leaf.shape, str(leaf.dtype)) for leaf in leaves]
    sizes = process.vocabulary, process.length, process.answer_tokens, process.answer_mask()
    return [type(process).__qualname__, type(process).__module__, str(structure), *shapes, *sizes]


def _of_arm(arm: Arm) -> tuple[object, ...]:
    """All of an arm that programs close over."""
    return arm.batch, arm.n, arm.teacher
