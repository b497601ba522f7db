"""Exchange of context and finetuning: log-odds of two answers against dose and shots. No jax.

    log-odds    log p(answer of D's k) / p(answer of the rival), the rival the k that the context shows
                (without shots each in turn); mean over contexts, rivals and finetuning seeds
    belief      w(k) in the answers Σ_k w(k) p(· | k): a linear map of them. Its log-odds have the sign of
                those of the answers and no bounds; read only where all are above LEAST, what networks resolve
    additive    log-odds of answers if the network's own beliefs without shots lost λ nats a shot
    fall        nats by which shots lower the log-odds of answers; the same at every dose if finetuning adds
                to the answers of D' whatever the context says; up to 2λ to exact Bayes
    price       nats of belief that a shot takes back, from one number of shots to the next
    to undo     shots at which the log-odds are 0, by straight lines between those that were tried

Bands are intervals of 95 % by base networks × D'; shots to undo, of odds that are means over finetuning
seeds, have none. Axes: b base networks, s finetuning seeds, d doses, k components, c contexts, a answers;
shots start with none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.comparison import LEGEND
from experiments.figures.curves import Curves, draws_of, spread
from experiments.figures.style import WIDTH, Look, heading, legend, panels_grid, save, style
from experiments.scoring.labels import panel_name, panels
from experiments.scoring.predictions import NETWORK, predictions
from experiments.scoring.rows import table
from experiments.scoring.scorecard import scorecard
from experiments.storage.contents import Contexts
from experiments.storage.records import Json
from experiments.storage.run_folder import RunFolder

LEAST = 0.01
THEORY, ADDITIVE = "tempered-posterior", "additive"
KINDS = {"asked": ("asked", "asked_{}"), "held_out": ("held_out", "shots_{}")}  # groups without, with shots
MARKERS: Look = {"marker": "^", "ls": "", "mfc": "none", "mew": 0.8, "ms": 3.4}
Ink = str | tuple[float, ...]


@dataclass(frozen=True)
class Options:
    """The options that are read: the k of D', the shots, and of the process the noise and the modulus."""

    shift: int
    shots: Sequence[int]
    noise: float
    modulus: int

    @property
    def price(self) -> float:
        """λ of the process: nats by which a pair counts for its own k against another."""
        return float(np.log((1 - self.noise) * (self.modulus - 1) / self.noise))


def options(values: Json) -> Options:
    """The options of a run, or of a config as plain values."""
    process = values["process"]
    return Options(values["shift"], values["shots"], process["noise"], process["modulus"])


@dataclass(frozen=True)
class Exchange:
    """One method on one D': log-odds (b, s, d, shots) of answers and of beliefs, by network or theory; and
    the draws of the process of its base networks."""

    doses: list[int]
    draws: list[int]
    answers: dict[str, np.ndarray]
    beliefs: dict[str, np.ndarray]


def beliefs(answers: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Weights w (..., c, k) with answers = Σ_k w_k p_k, of log-probabilities (..., c, a) and (k, c, a)."""
    inverse = np.linalg.inv(np.exp(np.asarray(components, float)).swapaxes(0, 1))  # (c, a, k)
    return np.einsum("...ca,cak->...ck", np.exp(np.asarray(answers, float)), inverse)


def rivals(contexts: Contexts, shift: int) -> list[tuple[int, np.ndarray]]:
    """Each rival with the mask (c,) of the contexts that show it, or of all where none shows any k."""
    evidence = np.asarray(contexts.evidence)
    others = [k for k in range(len(evidence)) if k != shift]
    if not np.ptp(evidence, axis=0).any():
        return [(k, np.ones(evidence.shape[1], bool)) for k in others]
    chosen = [(k, evidence.argmax(axis=0) == k) for k in others]
    return [(k, inside) for k, inside in chosen if inside.any()]


def answer_odds(answers: np.ndarray, contexts: Contexts, shift: int) -> np.ndarray:
    """Mean log-odds (s, d) of the answer of the shift against the rival's, from answers (s, d, c, a)."""
    correct = np.asarray(contexts.components).argmax(axis=-1)  # (k, c): the answer that each k would give
    indices, odds = np.arange(answers.shape[-2]), []
    for rival, inside in rivals(contexts, shift):
        both = (answers[..., indices, correct[k]][..., inside].mean(axis=-1) for k in (shift, rival))
        odds.append(np.subtract(*both))
    return np.mean(odds, axis=0)


def belief_odds(answers: np.ndarray, contexts: Contexts, shift: int) -> np.ndarray:
    """Mean log-odds (s, d) of the two beliefs; nan where one of them is not resolved."""
    weights, odds = beliefs(answers, contexts.components), []
    for rival, inside in rivals(contexts, shift):
        both = weights[:, :, inside].mean(axis=2)[..., [shift, rival]]  # (s, d, 2)
        both = np.log(np.where(both < LEAST, np.nan, both))
        odds.append(both[..., 0] - both[..., 1])
    return np.mean(odds, axis=0)


def additive(answers: np.ndarray, contexts: Contexts, shift: int, count: int, price: float) -> np.ndarray:
    """Log-odds (s, d) of answers if the beliefs in these answers without shots met `count` shots that are
    worth `price` nats each."""
    weights = np.maximum(beliefs(answers, contexts.components), LEAST)
    components, odds = np.exp(np.asarray(contexts.components, float)), []
    for rival, _ in rivals(contexts, shift):
        after = weights * np.exp(count * price * (np.arange(weights.shape[-1]) == rival))
        mixed = np.einsum("sdck,kca->sdca", after / after.sum(axis=-1, keepdims=True), components)
        evidence = (
            np.zeros((len(components), components.shape[1])) + (np.arange(len(components)) == rival)[:, None]
        )
        odds.append(answer_odds(np.log(mixed), replace(contexts, evidence=evidence), shift))
    return np.mean(odds, axis=0)


def measured(run: RunFolder, kind: str) -> dict[tuple[str, str], Exchange]:
    """For every method and D': odds on the questions of a kind, `asked` by D' or `held_out`."""
    rows, values, exchanges = table(run), options(run.options), {}
    (first, after), shift = KINDS[kind], values.shift
    for panel in panels(scorecard(rows)):
        subset = [row for row in rows if (row.method, row.data, row.theory) == (*panel, THEORY)]
        answers: dict[str, list[list[np.ndarray]]] = {NETWORK: [], THEORY: [], ADDITIVE: []}
        believed: dict[str, list[list[np.ndarray]]] = {NETWORK: [], THEORY: []}
        without: list[tuple[Contexts, dict[str, np.ndarray]]] = []
        for count in (0, *values.shots):
            group = after.format(count) if count else first
            by_base = list(predictions(run, [row for row in subset if row.group == group]))
            without = without or by_base
            for name, odds in believed.items():
                pairs = [(log_probs[name], contexts) for contexts, log_probs in by_base]
                odds.append([belief_odds(*pair, shift) for pair in pairs])
                answers[name].append([answer_odds(*pair, shift) for pair in pairs])
            pairs = [(log_probs[NETWORK], contexts) for contexts, log_probs in without]
            answers[ADDITIVE].append([additive(*pair, shift, count, values.price) for pair in pairs])
        doses = sorted({row.dose for row in subset})
        both = _shots_last(answers), _shots_last(believed)
        exchanges[panel] = Exchange(doses, draws_of(run, len(both[0][NETWORK])), *both)
    return exchanges


def _shots_last(odds: dict[str, list[list[np.ndarray]]]) -> dict[str, np.ndarray]:
    """Odds (b, s, d, shots) of odds by shots and base network."""
    return {name: np.moveaxis(np.array(values), 0, -1) for name, values in odds.items()}


def falls(odds: np.ndarray) -> np.ndarray:
    """Nats by which each number of shots lowers the log-odds, (..., shots)."""
    return odds[..., :1] - odds[..., 1:]


def prices(odds: np.ndarray, shots: Sequence[int]) -> np.ndarray:
    """Nats that a shot takes back between neighbouring numbers of shots (..., shots): λ to exact Bayes."""
    return -np.diff(odds, axis=-1) / np.diff([0, *shots])


def shots_to_undo(odds: np.ndarray, shots: Sequence[int]) -> np.ndarray:
    """Shots at which the log-odds (..., none and shots) are 0, by straight lines; nan if never among them."""
    counts = np.array([0, *shots], float)
    above, below = odds[..., :-1], odds[..., 1:]
    crossed = (above > 0) & (below <= 0)  # false where one is not resolved
    with np.errstate(invalid="ignore", divide="ignore"):
        at = counts[:-1] + above / (above - below) * np.diff(counts)
    first = np.take_along_axis(at, crossed.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    return np.where(crossed.any(axis=-1), first, np.nan)


def undone_together(odds: np.ndarray, shots: Sequence[int]) -> np.ndarray:
    """Shots (b, 1, d) that undo the means of odds (b, s, d, shots) over finetuning seeds."""
    return shots_to_undo(odds.mean(axis=1, keepdims=True), shots)


def draw_exchange(run: RunFolder) -> list[Path]:
    """Log-odds, shots to undo and the price of a shot against dose; a column for each method and D'."""
    exchanges, values = {kind: measured(run, kind) for kind in KINDS}, options(run.options)
    shots, every = values.shots, list(exchanges["asked"])
    if not every:
        return []
    inks = [tuple(ink) for ink in matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(shots) + 1))]
    name, names = f"{run.study}-odds", ["no shots", *(f"{n} shot{'s' * (n != 1)}" for n in shots)]
    with style():
        figure, grid = _panels(values.price, len(every))
        for panel, column in zip(every, zip(*grid, strict=True), strict=True):
            column[0].set_title(panel_name(*panel))
            column[-1].set_xlabel("dose (finetuning steps)")
            _draw_column(column, {kind: exchanges[kind][panel] for kind in KINDS}, values, inks)
        grid[2][0].set_ylim(0, None)
        grid[3][0].set_ylim(0, shots[-1])
        grid[4][0].set_ylim(0, 1.6 * values.price)
        looks: dict[str, Look] = {label: {"color": ink} for label, ink in zip(names, inks, strict=True)}
        looks["tempered posterior"] = MARKERS | {"color": "0.35"}
        looks["additive: no shots, less λ a shot"] = {"color": "0.35", "ls": ":"}
        legend(figure, looks, len(looks))
        return save(run, {name: figure}, {name: _numbers(run, exchanges, names, shots)})


def _panels(price: float, columns: int) -> tuple[Figure, list[list[Axes]]]:
    """The figure and its axes by row, with headings."""
    rows = [  # height in inches, title, label
        (1.6, "Questions of D′: log-odds of its answer against that of the context's k", "nats"),
        (1.6, "Questions that D′ never asks: the same", "nats"),
        (1.1, "What the shots take back of the log-odds of answers, questions of D′", "nats"),
        (0.9, "Shots that undo the finetuning; black: questions of D′, orange: the others", "shots"),
        (
            0.9,
            f"Nats of belief that a shot takes back, questions of D′; dotted: λ = {price:.2f}",
            "nats",
        ),
    ]
    height = sum(row[0] for row in rows) + 0.75 * len(rows)
    figure, start, grid = Figure(figsize=(WIDTH, LEGEND + height)), LEGEND, []
    for letter, (high, title, label) in zip("abcde", rows, strict=True):
        heading(figure, start + 0.35, letter, title)
        panels = panels_grid(figure, start + 0.35, high, 1, columns, wspace=0.08)
        grid.append(list(panels.subplots(squeeze=False, sharey=True)[0]))
        grid[-1][0].set_ylabel(label)
        start += high + 0.75
    return figure, grid


def _draw_column(
    column: Sequence[Axes], exchanges: dict[str, Exchange], values: Options, inks: Sequence[Ink]
) -> None:
    """The five panels of one method on one D'."""
    for axes, (kind, ink) in zip(column, (("asked", "black"), ("held_out", "#d55e00")), strict=False):
        exchange = exchanges[kind]
        _odds(axes, exchange, inks)
        for name, looks in ((NETWORK, {}), (THEORY, MARKERS)):
            undone = undone_together(exchange.answers[name], values.shots)
            _line(column[3], exchange, undone, color=ink, **looks)
    exchange = exchanges["asked"]
    for index, ink in enumerate(inks[1:]):
        for name, looks in ((NETWORK, {}), (THEORY, MARKERS)):
            fall = falls(exchange.answers[name])[..., index]
            _line(column[2], exchange, fall, color=ink, **looks)
        price = prices(exchange.beliefs[NETWORK], values.shots)[..., index]
        _line(column[4], exchange, price, color=ink)
    column[4].axhline(values.price, color="0.45", ls=":")
    for axes in column:
        axes.set_xscale("log", base=2)
        axes.set_xlim(exchange.doses[0] / 1.3, exchange.doses[-1] * 1.3)


def _numbers(
    run: RunFolder,
    exchanges: dict[str, dict[tuple[str, str], Exchange]],
    names: Sequence[str],
    shots: Sequence[int],
) -> list[Json]:
    """The table of the figure: every line of every panel, on both kinds of questions."""
    curves = Curves(run)
    for kind, by_panel in exchanges.items():
        for panel, exchange in by_panel.items():
            column, doses = f"{panel_name(*panel)}, {kind.replace('_', '-')} questions", exchange.doses
            quantities = {"log-odds of answers": exchange.answers, "log-odds of beliefs": exchange.beliefs}
            for quantity, by_name in quantities.items():
                for learner, odds in by_name.items():
                    for index, shown in enumerate(names):
                        curves.note((f"{quantity}, {shown}", column), learner, doses, odds[..., index])
                    if learner != ADDITIVE:
                        undone = undone_together(odds, shots)
                        curves.note((f"shots to undo {quantity}", column), learner, doses, undone)
                        for index, shown in enumerate(names[1:]):
                            row = f"nats a shot takes of {quantity}, up to {shown}"
                            price = prices(odds, shots)[..., index]
                            curves.note((row, column), learner, doses, price)
    return curves.table


def _odds(axes: Axes, exchange: Exchange, inks: Sequence[Ink]) -> None:
    """Networks as lines, the theory as markers, and the additive odds of the line without shots, dotted."""
    axes.axhline(0, color="0.6", lw=0.6)
    for index, ink in enumerate(inks):
        _line(axes, exchange, exchange.answers[NETWORK][..., index], color=ink)
        _line(axes, exchange, exchange.answers[THEORY][..., index], color=ink, **MARKERS)
        if index:
            added = exchange.answers[ADDITIVE][..., index].mean(axis=(0, 1))
            axes.plot(exchange.doses, added, ":", color=ink)


def _line(axes: Axes, exchange: Exchange, values: np.ndarray, **looks: Any) -> None:
    """Mean over networks, and its interval."""
    doses, (mean, half) = exchange.doses, spread(values, exchange.draws)
    axes.plot(doses, mean, **{"marker": ".", "ms": 3, **looks})
    if "ls" not in looks:
        axes.fill_between(doses, mean - half, mean + half, color=looks["color"], alpha=0.2, lw=0)
