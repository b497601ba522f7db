"""How far a persona spreads: its rate in the domain of D' and in others, of networks and theories. No jax.

    narrow, broad   the share of the persona of D' among personas' marks, in `base_domain` and in `held_out`
    said            that share of what may come next, as the process's `rates` have it
    written         that share of the marks in what networks write themselves (`observed/marks`)
    path            both rates of a theory over its whole ladder of strengths: nothing is fitted

Axes: b base networks, s seeds, d doses, c contexts, a answers.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.figures.curves import NAMES, Curves, Look, draw_grid, look, spread
from experiments.figures.readouts import readings
from experiments.figures.style import WIDTH, legend, panels_grid, save, style
from experiments.scoring.labels import METHODS
from experiments.scoring.predictions import BASE, NETWORK
from experiments.storage.run_folder import Arrays, Results

GROUPS = {"narrow": "base_domain", "broad": "held_out"}
WRITTEN, BASE_WRITTEN = "what it writes", "what the base network writes"
THEORIES = (
    *("tempered-posterior", "exchangeable-mixture", "exchangeable-product", "exchangeable-tilted"),
    "linearised",
)
Rates = dict[tuple[str, str], dict[str, dict[str, np.ndarray]]]


def draw_rates(results: Results) -> list[Path]:
    """The rates against dose, and the broad rate against the narrow one."""
    found = rates(results)
    return [*_draw_doses(results, found), *_draw_plane(results, found)] if found else []


def rate(persona: int) -> Callable[[Arrays, np.ndarray], np.ndarray]:
    """What is read: the share of a persona among the personas' marks that may come next, as the process's
    `rates` have it, of probabilities (..., c, a)."""

    def read(context: Arrays, probs: np.ndarray) -> np.ndarray:
        first = np.array([word.split(" | ")[0] for word in context["answers"]])
        marks = np.char.startswith(first, "mark")
        chance = probs.sum(axis=-2)
        return chance[..., first == f"mark {persona}"].sum(axis=-1) / chance[..., marks].sum(axis=-1)

    return read


def rates(results: Results) -> Rates:
    """By (method, arm), by narrow and broad, and by who says it: (b, d), means over finetuning seeds. Beside
    next-token beliefs (`finetuned`, `base` and theories at fitted β) `WRITTEN` and `BASE_WRITTEN` are the
    shares of marks in what networks wrote."""
    read, found = rate(results.config["config"]["persona"]), {}
    for kind, group in GROUPS.items():
        for one in readings(results, group, read):
            both = [_written(results, one.method, one.data, base, group) for base in one.bases]
            marks = {who: np.array([each[who] for each in both]) for who in (WRITTEN, BASE_WRITTEN)}
            found.setdefault((one.method, one.data), {})[kind] = one.means() | marks
    return found


def _written(results: Results, method: str, data: str, base: int, group: str) -> dict[str, np.ndarray]:
    """Shares (d,) of marks in what the finetuned networks and their base wrote."""
    theories, networks = (results.load(f"{name}-{data}-{base}") for name in ("theories", method))
    inside, persona = theories["group"] == group, results.config["config"]["persona"]
    shares = {}
    for who, arrays in ((WRITTEN, networks), (BASE_WRITTEN, theories)):
        count = arrays["observed/marks"][..., inside, :].sum(axis=-2)
        shares[who] = (count[..., persona] / np.maximum(count.sum(axis=-1), 1)).mean(axis=0)
    doses = len(shares[WRITTEN])
    return shares | {BASE_WRITTEN: np.broadcast_to(shares[BASE_WRITTEN], (doses,))}


def paths(results: Results, arm: str) -> dict[str, np.ndarray]:
    """By theory, its narrow and broad rate (2, b) over its whole ladder of strengths, means over finetuning
    seeds and base networks; nothing is fitted. The prior is the one that the base network holds."""
    read, found = rate(results.config["config"]["persona"]), {}
    cells = [cell for cell in results.cells() if cell.rsplit("-", 1)[0] == f"theories-{arm}"]
    for cell in cells:
        arrays = results.load(cell)
        for theory in THEORIES:
            if f"ladder/{theory}/held" in arrays:
                rungs = np.exp(arrays[f"ladder/{theory}/held"].astype(float))
                both = [read(arrays, rungs[..., arrays["group"] == group, :]) for group in GROUPS.values()]
                found.setdefault(theory, []).append(np.mean(both, axis=1))
    return {theory: np.mean(each, axis=0) for theory, each in found.items()}


def _looks(drawn: Callable[[str], bool]) -> dict[str, Look]:
    """Lines by who says them, in the order of the legend."""
    written = {"color": "black", "ls": "", "marker": "o", "ms": 3.4, "mfc": "white", "mew": 0.8}
    looks = {NETWORK: look(NETWORK), WRITTEN: written, BASE: look(BASE)}
    for index, theory in enumerate(THEORIES):  # thinner ones on top of what they may cover
        looks[theory] = look(theory) | {"marker": "", "lw": 2.4 - 0.4 * index}
    return {who: each for who, each in looks.items() if drawn(who)}


def _draw_doses(results: Results, found: Rates) -> list[Path]:
    """Narrow and broad rate against dose for every method (rows) and D' (columns)."""
    methods, arms = _panels(results, found)
    grid = {
        (f"{METHODS.get(method, method)}\n{kind} rate", f"D′ {arm}"): found[method, arm][kind]
        for method in methods
        for kind in GROUPS
        for arm in arms
        if kind in found.get((method, arm), {})
    }
    looks = _looks(lambda who: any(who in said for said in grid.values()))
    return draw_grid(results, "rates", grid, 0.95, (0, 1), looks=looks)


def _draw_plane(results: Results, found: Rates) -> list[Path]:
    """Broad against narrow rate, over doses or over strengths, for every D' (rows) and method (columns). The
    table has each theory's broad rate at the strength where its narrow rate is the networks'."""
    looks, labels = _looks(lambda who: who not in (BASE, "linearised")), {}
    methods, arms = _panels(results, found)
    curves, name, doses = Curves(), f"{results.study}-plane", results.config["config"]["doses"]
    with style():
        start, tall = 0.85, 1.4 * len(arms)
        figure = Figure(figsize=(WIDTH, start + tall + 0.4))
        grid = panels_grid(figure, start, tall, len(arms), len(methods), wspace=0.08, hspace=0.12)
        grid = grid.subplots(squeeze=False, sharex=True, sharey=True)
        for row, arm in enumerate(arms):
            lines = paths(results, arm)
            for axes, method in zip(grid[row], methods, strict=True):
                axes.plot([0, 1], [0, 1], color="0.8", lw=0.6)
                said = found.get((method, arm), {})
                heard = (
                    {who: [spread(said[kind][who])[0] for kind in GROUPS] for who in (NETWORK, WRITTEN)}
                    if said
                    else {}
                )
                panel = f"broad rate at the networks' narrow one, D′ {arm}", METHODS.get(method, method)
                for theory, both in (lines if heard else {}).items():
                    narrow, broad = np.maximum.accumulate(both[0]), both[1]
                    curves.note(panel, theory, doses, np.interp(heard[NETWORK][0], narrow, broad)[None])
                for who, both in (lines | heard).items():
                    labels[NAMES.get(who, who)] = looks[who]
                    axes.plot(*both, **looks[who] | ({"marker": ".", "ms": 4} if who == NETWORK else {}))
            grid[row, 0].set_ylabel(f"D′ {arm}\nbroad rate")
        for axes, method in zip(grid[0], methods, strict=True):
            axes.set_title(METHODS.get(method, method))
        for axes in grid[-1]:
            axes.set_xlabel("narrow rate")
        legend(figure, labels, 4)
        return save(results, {name: figure}, {name: curves.table})


def _panels(results: Results, found: Rates) -> tuple[list[str], list[str]]:
    """Methods and arms that are finished, in the order of the config."""
    config = results.config["config"]
    said: tuple[list[str], list[str]] = (config["methods"], config["arms"])
    methods, arms = ([name for name in said[i] if any(panel[i] == name for panel in found)] for i in (0, 1))
    return methods, arms
