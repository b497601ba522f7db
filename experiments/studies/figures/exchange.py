"""What context takes back of finetuning: log-odds of two answers against dose and shots. No jax.

    log-odds    log p(answer of D's k) / p(answer of the rival), the rival the k that the context speaks for
                (without shots each in turn); mean over contexts, rivals and finetuning seeds
    belief      w(k) in the answers Σ_k w(k) p(· | k): a linear map of them. Its log-odds have the sign of
                those of the answers and no bounds; read only where all are above LEAST, what networks resolve
    additive    log-odds of answers if the network's own beliefs without shots lost λ nats a shot
    fall        nats by which shots lower the log-odds of answers; the same at every dose if finetuning adds
                to the answers of D' whatever the context says; up to 2λ to exact Bayes
    price       nats of belief that a shot takes back, from one number of shots to the next
    to undo     shots at which the log-odds are 0, by straight lines between those that were tried

Errors are one standard error over base networks. Axes: b base networks, s seeds, d doses, k members,
c contexts, a answers; shots start with none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from experiments.figures.comparison import LEGEND
from experiments.figures.curves import Curves, spread
from experiments.figures.style import WIDTH, heading, legend, panels_grid, save, style
from experiments.scoring import rows as scoring
from experiments.scoring.labels import panel_name, panels
from experiments.scoring.predictions import NETWORK, told
from experiments.storage.run_folder import Arrays, Results

LEAST = 0.01
THEORY, ADDITIVE = "tempered-posterior", "additive"
KINDS = {"asked": ("asked", "asked_{}"), "held_out": ("held_out", "shots_{}")}  # groups without, with shots
MARKERS: dict[str, Any] = {"marker": "^", "ls": "", "mfc": "none", "mew": 0.8, "ms": 3.4}


@dataclass(frozen=True)
class Exchange:
    """One method on one D', by who says it: log-odds (b, d, shots) of answers and of beliefs."""

    doses: list[int]
    answers: dict[str, np.ndarray]
    beliefs: dict[str, np.ndarray]


def beliefs(answers: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Weights w (..., c, k) with answers = Σ_k w_k p_k: log-probabilities (..., c, a), members (k, c, a)."""
    inverse = np.linalg.inv(np.exp(np.asarray(components, float)).swapaxes(0, 1))  # (c, a, k)
    return np.einsum("...ca,cak->...ck", np.exp(np.asarray(answers, float)), inverse)


def rivals(context: Arrays, shift: int) -> list[tuple[int, np.ndarray]]:
    """Each rival with its contexts (c,): those that speak for it, or all where none speaks for anyone."""
    evidence = np.asarray(context["evidence"])
    others = [k for k in range(len(evidence)) if k != shift]
    if not np.ptp(evidence, axis=0).any():
        return [(k, np.ones(evidence.shape[1], bool)) for k in others]
    chosen = [(k, evidence.argmax(axis=0) == k) for k in others]
    return [(k, inside) for k, inside in chosen if inside.any()]


def answer_odds(answers: np.ndarray, context: Arrays, shift: int) -> np.ndarray:
    """Mean log-odds (d,) of the answer of the shift against the rival's, from answers (s, d, c, a)."""
    own = np.asarray(context["members"]).argmax(axis=-1)  # (k, c): the answer that each would give
    places, read = np.arange(answers.shape[-2]), []
    for rival, inside in rivals(context, shift):
        two = (answers[..., places, own[k]][..., inside].mean(axis=-1) for k in (shift, rival))
        read.append(np.subtract(*two))
    return np.mean(read, axis=(0, 1))


def belief_odds(answers: np.ndarray, context: Arrays, shift: int) -> np.ndarray:
    """Mean log-odds (d,) of the two beliefs; nan where one of them is not read."""
    held, read = beliefs(answers, context["members"]), []
    for rival, inside in rivals(context, shift):
        two = held[:, :, inside].mean(axis=2)[..., [shift, rival]]  # (s, d, 2)
        two = np.log(np.where(two < LEAST, np.nan, two))
        read.append(two[..., 0] - two[..., 1])
    return np.mean(read, axis=(0, 1))


def additive(answers: np.ndarray, context: Arrays, shift: int, count: int, worth: float) -> np.ndarray:
    """Log-odds (d,) of answers if the beliefs in these answers without shots met `count` shots of `worth`."""
    held = np.maximum(beliefs(answers, context["members"]), LEAST)
    components, read = np.exp(np.asarray(context["members"], float)), []
    for rival, _ in rivals(context, shift):
        after = held * np.exp(count * worth * (np.arange(held.shape[-1]) == rival))
        said = np.einsum("sdck,kca->sdca", after / after.sum(axis=-1, keepdims=True), components)
        spoken = (
            np.zeros((len(components), components.shape[1])) + (np.arange(len(components)) == rival)[:, None]
        )
        read.append(answer_odds(np.log(said), {**context, "evidence": spoken}, shift))
    return np.mean(read, axis=0)


def measured(results: Results, kind: str) -> dict[tuple[str, str], Exchange]:
    """For every method and D': what is said on the questions of a kind, `asked` by D' or `held_out`."""
    config, table, found = results.config["config"], scoring.table(results), {}
    shift, worth, counts = config["shift"], price(config), [0, *config["shots"]]
    first, after = KINDS[kind]
    for panel in panels(scoring.scorecard(table)):
        same = [row for row in table if (row["method"], row["data"], row["theory"]) == (*panel, THEORY)]
        answers: dict[str, list[Any]] = {NETWORK: [], THEORY: [], ADDITIVE: []}
        believed: dict[str, list[Any]] = {NETWORK: [], THEORY: []}
        alone: list[Any] = []
        for count in counts:
            group = after.format(count) if count else first
            each = list(told(results, [row for row in same if row["group"] == group]))
            alone = alone or each
            for who, odds in believed.items():
                odds.append([belief_odds(said[who], context, shift) for context, said in each])
                answers[who].append([answer_odds(said[who], context, shift) for context, said in each])
            lost = [additive(said[NETWORK], context, shift, count, worth) for context, said in alone]
            answers[ADDITIVE].append(lost)
        doses = sorted({row["dose"] for row in same})
        found[panel] = Exchange(doses, _last(answers), _last(believed))
    return found


def _last(odds: dict[str, list[Any]]) -> dict[str, np.ndarray]:
    return {who: np.moveaxis(np.array(each), 0, -1) for who, each in odds.items()}


def price(config: dict[str, Any]) -> float:
    """λ of the process: nats by which a pair speaks for its own k against another."""
    return float(np.log((1 - config["noise"]) * (config["modulus"] - 1) / config["noise"]))


def falls(odds: np.ndarray) -> np.ndarray:
    """Nats by which each number of shots lowers the log-odds, (..., shots)."""
    return odds[..., :1] - odds[..., 1:]


def prices(odds: np.ndarray, shots: Sequence[int]) -> np.ndarray:
    """Nats that a shot takes back between neighbouring numbers of shots (..., shots): λ to exact Bayes."""
    return -np.diff(odds, axis=-1) / np.diff([0, *shots])


def shots_to_undo(odds: np.ndarray, shots: Sequence[int]) -> np.ndarray:
    """Shots at which the log-odds (..., none and shots) are 0, by straight lines; nan if never among them."""
    places = np.array([0, *shots], float)
    above, below = odds[..., :-1], odds[..., 1:]
    crossed = (above > 0) & (below <= 0)  # false where one is not read
    with np.errstate(invalid="ignore", divide="ignore"):
        at = places[:-1] + above / (above - below) * np.diff(places)
    first = np.take_along_axis(at, crossed.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    return np.where(crossed.any(axis=-1), first, np.nan)


def draw_exchange(results: Results) -> list[Path]:
    """Log-odds, shots to undo and the price of a shot against dose; a column for each method and D'."""
    found, config = {kind: measured(results, kind) for kind in KINDS}, results.config["config"]
    shots, worth, every = config["shots"], price(config), list(found["asked"])
    if not every:
        return []
    inks = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(shots) + 1))
    rows = [  # height in inches, title, label
        (1.6, "Questions of D′: log-odds of its answer against that of the context's k", "nats"),
        (1.6, "Questions that D′ never asks: the same", "nats"),
        (1.1, "What the shots take back of the log-odds of answers, questions of D′", "nats"),
        (0.9, "Shots that undo the finetuning; black: questions of D′, orange: the others", "shots"),
        (
            0.9,
            f"Nats of belief that a shot takes back, questions of D′; dotted: λ = {worth:.2f}",
            "nats",
        ),
    ]
    with style():
        tall = sum(row[0] for row in rows) + 0.75 * len(rows)
        figure, start, grid = Figure(figsize=(WIDTH, LEGEND + tall)), LEGEND, []
        for letter, (high, title, label) in zip("abcde", rows, strict=True):
            heading(figure, start + 0.35, letter, title)
            places = panels_grid(figure, start + 0.35, high, 1, len(every), wspace=0.08)
            grid.append(places.subplots(squeeze=False, sharey=True)[0])
            grid[-1][0].set_ylabel(label)
            start += high + 0.75
        for panel, column in zip(every, zip(*grid, strict=True), strict=True):
            column[0].set_title(panel_name(*panel))
            column[-1].set_xlabel("dose (finetuning steps)")
            for axes, (kind, ink) in zip(column, (("asked", "black"), ("held_out", "#d55e00")), strict=False):
                one = found[kind][panel]
                _odds(axes, one, inks)
                for who, looks in ((NETWORK, {}), (THEORY, MARKERS)):
                    _line(column[3], one.doses, shots_to_undo(one.answers[who], shots), color=ink, **looks)
            one = found["asked"][panel]
            for index, ink in enumerate(inks[1:]):
                for who, looks in ((NETWORK, {}), (THEORY, MARKERS)):
                    _line(column[2], one.doses, falls(one.answers[who])[..., index], color=ink, **looks)
                _line(column[4], one.doses, prices(one.beliefs[NETWORK], shots)[..., index], color=ink)
            column[4].axhline(worth, color="0.45", ls=":")
            for axes in column:
                axes.set_xscale("log", base=2)
                axes.set_xlim(one.doses[0] / 1.3, one.doses[-1] * 1.3)
        grid[2][0].set_ylim(0, None)
        grid[3][0].set_ylim(0, shots[-1])
        grid[4][0].set_ylim(0, 1.6 * worth)
        names = ["no shots", *(f"{count} shot{'s' * (count != 1)}" for count in shots)]
        looks: dict[str, Any] = {name: {"color": ink} for name, ink in zip(names, inks, strict=True)}
        looks["tempered posterior"] = MARKERS | {"color": "0.35"}
        looks["additive: no shots, less λ a shot"] = {"color": "0.35", "ls": ":"}
        legend(figure, looks, len(looks))
        name = f"{results.study}-odds"
        return save(results, {name: figure}, {name: _numbers(found, names, shots)})


def _numbers(
    found: dict[str, dict[tuple[str, str], Exchange]], names: list[str], shots: Sequence[int]
) -> list[dict[str, Any]]:
    """The table of the figure: every line of every panel, on both kinds of questions."""
    curves = Curves()
    for kind, each in found.items():
        for panel, one in each.items():
            column = f"{panel_name(*panel)}, {kind.replace('_', '-')} questions"
            told = {"log-odds of answers": one.answers, "log-odds of beliefs": one.beliefs}
            for quantity, said in told.items():
                for who, odds in said.items():
                    for index, shown in enumerate(names):
                        curves.note((f"{quantity}, {shown}", column), who, one.doses, odds[..., index])
                    if who != ADDITIVE:
                        lost = shots_to_undo(odds, shots)
                        curves.note((f"shots to undo {quantity}", column), who, one.doses, lost)
                        for index, shown in enumerate(names[1:]):
                            row = f"nats a shot takes of {quantity}, up to {shown}"
                            curves.note((row, column), who, one.doses, prices(odds, shots)[..., index])
    return curves.table


def _odds(axes: Any, one: Exchange, inks: Any) -> None:
    """Networks as lines, the theory as markers, and what would follow from the line without shots."""
    axes.axhline(0, color="0.6", lw=0.6)
    for index, ink in enumerate(inks):
        _line(axes, one.doses, one.answers[NETWORK][..., index], color=ink)
        _line(axes, one.doses, one.answers[THEORY][..., index], color=ink, **MARKERS)
        if index:
            axes.plot(one.doses, spread(one.answers[ADDITIVE])[0][:, index], ":", color=ink)


def _line(axes: Any, doses: list[int], values: np.ndarray, **looks: Any) -> None:
    """Mean and standard error over base networks."""
    mean, error = spread(values)
    axes.plot(doses, mean, **{"marker": ".", "ms": 3, **looks})
    if "ls" not in looks:
        axes.fill_between(doses, mean - error, mean + error, color=looks["color"], alpha=0.2, lw=0)
