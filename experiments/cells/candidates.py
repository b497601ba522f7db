"""Candidates: the theories that an experiment scores, in all their forms, found by discovery.

A theory of hypotheses starts from the process and from the prior implied by the base network (the weights
that it acts on); a theory of any predictor and one over weights start from the base network.
"""

import functools
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from experiments.design.experiment import EVERY, Experiment
from experiments.discovery import Entry, choose
from experiments.scoring.labels import BY_RATE, NULLS, REFERENCES, UNCHANGED
from theory.base import Parametric, Predictor, Steerable
from theory.contracts import Theory, required_prior
from theory.errors import Misuse

CandidateKind: TypeAlias = Literal["hypotheses", "predictor", "weights", "replay", "sampled", "noise"]
PRIORS: dict[CandidateKind, tuple[str, ...]] = {
    "hypotheses": ("process", "implied"),
    "predictor": ("network",),
    "weights": ("network",),
    "replay": ("network",),
    "sampled": (),  # by temperature: experiments.design.sampling
    "noise": (),  # it predicts no answers, but how far two orders of D' are apart
}


@dataclass(frozen=True, eq=False)
class Candidate:
    """A theory in one of its forms, scored from each of `priors` (labels); `form` says all else."""

    theory: str
    priors: tuple[str, ...]
    kind: CandidateKind
    form: Any  # a Theory; which of its protocols it has is in `kind`


def candidates(experiment: Experiment) -> list[Candidate]:
    """Every theory that an experiment scores; refuses a name that no theory has. The axioms and the
    inside need none."""
    if experiment.axioms is not None or experiment.inside is not None:
        return []
    names, extra, more = experiment.theories, experiment.extra_theories, experiment.more_theories
    known = [as_candidate(name, form) for name, form in _forms(experiment).items()]
    for name in (*names, *extra):
        if name != EVERY:
            _choose(name, known, experiment)
    sampled = {form.theory for form in known if form.kind == "sampled"}
    for name in () if experiment.sampling else sorted(sampled.intersection((*names, *extra))):
        raise Misuse(
            f"{name} is sampled, and there is no temperature; run a study with sampling.temperatures."
        )

    def is_scored(form: Candidate) -> bool:
        if form.theory in (UNCHANGED, *more):  # every table has the reference without a cell
            return False
        if EVERY in names:
            return True
        return form.theory in names if names else not form.form.optional or form.theory in extra

    instances = [_given(name, theory) for name, theory in more.items() if name != UNCHANGED]
    scored = [form for form in known if is_scored(form)] + instances
    if experiment.n > 1:
        return scored
    for form in scored:  # the noise of an order of one document is none
        if form.kind == "noise" and form.theory in (*names, *extra, *more):
            raise Misuse(f"{form.theory} needs two documents or more in D', got n = 1; omit it, or raise n.")
    return [form for form in scored if form.kind != "noise"]


def _choose(name: str, known: list[Candidate], experiment: Experiment) -> None:
    """Refuse a name that no theory has, or none for this process."""
    names = [*dict.fromkeys(form.theory for form in known), EVERY]
    listed = {name for entry in experiment.catalogue.entries("theories") for name in entry.all_names}
    if name in listed.difference(names):
        raise Misuse(
            f"{name} does not take this study's process, {type(experiment.process).__name__}, for it needs "
            "another kind of hidden variable (its file says which); omit it."
        )
    theory = name.removesuffix(BY_RATE)
    if theory != name and theory in names:
        raise Misuse(f"{name} is a forecast of {theory}, where that has a rate; write {theory}.")
    choose("theory", name, names)


def _forms(experiment: Experiment) -> dict[str, Theory]:
    """Every form of every theory by name; an own file must not take a name of ours."""
    forms: dict[str, Theory] = {}
    for entry in experiment.catalogue.entries("theories"):
        module = entry.load()
        with entry.guard():
            variants = getattr(module, "variants", None)
            new = dict(variants(experiment.process)) if variants else {entry.name: _example(entry)}
            if entry.is_own:
                _check_forms(new, forms)
                for name, form in new.items():
                    if form.sampled:
                        raise Misuse(
                            f"{name} is sampled, which an own theory cannot be; compute it in predict, "
                            "or omit `sampled`."
                        )
        forms |= new
    return forms


@functools.cache
def _example(entry: Entry) -> Theory:
    """A theory of no process at its defaults, the same for all experiments: programs serve several."""
    return entry.example()


def _given(name: str, theory: Theory) -> Candidate:
    """An instance under its name."""
    candidate = as_candidate(name, theory)
    if candidate.theory in REFERENCES:
        kind = "null" if candidate.theory in NULLS else "yardstick"
        raise Misuse(f"{name} is a {kind}, which every table holds anyway; give the theory another name.")
    if candidate.kind == "sampled":
        raise Misuse(f"{name} is sampled by chains; choose its temperatures (sampling.temperatures) instead.")
    return candidate


def _check_forms(new: dict[str, Theory], forms: dict[str, Theory]) -> None:
    """Refuse forms of an own file that take the name of another theory, or that are none."""
    known = {name.partition("/")[0] for name in forms} | {*REFERENCES}
    for name, form in new.items():
        if name.partition("/")[0] in known:
            raise Misuse(f"there is a theory called {name.partition('/')[0]} already; rename the form.")
        as_candidate(name, form)


def as_candidate(name: str, form: Theory) -> Candidate:
    """A form under "NAME" or "NAME/PRIOR"."""
    if isinstance(form, type):
        raise Misuse(f"{name} is the class {form.__name__}, not an instance of it; write {form.__name__}().")
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
    if hasattr(form, "between_orders"):
        return "noise"
    prior = required_prior(form)
    if prior is Parametric:
        return "weights"
    return "predictor" if prior in (Predictor, Steerable) else "hypotheses"
