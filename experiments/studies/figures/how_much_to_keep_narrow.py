"""The broad rate at a matched narrow rate against documents added, networks and forecasts. No jax.

    networks           between doses, where the narrow rate first reaches `matched`
    linearised         the same of the theory's forecast at the doses
    structure, once    base + c (matched - base), c the share of the narrow rise that is carried at β = 1
    matched strength   the structure posterior at the β at which its own narrow rate is `matched`

Means over finetuning seeds, with intervals over base networks: D' are the same for all of them, so intervals
say nothing of other D'. Axes: b base networks, s finetuning seeds, d doses, c contexts, a answers, m arms.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.design.additions import Addition, additions
from experiments.figures.looks import INKS
from experiments.figures.style import Look, legend, panel_figure, save, style
from experiments.scoring.findings import Findings
from experiments.scoring.intervals import Estimate, mean
from experiments.scoring.labels import METHODS
from experiments.scoring.matched import collapse, explained, log_odds, matched, residuals
from experiments.storage.contents import Contexts
from experiments.storage.records import Cell
from experiments.storage.run_folder import RunFolder
from experiments.studies.figures.emergent_misalignment import GROUPS, persona, rate

NETWORK, ONCE, STRENGTH, LINEARISED = "networks", "structure, once", "matched strength", "linearised"
LINES: dict[str, Look] = {
    NETWORK: {"ls": "-", "marker": "o", "ms": 2.5},
    ONCE: {"ls": ":", "lw": 1.0},
    LINEARISED: {"ls": "--", "lw": 0.9},
}
BESIDE: Look = {"fontsize": 5, "color": "0.5", "ha": "right", "va": "bottom"}  # names of grey lines
CAPTION = (
    "Share of the misaligned persona after prompts of other domains, at the dose where the narrow rate is at "
    "its set value, against the number of documents added (left) and their share (right): whichever makes "
    "the curves of all n one is the law. Bands: intervals of 95 % over base networks, for these D′. Last "
    "panel: documents chosen out of a pool. Grey: the base networks' rate, and the limit. A point is missing "
    "where some network never reaches the narrow rate."
)


@dataclass(frozen=True)
class Matched:
    """Broad rates of a method at the matched narrow rate: `rates` (b, s) by arm and name, `base` (b, 2) the
    narrow and broad rates of base networks."""

    method: str
    base: np.ndarray
    rates: dict[Addition, dict[str, np.ndarray]]

    def values(self, arms: Sequence[Addition], name: str) -> np.ndarray:
        """Means over finetuning seeds (b, m)."""
        return np.stack([self.rates[arm][name].mean(axis=1) for arm in arms], axis=1)


def plan(run: RunFolder) -> list[Addition]:
    """Every arm, in the order of the config."""
    options = run.options
    chosen = additions([options["chosen_n"]], options["choices"], options["added"])[1:]
    return additions(options["documents"], options["kinds"], options["added"]) + chosen


def matched_rates(run: RunFolder) -> list[Matched]:
    """The readings of every method, of base networks that have finished all arms that any has begun."""
    result = []
    for method in run.options["finetuning"]["methods"]:
        by_arm = {arm: _arm(run, Cell("finetuned", arm.name, 0, method)) for arm in plan(run)}
        by_arm = {arm: cells for arm, cells in by_arm.items() if cells}
        shared = sorted(set.intersection(*map(set, by_arm.values()))) if by_arm else []
        if shared:
            rates = {
                arm: {
                    name: np.stack([cells[base][1][name] for base in shared])
                    for name in (NETWORK, ONCE, STRENGTH, LINEARISED)
                }
                for arm, cells in by_arm.items()
            }
            first = next(iter(by_arm.values()))
            result.append(Matched(method, np.stack([first[base][0] for base in shared]), rates))
    return result


def _arm(run: RunFolder, like: Cell) -> dict[int, tuple[np.ndarray, dict[str, np.ndarray]]]:
    """By base network, its narrow and broad rate (2,), and the broad rates (s,) of an arm by name."""
    by_base, target = {}, run.options["matched"]
    for cell in run.cells("finetuned", like.arm, like.method):
        theories, networks, replays = run.theories(cell), run.finetuned(cell), run.replays(cell)
        if theories is None or networks is None:
            continue
        contexts = theories.contexts
        base, after = _both(run, contexts, contexts.base), _both(run, contexts, networks.finetuned)
        unknown = np.full(after.shape[1], np.nan)
        rates = {
            NETWORK: _matched(base, after, target),
            ONCE: unknown,
            STRENGTH: unknown,
            LINEARISED: unknown,
        }
        if replays is not None and LINEARISED in replays.predictions:
            forecast = _both(run, contexts, replays.predictions[LINEARISED])
            rates[LINEARISED] = _matched(base, forecast, target)
        for ladder in theories.ladders:
            if ladder.name == "structure-posterior/process":
                path = _both(run, contexts, ladder.log_probs)
                rates[STRENGTH] = matched(path, target)
                rates[ONCE] = _once(base, path, ladder.betas, target)
        by_base[cell.base] = base, rates
    return by_base


def _both(run: RunFolder, contexts: Contexts, log_probs: np.ndarray) -> np.ndarray:
    """Narrow and broad rate (2, ...) of answers (..., c, a)."""
    read, probs = rate(persona(run)), np.exp(log_probs.astype(float))
    return np.array([read(contexts, probs[..., contexts.inside(group), :]) for group in GROUPS.values()])


def _matched(base: np.ndarray, after: np.ndarray, target: float) -> np.ndarray:
    """The broad rate (s,) at the matched narrow one along doses (2, s, d), from the base network's (2,)."""
    start = np.broadcast_to(base[:, None, None], (*after.shape[:2], 1))
    return matched(np.concatenate([start, after], axis=-1), target)


def _once(base: np.ndarray, path: np.ndarray, betas: np.ndarray, target: float) -> np.ndarray:
    """The broad rate (s,) at the matched narrow one, if as much is carried as at β = 1 of the path (2, s, r);
    nan where the narrow rate is lower there."""
    logs = np.log(betas[1:])
    narrow, broad = (np.array([np.interp(0.0, logs, row[1:]) for row in rates]) for rates in path)
    with np.errstate(divide="ignore", invalid="ignore"):
        carried = (broad - base[1]) / (narrow - base[0])
    return np.where(narrow >= target, base[1] + carried * (target - base[0]), np.nan)


def arms_of(reading: Matched, rule: str, ns: Sequence[int]) -> list[Addition]:
    """The finished arms of a rule, those without additions among them."""
    return [arm for arm in reading.rates if arm.n in ns and arm.rule in (rule, "")]


def fewest(reading: Matched, rule: str, n: int, limit: float) -> int | None:
    """The least N with a mean broad rate below `limit` times the base networks'; every network must reach the
    narrow rate."""
    for arm in sorted(arms_of(reading, rule, [n]), key=lambda arm: arm.added):
        rates = reading.rates[arm][NETWORK]
        if np.isfinite(rates).all() and rates.mean() < limit * reading.base[:, 1].mean():
            return arm.added
    return None


def carried(reading: Matched, arm: Addition, target: float) -> Estimate | None:
    """The share of the narrow rise that is carried to other domains; None where it is not known."""
    if arm not in reading.rates:
        return None
    rises = (reading.values([arm], NETWORK)[:, 0] - reading.base[:, 1]) / (target - reading.base[:, 0])
    return mean(rises, [range(len(rises))]) if np.isfinite(rises).all() else None


def narrow_findings(run: RunFolder) -> Findings:
    """Which law holds, what one document does, and the fewest that keep a finetuning narrow."""
    options, readings = run.options, matched_rates(run)
    if not readings:
        return Findings(("Nothing is measured yet.",), (("method",),), CAPTION)
    n = options["chosen_n"]
    head = ("method", "added", "by number", "by share", "number less share", ONCE, STRENGTH, LINEARISED)
    body = [
        (METHODS.get(reading.method, reading.method), rule, *_scores(run, reading, rule))
        for reading in readings
        for rule in (*options["kinds"], *options["choices"])
    ]
    table = ((*head, f"fewest at n = {n}", "narrow rate not reached"), *body)
    reading = readings[0]
    return Findings((_law(run, reading), _single(run, reading), _choice(run, reading)), table, CAPTION)


def _scores(run: RunFolder, reading: Matched, rule: str) -> list[str]:
    """The cells of a rule: laws, forecasts, the fewest documents, and what was not reached."""
    options = run.options
    arms = arms_of(reading, rule, options["documents"] if rule in options["kinds"] else [options["chosen_n"]])
    values = log_odds(reading.values(arms, NETWORK))
    laws = ["–"] * 3
    if rule in options["kinds"]:
        numbers = np.array([arm.n for arm in arms]), np.array([arm.added for arm in arms])
        law = collapse(*numbers, values)
        laws = [words(law.explained["count"]), words(law.explained["fraction"]), words(law.difference)]
    forecasts = []
    for name in (ONCE, STRENGTH, LINEARISED):
        forecast = log_odds(reading.values(arms, name))
        known = np.isfinite(values + forecast).all(axis=0)
        forecasts.append(words(explained(residuals(values[:, known], forecast[:, known]))))
    least = fewest(reading, rule, options["chosen_n"], options["limit"])
    missed = [f"n {arm.n} N {arm.added} ({count} of {size})" for arm, count, size in _missed(reading, arms)]
    return [*laws, *forecasts, "none" if least is None else str(least), "; ".join(missed) or "–"]


def _missed(reading: Matched, arms: Sequence[Addition]) -> list[tuple[Addition, int, int]]:
    """Arms with networks that never reach the narrow rate, how many, and of how many."""
    counts = [(arm, reading.rates[arm][NETWORK]) for arm in arms]
    return [(arm, int(np.isnan(r).sum()), r.size) for arm, r in counts if np.isnan(r).any()]


def words(estimate: Estimate | None) -> str:
    """A number and its interval."""
    if estimate is None or not np.isfinite(estimate.value):
        return "–"
    ends = estimate.interval
    return f"{estimate.value:.2f}" + (f" [{ends[0]:.2f}, {ends[1]:.2f}]" if ends else "")


def _law(run: RunFolder, reading: Matched) -> str:
    """The sentence on the laws, of the first kind of documents."""
    rule = run.options["kinds"][0] if run.options["kinds"] else ""
    if not rule:
        return "No kind of documents was added for several n: no law can be told."
    number, share, gap = _scores(run, reading, rule)[:3]
    return (
        f"At a narrow rate of {run.options['matched']:g} the number of documents added ({rule}) forecasts "
        f"the log odds of the broad rate of an n left out with R² = {number}, their share with {share}; "
        f"number less share {gap}."
    )


def _single(run: RunFolder, reading: Matched) -> str:
    """The sentence on a first document, and on N = n/16, by the first kind."""
    options, target = run.options, run.options["matched"]
    rule = options["kinds"][0] if options["kinds"] else options["choices"][0] if options["choices"] else ""
    rows = []
    for n in options["documents"]:
        arms = [Addition(n, "", 0), *(Addition(n, rule, more) for more in (1, n // 16) if more)]
        shares = [words(carried(reading, arm, target)) for arm in arms]
        rows.append(f"n = {n}: {', '.join(shares)}")
    return (
        f"Share of the narrow rise that other domains carry, with no document added, 1 and n/16 ({rule}): "
        f"{'; '.join(rows)}."
    )


def _choice(run: RunFolder, reading: Matched) -> str:
    """The sentence on the fewest documents by every rule."""
    options = run.options
    parts = []
    for rule in (*options["kinds"], *options["choices"]):
        least = fewest(reading, rule, options["chosen_n"], options["limit"])
        parts.append(f"{rule} {'more than any N here' if least is None else least}")
    return (
        f"Documents that keep the broad rate below {options['limit']:g} times the base network's at n = "
        f"{options['chosen_n']}: {', '.join(parts)}."
    )


def draw_laws(run: RunFolder) -> list[Path]:
    """A figure for every method: kinds of documents against N and N/n, and rules that choose; the table has a
    line for every point."""
    readings = matched_rates(run)
    if not readings:
        return []
    with style():
        figures = {f"{run.study}-{reading.method}": _figure(run, reading) for reading in readings}
        table = [line for reading in readings for line in _table(reading)]
        return save(run, figures, {run.study: table})


def _table(reading: Matched) -> list[dict[str, object]]:
    """A line for each arm and name: mean, interval over base networks, and how many reach the rate."""
    lines = []
    for arm, rates in reading.rates.items():
        for name, values in rates.items():
            broad = mean(values.mean(axis=1), [range(len(values))])
            low, high = broad.interval or (np.nan, np.nan)
            numbers = {"broad": broad.value, "low": low, "high": high}
            cells = {key: f"{value:.6g}" if np.isfinite(value) else "" for key, value in numbers.items()}
            reached = f"{np.isfinite(values).sum()} of {values.size}"
            keys = {"method": reading.method, "n": arm.n, "added": arm.added, "rule": arm.rule, "of": name}
            lines.append(keys | cells | {"reached": reached})
    return lines


def _figure(run: RunFolder, reading: Matched) -> Figure:
    """Rows of kinds, columns N and N/n; then the rules at one n."""
    options, (start, tall) = run.options, (0.3, 1.25)
    kinds, ns = options["kinds"], options["documents"]
    rows = len(kinds) + bool(options["choices"])
    figure, panels = panel_figure(
        start, tall * rows, rows, 2, below=0.45, sharex=False, wspace=0.06, hspace=0.32
    )
    colours = matplotlib.colormaps["viridis"](np.linspace(0.05, 0.85, len(ns)))
    looks = {name: look | {"color": "0.3"} for name, look in LINES.items()}
    for row, rule in enumerate(kinds):
        for column, unit in enumerate(("N", "N/n")):
            axes = panels[row, column]
            for n, colour in zip(ns, colours, strict=True):
                arms = arms_of(reading, rule, [n])
                at = [arm.added / (n if column else 1) for arm in arms]
                for name, look in LINES.items():
                    _line(axes, at, reading.values(arms, name), look | {"color": colour}, name == NETWORK)
                looks |= {f"n = {n}": {"color": colour, "lw": 2.5}}
            axes.set_xlabel(f"documents added, {unit}", labelpad=1)
        panels[row, 0].set_ylabel(f"{rule}\nbroad rate")
    if options["choices"]:
        _rules(run, reading, panels[-1, 0])
        panels[-1, 1].axis("off")
    base = reading.base[:, 1].mean()
    known = [rates[name].mean(axis=1) for rates in reading.rates.values() for name in LINES]
    drawn = np.concatenate([*known, [base, options["limit"] * base]])
    least = min((more for more in options["added"] if more), default=1)
    shares = [1 / n for n in ns if n > 1] + [1.0]
    for column, (threshold, ticks) in enumerate(
        ((least, options["added"]), (least / max(ns), [0.0, *shares]))
    ):
        for axes in panels[: len(kinds) + (column == 0), column]:
            axes.set_xscale("symlog", base=2, linthresh=threshold)
            axes.set_xticks(ticks, [f"1/{1 / tick:g}" if 0 < tick < 1 else f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
            axes.set_xlim(
                -0.3 * threshold, 1.15 * max(ticks[-1], options["added"][-1] / (min(ns) if column else 1))
            )
            axes.set_ylim(0.8 * np.nanmin(drawn), min(1.1 * np.nanmax(drawn), 1.0))
            for times in (1, options["limit"]):
                level = times * base
                axes.axhline(level, color="0.8", lw=0.7, zorder=0)
                axes.text(1, level, f"{times:g} × base", transform=axes.get_yaxis_transform(), **BESIDE)
    legend(figure, looks, 6)
    return figure


def _rules(run: RunFolder, reading: Matched, axes: Axes) -> None:
    """Every rule at one n against N, with a legend of its own."""
    options = run.options
    rules = (*options["kinds"], *options["choices"])
    inks = itertools.cycle((*INKS[5:], *INKS[1:4]))
    for rule, colour in zip(rules, inks, strict=False):  # all rules, however many
        arms = arms_of(reading, rule, [options["chosen_n"]])
        look = {"color": colour, "marker": "o", "ms": 2.5, "label": rule}
        _line(axes, [arm.added for arm in arms], reading.values(arms, NETWORK), look, False)
    axes.legend(bbox_to_anchor=(1.04, 1.0), loc="upper left", fontsize=6.5)
    axes.set_xlabel("documents added, N", labelpad=1)
    axes.set_ylabel(f"n = {options['chosen_n']}, by rule\nbroad rate")


def _line(axes: Axes, at: Sequence[float], values: np.ndarray, look: Look, with_band: bool) -> None:
    """The mean of values (b, m) over base networks, and its interval."""
    axes.plot(at, values.mean(axis=0), **look)
    ends = [mean(column, [range(len(column))]).interval or (np.nan, np.nan) for column in values.T]
    if with_band:
        axes.fill_between(at, *np.array(ends).T, color=look["color"], alpha=0.15, lw=0)
