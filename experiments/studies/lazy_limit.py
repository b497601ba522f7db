"""How fast do the linear and the quadratic forecast become exact as finetuning gets shorter?

The networks of weird-generalisation are finetuned for the same number of steps at a step size η and at its
halves. To first order they move by d ∝ η. In a smooth network the expansion to order k errs by d^(k+1) in
log-probability, so its KL falls like η^(2k+2), against a shift like η²: what is left unexplained falls like
η^(2k), η² for the linear forecast (the eNTK) and η⁴ for the quadratic one.

Two things may break that. ReLUs: d moves a share ∝ d of them across their kink, each by ∝ d, an error ∝ d²
that no derivative at w0 knows; the quadratic forecast then falls like η², too. And Adam, whose first steps
are ±η whatever the gradient's size: where a gradient nearly vanishes, its sign is not smooth. What of it is
the ReLUs' shows with networks that have none:

    finebayes run lazy-limit --activation gelu
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments.design.config import FULL, SMOKE
from experiments.studies import weird_generalisation as shared
from theory.errors import Misuse

ORDERS = {"linearised": 1, "quadratic": 2}
ROUNDING = 1e-10  # nats: below it KL is that of float32's rounding, in training too


@dataclass(frozen=True)
class Config(shared.Config):
    """As in weird-generalisation, at several step sizes and one dose."""

    finetuned_topics: tuple[str, ...] = ("0,1,2",)
    """The topics of D', comma-separated, one arm of the study each."""
    doses: tuple[int, ...] = (32,)
    """Finetuning steps; the figure is of the last."""
    seeds: int = 2
    """Finetuning seeds for each base network."""
    temperatures: tuple[float, ...] = ()
    """None: no posterior is sampled."""
    sgd_rate: float = 0.032
    """Largest step size of SGD."""
    adam_rate: float = 0.0012
    """Largest step size of Adam."""
    halvings: int = 5
    """How often they are halved."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.halvings < 1:
            raise Misuse(f"halvings must be at least 1, got {self.halvings}.")


PRESETS = {
    "smoke": Config(**{**SMOKE, "doses": (8,)}, methods=("sgd",), halvings=2),
    "small": Config(),
    "full": Config(**FULL),
}


def rates(config: Config) -> dict[str, tuple[str, float]]:
    """Every way of finetuning: its rule and its step size."""
    start = {"sgd": config.sgd_rate, "adam": config.adam_rate}
    steps = [
        (rule, start[rule] / 2**halving) for rule in config.methods for halving in range(config.halvings + 1)
    ]
    return {f"{rule}-{rate:g}": (rule, rate) for rule, rate in steps}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from models.finetuning.adam import Adam
    from models.finetuning.sgd import Sgd

    told = shared.comparison(config)
    rules = {"sgd": Sgd, "adam": Adam}
    methods = {name: rules[rule](rate) for name, (rule, rate) in rates(config).items()}
    return replace(told, methods=methods, theories=("quadratic",))


def unexplained(results: Any, config: Config) -> dict[tuple[str, str], np.ndarray]:
    """Step sizes, ascending, and the share that is left on held-out contexts: (2, r) by rule and theory.

    From the answers on disk, normalised in double precision: KL is then of second order in their rounding.
    """
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    done = results.cells()
    for name, (rule, rate) in rates(config).items():
        left, shift = dict.fromkeys(ORDERS, 0.0), 0.0
        for place in (cell.removeprefix(f"{name}-") for cell in done if cell.startswith(f"{name}-")):
            theories, dynamics = f"theories-{place}", f"dynamics-{name}-{place}"
            if theories in done and dynamics in done:
                told, said = results.load(theories), results.load(dynamics)
                inside = told["group"] == "held_out"
                target = results.load(f"{name}-{place}")["finetuned"][:, -1, inside]
                shift += _kl(target, told["base"][inside])
                for theory in left:
                    left[theory] += _kl(target, said[theory][:, -1, inside])
        for theory, nats in left.items():
            if nats > ROUNDING:
                found.setdefault((rule, theory), []).append((rate, nats / shift))
    return {key: np.transpose(sorted(points)) for key, points in sorted(found.items())}


def _kl(left: np.ndarray, right: np.ndarray) -> float:
    """Mean KL (nats) over seeds and contexts, of answers that are normalised here."""
    both = (each.astype(float) for each in (left, right))
    sure, told = (each - np.logaddexp.reduce(each, axis=-1, keepdims=True) for each in both)
    return float(np.mean(np.sum(np.exp(sure) * (sure - told), axis=-1)))


def exponent(points: np.ndarray) -> float:
    """The slope between the two smallest step sizes, in logarithms; nan for a single one."""
    rate, left = np.log(points[:, :2])
    return float((left[1] - left[0]) / (rate[1] - rate[0])) if points.shape[1] > 1 else float("nan")


def draw(results: Any) -> list[Any]:
    """What is left unexplained against the step size, with the slopes that are expected."""
    from matplotlib.figure import Figure

    from experiments.figures.style import WIDTH, save, style
    from experiments.scoring.labels import METHODS

    told = results.config["config"].items()
    known: Any = {key: tuple(value) if isinstance(value, list) else value for key, value in told}
    config = Config(**known)
    found, table = unexplained(results, config), []
    with style():
        figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
        panels = figure.subplots(1, len(config.methods), sharey=True, squeeze=False)[0]
        for axes, rule in zip(panels, config.methods, strict=True):
            axes.set(xscale="log", yscale="log", xlabel="step size η", title=METHODS.get(rule, rule))
            for (theory, order), colour in zip(ORDERS.items(), ("C0", "C3"), strict=True):
                points = found.get((rule, theory))
                if points is None:
                    continue
                rate, left = points
                slopes = [None, *np.diff(np.log(left)) / np.diff(np.log(rate))]
                for step, share, slope in zip(rate, left, slopes, strict=True):
                    told = {"unexplained": f"{share:.3g}", "slope": "" if slope is None else f"{slope:.2f}"}
                    table.append({"rule": rule, "theory": theory, "step_size": f"{step:g}"} | told)
                label = f"{theory}: slope {exponent(points):.2f} at the left end"
                axes.plot(rate, left, "o-", color=colour, label=label)
                line = left[0] * (rate / rate[0]) ** (2 * order)
                smooth = f"if all were smooth: η{'²⁴'[order - 1]}"
                axes.plot(rate, line, "--", color=colour, lw=0.8, label=smooth)
            axes.margins(y=0.35)
            axes.legend(loc="upper left")
        panels[0].set_ylabel("unexplained share of the shift")
        return save(results, {"lazy-limit": figure}, {"lazy-limit": table})
