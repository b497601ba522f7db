"""Ladders of theories from a table: answers over a grid of strengths, for the D' of every finetuning seed.

Theories of hypotheses are anchored at the base model, as in a study. What a table lacks switches off the
theories that need it (`Ladders.notes` says which). Axes: s seeds, b strengths, c contexts, a answers, k
hypotheses.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.cells.anchor import anchor
from experiments.scoring.labels import FITTED_ON
from experiments.storage.records import Ladder
from experiments.tables.hypotheses import TableMixture, TableModel, first_document, numbered, scoped
from experiments.tables.inputs import Inputs
from theory.base import Beta, Dataset
from theory.contracts import Scale, Theory, Training
from theory.divergence.mixture_fit import fit_weights
from theory.theories.belief_dynamics import BeliefDynamics
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.geometric_path import GeometricPath
from theory.theories.linear_mixture import LinearMixture
from theory.theories.narrow_or_broad import NarrowOrBroad
from theory.theories.structure_posterior import StructurePosterior
from theory.theories.tempered_posterior import TemperedPosterior

SUBLINEAR = BeliefDynamics(alpha=0.3)  # as in studies
TOGETHER = 20  # strengths that are computed in a batch
IN_CONTEXT, DYNAMICS = "in-context", "belief-dynamics"


class Case(NamedTuple):
    """The inputs of a theory, for one D': hypotheses, the base model's answers (c, a), D' by number, contexts
    like those of D', bool (c,), and the shots in each context (c,)."""

    prior: TableMixture
    base: Array
    data: Dataset
    there: Array
    shots: Array

    @property
    def network(self) -> TableModel:
        """The base model, of which nothing but its answers is known."""
        return TableModel(self.base, jnp.zeros(len(self.base)), jnp.zeros(0))


Read: TypeAlias = Callable[[Case, Beta], Array]
"""Answers (c, a) at a strength."""
Rungs: TypeAlias = Callable[[Case, Array], Array]
"""Answers (b, c, a) at strengths (b,)."""


@dataclass(frozen=True, eq=False)
class Form:
    """A theory in one of its forms, with what reads its answers. `anchored`: it starts from hypotheses, and
    is anchored at the base model. A form with a label of its own starts from the given prior alone."""

    name: str
    theory: Theory
    rungs: Rungs
    anchored: bool = True
    label: str = ""
    is_own: ClassVar[bool] = False

    @cached_property
    def program(self) -> Rungs:
        """Answers (b, c, a) at strengths (b,), traced once for all D' and base models of one shape."""
        return jax.jit(self.rungs)

    def answers(self, case: Case, betas: np.ndarray) -> np.ndarray:
        """The same as numbers."""
        return np.asarray(self.program(case, jnp.asarray(betas)))

    def priors(self, given: str, weights: np.ndarray, implied: np.ndarray) -> dict[str, np.ndarray]:
        """Weights (k,) of hypotheses from which it is scored, by label."""
        if self.label:
            return {self.label: weights}
        return {given: weights, "implied": implied} if self.anchored else {"network": weights}


@dataclass(frozen=True)
class Ladders:
    """Theories over their grids; `notes` say what is not scored, and why. `implied` (k,) are the weights that
    the base model's answers imply."""

    ladders: tuple[Ladder, ...]
    implied: np.ndarray
    notes: tuple[str, ...]


def make_forms(count: int, factors: tuple[int, ...]) -> tuple[Form, ...]:
    """Every theory that may be scored on so many hypotheses, in a fixed order."""
    if not count:
        return ()
    of_hypotheses: dict[str, Theory] = {
        "tempered-posterior": TemperedPosterior(),
        "exchangeable-mixture": ExchangeableMixture(),
    }
    if len(factors) > 1:
        of_hypotheses["structure-posterior"] = StructurePosterior()
    forms = [Form(name, theory, _along(_of_hypotheses(theory))) for name, theory in of_hypotheses.items()]
    forms += [
        Form("narrow-or-broad", NarrowOrBroad(), _along(_scoped)),
        Form(DYNAMICS, SUBLINEAR, _along(_weighted(SUBLINEAR))),
        Form("linear-mixture", LinearMixture(), _along(_towards_best(LinearMixture())), anchored=False),
        Form("geometric-path", GeometricPath(), _along(_towards_best(GeometricPath())), anchored=False),
    ]
    return tuple(forms)


def strengths(
    forms: Sequence[Form], ladders: Sequence[Ladder], training: Training, count: int
) -> dict[str, np.ndarray]:
    """β (d,) at every dose without a fitted number, for a D' of so many documents, by ladder."""
    known = {(form.name, form.label): form.theory.strength(training, Scale(count, 0.0)) for form in forms}
    every = {
        ladder.name: known.get((ladder.theory, ""), known.get((ladder.theory, ladder.prior)))
        for ladder in ladders
    }
    return {name: strength for name, strength in every.items() if strength is not None}


def make_ladders(
    inputs: Inputs, forms: Sequence[Form], log_prior: np.ndarray, factors: tuple[int, ...], given: str
) -> Ladders:
    """All theories that the inputs allow, from the prior with the label `given`, and from the implied one."""
    implied, notes = implied_weights(inputs), tuple(_missing(inputs))
    in_context = [_of_shots(inputs)] if inputs.shots is not None else []
    if inputs.documents is None or not len(implied):
        without = [f"{form.name} is not scored: it needs those rows." for form in forms if form.is_own]
        return Ladders(tuple(in_context), implied, (*notes, *without))
    priors = given, np.exp(log_prior), np.maximum(implied, 1e-12)
    ladders = [
        _ladder(form, label, weights, inputs, factors)
        for form in forms
        if form.name != DYNAMICS or (inputs.evidence.any() and (inputs.context_shots > 1).any())
        for label, weights in form.priors(*priors).items()
    ]
    return Ladders((*ladders, *in_context), implied, notes)


def implied_weights(inputs: Inputs) -> np.ndarray:
    """The weights (k,) over hypotheses that the base model's answers imply: in contexts of elicitation, or in
    all where there are none."""
    answers, components, evidence = inputs.elicitation
    if not len(answers):
        answers, components, evidence = inputs.base, inputs.components, inputs.evidence
    if not len(components):
        return np.zeros(0)
    return fit_weights(answers[None], components, evidence)[0][0]


def _missing(inputs: Inputs) -> Iterator[str]:
    """A sentence for every kind of rows that there is not."""
    if not len(inputs.components):
        yield (
            "There are no hypothesis rows: no theory of hypotheses is scored, and no hull, but the nulls and "
            "theories that were computed elsewhere."
        )
    elif inputs.documents is None:
        yield (
            "There are no document rows of hypotheses: what D' says of them is not known, so that no path "
            "towards them is scored; the hull is."
        )
    if len(inputs.components) and not inputs.evidence.any():
        yield (
            "There are no context rows: contexts are taken to say nothing of the hypothesis, and "
            "belief dynamics is not scored."
        )
    elif len(inputs.components) and not (inputs.context_shots > 1).any():
        yield (
            "No context row has a dose (the shots in the context): belief dynamics, which weighs them, is "
            "not scored."
        )
    if inputs.shots is None:
        yield "There are no shots rows: in-context learning is not scored."


def _along(read: Read) -> Rungs:
    def rungs(case: Case, betas: Array) -> Array:
        return jax.lax.map(lambda beta: read(case, beta), betas, batch_size=TOGETHER)

    return rungs


def _of_hypotheses(theory: Theory) -> Read:
    def read(case: Case, beta: Beta) -> Array:
        after = theory.predict(case.prior, case.data, beta)
        return after.predict(numbered(len(case.base)))[:, 0]

    return read


def _towards_best(theory: Any) -> Read:
    def read(case: Case, beta: Beta) -> Array:
        after = replace(theory, hypotheses=case.prior).predict(case.network, case.data, beta)
        return after.predict(numbered(len(case.base)))[:, 0]

    return read


def _scoped(case: Case, beta: Beta) -> Array:
    return scoped(case.prior, case.data, beta, case.there)


def _weighted(dynamics: Any) -> Read:
    """Belief dynamics (theory.theories.belief_dynamics): the evidence of N shots counts γ N^-α times."""

    def read(case: Case, beta: Beta) -> Array:
        weights = dynamics.scale * jnp.maximum(case.shots, 1.0) ** -dynamics.alpha
        components = replace(case.prior.components, contexts=case.prior.components.contexts * weights)
        after = replace(case.prior, components=components).condition(case.data, beta)
        return after.predict(numbered(len(case.base)))[:, 0]

    return read


def _ladder(form: Form, label: str, weights: np.ndarray, inputs: Inputs, factors: tuple[int, ...]) -> Ladder:
    """A theory's answers (s, b, c, a), for every D'. What hypotheses have in common is taken off in double
    precision."""
    assert inputs.documents is not None
    likelihoods = inputs.documents - inputs.documents.max(axis=1, keepdims=True)
    evidence = inputs.evidence - inputs.evidence.max(axis=0)
    count, start = likelihoods.shape[-1], np.asarray(inputs.base, np.float32)
    betas = form.theory.grid(Scale(count, 0.0))
    rungs = []
    for documents in likelihoods:
        parts = (np.asarray(part, np.float32) for part in (inputs.components, evidence, documents))
        case = Case(
            TableMixture(TableModel(*parts), jnp.log(jnp.asarray(weights, jnp.float32)), factors),
            jnp.asarray(start),
            Dataset(numbered(count, first_document(start)), np.ones((count, 1), bool)),
            jnp.asarray([group == FITTED_ON for group, _ in inputs.contexts]),
            jnp.asarray(inputs.context_shots, jnp.float32),
        )
        rungs.append(form.answers(case, betas))
    log_probs = np.stack(rungs)
    ladder = Ladder(form.name, label, betas, log_probs, form.theory.bound)
    if not form.anchored:
        return ladder
    return replace(ladder, log_probs=anchor(log_probs, start), reference=log_probs[0, 0])


def _of_shots(inputs: Inputs) -> Ladder:
    """In-context learning: the base model itself after documents of D', by their number."""
    assert inputs.shots is not None
    start = np.broadcast_to(inputs.base, (len(inputs.shots), 1, *inputs.base.shape))
    log_probs = np.concatenate([start, inputs.shots], axis=1).astype(np.float32)
    return Ladder(IN_CONTEXT, "network", np.array([0.0, *inputs.shot_counts], np.float32), log_probs)
