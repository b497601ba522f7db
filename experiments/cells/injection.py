"""Nats of a coin, injected into base networks where they have read answers, and what they say and do then.

The stream after the first block is shifted along the pattern of each coin, at the last answer that was read
or at all of them; then a cue follows, and the expected bias is read off the answer: Σ w θ, whatever the cue.
A control direction is as long, and orthogonal to all patterns. Axes: n documents, t positions, k coins, o
cues.
"""

import functools

import numpy as np
from scipy.linalg import orth

from experiments.cells.inside_parts import PlanPrograms, untrained_network
from experiments.cells.probe_tables import Probed
from experiments.cells.steering import along, steered
from experiments.design import random_streams
from experiments.design.experiment import Arm
from experiments.design.shared_plans import InjectionPlan
from experiments.storage.injection_cell import DIRECTIONS, WHERE, InjectionCell
from models.inside import streams
from models.network import Network
from theory.probes.beliefs import beliefs
from theory.probes.calibration import against_others
from theory.probes.codes import fit_log_odds
from theory.probes.scores import compare, held_out
from theory.probes.steering import beyond_fitted
from theory.probes.subspaces import covariance, normalise, pattern
from theory.processes.out_of_context import OutOfContext

DEPTH = 1
SEEN = 0.01  # least change of an exact expected bias whose sign counts


class InjectionPrograms(PlanPrograms[InjectionPlan, OutOfContext]):
    """Networks are finetuned by the programs of other cells."""

    @property
    def cues(self) -> range:
        """The cues that are asked, the name last."""
        return range(self.process.report + 1)

    @property
    def shown(self) -> int:
        """Pairs that a document shows before the cue."""
        return self.process.pairs // 2

    @functools.cached_property
    def tokens(self) -> np.ndarray:
        """Documents of pretraining, drawn when the first cell is run."""
        key = random_streams.stream(self.experiment.seed, random_streams.INJECTED)
        return np.asarray(self.mixture.sample(key, self.plan.documents))

    @functools.cached_property
    def held(self) -> np.ndarray:
        """The documents (n,) in which nats are injected."""
        return held_out(self.tokens, np.random.default_rng(self.experiment.seed), 0.5)

    @functools.cached_property
    def known(self) -> np.ndarray:
        """Exact beliefs (n, t, k)."""
        return np.asarray(beliefs(self.mixture, self.tokens), float)

    def run(self, arm: Arm, network: Network, number: int) -> tuple[InjectionCell, str]:
        """The cell of a base network, and why it failed ("" if it did not); of all numbers alike."""
        read = np.asarray(streams(network, self.tokens))
        at = np.arange(self.tokens.shape[1])
        answered = np.broadcast_to((at % 2 == 0) & (at > 0), self.tokens.shape)
        fitted = answered & ~self.held[:, None]
        inputs = normalise(read[:, DEPTH])[fitted]
        probe = fit_log_odds(inputs, self.known[fitted])
        patterns = pattern(probe.filters, covariance(inputs))
        others = normalise(read[:, DEPTH])[answered & self.held[:, None]]
        slopes, wrong, sizes = zip(
            *(self._injected(network, patterns, where) for where in WHERE), strict=True
        )
        cell = InjectionCell(
            methods=np.array([*self.experiment.methods]),
            doses=np.array(self.experiment.doses),
            information=self._information(network, read, answered),
            slopes=np.array(slopes, np.float32),
            wrong=np.array(wrong, np.float32),
            sizes=np.array(sizes, np.float32),
            beyond=np.array(self._beyond(probe.numbers(inputs), probe.numbers(others))),
            moved=self._moved(arm, network),
        )
        finite = np.isfinite(cell.slopes).all() and np.isfinite(cell.moved).all()
        return cell, "" if finite else "Non-finite answers or streams of a network."

    def _beyond(self, fitted: np.ndarray, read: np.ndarray) -> float:
        """The share of injections, of every coin by all nats, into what a probe reads (c, k), that leave all
        that it read where it was fitted (n, k)."""
        coins = [(against_others(fitted, coin), against_others(read, coin)) for coin in range(read.shape[-1])]
        shares = [beyond_fitted(known, odds, x) for known, odds in coins for x in self.plan.nats if x]
        return float(np.mean(shares))

    def _information(self, network: Network, read: np.ndarray, answered: np.ndarray) -> np.ndarray:
        """I of the stream and all baselines (f, h)."""
        seed, never = self.experiment.seed, streams(untrained_network(self.experiment), self.tokens)
        answers = np.asarray(network.predict(self.tokens), float)
        foreign = np.asarray(beliefs(self.mixture, self.turned()), float)
        until = slice(1 + DEPTH)
        table = Probed(self.tokens, read[:, until], answers, np.asarray(never)[:, until]).table(
            self.known, foreign, answered, lambda data: compare(data, fit_log_odds, seed)
        )
        return table[DEPTH - 1].astype(np.float32)

    def turned(self) -> np.ndarray:
        """The documents with heads for tails in the first format: to the exact filter, evidence that is of no
        use to a network."""
        span, tokens = self.process.tokens_of(0), self.tokens
        inside = (tokens >= span.start) & (tokens < span.stop)
        return np.where(inside, span.start + span.stop - 1 - tokens, tokens)

    def _injected(
        self, network: Network, patterns: np.ndarray, where: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Slopes (o,), shares of the wrong sign (o,) and sizes (c, o)."""
        count = 2 * self.shown
        tokens, before = self.tokens[self.held].copy(), self.known[self.held][:, count]
        at = np.arange(tokens.shape[1])
        edited = (at == count) if where == WHERE[0] else (at % 2 == 0) & (at > 0) & (at <= count)
        directions = {
            name: part for name, part in zip(DIRECTIONS, (patterns, self._control(patterns)), strict=True)
        }
        changes: dict[str, list[np.ndarray]] = {name: [] for name in DIRECTIONS}
        for cue in self.cues:
            tokens[:, count] = cue
            read = np.asarray(streams(network, tokens))
            base = self._bias(np.asarray(network.predict(tokens))[:, count + 1], cue)
            for name, part in directions.items():
                moved = [
                    self._bias(
                        np.asarray(steered(network, tokens, along(read, DEPTH, vector, x) * edited[:, None]))[
                            :, count + 1
                        ],
                        cue,
                    )
                    - base
                    for vector in part.T
                    for x in self.plan.nats
                    if x
                ]
                changes[name].append(np.array(moved))
        exact = np.array(
            [self.tilted(before, coin, x) for coin in range(before.shape[-1]) for x in self.plan.nats if x]
        )
        ours, control = (np.array(changes[name]) for name in DIRECTIONS)  # (o, coins and nats, n)
        slopes = np.sum(ours * exact, axis=(1, 2)) / np.sum(exact**2)
        seen = np.abs(exact) > SEEN
        wrong = [float(np.mean((part * exact < 0)[seen])) for part in ours]
        sizes = np.sqrt([np.mean(part**2, axis=(1, 2)) for part in (ours, control)])
        return slopes, np.array(wrong), sizes

    def tilted(self, belief: np.ndarray, coin: int, nats: float) -> np.ndarray:
        """The change (n,) of the exact expected bias by so many nats for a coin, of beliefs (n, k)."""
        moved = belief * np.exp(nats * (np.arange(belief.shape[-1]) == coin))
        biases = np.asarray(self.process.biases)
        return moved @ biases / moved.sum(axis=-1) - belief @ biases

    def _control(self, patterns: np.ndarray) -> np.ndarray:
        """For every pattern (d, k) a random direction of its length that is orthogonal to all."""
        random = np.random.default_rng(self.experiment.seed)
        span = orth(patterns)
        drawn = random.normal(size=patterns.shape)
        drawn -= span @ (span.T @ drawn)
        return drawn * (np.linalg.norm(patterns, axis=0) / np.linalg.norm(drawn, axis=0))

    def _bias(self, log_probs: np.ndarray, cue: int) -> np.ndarray:
        """The expected bias (...,) of log-probabilities (..., v) after a cue."""
        return np.asarray(
            self.process.expected_bias(np.exp(log_probs[..., self.process.answer_tokens].astype(float)), cue)
        )

    def _moved(self, arm: Arm, network: Network) -> np.ndarray:
        """Changes (m, s, d, o) of the expected bias by finetuning, every cue asked first."""
        tokens = self.answers.padded(np.asarray(self.process.elicitation_contexts().tokens))
        finetuning, moved = self.data.finetuning(arm, network), []

        def biases(answers: np.ndarray) -> np.ndarray:
            probs = np.exp(np.asarray(answers, float))
            return np.stack(
                [self.process.expected_bias(probs[..., cue, 1, :], cue) for cue in self.cues], axis=-1
            )

        base = biases(self.answers.base(network, tokens))
        for method in self.experiment.methods:
            params, *_ = self.finetuned.networks(method, network, finetuning)
            moved.append(biases(self.answers.read(tokens, params))[: self.experiment.seeds] - base)
        return np.array(moved, np.float32)
