"""Candidates: the theories that an experiment scores, in all their forms, found by discovery.

A theory of hypotheses starts from the process and from the prior implied by the base network (the weights
that it acts on); a theory of any predictor and one over weights start from the base network.
"""

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
    found = [_candidate(name, form) for name, form in _forms(experiment).items()]
    for name in (*names, *experiment.extra_theories):
        if name != EVERY:
            choose("theory", name, [*dict.fromkeys(each.theory for each in found), EVERY])
    # every table has the reference without a cell: its answers are those of the base network
    found = [each for each in found if each.theory != UNCHANGED]
    if EVERY not in names:
        extra = experiment.extra_theories
        found = [
            each
            for each in found
            if (each.theory in names if chosen else not each.form.optional or each.theory in extra)
        ]
    given = [_candidate(name_of(theory), theory) for theory in instances]
    return [each for each in found if each.theory not in {new.theory for new in given}] + given


def _forms(experiment: Experiment) -> dict[str, Theory]:
    forms: dict[str, Theory] = {}
    for entry in experiment.catalogue.entries("theories"):
        module = entry.load()
        if not (hasattr(module, "variants") or hasattr(module, "example")):
            raise Misuse(f"{entry.path.name} needs a function example() that returns its theory.")
        forms |= variants(module, experiment.process)
    return forms


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
