"""Statements of `emergent-misalignment-published` made beforehand, and their verdicts. No jax.

All are of the first D', at one narrow belief: `matched`, or `LOWER` where a network never comes to that. The
carried share is λ there, against the product learner of that narrow belief; believed ones have no sampling
error. A statement allows an interval of values: it holds where the interval over base networks lies inside,
is refuted where that lies outside, and is open otherwise, and where a network never comes to `LOWER`.

    it is the read-out       carried share of `head-only` less that of `adam`, at `LOWER`: 0 ± TOLERANCE
    it is first order        the linearised theory's broad belief above the exact base's, over the network's,
                             at the dose of the network: 1 ± TOLERANCE
    it is second order       the quadratic theory's, alike; so for every theory of REPLAYS
    λ0 orders                share of pairs of ways of finetuning that λ0 and the carried share order alike,
                             at `LOWER`, of those that all networks bring there: at least 1 - TOLERANCE
    the step size sets λ     carried share of `adam-slow` less that of `adam`; and, at one length of the path,
                             λ of what is written: at least TOLERANCE
    inference                carried share: 0 ± TOLERANCE (saturated) or 1 ± TOLERANCE (product)

Axes: b base networks, s finetuning seeds.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from experiments.figures.measured import estimate_words
from experiments.scoring.findings import Findings
from experiments.scoring.intervals import Estimate, mean, ratio
from experiments.scoring.labels import METHODS, number
from experiments.scoring.motor import Statement
from experiments.scoring.predictions import NETWORK
from experiments.storage.records import Interval
from experiments.storage.run_folder import RunFolder
from experiments.studies.figures.emergent_misalignment_published import (
    FIRST,
    LOWER,
    REPLAYS,
    Breadth,
    breadths,
)

TOLERANCE = 0.1
HEAD, FAST, SLOW = "head-only", "adam", "adam-slow"
READ_OUT, ORDERED, STEP = "it is the read-out", "λ0 orders", "the step size sets λ"
LENGTH, SATURATED, PRODUCT = f"{STEP}, one length", "inference, saturated", "inference, product"
ORDERS = {"linearised": "it is first order", "quadratic": "it is second order"}
CAPTION = (
    "Rates of what networks write after prompts of the other domain, and the coherence deficit, against the "
    "narrow belief. Dashed: exact learners; λ is 0 for the saturated and 1 for the product learner."
)
Panels = Mapping[str, Breadth]


def near(value: float) -> Interval:
    """The values within the tolerance."""
    return (value - TOLERANCE, value + TOLERANCE)


def statements(run: RunFolder) -> list[Statement]:
    """Every statement that the finished cells of the first D' can judge."""
    first = run.options["arms"][0]
    measured = breadths(run)
    methods = [method for method in run.options["finetuning"]["methods"] if (method, first) in measured]
    bases = [set(measured[method, first].bases) for method in methods]
    shared = sorted(set.intersection(*bases)) if bases else []
    panels = {method: measured[method, first].of(shared) for method in methods}
    return list(_statements(run, panels)) if shared else []


def _statements(run: RunFolder, panels: Panels) -> Iterator[Statement]:
    levels = {method: _level(panel, run.options["matched"]) for method, panel in panels.items()}
    if {HEAD, FAST} <= {*panels}:
        yield _less(READ_OUT, panels, (HEAD, FAST), LOWER, near(0.0))
    for theory, (method, panel) in itertools.product(REPLAYS, panels.items()):
        if ("broad", theory) in panel.believed:
            text, level = f"{theory}, share of the broad belief at {levels[method]:g}", levels[method]
            part = _share(panel, theory, level)
            yield Statement(method, ORDERS.get(theory, f"it is {theory}"), text, near(1.0), part)
    known = {
        method: panel
        for method, panel in panels.items()
        if ("broad", FIRST) in panel.believed and np.isfinite(panel.carried_belief(LOWER)).all()
    }
    if len(known) > 1:
        text, allows = f"pairs of {len(known)} in the order of λ0 at {LOWER:g}", (1 - TOLERANCE, np.inf)
        yield Statement("all", ORDERED, text, allows, _ordered(known))
    if {FAST, SLOW} <= {*panels}:
        level, allows = min(levels[FAST], levels[SLOW]), (TOLERANCE, np.inf)
        yield _less(STEP, panels, (SLOW, FAST), level, allows)
        doses = run.doses
        shorter = doses[-1] / run.options["slower"]
        if shorter in doses:
            ends = [
                panels[method].unit(panels[method].written["broad"][..., 1 + doses.index(dose)])
                for method, dose in ((SLOW, doses[-1]), (FAST, shorter))
            ]
            text = f"λ, written, after {doses[-1]} steps less that of {FAST} after {shorter:g}"
            yield Statement(SLOW, LENGTH, text, allows, _mean(ends[0] - ends[1]))
    for method, panel in panels.items():
        share, text = _mean(panel.carried_belief(levels[method])), f"carried share at {levels[method]:g}"
        yield Statement(method, SATURATED, text, near(0.0), share)
        yield Statement(method, PRODUCT, text, near(1.0), share)


def _level(panel: Breadth, target: float) -> float:
    """The narrow belief at which all networks of a way of finetuning are compared."""
    reached = (panel.believed["narrow", NETWORK] >= target).any(axis=-1)
    return target if reached.all() else LOWER


def _mean(values: np.ndarray) -> Estimate:
    """The mean of values (b, s), with an interval over base networks, for these D'."""
    by_base = values.mean(axis=1)
    return mean(by_base, [range(len(by_base))])


def _less(name: str, panels: Panels, pair: tuple[str, str], level: float, allows: Interval) -> Statement:
    """A statement of the carried share of the first way of finetuning less that of the second."""
    values = [panels[method].carried_belief(level) for method in pair]
    return Statement(
        pair[0],
        name,
        f"carried share less that of {pair[1]} at {level:g}",
        allows,
        _mean(values[0] - values[1]),
    )


def _share(panel: Breadth, theory: str, level: float) -> Estimate:
    """A theory's broad belief above that of the exact base, over the network's, at the network's dose."""
    saturated, _, certain = panel.learners
    ours, theirs = (
        (panel.at(level, panel.believed["broad", name]) - saturated / certain).mean(axis=1)
        for name in (theory, NETWORK)
    )
    return ratio(ours, theirs, [range(len(ours))])


def _ordered(panels: Panels) -> Estimate:
    """The share of pairs of ways of finetuning that λ0 and the carried share order alike."""
    both = [(panel.transfer(), panel.carried_belief(LOWER)) for panel in panels.values()]
    pairs = [
        (first - second) * (c1 - c2) > 0 for (first, c1), (second, c2) in itertools.combinations(both, 2)
    ]
    return _mean(np.mean(pairs, axis=0))


def breadth_findings(run: RunFolder) -> Findings:
    """The verdicts, how much of the broad belief every theory has, and how what is written is counted."""
    stated = statements(run)
    if not stated:
        return Findings(("Nothing is measured yet.",), (("statement",),), CAPTION)
    body = [
        (s.name, METHODS.get(s.data, s.data), s.words, estimate_words(s.value), _allowed(s), s.verdict)
        for s in stated
    ]
    header = "statement", "finetuned by", "measure", "value", "allowed", "verdict"
    return Findings((_verdicts(stated), _orders(stated), _counted(run)), (header, *body), CAPTION)


def verdict(stated: Sequence[Statement]) -> str:
    """Of statements of one name: refuted by any way of finetuning, or held by all."""
    words = {statement.verdict for statement in stated}
    return "refuted" if "refuted" in words else "holds" if words == {"holds"} else "open"


def _verdicts(stated: Sequence[Statement]) -> str:
    """The sentence on every statement."""
    if all(statement.value.interval is None for statement in stated):
        return "With one base network nothing has an interval."
    names = dict.fromkeys(statement.name for statement in stated)
    parts = []
    for name in names:
        alike = [statement for statement in stated if statement.name == name]
        against = [METHODS.get(s.data, s.data) for s in alike if s.verdict == "refuted"]
        by = f" ({', '.join(against)})" if len(alike) > 1 and against else ""
        parts.append(f"{name}: {verdict(alike)}{by}")
    return f"Of what was stated beforehand, by intervals over base networks: {'; '.join(parts)}."


def _orders(stated: Sequence[Statement]) -> str:
    """The sentence on the part of the broad belief that theories have, by way of finetuning."""
    by_method: dict[str, list[str]] = {}
    for theory in REPLAYS:
        for statement in stated:
            if statement.name == ORDERS.get(theory, f"it is {theory}"):
                share = f"{theory} {estimate_words(statement.value)}"
                by_method.setdefault(METHODS.get(statement.data, statement.data), []).append(share)
    if not by_method:
        return "No theory that replays was scored."
    parts = [f"{method}: {', '.join(shares)}" for method, shares in by_method.items()]
    return f"Of the broad belief at one narrow one theories have {'; '.join(parts)}."


def _counted(run: RunFolder) -> str:
    """The sentence on λ after the last dose, by the domain that has to be written, too."""
    first, parts = run.options["arms"][0], []
    for (method, arm), panel in breadths(run).items():
        if arm == first:
            broad, anywhere = (
                estimate_words(_mean(panel.unit(panel.written[kind][..., -1])))
                for kind in ("broad", "anywhere")
            )
            parts.append(f"{METHODS.get(method, method)} {broad}, {anywhere}")
    return (
        "λ of what is written after the last dose, with the domain of the prompt, and with any domain: "
        f"{'; '.join(parts)}."
    )


def _allowed(statement: Statement) -> str:
    low, high = statement.allows
    return f"at least {number(low)}" if np.isinf(high) else f"{number(low)} to {number(high)}"
