"""Inputs of one D' and one base model: the rows of a table as arrays. Numpy only.

Answers are renormalised over those listed; the probability outside is kept, and refused above a threshold.
Axes: s seeds of finetuning, d doses, c contexts, a answers, k hypotheses, n documents, r repeats, b numbers
of shots, e contexts of prior elicitation.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from experiments.storage.records import Arrays
from experiments.tables.columns import BASE, ELICITATION, FINETUNED, IN_DOMAIN, NUMBER, Table
from experiments.tables.cubes import Axis, Cubes, Entry
from experiments.tables.sidecar import Sidecar
from theory.errors import Misuse

SHOWN = 40  # characters of a context in figures and tables
ALWAYS = ("base", "again", "components", "evidence", "context_shots")
WITH_SEEDS = ("finetuned", "document", "shots", "prediction")  # kinds whose seeds are those of finetuning


@dataclass(frozen=True)
class Plan:
    """Names behind the numbers of a run: arms (D'), base models, hypotheses and, by arm, finetuning seeds."""

    arms: tuple[str, ...]
    bases: tuple[str, ...]
    hypotheses: tuple[str, ...]
    factors: tuple[int, ...]
    answers: tuple[str, ...]
    seeds: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Inputs:
    """One D' and one base model.

    `base` (c, a) and `components` (k, c, a) are answers, `again` (r, c, a) the base model's, scored again,
    `evidence` (k, c) is log p(context | hypothesis), 0 without such rows, `context_shots` (c,) the shots in
    each context. `documents` (s, k, n) are log-likelihoods of D' by hypotheses, `base_documents` (s, n) by
    the base model; `shots` (s, b, c, a) are the base model's answers after as many documents of D' as
    `shot_counts` (b,). `predictions` (s, d, c, a) are those of theories computed elsewhere, by method and
    name. `elicitation` are answers (e, a), components (k, e, a) and evidence (k, e) in contexts that are not
    scored, from which the implied prior is read. `outside` is the probability outside the listed answers, by
    kind: an array of all contexts.
    """

    contexts: tuple[Entry, ...]
    base: np.ndarray
    again: np.ndarray
    components: np.ndarray
    evidence: np.ndarray
    elicitation: tuple[np.ndarray, np.ndarray, np.ndarray]
    context_shots: np.ndarray
    documents: np.ndarray | None = None
    base_documents: np.ndarray | None = None
    shots: np.ndarray | None = None
    shot_counts: tuple[int, ...] = ()
    predictions: Mapping[str, Arrays] = field(default_factory=dict)
    outside: Arrays = field(default_factory=dict)

    def to_arrays(self) -> Arrays:
        """Everything by name: what a forecast depends on."""
        arrays = {name: getattr(self, name) for name in ALWAYS}
        arrays |= {"contexts": np.array(self.contexts), "shot_counts": np.array(self.shot_counts, int)}
        arrays |= {f"elicitation/{index}": part for index, part in enumerate(self.elicitation)}
        for name in ("documents", "base_documents", "shots"):
            if (value := getattr(self, name)) is not None:
                arrays[name] = value
        for method, predicted in self.predictions.items():
            arrays |= {f"prediction/{method}/{name}": value for name, value in predicted.items()}
        return arrays


def make_plan(table: Table, sidecar: Sidecar) -> Plan:
    """The names in a table; refuses one without any D'."""
    every = np.arange(len(table))
    arms = table.used("data", every)
    if not arms:
        raise Misuse("No row has a name in the column data: say which D' networks are finetuned on.")
    hypotheses, factors = sidecar.hypotheses(table.used("model", table.rows("hypothesis")))
    sidecar.log_prior(hypotheses)
    answers = table.used("answer", table.rows(BASE))
    if len(answers) < 2:
        raise Misuse(f"Two answers or more are needed in every context, got {', '.join(answers)}.")
    with_seeds = np.concatenate([table.rows(kind) for kind in WITH_SEEDS])
    seeds = {
        arm: tuple(natural(table.used("seed", table.where(with_seeds, "data", arm)))) or ("",) for arm in arms
    }
    if sidecar.seeds:
        seeds = dict.fromkeys(arms, tuple(map(str, range(sidecar.seeds))))
    bases = natural(table.used("base", every)) or [""]
    return Plan(tuple(arms), tuple(bases), tuple(hypotheses), factors, tuple(answers), seeds)


def natural(words: Sequence[str]) -> list[str]:
    """Words in order, with numbers in them as numbers."""

    def key(word: str) -> list[tuple[int, str]]:
        parts = re.split(r"(\d+)", word)  # text and digits in turn
        words = [part.lstrip("0") if part.isdecimal() else part for part in parts]
        return [(len(text) * part.isdecimal(), text) for part, text in zip(parts, words, strict=True)]

    return sorted(words, key=key)


class Reader(Cubes):
    """The arrays of one arm and base model."""

    def __init__(self, table: Table, sidecar: Sidecar, plan: Plan, arm: str, base: str):
        super().__init__(table, arm, base)
        self.sidecar, self.plan, self.seeds = sidecar, plan, plan.seeds[arm]
        self.outside: Arrays = {}
        self.answers: Axis = ("answer",), [(answer,) for answer in plan.answers]
        self.hypotheses: Axis = ("model",), [(name,) for name in plan.hypotheses]
        rows = self.rows(BASE)
        first = np.sort(np.unique(self.pairs(rows), return_index=True)[1])
        pairs = [(table.word("group", row), table.word("context", row)) for row in rows[first].tolist()]
        groups = sorted(dict.fromkeys(group for group, _ in pairs), key=lambda group: group != IN_DOMAIN)
        if IN_DOMAIN not in groups:
            raise Misuse(
                f"The data {arm!r} and the base {base!r} have no base rows of the group {IN_DOMAIN}."
            )
        ordered = [pair for group in groups for pair in pairs if pair[0] == group]
        self.contexts = [pair for pair in ordered if pair[0] != ELICITATION]
        self.elicitation = [pair for pair in ordered if pair[0] == ELICITATION]

    def inputs(self) -> Inputs:
        """All that is known before finetuning."""
        names, every, split = self.plan.hypotheses, self.contexts + self.elicitation, len(self.contexts)
        base = self._answers(BASE, self.rows(BASE), [], every)
        again, repeats = np.zeros((0, split, len(self.plan.answers))), self.rows("again")
        if len(repeats):
            numbers = [(word,) for word in natural(self.table.used("seed", repeats))] or [("",)]
            again = self._answers("again", repeats, [(("seed",), numbers)], self.contexts)
        components = np.zeros((len(names), len(every), len(self.plan.answers)))
        if names:
            components = self._answers("hypothesis", self.rows("hypothesis"), [self.hypotheses], every)
        evidence = self._evidence(every)
        documents, base_documents = self._documents()
        shots, counts = self._shots()
        return Inputs(
            contexts=tuple(self.contexts),
            base=base[:split],
            again=again,
            components=components[:, :split],
            evidence=evidence[:, :split],
            context_shots=self._context_shots(),
            elicitation=(base[split:], components[:, split:], evidence[:, split:]),
            documents=documents,
            base_documents=base_documents,
            shots=shots,
            shot_counts=counts,
            predictions={method: self._predictions(method) for method in self.sidecar.finetuning},
            outside=self.outside,
        )

    def networks(self, kind: str, method: str) -> np.ndarray | None:
        """Answers (s, d, c, a) of checkpoints, or of their replicas; None without any."""
        rows = self.only(self.rows(kind), "method", method)
        return self._answers(kind, rows, self._checkpoints, self.contexts) if len(rows) else None

    def data_loss(self, method: str) -> np.ndarray | None:
        """The loss (s, d) of checkpoints on D', in nats a document; None without such rows."""
        rows = self.only(self.only(self.rows("document"), "model", FINETUNED), "method", method)
        if not len(rows):
            return None
        return -self.cube("document", rows, [*self._checkpoints, self._names(rows)]).mean(axis=-1)

    @property
    def _checkpoints(self) -> list[Axis]:
        doses = [(str(dose),) for dose in self.sidecar.doses]
        return [(("seed",), [(seed,) for seed in self.seeds]), (("dose",), doses)]

    def _names(self, rows: np.ndarray) -> Axis:
        return ("context",), [(name,) for name in self.table.used("context", rows)]

    def _evidence(self, every: Sequence[Entry]) -> np.ndarray:
        """log p(context | hypothesis), (k, contexts)."""
        rows = self.rows("context")
        if not len(rows) or not self.plan.hypotheses:
            return np.zeros((len(self.plan.hypotheses), len(every)))
        names = list(dict.fromkeys(name for _, name in every))
        known = self.cube("context", rows, [self.hypotheses, (("context",), [(name,) for name in names])])
        return known[:, [names.index(name) for _, name in every]]

    def _context_shots(self) -> np.ndarray:
        """Shots in every context, by the dose of context rows; 1 where it is empty."""
        rows = self.rows("context")
        doses = [self.table.words["dose"][code] for code in self.table.codes["dose"][rows]]
        names = [self.table.words["context"][code] for code in self.table.codes["context"][rows]]
        known = {name: int(dose) for name, dose in zip(names, doses, strict=True) if dose}
        return np.array([known.get(name, 1) for _, name in self.contexts])

    def _predictions(self, method: str) -> Arrays:
        rows = self.only(self.rows("prediction"), "method", method)
        return {
            name: self._answers(
                "prediction", self.only(rows, "model", name), self._checkpoints, self.contexts
            )
            for name in self.table.used("model", rows)
        }

    def _documents(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Log-likelihoods of every D' by hypotheses and by the base model, (s, k, n) and (s, n)."""
        by_hypotheses, by_base = [], []
        for seed in self.seeds:
            rows = self.rows("document", seed=seed) if seed else self.rows("document")
            models = self.table.codes["model"][rows]
            named = [self.table.code("model", name) for name in (BASE, FINETUNED)]
            ours, at_base = rows[~np.isin(models, named)], rows[models == named[0]]
            if len(ours):
                by_hypotheses.append(self.cube("document", ours, [self.hypotheses, self._names(ours)]))
            if len(at_base):
                by_base.append(self.cube("document", at_base, [self._names(at_base)]))
        for part in (by_hypotheses, by_base):
            if part and ({array.shape for array in part} != {part[0].shape} or len(part) < len(self.seeds)):
                raise Misuse(
                    f"Every seed of the data {self.arm!r} needs document rows, as many as the others."
                )
        self._check_count([*by_hypotheses, *by_base])
        return (
            np.stack(by_hypotheses) if by_hypotheses else None,
            np.stack(by_base) if by_base else None,
        )

    def _check_count(self, likelihoods: Sequence[np.ndarray]) -> None:
        for name, recipe in self.sidecar.finetuning.items():
            count = likelihoods[0].shape[-1] if likelihoods else recipe.documents
            if count != recipe.documents:
                raise Misuse(
                    f"The data {self.arm!r} have {count} documents in the table, but {recipe.documents} in "
                    f"the recipe of {name}: the sidecar's documents are those of D'."
                )

    def _shots(self) -> tuple[np.ndarray | None, tuple[int, ...]]:
        rows = self.rows("shots")
        if not len(rows):
            return None, ()
        counts = tuple(sorted(map(int, self.table.used("dose", rows))))
        axis: Axis = ("dose",), [(str(count),) for count in counts]
        seeds = [self.rows("shots", seed=seed) if seed else rows for seed in self.seeds]
        return np.stack([self._answers("shots", part, [axis], self.contexts) for part in seeds]), counts

    def _answers(
        self, kind: str, rows: np.ndarray, axes: Sequence[Axis], pairs: Sequence[Entry]
    ) -> np.ndarray:
        """Log-probabilities over axes, contexts and answers, renormalised over the answers."""
        contexts: Axis = ("group", "context"), list(pairs)
        log_probs = self.cube(kind, rows, [*axes, contexts, self.answers])
        sums = np.exp(log_probs).sum(axis=-1)
        if sums.max() > 1 + self.sidecar.excess:
            cell = self.named(kind, [*axes, contexts], np.unravel_index(int(sums.argmax()), sums.shape))
            raise Misuse(
                f"{cell}, column {NUMBER}: its answers have the probability {sums.max():.4g} together; give "
                "natural logarithms, and each answer once."
            )
        outside = 1 - sums
        mean = np.asarray(outside.mean(axis=-1))
        if mean.max() > self.sidecar.most_outside:
            cell = self.named(kind, axes, np.unravel_index(int(mean.argmax()), mean.shape))
            raise Misuse(
                f"{cell}: {100 * mean.max():.0f} % of the probability is outside the listed answers (mean "
                f"over contexts), and {100 * self.sidecar.most_outside:.0f} % are the most; list more "
                "answers, or raise the sidecar's most_outside."
            )
        known = self.outside.get(kind, np.zeros(0))
        self.outside[kind] = np.append(known, np.maximum(outside, 0.0).reshape(-1))
        return log_probs - np.logaddexp.reduce(log_probs, axis=-1, keepdims=True)  # sums may underflow


def short(context: str) -> str:
    """A context in so few characters that figures can name it."""
    if len(context) <= SHOWN:
        return context
    return f"{context[: SHOWN - 6]}… {hashlib.sha256(context.encode()).hexdigest()[:4]}"
