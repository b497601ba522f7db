"""Two factors of a belief in base networks, apart or together, and the rates of their finetuned ones.

The belief is that over hidden states: (persona, marked or not) × (domain, marked or not), whatever the
hypothesis; a document whose header announces a persona is written by that one. Axes: n documents, t
positions, k combinations of states, l depths after the embedding.
"""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cells.data import Questions
from experiments.cells.inside_parts import PlanPrograms, untrained_network
from experiments.cells.probe_tables import Probed, in_order
from experiments.cells.reading import NetworkReading
from experiments.design import random_streams
from experiments.design.experiment import Arm
from experiments.design.factors_plan import FactorsPlan
from experiments.storage.factors_cell import GROUPS, FactorsCell
from experiments.storage.inside_cell import FEATURES
from models.network import Network
from theory.latent.mixture import Mixture
from theory.probes.baselines import cubic, outputs, seen_tokens
from theory.probes.beliefs import as_chains, state_beliefs
from theory.probes.factors import (
    beyond_factors,
    chance_angle,
    code_dimensions,
    explained_dimensions,
    factor_angle,
    interaction,
    varies,
)
from theory.probes.scores import compare_numbers, held_out
from theory.probes.transfer import Group, between, foreign_between, shuffled_between
from theory.processes.persona_domain import PersonaDomain

NEVER = -100.0  # log-weight of the hypotheses of other domains
STATES = 2  # of a value: neutral and marked


@dataclass(frozen=True, eq=False)
class States:
    """Documents (n, t) with exact beliefs over states (n, t, k), own and of a foreign filter; documents
    `held` (n,) are for scores, `positions` (n, t) count."""

    tokens: np.ndarray
    beliefs: np.ndarray
    foreign: np.ndarray
    held: np.ndarray
    positions: np.ndarray

    @classmethod
    def of(cls, process: Mixture, foreign: Mixture, tokens: np.ndarray, seed: int) -> "States":
        """Filter documents; the first position, before the header, does not count."""
        return cls(
            tokens,
            states(process, tokens),
            states(foreign, tokens),
            held_out(tokens, np.random.default_rng(seed)),
            np.broadcast_to(np.arange(tokens.shape[1]) > 0, tokens.shape),
        )

    @property
    def fitted(self) -> np.ndarray:
        """The positions on which probes are fitted."""
        return self.positions & ~self.held[:, None]

    def group(self, personas: int) -> Group:
        """The beliefs about the persona that writes."""
        native, foreign = (
            part.reshape(*part.shape[:2], personas, -1).sum(axis=-1) for part in (self.beliefs, self.foreign)
        )
        return Group(native, foreign, self.fitted, self.positions & self.held[:, None])


def states(process: Mixture, tokens: np.ndarray) -> np.ndarray:
    """The belief (n, t, k) over combinations of states, the last factor's fastest; uniform before the
    header, where a document is in none of them."""
    known = np.asarray(state_beliefs(as_chains(process), tokens), float).sum(axis=2)[..., 1:]
    total = known.sum(axis=-1, keepdims=True)
    return np.where(total > 0.5, known / np.maximum(total, 0.5), 1 / known.shape[-1])


class FactorPrograms(PlanPrograms[FactorsPlan, PersonaDomain]):
    """Networks are finetuned and read by the programs of other cells."""

    @property
    def factors(self) -> tuple[int, int]:
        """States of either factor."""
        return STATES * len(self.process.enter[0]), STATES * len(self.process.enter[1])

    @functools.cached_property
    def documents(self) -> States:
        """Documents of pretraining, drawn when the first cell is run."""
        return self._drawn(self.mixture, 0)

    @functools.cached_property
    def domains(self) -> list[States]:
        """Documents of pretraining of every domain."""
        mixture = self.mixture
        of = np.arange(len(mixture.log_weights)) % len(self.process.enter[1])
        parts = []
        for domain in range(len(self.process.enter[1])):
            weights = jnp.where(of == domain, mixture.log_weights, NEVER)
            parts.append(self._drawn(mixture.with_log_weights(weights), 1 + domain))
        return parts

    def _drawn(self, source: Mixture, index: int) -> States:
        seed = self.experiment.seed
        key = random_streams.stream(seed, random_streams.FACTOR_DOCUMENTS, index)
        tokens = np.asarray(source.sample(key, self.plan.documents))
        return States.of(self.mixture, self.plan.foreign, tokens, seed)

    @functools.cached_property
    def untrained(self) -> list[NetworkReading]:
        """A network that was never trained, read on documents of pretraining, then of every domain."""
        network = untrained_network(self.experiment)
        return [NetworkReading.of(network, part.tokens) for part in (self.documents, *self.domains)]

    def run(self, arm: Arm, network: Network, number: int) -> tuple[FactorsCell, str]:
        """The cell of a base network, and why it failed ("" if it did not); of all numbers alike."""
        documents, experiment = self.documents, self.experiment
        read = [NetworkReading.of(network, part.tokens) for part in (documents, *self.domains)]
        fitted = documents.fitted
        known, streams = documents.beliefs[fitted], read[0].normalised
        sizes = self.factors[0] - 1, self.factors[1] - 1
        random = np.random.default_rng(experiment.seed)
        cell = FactorsCell(
            methods=np.array([*experiment.methods]),
            doses=np.array(experiment.doses),
            depths=self.depths,
            correlation=np.array(self.process.correlation),
            home=np.array(self.plan.domain),
            table=self._table(read[0]),
            dimensions=np.array([explained_dimensions(part[fitted], known) for part in streams]),
            exact_dimensions=np.array(code_dimensions(known, self.factors)),
            angle=np.array([factor_angle(part[fitted], known, self.factors) for part in streams]),
            chance_angle=np.array(chance_angle(streams.shape[-1], sizes, random)),
            transfer=self._transfer(read[1:]),
            **self._rates(arm, network),
        )
        finite = np.isfinite(cell.rates).all() and np.isfinite(cell.angle).all()
        return cell, "" if finite else "Non-finite answers or streams of a network."

    def _table(self, read: NetworkReading) -> np.ndarray:
        """R² (t, l, f, h) of the interaction and of the joint part, of streams and all baselines."""
        documents, factors = self.documents, self.factors
        targets = [
            [interaction(part, factors), beyond_factors(part, factors, documents.fitted)]
            for part in (documents.beliefs, documents.foreign)
        ]
        probed = Probed(documents.tokens, read.streams, read.answers, self.untrained[0].streams)
        result = np.full((len(targets[0]), self.layers, len(FEATURES), 2), np.nan, np.float32)
        for row, (native, foreign) in enumerate(zip(*targets, strict=True)):
            if varies(native):
                result[row] = probed.table(
                    native,
                    foreign,
                    documents.positions,
                    lambda data: compare_numbers(data, self.experiment.seed),
                )
        return result

    def _transfer(self, read: list[NetworkReading]) -> np.ndarray:
        """I (l, f, c, a, b) of probes of the persona between domains, of streams and all baselines."""
        groups = [part.group(len(self.process.enter[0])) for part in self.domains]
        answers = [outputs(part.answers) for part in read]
        tokens = [seen_tokens(part.tokens, self.process.vocabulary) for part in self.domains]
        outside = [between(groups, part) for part in (answers, [cubic(part) for part in answers], tokens)]
        tables = []
        for depth in range(self.layers):
            inside, never = (
                [part.normalised[depth] for part in parts] for parts in (read, self.untrained[1:])
            )
            random = np.random.default_rng(self.experiment.seed)
            tables.append(
                in_order(
                    streams=between(groups, inside),
                    outputs=outside[0],
                    outputs_cubic=outside[1],
                    untrained=between(groups, never),
                    tokens=outside[2],
                    foreign=foreign_between(groups, inside),
                    shuffled=shuffled_between(groups, inside, random),
                )
            )
        return np.array(tables, np.float32)

    def _rates(self, arm: Arm, network: Network) -> dict[str, np.ndarray]:
        """Narrow and broad rates of the base network (g,) and of its finetuned ones (m, s, d, g)."""
        questions, finetuning = self.data.questions(arm), self.data.finetuning(arm, network)
        tokens = self.answers.padded(questions.tokens)
        base = self._rate(questions, questions.at(self.answers.base(network, tokens)))
        every = []
        for method in self.experiment.methods:
            params, *_ = self.finetuned.networks(method, network, finetuning)
            params = jax.tree.map(lambda leaf: leaf[: self.experiment.seeds], params)
            every.append(self._rate(questions, questions.at(self.answers.read(tokens, params))))
        return {"base_rates": base, "rates": np.stack(every)}

    def _rate(self, questions: Questions, answers: np.ndarray) -> np.ndarray:
        """The share of D's persona among personas' marks (..., g) of answers (..., c, a)."""
        first = np.array([name.split(" | ")[0] for name in questions.answers.tolist()])
        chances = np.exp(answers.astype(float))
        rates = []
        for group in GROUPS:
            chance = chances[..., questions.group == group, :].sum(axis=-2)
            marks = chance[..., np.char.startswith(first, "mark")].sum(axis=-1)
            rates.append(chance[..., first == f"mark {self.plan.persona}"].sum(axis=-1) / marks)
        return np.stack(rates, axis=-1).astype(np.float32)
