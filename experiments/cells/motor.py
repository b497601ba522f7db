"""Probes of events in a base network and in its finetuned ones: from a description, and from labels.

Every base network has texts of its own, so that an interval over base networks covers the noise of labels.
Streams are read, measured and forgotten: a cell keeps numbers alone (docs/inside.md).
"""

import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import Float

from experiments.cells.event_baselines import EventTable, Pair
from experiments.cells.inside_parts import PlanPrograms, untrained_network
from experiments.cells.motor_reading import (
    Judged,
    Read,
    Situation,
    baseline_features,
    chances,
    log_odds,
    reading_of,
    still,
)
from experiments.cells.motor_steering import directions, effects, gradient
from experiments.design import random_streams
from experiments.design.experiment import Arm
from experiments.design.motor_plan import MotorPlan
from experiments.storage.motor_cell import (
    BASELINES,
    LABELLED,
    LINKS,
    QUALITY,
    REGIMES,
    VECTORS,
    MotorCell,
)
from models.inside import Edited, exchanged, streams
from models.network import Network
from models.probing.labels import Labels, Texts, fit_labels, soft_labels
from theory.base import LogProbs, Params, Tokens, host_stream
from theory.contracts import Process
from theory.divergence.kl import answers_at
from theory.latent.mixture import Mixture
from theory.probes import futures
from theory.probes.automata import Automaton
from theory.probes.baselines import outputs
from theory.probes.codes import Linear
from theory.probes.descriptions import event
from theory.probes.readings import Reading, score_reading
from theory.probes.steering import beyond_fitted
from theory.probes.subspaces import normalise

MEANS = ("on-policy", "off-policy", "contrastive")
APART = 4  # documents for the gradient, the last of those that are judged
CONTEXTS, OF_TUNED, STEERED = 8, 4, 4  # of a document: a base network judged, a finetuned one, steered
Probes = dict[str, Linear]


class MotorPrograms(PlanPrograms[MotorPlan, Process]):
    """Programs that finetune are those of other cells; networks are read and summed over by small ones."""

    def __post_init__(self) -> None:
        assert self.events  # made now: what is refused is so before training

    @functools.cached_property
    def events(self) -> list[Automaton]:
        """The events that are probed."""
        return [event(words, self.process) for words in self.plan.events]

    @property
    def horizon(self) -> int:
        """The longest of these."""
        return max(event.horizon for event in self.events)

    @property
    def length(self) -> int:
        """Tokens of a document."""
        return self.process.length

    @functools.cached_property
    def answered(self) -> Callable[[Network, Tokens], LogProbs]:
        """Answers of networks."""
        part = self.answers.part
        return jax.jit(lambda network, tokens: answers_at(network, tokens, part))

    @functools.cached_property
    def untrained(self) -> Network:
        """A network that was never trained."""
        return untrained_network(self.experiment)

    def run(self, arm: Arm, network: Network, number: int) -> tuple[MotorCell, str]:
        """The cell of a base network of that number, and why it failed ("" if it did not)."""
        experiment, plan, base = self.experiment, self.plan, still(network)
        random = host_stream(random_streams.stream(experiment.seed, random_streams.MOTOR_OF_NETWORK, number))
        read = Read.of(base, self._texts(base, number, plan.labels[-1], random))
        judged = Judged.of(base, self.events, plan.judged, self._positions(CONTEXTS), random)
        seen = normalise(np.asarray(streams(base, judged.tokens)))
        measured = [self._event(index, read, judged, seen) for index in range(len(self.events))]
        names = ("bounds", "ladder", "by_depth", "baselines", "beyond", "information", "steering", "left")
        of_base = {name: np.array([part[name] for part in measured], np.float32) for name in names}
        few = Read.of(base, self._texts(base, number, plan.refitted, random))
        kept = [self._probes(few, index) for index in range(len(self.events))]
        finetuning = self.data.finetuning(arm, network)
        pairs = self.finetuned.pairs(network, finetuning)
        tuned = [self._tuned(few, kept, network, weights, random) for weights, _ in pairs]
        shape = len(experiment.methods), experiment.seeds, len(experiment.doses)
        of_tuned = {
            name: np.array([part[name] for part in tuned], np.float32).reshape(*shape, *tuned[0][name].shape)
            for name in tuned[0]
        }
        cell = MotorCell(
            events=np.array([*plan.events]),
            labels=np.array(plan.labels),
            depths=np.arange(1 + self.layers),
            edited=self.edited,
            methods=np.array([*experiment.methods]),
            doses=np.array(experiment.doses),
            **of_base,
            **of_tuned,
        )
        finite = np.isfinite(cell.shift).all()
        return cell, "" if finite else "Non-finite answers of a finetuned network."

    def _texts(self, network: Edited, number: int, count: int, random: np.random.Generator) -> Texts:
        """So many labelled contexts of every text."""
        key = random_streams.stream(self.experiment.seed, random_streams.MOTOR_TEXTS, number)
        return Texts.of(
            network, self.mixture, self.plan.writer, count, self.horizon, self.length, key, random
        )

    def _positions(self, count: int) -> np.ndarray:
        """Some positions of documents, all alike apart, after which every event fits."""
        last = self.length - self.horizon
        return np.unique(np.linspace(1, last, min(count, last) + 2).round().astype(int)[1:-1])

    def _labels(self, read: Read, regime: str, index: int) -> Labels:
        """The labels of a regime, as many as it can have."""
        texts, event = read.texts, self.events[index]
        if regime == "soft":
            return soft_labels(read.network, texts.written, event, self.plan.soft)
        if regime == "description":
            text = texts.process
            known = futures.of_process(self.mixture, event, text.tokens).clip(0, 1)
            return Labels(text.rows, text.positions, known[text.rows, text.positions])
        return texts.labels(regime, event)

    def _event(self, index: int, read: Read, judged: Judged, seen: np.ndarray) -> dict[str, np.ndarray]:
        """Everything that is measured of an event in a base network."""
        plan, exact, last = self.plan, judged.exact[index], self.layers
        labels = {regime: self._labels(read, regime, index) for regime in REGIMES}
        where = {regime: read.texts.text(regime) for regime in REGIMES}

        def reading(regime: str, depth: int, link: str, count: int) -> Reading:
            part = Labels(*(part[:count] for part in labels[regime]))
            probe = fit_labels(link, read.features(where[regime], part, depth), part.targets)
            return score_reading(probe.predict(judged.at(seen[:, depth]))[:, 1], exact)

        def qualities(regime: str, depth: int, count: int) -> list[list[float]]:
            if regime == "soft" and count > plan.soft:
                return [[np.nan] * len(QUALITY)] * len(LINKS)
            readings = [reading(regime, depth, link, count) for link in LINKS]
            return [[getattr(part, name) for name in QUALITY] for part in readings]

        most = {regime: len(labels[regime].rows) for regime in REGIMES}
        bounds = score_reading(exact, exact)
        baselines, beyond, informed = self._outside(index, read, judged, seen, labels["soft"])
        return {
            "bounds": np.array([bounds.prior, bounds.floor, bounds.ceiling]),
            "ladder": np.array([[qualities(r, last, count) for count in plan.labels] for r in LABELLED]),
            "by_depth": np.array(
                [[qualities(r, depth, most[r]) for depth in range(1 + last)] for r in REGIMES]
            ),
            "baselines": baselines,
            "beyond": beyond,
            "information": informed,
            **self._steering(index, read, judged, labels),
        }

    def _steering(
        self, index: int, read: Read, judged: Judged, labels: dict[str, Labels]
    ) -> dict[str, np.ndarray]:
        """Steering by every vector at the edited depths (v, x, u), in contexts of which the gradient knows
        nothing, and the share of these that it takes beyond all that the probe read of the process (v, x)."""
        event, columns = self.events[index], self._positions(STEERED)
        count = max(1, min(self.plan.steered // len(columns), len(judged.tokens) - APART))
        contexts, others = (
            (documents, columns.tolist()) for documents in (judged.tokens[:count], judged.tokens[-APART:])
        )
        every, left = [], []
        seen = normalise(np.asarray(streams(read.network, contexts[0])))[:, :, columns]
        for depth in self.edited.tolist():
            size = float(read.sizes[depth])
            known = read.features("process", labels["description"], depth)
            probe = fit_labels("log-odds", known, labels["description"].targets)
            made = directions(
                probe,
                known,
                gradient(read.network, event, depth, size, others),
                {
                    name: (read.features(read.texts.text(name), labels[name], depth), labels[name].targets)
                    for name in MEANS
                },
            )
            effect, times = effects(read.network, event, depth, made, size, contexts)
            reads = probe.filters[:, 1] - probe.filters[:, 0]
            here = (seen[:, depth] @ reads).ravel()
            pairs = zip(times.tolist(), VECTORS, strict=True)
            left.append([beyond_fitted(known @ reads, here, n * float(made[v] @ reads)) for n, v in pairs])
            every.append(effect)
        return {"steering": np.stack(every, axis=1), "left": np.stack(left, axis=1)}

    def _outside(
        self, index: int, read: Read, judged: Judged, seen: np.ndarray, soft: Labels
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Readings of what is outside of the stream (k, q), fitted to exact labels, the share (l,) that
        streams tell of what the exact mixed state leaves, and the information of streams beside all baselines
        (l, f)."""
        event, exact, written = self.events[index], judged.exact[index], read.texts.written
        sources = written.tokens, judged.tokens
        situations = [Situation.of(self.mixture, self.events, tokens) for tokens in sources]
        answers = [np.asarray(read.network.predict(tokens), float) for tokens in sources]
        never = [normalise(np.asarray(streams(self.untrained, tokens))) for tokens in sources]
        features = [
            baseline_features(event, answer, situation, tokens, part[:, -1])
            for answer, situation, tokens, part in zip(answers, situations, sources, never, strict=True)
        ]
        readings = {
            name: reading_of(part, judged.at(features[1][name]), written, soft, exact)
            for name, part in features[0].items()
        }
        readings["exact process"] = score_reading(judged.at(situations[1].exact[index]), exact)
        known = [situation.all(index) for situation in situations]
        alone = reading_of(known[0], judged.at(known[1]), written, soft, exact).excess
        added = []
        for depth in range(1 + self.layers):
            both = [
                np.concatenate([part, stream[:, depth]], axis=-1)
                for part, stream in zip(known, (read.streams["written"], seen), strict=True)
            ]
            added.append(1 - reading_of(both[0], judged.at(both[1]), written, soft, exact).excess / alone)
        values = [[getattr(readings[name], part) for part in QUALITY] for name in BASELINES]

        def pair(parts: Sequence[np.ndarray]) -> Pair:
            return parts[0], judged.at(parts[1])

        plain = pair([outputs(part) for part in answers])
        others = [pair([part[name] for part in features]) for name in ("outputs", "tokens")]
        table = EventTable(soft, judged, exact).rows(
            [
                pair([part[:, depth] for part in (read.streams["written"], seen)])
                for depth in range(1 + self.layers)
            ],
            [pair([part[:, depth] for part in never]) for depth in range(1 + self.layers)],
            [plain, *others],
            None if self.plan.foreign is None else pair(self._foreign(self.plan.foreign, index, sources)),
            self.experiment.seed,
        )
        return np.array(values), np.array(added), table

    def _foreign(self, foreign: Mixture, index: int, sources: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The chance of an event in texts (n, t) by a process of other settings."""
        return [Situation.of(foreign, self.events, tokens).exact[index] for tokens in sources]

    def _probes(self, read: Read, index: int) -> Probes:
        """Probes of log-odds at the last depth by regime, of as many labels as a finetuned network has."""
        made = {}
        for regime in REGIMES:
            if regime != "soft":
                labels = self._labels(read, regime, index)
                features = read.features(read.texts.text(regime), labels, self.layers)
                made[regime] = fit_labels("log-odds", features, labels.targets)
        return made

    def _tuned(
        self, few: Read, kept: list[Probes], network: Network, weights: Params, random: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Everything that is measured of a finetuned network, in what it writes itself."""
        after = still(network.with_params(weights))
        texts = few.texts.of_network(after, self.horizon, random)
        judged = Judged.of(after, self.events, self.plan.judged, self._positions(OF_TUNED), random)
        earlier = chances(few.network, self.events, judged.tokens, judged.positions)
        read = Read.of(after, texts)
        seen, before = (
            judged.at(normalise(np.asarray(streams(part, judged.tokens)))[:, self.layers])
            for part in (after, few.network)
        )
        bounds, moves, old, new = [], [], [], []
        for index, probes in enumerate(kept):
            exact = judged.exact[index]
            bound = score_reading(exact, exact)
            bounds.append([bound.prior, bound.floor, bound.ceiling])
            moves.append(_moves(probes["description"], seen, before, exact, earlier[index]))
            old.append(_qualities(probes, seen, exact))
            new.append(_qualities(self._probes(read, index), seen, exact))
        return {
            "shift": self._shift(network, weights, judged.tokens),
            "moves": np.array(moves),
            "tuned_bounds": np.array(bounds),
            "old": np.array(old),
            "new": np.array(new),
        }

    def _shift(self, network: Network, weights: Params, tokens: np.ndarray) -> Float[np.ndarray, " h"]:
        """Mean KL (nats) from the finetuned network to the base network, and to the two halves of both."""
        halves = exchanged(weights, network.params), exchanged(network.params, weights)
        finetuned, *others = (
            np.asarray(self.answered(network.with_params(part), tokens), float)[:, 1:]
            for part in (weights, network.params, *halves)
        )
        chance = np.exp(finetuned)
        parts = (np.where(chance > 0, chance * (finetuned - other), 0.0).sum(axis=-1) for other in others)
        return np.array([part.mean() for part in parts])


def _qualities(probes: Probes, seen: np.ndarray, exact: np.ndarray) -> list[list[float]]:
    """The quality of every regime's probe (g, q); nan of soft labels, which are not summed again."""
    rows = []
    for regime in REGIMES:
        if regime in probes:
            reading = score_reading(probes[regime].predict(seen)[:, 1], exact)
            rows.append([getattr(reading, name) for name in QUALITY])
        else:
            rows.append([np.nan] * len(QUALITY))
    return rows


def _moves(
    probe: Linear, seen: np.ndarray, before: np.ndarray, exact: np.ndarray, earlier: np.ndarray
) -> list[float]:
    """Mean log-odds (nats), contexts weighted by p(1 - p): the move of p(A), what the base network's probe
    followed, how far that is off before and after; the squares of the former, and the products of both."""
    weights = exact * (1 - exact)
    read = [log_odds(probe.predict(part)[:, 1]) for part in (before, seen)]
    moved, followed = log_odds(exact) - log_odds(earlier), read[1] - read[0]
    differences = (
        *(moved, followed, log_odds(earlier) - read[0], log_odds(exact) - read[1]),
        *(moved**2, moved * followed),
    )
    return [float(np.average(part, weights=weights)) for part in differences]
