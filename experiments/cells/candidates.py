"""Candidates: the theories that an experiment scores, in all their forms, found by discovery.

A theory of hypotheses starts from the process and from the prior implied by the base network (the weights
that it acts on); a theory of any predictor and one over weights start from the base network.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from experiments.design.experiment import EVERY, Experiment
from experiments.discovery import choose
from experiments.scoring.labels import UNCHANGED
from theory.base import Parametric, Predictor
from theory.contracts import Theory, name_of, required_prior, variants
from theory.errors import Misuse

CandidateKind: TypeAlias = Literal["hypotheses", "predictor", "weights", "replay", "sampled"]
PRIORS: dict[CandidateKind, tuple[str, ...]] = {
    "hypotheses": ("process", "implied"),
    "predictor": ("network",),
    "weights": ("network",),
    "replay": ("network",),
    "sampled": (),  # by temperature: experiments.design.sampling
}


@dataclass(frozen=True, eq=False)
class Candidate:
    """A theory in one of its forms, scored from each of `priors` (labels); `form` says all else."""

    theory: str
    priors: tuple[str, ...]
    kind: CandidateKind
    form: Any  # a Theory; which of its protocols it has is in `kind`


def candidates(experiment: Experiment) -> list[Candidate]:
    """Every theory that an experiment scores; refuses a name that no theory has."""
    chosen = experiment.theories
    instances = [theory for theory in chosen if not isinstance(theory, str)]
    names = [theory for theory in chosen if isinstance(theory, str)]
    known = [_candidate(name, form) for name, form in _forms(experiment).items()]
    for name in (*names, *experiment.extra_theories):
        if name != EVERY:
            choose("theory", name, [*dict.fromkeys(candidate.theory for candidate in known), EVERY])
    # every table has the reference without a cell: its answers are those of the base network
    known = [candidate for candidate in known if candidate.theory != UNCHANGED]
    if EVERY not in names:
        extra = experiment.extra_theories
        known = [
            candidate
            for candidate in known
            if candidate.theory in (names if chosen else extra) or not (chosen or candidate.form.optional)
        ]
    given = [_given(theory) for theory in instances]
    names = [candidate.theory for candidate in given]
    if len(set(names)) < len(names):
        raise Misuse(f"Theories are told apart by their names, got {', '.join(names)}; give one of each.")
    known = [candidate for candidate in known if candidate.theory not in names]
    return known + [candidate for candidate in given if candidate.theory != UNCHANGED]


def kebab_case(name: str) -> str:
    """The name of a class in kebab-case: MyTheory is my-theory."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower().strip("_").replace("_", "-")


def _forms(experiment: Experiment) -> dict[str, Theory]:
    forms: dict[str, Theory] = {}
    for entry in experiment.catalogue.entries("theories"):
        module = entry.load()
        if not (hasattr(module, "variants") or hasattr(module, "example")):
            raise Misuse(f"{entry.path.name} needs a function example() that returns its theory.")
        forms |= variants(module, experiment.process)
    return forms


def _given(theory: Theory) -> Candidate:
    """An instance under the name of its module, or of its class where it was written in a notebook."""
    kind = type(theory)
    name = kebab_case(kind.__name__)
    if isinstance(theory, type):
        raise Misuse(f"{theory.__name__} is a class; give an instance of it, {theory.__name__}().")
    if isinstance(theory, Theory) and kind.__module__ != "__main__":
        name = name_of(theory)
    candidate = _candidate(name, theory)
    if candidate.kind == "sampled":
        raise Misuse(f"{name} is sampled by chains; choose its temperatures (sampling.temperatures) instead.")
    return candidate


def _candidate(name: str, form: Theory) -> Candidate:
    """A form under "NAME" or "NAME/PRIOR"."""
    if not isinstance(form, Theory):
        raise Misuse(
            f"{name} is a {type(form).__name__}, which is no theory; inherit from theory.contracts.Theory."
        )
    theory, slash, prior = name.partition("/")
    kind = _kind(form)
    return Candidate(theory, (prior,) if slash else PRIORS[kind], kind, form)


def _kind(form: Theory) -> CandidateKind:
    if form.sampled:
        return "sampled"
    if hasattr(form, "follow"):
        return "replay"
    prior = required_prior(form)
    if prior is Parametric:
        return "weights"
    return "predictor" if prior is Predictor else "hypotheses"
