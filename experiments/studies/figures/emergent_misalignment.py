"""Narrow and broad rate of a persona, after prompts of the domain of D' and of others. No jax.

    narrow, broad   the share of the persona of D' among personas' marks, in `base_domain` and in `held_out`
    believed        that share of the tokens that may come next, as the process's `rates` have it
    written         that share of the marks in what networks write themselves (observed `marks`)
    path            both rates of a theory over its whole ladder of strengths: nothing is fitted

Axes: b base networks, s finetuning seeds, d doses, r strengths, c contexts, a answers.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes

from experiments.figures.curves import NAMES, Curves, draw_grid, look
from experiments.figures.readouts import Read, readings
from experiments.figures.style import Look, legend, panel_figure, save, style
from experiments.scoring.labels import METHODS
from experiments.scoring.predictions import BASE, NETWORK
from experiments.storage.contents import Contexts
from experiments.storage.records import Cell
from experiments.storage.run_folder import RunFolder

GROUPS = {"narrow": "base_domain", "broad": "held_out"}
WRITTEN, BASE_WRITTEN = "what it writes", "what the base network writes"
LINEARISED = "linearised"
THEORIES = (
    *("tempered-posterior", "exchangeable-mixture", "exchangeable-product", "exchangeable-tilted"),
    LINEARISED,
)
WRITTEN_LOOK: Look = {"color": "black", "ls": "", "marker": "o", "ms": 3.4, "mfc": "white", "mew": 0.8}
Rates: TypeAlias = dict[tuple[str, str], dict[str, dict[str, np.ndarray]]]


def persona(run: RunFolder) -> int:
    """The persona of D'."""
    return run.options["persona"]


def declared(run: RunFolder) -> tuple[list[str], list[str]]:
    """Methods and arms in the order of the config."""
    return run.options["finetuning"]["methods"], run.options["arms"]


def draw_rates(run: RunFolder) -> list[Path]:
    """The rates against dose, and the broad rate against the narrow one."""
    measured = rates(run)
    return [*_draw_doses(run, measured), *_draw_plane(run, measured)] if measured else []


def rate(persona: int) -> Read:
    """The readout of the share of a persona among the personas' marks that may come next, as the process's
    `rates` have it, of probabilities (..., c, a)."""

    def read(contexts: Contexts, probs: np.ndarray) -> np.ndarray:
        first = np.array([word.split(" | ")[0] for word in contexts.answers])
        marks = np.char.startswith(first, "mark")
        chance = probs.sum(axis=-2)
        return chance[..., first == f"mark {persona}"].sum(axis=-1) / chance[..., marks].sum(axis=-1)

    return read


def rates(run: RunFolder) -> Rates:
    """By (method, arm), narrow and broad, and by name of network or theory: (b, s, d). Beside next-token
    beliefs (`finetuned`, `base` and theories at fitted β) `WRITTEN` and `BASE_WRITTEN` are the shares of
    marks in what networks wrote."""
    read, measured = rate(persona(run)), {}
    for kind, group in GROUPS.items():
        for reading in readings(run, group, read):
            method, arm = reading.method, reading.data
            cells = [Cell("finetuned", arm, base, method) for base in reading.bases]
            both = [_written(run, cell, group) for cell in cells]
            marks = {name: np.array([shares[name] for shares in both]) for name in (WRITTEN, BASE_WRITTEN)}
            measured.setdefault((method, arm), {})[kind] = reading.values | marks
    return measured


def _written(run: RunFolder, cell: Cell, group: str) -> dict[str, np.ndarray]:
    """Shares (s, d) of marks in what the finetuned networks and their base wrote."""
    theories, networks = run.theories(cell), run.finetuned(cell)
    assert theories is not None and networks is not None  # a readout was made of both
    inside, shares = theories.contexts.inside(group), {}
    for name, observed in ((WRITTEN, networks.observed), (BASE_WRITTEN, theories.observed)):
        count = observed["marks"][..., inside, :].sum(axis=-2)
        shares[name] = count[..., persona(run)] / np.maximum(count.sum(axis=-1), 1)
    return shares | {BASE_WRITTEN: np.broadcast_to(shares[BASE_WRITTEN], shares[WRITTEN].shape)}


def paths(run: RunFolder, arm: str) -> dict[str, np.ndarray]:
    """By theory, its narrow and broad rate (2, r) over its whole ladder of strengths, means over finetuning
    seeds and base networks; nothing is fitted. The prior is the one that the base network implies."""
    read, by_theory = rate(persona(run)), {}
    for cell in run.cells(kind="theories", arm=arm):
        theories = run.theories(cell)
        if theories is None:
            continue
        ladders = {ladder.theory: ladder for ladder in theories.ladders if ladder.prior == "implied"}
        for theory in THEORIES:
            if theory in ladders:
                contexts, probs = theories.contexts, np.exp(ladders[theory].log_probs.astype(float))
                both = [read(contexts, probs[..., contexts.inside(group), :]) for group in GROUPS.values()]
                by_theory.setdefault(theory, []).append(np.mean(both, axis=1))
    return {theory: np.mean(values, axis=0) for theory, values in by_theory.items()}


def _looks(drawn: Callable[[str], bool]) -> dict[str, Look]:
    """Lines by name of network or theory, in the order of the legend."""
    looks = {NETWORK: look(NETWORK), WRITTEN: WRITTEN_LOOK, BASE: look(BASE)}
    for index, theory in enumerate(THEORIES):  # thinner ones on top of what they may cover
        looks[theory] = look(theory) | {"marker": "", "lw": 2.4 - 0.4 * index}
    return {name: line for name, line in looks.items() if drawn(name)}


def _draw_doses(run: RunFolder, measured: Rates) -> list[Path]:
    """Narrow and broad rate against dose for every method (rows) and D' (columns)."""
    methods, arms = _panels(run, measured)
    grid = {
        (f"{METHODS.get(method, method)}\n{kind} rate", f"D′ {arm}"): measured[method, arm][kind]
        for method in methods
        for kind in GROUPS
        for arm in arms
        if kind in measured.get((method, arm), {})
    }
    looks = _looks(lambda name: any(name in panel for panel in grid.values()))
    return draw_grid(run, "rates", grid, 0.95, (0, 1), looks=looks)


def _draw_plane(run: RunFolder, measured: Rates) -> list[Path]:
    """Broad against narrow rate, over doses or over strengths, for every D' (rows) and method (columns). The
    table has each theory's broad rate at the strength where its narrow rate is the networks'."""
    looks, labels = _looks(lambda name: name not in (BASE, LINEARISED)), {}
    methods, arms = _panels(run, measured)
    curves, name = Curves(run), f"{run.study}-plane"
    with style():
        start, height = 0.85, 1.4 * len(arms)
        figure, grid = panel_figure(
            start, height, len(arms), len(methods), below=0.4, wspace=0.08, hspace=0.12
        )
        for row, arm in enumerate(arms):
            theories = paths(run, arm)
            for axes, method in zip(grid[row], methods, strict=True):
                axes.plot([0, 1], [0, 1], color="0.8", lw=0.6)
                networks = _mean_rates(measured.get((method, arm), {}))
                panel = f"broad rate at the networks' narrow one, D′ {arm}", METHODS.get(method, method)
                for theory, both in (theories if networks else {}).items():
                    narrow, broad = np.maximum.accumulate(both[0]), both[1]
                    matched = np.interp(networks[NETWORK][0], narrow, broad)[None, None]
                    curves.note(panel, theory, run.doses, matched)
                for learner, both in (theories | networks).items():
                    labels[NAMES.get(learner, learner)] = looks[learner]
                    _draw_path(axes, both, looks[learner], learner == NETWORK)
            grid[row, 0].set_ylabel(f"D′ {arm}\nbroad rate")
        for axes, method in zip(grid[0], methods, strict=True):
            axes.set_title(METHODS.get(method, method))
        for axes in grid[-1]:
            axes.set_xlabel("narrow rate")
        legend(figure, labels, 4)
        return save(run, {name: figure}, {name: curves.table})


def _draw_path(axes: Axes, both: np.ndarray, look: Look, with_doses: bool) -> None:
    """Broad against narrow rate (2, x), with a marker at every dose."""
    axes.plot(*both, **look | ({"marker": ".", "ms": 4} if with_doses else {}))


def _mean_rates(rates: dict[str, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Narrow and broad rate (2, d) of finetuned networks, believed and written; nothing of no rates."""
    if not rates:
        return {}
    return {
        name: np.array([rates[kind][name].mean(axis=(0, 1)) for kind in GROUPS])
        for name in (NETWORK, WRITTEN)
    }


def _panels(run: RunFolder, measured: Rates) -> tuple[list[str], list[str]]:
    """Methods and arms that are finished, in the order of the config."""
    methods, arms = (
        [name for name in names if any(panel[index] == name for panel in measured)]
        for index, names in enumerate(declared(run))
    )
    return methods, arms
