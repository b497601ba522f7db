"""Candidates: the theories that an experiment scores, in all their forms, found by discovery.

A theory of hypotheses starts from the process and from the prior implied by the base network (the weights
that it acts on); a theory of any predictor and one over weights start from the base network.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from experiments.design.experiment import EVERY, Experiment
from experiments.discovery import choose

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
    """A theory in one of its forms: the label of its prior is in `priors`; `form` says all else."""

    theory: str
    priors: tuple[str, ...]
    kind: CandidateKind
    form: Any  # a Theory, in any of its protocols


def candidates(experiment: Experiment) -> list[Candidate]:
    """Every theory that an experiment scores; refuses a name that no theory has."""
    forms = [form for entry in experiment.catalogue.entries("theories") for form in _forms(entry, experiment)]
    names = {form.theory for form in forms}
    for name in (*experiment.theories, *experiment.extra_theories):
        if name != EVERY:
            choose("theory", name, [*names, EVERY])
    if EVERY in experiment.theories:
        return forms
    return [form for form in forms if _is_scored(form, experiment)]


def _is_scored(form: Candidate, experiment: Experiment) -> bool:
    if experiment.theories:
        return form.theory in experiment.theories or form.theory == UNCHANGED
    return not form.form.optional or form.theory in experiment.extra_theories
