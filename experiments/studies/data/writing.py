"""The random stream by which networks write on: the same numbers for every network of a run."""

from experiments.design import random_streams
from theory.base import Key


def writing_key(seed: int) -> Key:
    """The key of all continuations."""
    return random_streams.stream(seed, random_streams.CONTINUATIONS)
