"""The lazy limit: the share of the shift that forecasts leave unexplained, against the step size. No jax.

Axes: s finetuning seeds, c contexts, a answers, r step sizes.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.figures.looks import look
from experiments.figures.style import WIDTH, save, style
from experiments.scoring.labels import METHODS
from experiments.storage.run_folder import RunFolder

ORDERS = {"linearised": 1, "quadratic": 2}  # of the expansion, by theory
SHOWN = 10.0  # of the shift: the upper edge, where expected slopes end
ROUNDING = 1e-10  # nats: below it KL is that of float32's rounding, in training too
StepSizes = Mapping[str, tuple[str, float]]
Points = dict[tuple[str, str], np.ndarray]


def unexplained(run: RunFolder, step_sizes: StepSizes) -> Points:
    """Step sizes, ascending, and the unexplained share on held-out contexts: (2, r) by rule and theory.

    From the answers on disk, normalised in double precision: KL is then of second order in their rounding.
    `step_sizes` are the rule and the step size of every method.
    """
    points: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for method, (rule, step_size) in step_sizes.items():
        remaining, shift = dict.fromkeys(ORDERS, 0.0), 0.0
        for cell in run.cells(kind="finetuned", method=method):
            theories, replays, networks = run.theories(cell), run.replays(cell), run.finetuned(cell)
            if theories is None or replays is None or networks is None:
                continue
            inside = theories.contexts.inside("held_out")
            target = networks.finetuned[:, -1, inside]
            shift += _kl(target, theories.contexts.base[inside])
            for theory in remaining:
                remaining[theory] += _kl(target, replays.predictions[theory][:, -1, inside])
        for theory, nats in remaining.items():
            if nats > ROUNDING:
                points.setdefault((rule, theory), []).append((step_size, nats / shift))
    return {key: np.transpose(sorted(values)) for key, values in sorted(points.items())}


def exponent(points: np.ndarray) -> float:
    """The slope between the two smallest step sizes, in logarithms; nan for a single one."""
    step_size, share = np.log(points[:, :2])
    if points.shape[1] < 2:
        return float("nan")
    return float((share[1] - share[0]) / (step_size[1] - step_size[0]))


def draw_unexplained(run: RunFolder, step_sizes: StepSizes) -> list[Path]:
    """The unexplained share against the step size, with the slopes that are expected; a panel a rule."""
    points, table = unexplained(run, step_sizes), []
    rules = list(dict.fromkeys(rule for rule, _ in step_sizes.values()))
    with style():
        figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
        panels = figure.subplots(1, len(rules), sharey=True, squeeze=False)[0]
        for axes, rule in zip(panels, rules, strict=True):
            axes.set(xscale="log", yscale="log", xlabel="step size η", title=METHODS.get(rule, rule))
            for theory, order in ORDERS.items():
                if (rule, theory) not in points:
                    continue
                sizes, shares = points[rule, theory]
                table += _lines(rule, theory, sizes, shares)
                label = f"{theory}: slope {exponent(points[rule, theory]):.2f} at its left end"
                colour = look(theory)[0]
                axes.plot(sizes, shares, "o-", color=colour, label=label)
                smooth = shares[0] * (sizes / sizes[0]) ** (2 * order)
                label = f"if all were smooth: η{'²⁴'[order - 1]}"
                axes.plot(sizes, smooth, "--", color=colour, lw=0.8, label=label)
            axes.legend(loc="upper left", fontsize=6)
        known = [shares.min() for _, shares in points.values()]
        panels[0].set_ylim(min(known, default=SHOWN / 10) / 3, SHOWN)
        panels[0].set_ylabel("unexplained share of the shift")
        return save(run, {"lazy-limit": figure}, {"lazy-limit": table})


def _lines(rule: str, theory: str, sizes: np.ndarray, shares: np.ndarray) -> list[dict[str, str]]:
    """Lines of the table: every step size, with the slope from the one before."""
    slopes = ["", *(f"{slope:.2f}" for slope in np.diff(np.log(shares)) / np.diff(np.log(sizes)))]
    return [
        {
            "rule": rule,
            "theory": theory,
            "step_size": f"{size:g}",
            "unexplained": f"{share:.3g}",
            "slope": slope,
        }
        for size, share, slope in zip(sizes, shares, slopes, strict=True)
    ]


def _kl(target: np.ndarray, predicted: np.ndarray) -> float:
    """Mean KL (nats) over seeds and contexts, of answers (..., c, a) that are normalised here."""
    both = (answers.astype(float) for answers in (target, predicted))
    p, q = (answers - np.logaddexp.reduce(answers, axis=-1, keepdims=True) for answers in both)
    return float(np.mean(np.sum(np.exp(p) * (p - q), axis=-1)))
