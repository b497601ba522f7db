"""Sentences and text tables of a scorecard: findings, warnings, and the scorecard itself. No jax.

Every sentence about a result is made from the scorecard: which theory explains most and beats the nulls, what
ties with it, whether its interval reaches what a theory blind to order can explain at best, where forecasts
fall below GOOD, which classes cannot reach REACH, what is worse than "nothing changed", and what is
undefined.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from experiments.reports.noise import noise_sentences, noise_words
from experiments.scoring.labels import (
    FITTED_ON,
    LAST_DOSE,
    REFERENCES,
    beats_nulls,
    defined,
    difference,
    explained,
    failing,
    is_worse,
    judged_groups,
    nats,
    networks,
    of_panel,
    one_prior,
    over_null,
    panel_name,
    panels,
    score,
    three,
    with_interval,
)
from experiments.scoring.paired import (
    advantage,
    below_order_blind,
    class_below_order_blind,
    leader,
    on_networks_of,
    ranked,
    ties,
)
from experiments.storage.records import ScoreLine

Lines = Sequence[ScoreLine]

COLUMNS = {
    "method": "how the network was finetuned",
    "data": "D′, the finetuning data",
    "dose": "finetuning steps",
    "group": "the contexts that answers are compared on; theories are fitted on in_domain alone",
    "theory": "the theory that predicts the finetuned network's answers",
    "prior": "where the theory starts: the base network, the process, the process with the prior implied by "
    "the base, or a posterior localised there at temperature T (mean KL of its prior from the base, nats)",
    "converged": "share of the networks for which the chains next to β converged (if sampled)",
    "grade": "fitted: one β for each network and dose, chosen in-domain; law: β is a power of the dose with "
    "two constants, fitted in-domain at other doses and for other D′; forecast: no fitted number",
    "explained": "1 − Σ KL(finetuned ‖ theory) / Σ KL(finetuned ‖ base) over networks: 1 is perfect, 0 is "
    "“nothing changed”, below 0 is worse; in brackets its interval of 95 % over base networks and D′, which "
    "one base network or one D′ does not give (of one imported model: over D′ alone); undefined: the shift "
    "does not exceed its noise; fitted here: β was chosen on these contexts",
    "over null": "what the theory explains beyond the best null, a theory that knows of no hypothesis and no "
    "weights, on the same networks",
    "order-blind bound": "the most that a theory blind to the order of D′ can explain: the centre of orders",
    "noise ceiling": "the same score for a reshuffled replica (D′ in another order): twice as far off",
    "noise": "mean KL (nats) from that replica; predicted: as gradients of single documents at the base "
    "network say it before finetuning (the theory noise, where it was asked for)",
    "other base": "the same score for a network of another pretraining seed, finetuned on the same D′",
    "best in class": "the same score for the best member of the theory's class, fitted to these contexts",
    "state share": "what is left of the shift when the finetuned network has the base network's read-out",
    "read-out share": "what the base network has of the shift with the finetuned read-out; both shares are "
    "of the whole, and for all theories alike",
    "nats": "mean KL(finetuned ‖ theory); for “unchanged” it is the shift that is to be explained",
    "networks": "the networks that the line is over: base networks × finetuning seeds; of how many, where "
    "not of all that were finetuned; those for which the theory failed, which scores -∞, and why",
}
FOLDED = ("group", "noise", "state share", "read-out share")  # columns of the whole table alone
GOOD = 0.95  # a forecast explains the shift while it stays above this
PART = 0.5  # ... and most of it while it stays above this
SELECTED = (
    "Held-out contexts (where there are none, the first group that theories are judged on) at up to three "
    "doses; `finebayes score FOLDER --everything` has all."
)
REACH = 0.9  # a class is refuted where even its best member stays below this (and the order-blind bound)
TIES = 2  # so many ties are named


def scorecard_text(lines: Lines, everything: bool = False) -> str:
    """The scorecard as an aligned table: held-out contexts at three doses, or all there is."""
    table = cells(lines if everything else selection(lines), everything)
    return aligned(table) if len(table) > 1 else "Nothing is scored yet."


def aligned(table: Sequence[Sequence[str]]) -> str:
    """A table as plain text."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in table)


def findings(lines: Lines, ends: Mapping[str, float] | None = None) -> dict[str, list[str]]:
    """The results in sentences, for each method and D′; `ends` is the largest β tried, by THEORY/PRIOR."""
    results = {}
    for panel in panels(lines):
        ours = of_panel(lines, panel)
        groups = judged_groups(ours)
        inside = [line for line in ours if line.group == groups[0]]
        sentences = [_best(inside, dose) for dose in three(inside)]
        sentences += _forecasts(inside) + _refuted(inside, ends or {}) + _swapped(inside)
        sentences += noise_sentences(inside)
        for group in groups[1:]:
            there = [line for line in ours if line.group == group]
            sentences.append(f"On {group} contexts: {_best(there, three(there)[-1])}")
        for group in groups:
            holes = {line.dose for line in ours if line.group == group and not defined(line)}
            if holes:
                sentences.append(
                    f"Undefined on {group} contexts at {_doses(holes)}: the shift does not exceed its noise."
                )
        results[panel_name(*panel)] = sentences
    return results


def warned(lines: Lines) -> list[str]:
    """The best forecast at the largest dose, and the most misleading, for each method and D′."""
    return [f"{panel_name(*panel)}{_warning(of_panel(lines, panel))}" for panel in panels(lines)]


def _warning(lines: Lines) -> str:
    group = judged_groups(lines)[0]
    inside = [line for line in one_prior(lines) if line.group == group]
    dose = max((line.dose for line in inside), default=0)
    order = ranked([line for line in inside if line.dose == dose and line.grade == "forecast"])
    if not order:
        return f": no forecast has a score at dose {dose}."
    best, worst = leader(order), order[-1]
    if explained(best) < PART or not beats_nulls(best):
        verdict = f"nobody would have warned; the best forecast is {_name(best, False)}"
    else:
        verdict = f"{_name(best, False)} would have warned"
        verdict += " of most of it" if explained(best) < GOOD else ""
    text = f" ({best.shift:.2g} nats at dose {dose}): {verdict}, {_score(best)}, {over_null(best)}"
    if is_worse(worst):
        text += f"; {_name(worst, False)} would have misled, {_score(worst)}"
    return text + "."


def _best(lines: Lines, dose: int) -> str:
    here = [line for line in lines if line.dose == dose]
    order = ranked([line for line in here if line.theory not in REFERENCES])
    if not order:
        return f"Dose {dose}: no theory has a score, for the shift does not exceed its noise."
    first = leader(order)
    most = max(here, key=lambda line: line.networks)
    text = f"Dose {dose} ({most.shift:.2g} nats to explain): "
    few = f" on {first.networks} of {most.networks} networks" * (first.networks < most.networks)
    named = f"{_name(first)}, {_score(first)}{few}"
    if explained(first) <= 0:
        return f"{text}no theory beats “nothing changed”; the least bad is {named}."
    verdict = "best is" if beats_nulls(first) else "nothing is shown to beat the nulls; the highest is"
    text += f"{verdict} {named}, {over_null(first)}, {_noise(first)}"
    rivals = [line for line in order if not np.isnan(advantage(first, line).value)]  # share a network with it
    others = [line for line in rivals if line.theory != first.theory]
    tied = [line for line in ties(first, order) if line.theory != first.theory]
    if others and others[0] not in tied:
        text += f"; next {_compared(first, others[0])}"
    if tied:
        more = f" and {len(tied) - TIES} more" * (len(tied) > TIES)
        text += f"; tied with {', '.join(_compared(first, line) for line in tied[:TIES])}{more}"
    last = [line for line in here if line.theory == LAST_DOSE and defined(line)]
    return f"{text}{''.join(f'; the dose before, scaled: {_score(line)}' for line in last)}."


def _compared(first: ScoreLine, line: ScoreLine) -> str:
    """A theory with its score on the networks that the best has, too, and how far it stays behind."""
    value, _ = on_networks_of(line, first)
    behind = advantage(first, line)
    side = "behind" if behind.value >= 0 else "ahead"
    ends = behind.interval
    if side == "ahead" and ends is not None:
        ends = (-ends[1], -ends[0])
    few = f" on {line.networks} networks" * (line.networks < first.networks)
    gap = f"{difference(abs(behind.value), ends)} {side}{few}" + ", no interval" * (ends is None)
    there = with_interval(explained(line), line.interval) if value == line.explained else score(value)
    return f"{_name(line)}, {there}, {gap}"


def _noise(line: ScoreLine) -> str:
    """The place of a score beside the most that a theory blind to the order of D' can explain."""
    if line.order_blind is None:
        return "no replica tells the order-blind bound"
    gap, bound = below_order_blind(line), score(line.order_blind)
    if gap.interval is None:
        return f"order-blind bound {bound}"
    where = "below" if gap.above else "above" if gap.below else "within the noise of"
    return f"{where} the order-blind bound {bound}"


def _forecasts(lines: Lines) -> list[str]:
    sentences = []
    for series in _series([line for line in lines if line.grade == "forecast"]):
        low = [line for line in series if explained(line) < GOOD]
        text = f"explains {GOOD} or more at {len(series) - len(low)} of {len(series)} doses"
        if low and len(low) < len(series):
            text += f"; it first falls below that at dose {low[0].dose}, to {_score(low[0])}"
        elif low:
            top = max(series, key=explained)
            text += f"; its best is {_score(top)}, at dose {top.dose}"
        sentences.append(f"Without a fitted number, {_name(series[0])} {text}.")
    return sentences


def _refuted(lines: Lines, ends: Mapping[str, float]) -> list[str]:
    classes, worse, short, impossible, failures = {}, [], [], [], []
    for series in _series(lines):
        first = series[0]
        low = [
            line
            for line in series
            if (line.best_in_class or 0) < REACH and class_below_order_blind(line).above
        ]
        if low and first.grade == "fitted":  # a class is the same whatever the prior
            least = min(low, key=_best_in_class)
            doses = _range(low, series, score(least.best_in_class), least.dose)
            classes[first.theory] = f"{first.theory} {doses}"
        end = ends.get(f"{first.theory}/{first.prior}", np.inf)
        at_end = [line for line in series if line.beta is not None and line.beta >= end]
        failed = [line for line in series if line.failed]
        excluded = [line for line in series if line.explained == -np.inf and not line.failed]
        beaten = [line for line in series if is_worse(line) and line not in (*excluded, *failed)]
        if failed:
            most = max(failed, key=lambda line: line.failed)
            doses = _doses({line.dose for line in failed})
            failures.append(
                f"{_name(first)} at {doses} ({failing(most)} at dose {most.dose}: {most.failure})"
            )
        for subset, listed in ((beaten, worse), (at_end, short), (excluded, impossible)):
            if subset:
                least = min(subset, key=explained)
                listed.append(f"{_name(first)} {_range(subset, series, _score(least), least.dose)}")
    titles = {
        f"Refuted as a class (even its best member stays below {REACH}, and below the order-blind bound by "
        "the "
        "whole interval): ": classes.values(),
        "Worse than “nothing changed” by the whole interval: ": worse,
        "β at the end of the range that was tried: ": short,
        "Rules out an answer that the network gives, which scores -∞: ": impossible,
        "Fails for some networks, which scores -∞: ": failures,
    }
    return [title + "; ".join(entries) + "." for title, entries in titles.items() if entries]


def _swapped(lines: Lines) -> list[str]:
    """The part of the network that moved the answers, at the last dose where it is known."""
    known = [line for line in lines if line.state_share is not None]
    if not known:
        return []
    last = max(known, key=lambda line: line.dose)
    state = with_interval(last.state_share, last.state_share_interval)
    read_out = with_interval(last.read_out_share, last.read_out_share_interval)
    return [
        f"Dose {last.dose}: the finetuned blocks make {state} of the shift without the finetuned read-out, "
        f"which makes {read_out} without them."
    ]


def _range(subset: Lines, series: Lines, lowest: str, dose: int) -> str:
    """The doses of some lines of a series, and the lowest value there."""
    every = len(subset) == len(series) > 1
    doses = f"all {len(series)} doses" if every else _doses({line.dose for line in subset})
    return f"at {doses} (lowest: {lowest} at dose {dose})"


def cells(lines: Lines, everything: bool) -> list[list[str]]:
    """Header and rows of the scorecard, best theory first."""

    def order(line: ScoreLine) -> tuple[str, str, int, str, float]:
        score = explained(line) if defined(line) else -np.inf
        return line.method, line.data, line.dose, line.group, -score

    names = [name for name in COLUMNS if everything or name not in FOLDED]
    words: dict[str, Callable[[ScoreLine], str]] = {
        "explained": _score,
        "over null": lambda line: (
            "" if line.over_null is None else difference(line.over_null, line.over_null_interval)
        ),
        "order-blind bound": lambda line: score(line.order_blind),
        "noise ceiling": lambda line: score(line.noise_ceiling),
        "noise": noise_words,
        "other base": lambda line: score(line.other_base),
        "best in class": lambda line: score(line.best_in_class),
        "state share": lambda line: with_interval(line.state_share, line.state_share_interval),
        "read-out share": lambda line: with_interval(line.read_out_share, line.read_out_share_interval),
        "nats": lambda line: nats(line.nats),
        "converged": lambda line: "-" if line.converged is None else f"{line.converged:.2g}",
        "networks": networks,
    }
    table = [names]
    for line in sorted(lines, key=order):
        table.append([words[name](line) if name in words else str(getattr(line, name)) for name in names])
    return table


def selection(lines: Lines) -> list[ScoreLine]:
    """One group, at three doses of each method and D′."""
    chosen = []
    for panel in panels(lines):
        ours = of_panel(lines, panel)
        group = judged_groups(ours)[0]
        inside = [line for line in ours if line.group == group]
        doses = three(inside)
        chosen += [line for line in inside if line.dose in doses]
    return chosen


def _series(lines: Lines) -> list[list[ScoreLine]]:
    """The defined lines of each theory and grade, by dose; one prior for each theory."""
    series: dict[tuple[str, str], list[ScoreLine]] = {}
    for line in sorted(filter(defined, one_prior(lines)), key=lambda line: line.dose):
        series.setdefault((line.theory, line.grade), []).append(line)
    return [series[key] for key in sorted(series)]


def _best_in_class(line: ScoreLine) -> float:
    """0 where there is none."""
    return line.best_in_class or 0.0


def _name(line: ScoreLine, grade: bool = True) -> str:
    """A theory with its prior, if that is not the base network, and its grade."""
    prior = [] if line.prior == "network" else [f"{line.prior} prior"]
    return f"{line.theory} ({', '.join([*prior, line.grade] if grade else prior)})".replace(" ()", "")


def _score(line: ScoreLine) -> str:
    """The score with its error, or why there is none."""
    if line.grade == "fitted" and line.group == FITTED_ON:
        return "fitted here"
    if not defined(line):
        return "undefined"
    return with_interval(explained(line), line.interval) + f" ({failing(line)})" * bool(line.failed)


def _doses(doses: Collection[int]) -> str:
    listed = ", ".join(str(dose) for dose in sorted(doses))
    return f"dose{'s' * (len(doses) > 1)} {listed}"
