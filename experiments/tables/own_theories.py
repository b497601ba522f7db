"""Theories of the user's own files on a table (`finebayes import TABLE --with my_theory.py`).

A table has hypotheses, what D' says of them, and the base model's answers; no process, no tokens and no
weights. So a theory of hypotheses, or of any predictor that looks at D' through hypotheses, is scored like
one of the house; one that needs weights is refused, and has a row kind of its own (`prediction`).
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.cells.candidates import as_candidate
from experiments.cells.theory_checks import (
    TOLERANCE,
    checked_grid,
    checked_predictor,
    declared,
    location,
)
from experiments.discovery import SINGULAR, Catalogue, Entry
from experiments.tables.hypotheses import numbered
from experiments.tables.ladders import Case, Form, Rungs
from experiments.tables.sidecar import Sidecar
from theory.base import Model, ladder
from theory.contracts import Scale, Setting, Theory, required_prior
from theory.errors import Misuse

HYPOTHESES, PREDICTOR = "hypotheses", "predictor"


class NoProcess:
    """A stand-in for the process of `variants(process)`: a table has none."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Misuse(
            f"a table has no process, so that process.{name} is not known; take hypotheses from the prior, "
            "or from setting.process in complete(setting)."
        )


@dataclass(frozen=True, eq=False)
class OwnForm(Form):
    """A form of a user's own file: all that is wrong with its answers is a sentence with file and line."""

    is_own: ClassVar[bool] = True

    def answers(self, case: Case, betas: np.ndarray) -> np.ndarray:
        """Answers (b, c, a), of the right shape, normalised, and numbers at some strength."""
        name = f"{location(self.theory)}: the theory {self.name}"
        with declared(self.theory):
            shape = jax.eval_shape(self.rungs, case, jnp.asarray(betas)).shape
        if shape != (wanted := (len(betas), *case.base.shape)):
            raise Misuse(
                f"{name} predicts log-probabilities of shape {shape[1:]}, but (contexts, answers) is "
                f"{wanted[1:]}; return one for every answer."
            )
        with declared(self.theory):
            log_probs = super().answers(case, betas)
        known = np.logical_not(np.isnan(log_probs.sum(axis=(1, 2))))
        if not known[0] or not known[1:].any():
            raise Misuse(
                f"{name} predicts no numbers on a table, in which a document is one token, and all that is "
                "known of it is its log-likelihood by hypotheses: use prior.condition(data, beta) or "
                "prior.log_likelihoods(data), or give what it predicts as prediction rows."
            )
        totals = np.exp(np.logaddexp.reduce(log_probs[known].astype(float), axis=-1))
        off = np.abs(np.log(totals)) > TOLERANCE
        if off.any() and "normalised" not in self.theory.breaks:
            raise Misuse(
                f"{name} predicts probabilities that sum to {totals[off][0]:.3g}, not to 1; normalise them, "
                "as jax.nn.log_softmax does."
            )
        return log_probs


def own_forms(catalogue: Catalogue, computed: Collection[str]) -> tuple[OwnForm, ...]:
    """The theories of own files in all their forms; refuses names that are `computed` already."""
    for entry in catalogue.own_entries:
        if entry.kind != "theories":
            raise Misuse(f"{entry.path.name} is a {SINGULAR[entry.kind]}; a table takes theories alone.")
    return tuple(
        form for entry in catalogue.entries("theories") if entry.is_own for form in _forms(entry, computed)
    )


def check_declared(forms: Sequence[OwnForm], sidecar: Sidecar) -> None:
    """Refuse a grid or a forecast that is none."""
    trainings = [recipe.training(sidecar.doses) for recipe in sidecar.finetuning.values()]
    for form in forms:
        with declared(form.theory):
            count = min(training.documents for training in trainings)
            checked_grid(form.theory, form.name, Scale(count, 0.0), trainings)


def _forms(entry: Entry, computed: Collection[str]) -> Iterator[OwnForm]:
    module = entry.load()
    with entry.guard():
        variants = getattr(module, "variants", None)
        forms = dict(variants(NoProcess())) if variants else {entry.name: entry.example()}
        candidates = [as_candidate(name, form) for name, form in forms.items()]
        for candidate in candidates:
            if candidate.theory in computed:
                raise Misuse(f"there is a theory called {candidate.theory} already; rename the file or form.")
            if candidate.kind not in (HYPOTHESES, PREDICTOR):
                needed = required_prior(candidate.form).__name__
                raise Misuse(
                    f"{candidate.theory} needs weights (its prior is {needed}), and a table has none; "
                    "compute what it predicts, and give that as prediction rows."
                )
            if candidate.form.hyperparameters is not None:
                raise Misuse(
                    f"{candidate.theory} has hyperparameters, and on a table β alone is fitted; return "
                    "None, or give a form for each value by variants(process)."
                )
    for name, candidate in zip(forms, candidates, strict=True):
        anchored = candidate.kind == HYPOTHESES
        rungs = _rungs(candidate.theory, candidate.form, anchored)
        label = name.partition("/")[2]
        yield OwnForm(candidate.theory, candidate.form, rungs, anchored, label)


def _rungs(name: str, theory: Theory, anchored: bool) -> Rungs:
    """Answers as a comparison computes them: completed, then along the grid."""

    def rungs(case: Case, betas: Array) -> Array:
        completing, samples = jax.random.split(jax.random.key(0))
        whole = theory.complete(Setting(case.prior, case.network, case.data, case.data, completing))
        contexts = numbered(len(case.base))

        def read(predictor: Model) -> Array:
            return checked_predictor(theory, name, predictor).predict(contexts)[:, 0]

        prior = case.prior if anchored else case.network
        return ladder(whole, prior, case.data, betas * whole.unit, read, key=samples)

    return rungs
