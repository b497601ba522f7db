"""Measures of base networks, D' and methods before any finetuning: candidates for why a theory explains.

Where an experiment asks for them (`Experiment.measures`), cells of theories hold those of one network and its
D', cells of replays those of a method; `experiments.scoring.measures` makes columns of them. The formulas
stand in theory.latent.evidence, theory.latent.effects and theory.weights.tangent_kernel.
"""

import functools
from collections.abc import Hashable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.cells.data import Finetuning, Questions
from experiments.cells.program_store import ProgramStore, of_method
from experiments.cells.replays import extra_data
from experiments.design import random_streams
from experiments.design.experiment import Experiment
from experiments.scoring.measures import judged
from experiments.storage.records import Arrays
from models.finetuning.method import ExtraData, Method
from models.network import Network
from models.step_sizes import follows_size
from theory.base import Dataset
from theory.divergence.kl import answers_at, renormalised
from theory.latent.effects import common_share, effects
from theory.latent.evidence import evidence, inference
from theory.latent.mixture import Mixture
from theory.weights.diagonal_metrics import adam
from theory.weights.tangent_kernel import alignment, kernel_of, tangent_features, tangent_kernel, transfer

TOLD = 32  # documents of every hypothesis that tell networks of it
MOMENTS = 16  # steps whose gradients make Adam's metric


class MeasurePrograms:
    """The compiled programs; those that an arm's number of contexts shapes are compiled for each."""

    def __init__(self, experiment: Experiment, template: Network, store: ProgramStore):
        self.experiment, self.template = experiment, template
        self.process: Mixture = experiment.process.distribution()
        self.part = experiment.process.answer_tokens
        self.position = int(np.flatnonzero(experiment.process.answer_mask())[-1])
        self.evidence = store.single("evidence", self._evidence)
        self.read = store.single("effects", self._read)
        self.features = store.single("features", self._features)
        self.moves_all = {
            name: method.coordinates(template, ExtraData()) is template
            for name, method in experiment.methods.items()
        }
        self.kernels = {
            name: store.single(self._name(name, method), functools.partial(self._kernel, method))
            for name, method in experiment.methods.items()
        }

    def _name(self, name: str, method: Method) -> Hashable:
        """The name of a method's kernel: that of all which move all weights depends on their metric alone."""
        return ("kernel", follows_size(method)) if self.moves_all[name] else of_method("kernel", method, ())

    def of_data(self, network: Network, data: Dataset, questions: Questions) -> Arrays:
        """Those of one network and the D' of every seed: see `experiments.storage.contents.MEASURES`."""
        best, *known = map(np.asarray, self.evidence(self.process, network, data))
        names = ("evidence", "inference_exact", "inference_network")
        shares = self._shares(network, questions)
        squares = sum(
            float(np.sum(np.square(leaf))) for leaf in map(np.asarray, jax.tree.leaves(network.params))
        )
        return {
            **dict(zip(names, known, strict=True)),
            **{name: np.asarray(value, np.float32) for name, value in shares.items()},
            "best_hypothesis": best.astype(np.int32),
            "weight_norm": np.asarray(np.sqrt(squares), np.float32),
        }

    def of_method(self, name: str, network: Network, finetuning: Finetuning, questions: Questions) -> Arrays:
        """Those of the tangent kernel in the coordinates and the metric of a method, (s,) each."""
        chosen = distinct(questions)
        tokens, positions = questions.tokens[questions.rows[chosen]], questions.positions[chosen]
        right = _held_out(questions)[chosen]
        features = self.features(network, tokens, positions) if self.moves_all[name] else None
        kernels, residuals = self.kernels[name](
            self.process, network, finetuning.data, finetuning.order, tokens, positions, features
        )
        pairs = list(zip(np.asarray(kernels), np.asarray(residuals), strict=True))
        return {
            "kernel_alignment": np.array(
                [alignment(kernel, ~right, right) for kernel, _ in pairs], np.float32
            ),
            "transfer": np.array(
                [transfer(kernel, residual, ~right, right) for kernel, residual in pairs], np.float32
            ),
        }

    def _shares(self, network: Network, questions: Questions) -> dict[str, float]:
        """The common share of the hypotheses' effect as the network holds it, and the size of that effect
        beside the exact one, after documents that tell of a hypothesis.

        The last question of each document is replaced by each of the arm's; effects are means over documents.
        """
        key = random_streams.stream(self.experiment.seed, random_streams.MEASURES)
        keys = jax.random.split(key, len(self.process.log_weights))
        used = distinct(questions)
        topics = np.unique(questions.tokens[questions.rows[used], questions.positions[used] - 1])
        held, exact = self.read(self.process, network, keys, topics.astype(np.int32))
        ours, truth = effects(np.asarray(held)), effects(np.asarray(exact))
        return {
            "common_share_network": common_share(np.asarray(held)),
            "effect_network": float(np.sum(ours * truth) / np.sum(truth**2)),
        }

    def _read(self, process: Mixture, network: Network, keys: Array, topics: Array) -> tuple[Array, Array]:
        """Mean log-probabilities (k, c, a) of the network and of the exact process at the last answer."""
        position = self.position
        documents = jax.vmap(lambda component, key: component.sample(key, TOLD))(process.components, keys)
        tokens = jnp.broadcast_to(documents[:, None], (len(keys), len(topics), *documents.shape[1:]))
        tokens = tokens.at[..., position - 1].set(topics[:, None])
        flat = tokens.reshape(-1, tokens.shape[-1])

        def answers(predictor: Mixture | Network) -> Array:
            log_probs = answers_at(predictor, flat, self.part)[:, position]
            return jnp.mean(log_probs.reshape(*tokens.shape[:-1], -1), axis=2)

        return answers(network), answers(process)

    def _evidence(self, process: Mixture, network: Network, data: Dataset) -> tuple[Array, ...]:
        """The best hypothesis and nats of evidence and inference, (s,) each."""

        def single(data: Dataset) -> tuple[Array, ...]:
            best = jnp.argmax(process.log_likelihoods(data).sum(axis=-1))
            read = [inference(predictor, process, data) for predictor in (process, network)]
            return best, evidence(process, data), *read

        return jax.lax.map(single, data)

    def _features(self, network: Network, tokens: Array, positions: Array) -> Array:
        """The gradients (c, a, p) of all methods that move all weights."""
        return tangent_features(network, tokens, positions, self.part)

    def _kernel(
        self,
        method: Method,
        process: Mixture,
        network: Network,
        data: Dataset,
        order: Array,
        tokens: Array,
        positions: Array,
        features: Array | None,
    ) -> tuple[Array, Array]:
        """The kernel (s, c, a, c, a) of every D', and the residuals (s, c, a) of the base network from the
        answers of the hypothesis under which it is most likely."""
        rows = jnp.arange(len(positions))
        components = renormalised(process.component_log_probs(tokens)[:, rows, positions, self.part])
        answers = jnp.exp(answers_at(network, tokens, self.part)[rows, positions])

        def single(row: tuple[Dataset, Array, Array]) -> tuple[Array, Array]:
            data, order, seed = row
            extra = extra_data(self.experiment, method, data, seed)
            start = method.coordinates(network, extra)
            metric = None if follows_size(method) else adam(start, data, order[:MOMENTS])
            best = jnp.argmax(process.log_likelihoods(data).sum(axis=-1))
            if features is None:
                kernel = tangent_kernel(start, tokens, positions, self.part, metric)
            else:
                kernel = kernel_of(features, metric)
            return kernel, answers - jnp.exp(components[best])

        return jax.lax.map(single, (data, order, jnp.arange(len(order))))


def distinct(questions: Questions) -> np.ndarray:
    """The first of every different context among the first in-domain answers and the held-out ones."""
    held, shown = _held_out(questions), {}
    for index in np.flatnonzero(questions.calibration("first") | held):
        row, position = questions.rows[index], questions.positions[index]
        shown.setdefault((held[index], tuple(questions.tokens[row, :position])), index)
    return np.array(sorted(shown.values()))


def _held_out(questions: Questions) -> np.ndarray:
    """Bool (c,): the contexts that measures are of."""
    return questions.group == judged(list(dict.fromkeys(questions.group.tolist())))
