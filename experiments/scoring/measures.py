"""Measures known before any finetuning, by method, D', base network and dose, as columns. Numpy only.

What they mean stands at the fields of `Measures`; docs/theory.md derives them. Those that take weights were
made with the cells (`experiments.cells.measures`); the others are arithmetic on cells of theories and
replays. Nothing of a finetuned network is read, so a seal of the forecasts covers them. Means are over
finetuning seeds, contexts are the held-out ones, and a forecast is the linear theory's.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean

import numpy as np

from experiments.scoring.fits import mean_kl
from experiments.scoring.labels import FITTED_ON
from experiments.storage.contents import Contexts, ReplayCell, TheoryCell
from experiments.storage.records import Cell, Json
from experiments.storage.run import Run
from experiments.storage.run_folder import RunFolder
from theory.latent.effects import common_share, projected_share

LINEAR, QUADRATIC, HELD_OUT = "linearised", "quadratic", "held_out"
Number = float | None


@dataclass(frozen=True)
class Measures:
    """Measures of one method, D', base network and dose, known before finetuning; None where they are not."""

    study: str
    method: str
    data: str
    draw: int
    base: int
    dose: int
    common_share: Number = None
    """Share of the hypotheses' effect on answers that topics have in common, in the process."""
    common_share_network: Number = None
    """The same as the base network holds it."""
    effect_network: Number = None
    """Size of that effect in the base network, beside exact inference."""
    evidence: Number = None
    """Log Bayes factor (nats) of D' for its best hypothesis, exactly."""
    inference_exact: Number = None
    """Nats a document of D' that inferring the hypothesis is worth, exactly."""
    inference_network: Number = None
    """The same as the base network infers."""
    learnt: Number = None
    """Share of inference that the base network has learnt, over documents of the process."""
    marginal_leak: Number = None
    """Share of what D' teaches that one bias for each answer could learn."""
    base_entropy: Number = None
    """Entropy (nats) of the base network's answers."""
    weight_norm: Number = None
    """Euclidean norm of the base network's weights."""
    kernel_alignment: Number = None
    """Tangent kernel between D' and held-out contexts beside that inside contexts, in the method's metric."""
    transfer: Number = None
    """Cosine of the gradients towards D's best hypothesis in D' and held-out contexts, in that metric."""
    kappa: Number = None
    """Second order of the answers beside the first, along the forecast's displacement of weights."""
    relative_step: Number = None
    """Length of that displacement beside that of the weights."""
    forecast_shift: Number = None
    """KL (nats) of the forecast from the base network."""
    bias_share: Number = None
    """Share of the forecast's change of log-probabilities that one bias for each answer reaches."""
    persona_share: Number = None
    """Share of that change along the best hypothesis against the process."""
    mixture_share: Number = None
    """Share of it along any change of the weights of hypotheses."""
    quadratic_gap: Number = None
    """Share of the quadratic theory's forecast that the linear one misses, where a study asks for both."""


CANDIDATES = tuple(
    field.name
    for field in fields(Measures)
    if field.name not in ("study", "method", "data", "draw", "base", "dose")
)
"""Names of the measures."""


def measures(run: Run) -> list[Measures]:
    """Every method, D', base network and dose whose forecasts are finished; none where none were made."""
    learnt = _learnt(run)
    every = []
    for cell in run.cells("replays"):
        theories, replays = run.theories(cell), run.replays(cell)
        if theories is not None and replays is not None and theories.measures:
            every += _of_cell(run, cell, theories, replays, learnt.get(cell.base))
    return every


def judged(groups: Sequence[str]) -> str:
    """The group of contexts that measures are of: `held_out`, or the first that is not `in_domain`."""
    others = [group for group in groups if group != FITTED_ON]
    return HELD_OUT if HELD_OUT in others else next(iter(others), FITTED_ON)


def kappa(first: np.ndarray, second: np.ndarray) -> float:
    """√(Σ second / Σ first) of the variances of the second-order and the first-order term; nan without a
    first."""
    below = float(np.sum(first, dtype=float))
    return float(np.sqrt(np.sum(second, dtype=float) / below)) if below > 0 else float("nan")


def averaged(every: Sequence[Measures]) -> Json:
    """Means of the measures over base networks, of those that are known; all others None."""
    columns = {
        name: [value for part in every if (value := getattr(part, name)) is not None] for name in CANDIDATES
    }
    return {name: fmean(values) if values else None for name, values in columns.items()}


def records(run: Run) -> list[Json]:
    """The measures as plain values, a line each."""
    return [asdict(line) for line in measures(run)]


def _of_cell(
    run: Run, cell: Cell, theories: TheoryCell, replays: ReplayCell, learnt: float | None
) -> list[Measures]:
    contexts, known = theories.contexts, theories.measures | replays.measures
    group = judged(contexts.groups)
    held, inside = contexts.of(group), contexts.inside(group)
    fixed = {name: _mean(known[name]) for name in CANDIDATES if name in known and known[name].ndim < 2}
    fixed |= {
        "common_share": common_share(by_topic(contexts)),
        "base_entropy": float(-np.mean(np.sum(np.exp(held.base) * held.base, axis=-1))),
        "marginal_leak": _leak(theories.reachable),
        "learnt": learnt,
    }
    forecast = replays.predictions.get(LINEAR)
    changes = {}
    if forecast is not None:
        changes = _changes(forecast[..., inside, :], held, known["best_hypothesis"])
        if QUADRATIC in replays.predictions:
            second = replays.predictions[QUADRATIC][..., inside, :]
            changes["quadratic_gap"] = _gap(second, forecast[..., inside, :], held.base)
    lines = []
    for index, dose in enumerate(run.doses):
        of_dose = {name: _mean(part[:, index]) for name, part in changes.items()}
        if "first_order" in known:
            orders = (known[name][:, index, inside] for name in ("first_order", "second_order"))
            of_dose |= {"kappa": kappa(*orders), "relative_step": _mean(known["relative_step"][:, index])}
        panel = run.study, cell.method, cell.arm, run.draw(cell.base), cell.base, dose
        values = {name: _number(value) for name, value in (fixed | of_dose).items()}
        lines.append(Measures(*panel, **values))
    return lines


def by_topic(contexts: Contexts) -> np.ndarray:
    """Answers of every hypothesis (k, topics, a) to the questions of first in-domain and held-out contexts,
    a mean over the contexts of each."""
    used = contexts.calibration | contexts.inside(judged(contexts.groups))
    topics = list(dict.fromkeys(contexts.questions[used].tolist()))
    return np.stack(
        [contexts.components[:, used & (contexts.questions == topic)].mean(axis=1) for topic in topics],
        axis=1,
    )


def _changes(forecast: np.ndarray, held: Contexts, best: np.ndarray) -> dict[str, np.ndarray]:
    """Of a forecast (s, d, c, a) its size and the shares of its change, (s, d) each."""
    change = forecast.astype(float) - held.base
    biases = np.broadcast_to(np.eye(change.shape[-1])[:, None], (change.shape[-1], *held.base.shape))
    with np.errstate(invalid="ignore"):
        hypotheses = np.where(np.isneginf(held.exact), 0.0, held.components - held.exact)
    return {
        "forecast_shift": mean_kl(forecast, held.base),
        "bias_share": projected_share(change, biases, held.base),
        "persona_share": np.stack(
            [projected_share(part, hypotheses[[z]], held.base) for part, z in zip(change, best, strict=True)]
        ),
        "mixture_share": projected_share(change, np.exp(hypotheses), held.base),
    }


def _gap(second: np.ndarray, first: np.ndarray, base: np.ndarray) -> np.ndarray:
    """1 - explained (s, d) of one forecast, had the network followed another; nan where that does not
    move."""
    shift = mean_kl(second, base)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(shift > 0, mean_kl(second, first) / shift, np.nan)


def _leak(reachable: np.ndarray | None) -> float | None:
    """Of losses (s, 3) on D': base network, best bias, best hypothesis."""
    if reachable is None:
        return None
    base, biased, best = np.sum(reachable, axis=0, dtype=float)
    return float((base - biased) / (base - best)) if base > best else None


def _learnt(run: Run) -> dict[int, float]:
    quality = run.quality() if isinstance(run, RunFolder) else None
    if quality is None:
        return {}
    return {base: 1 - network.mean / quality.uninformed for base, network in enumerate(quality.networks)}


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values, dtype=float))


def _number(value: float | None) -> float | None:
    """With seven digits; None for what is not finite."""
    return float(f"{value:.7g}") if value is not None and np.isfinite(value) else None
