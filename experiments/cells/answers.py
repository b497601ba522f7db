"""The answers of networks, as compiled programs: log-probabilities of the answer tokens at every position."""

from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import Array

from experiments.cells.data import Questions
from experiments.cells.program_store import ProgramStore
from experiments.design.experiment import Experiment
from experiments.storage.records import Arrays
from models.network import Network
from theory.base import Model, Params
from theory.divergence.kl import answers_at
from theory.errors import Misuse


class AnswerPrograms:
    """Programs that read the answers of networks of one shape, and what a study observes of them besides."""

    def __init__(self, experiment: Experiment, template: Network, rows: int, store: ProgramStore):
        self.experiment, self.template, self.rows = experiment, template, rows
        self.part = experiment.process.answer_tokens
        self.read = store.sharded("read", self._read, shared=1)
        self.observe = store.sharded("observe", self._observe, shared=1)

    def padded(self, tokens: np.ndarray) -> np.ndarray:
        """Contexts padded to the number of rows that all arms share: one program then serves all of them."""
        return np.pad(tokens, ((0, self.rows - tokens.shape[0]), (0, 0)))

    def base(self, network: Network, tokens: np.ndarray) -> np.ndarray:
        """Answers (n, t, a) of one network to padded tokens."""
        return self.read(tokens, alone(network.params))[0][0]

    def observed(self, questions: Questions, params: Params) -> Arrays:
        """Observations of networks (s, d) besides their answers, at every context: (s, d, c, ...)."""
        if self.experiment.observe is None:
            return {}
        seen = self.observe(self.padded(questions.tokens), params)
        if not isinstance(seen, Mapping):
            raise Misuse(f"observe must return arrays by name, a dict, got {type(seen).__name__}.")
        return {name: values[:, :, questions.rows] for name, values in seen.items()}

    def stacked(self, predictors: Model, tokens: Array) -> Array:
        """Answers of predictors with a leading axis, one after the other (memory for one)."""
        return jax.lax.map(lambda predictor: answers_at(predictor, tokens, self.part), predictors)

    def _read(self, tokens: Array, params: Params) -> Array:
        return self.stacked(self.template.with_params(params), tokens)

    def _observe(self, tokens: Array, params: Params) -> Mapping[str, Array]:
        observe = self.experiment.observe
        assert observe is not None
        return jax.lax.map(lambda network: observe(network, tokens), self.template.with_params(params))


def alone(params: Params) -> Params:
    """The weights of one network as those of one seed at one dose."""
    return jax.tree.map(lambda leaf: leaf[None, None], params)


def first_seed(tree: Params) -> Arrays:
    """The first seed's weights out of a stack, by the place of each leaf."""
    return {_name(path): leaf[0] for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def updated(params: Params, update: Arrays, dose: int) -> Params:
    """Weights with the update of the first seed added, at a dose by its number: the finetuned weights, to
    rounding."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: leaf + update[_name(path)][dose], params)


def _name(path: jax.tree_util.KeyPath) -> str:
    return jax.tree_util.keystr(path[:-1], simple=True, separator=".")  # a path ends in .value
