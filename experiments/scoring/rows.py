"""From answers on disk to rows and to the scorecard. Numpy only: everything here can be redone at any time.

A row is one (cell, dose, theory, prior, grade, group) with a value for each finetuning seed, in nats:

    nats      mean over the group's contexts of KL(finetuned ‖ theory)
    shift     the same for the base network: what there is to explain
    order     the same for the twin that met D' in another order: the noise floor
    seed      the same for a network pretrained from another seed, finetuned on the same D'
    ceiling   the same for the best member of the theory's class, fitted to this very group

A `fitted` β is chosen for each network and dose on the in-domain contexts alone, and is scored on the other
groups alone. A `law` has two constants, fitted on other doses and seeds (experiments.scoring.dose_law). A
`forecast` has no fitted number. What is made of the rows is in experiments.scoring.scorecard.
"""

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from experiments.scoring.dose_law import SPLIT, law
from experiments.scoring.scorecard import FITTED_ON
from experiments.scoring.scorecard import ratio as ratio
from experiments.scoring.scorecard import scorecard as scorecard
from experiments.storage.run_folder import Arrays, Results
from experiments.storage.seal import check, is_forecast
from theory.divergence.convex_hull import nearest
from theory.divergence.mixture_fit import fit_weights

KEYS = (
    "study",
    "method",
    "dose",
    "theory",
    "grade",
    "group",
    "explained",
    "standard_error",
    "floor",
    "ceiling",
    "nats",
    "seeds",
)
FINE = 200  # a ladder is refined to at least so many strengths, by interpolation in log-probability
MIXTURES = ("tempered-posterior", "exchangeable-mixture")
REPLAYED = ("linearised", "quadratic", "relinearised")  # theories that follow a method step by step
Numbers = list[list[float]]
Refined = Callable[[str], tuple[np.ndarray, np.ndarray]]  # strengths and rungs of THEORY/PRIOR
Ceilings = dict[str, np.ndarray] | None
Prediction = tuple[str, str, str, np.ndarray, np.ndarray | None, Ceilings, np.ndarray | None]


def rows(results: Results) -> list[dict[str, Any]]:
    """The table of everything that is finished, in a fixed order."""
    config, cells = results.config, results.cells()
    places: dict[tuple[str, str], list[str]] = {}  # the ways of finetuning at each arm and base
    for cell in cells:
        name, arm, base = cell.rsplit("-", 2)
        if not is_forecast(cell) and f"theories-{arm}-{base}" in cells:
            places.setdefault((arm, base), []).append(name)
    found = {}
    for (arm, base), names in places.items():
        fine = refined(predictions(results, f"{arm}-{base}", names[0]))  # of ladders, which all share
        for name in names:
            cell = f"{name}-{arm}-{base}"
            told = predictions(results, f"{arm}-{base}", name)
            other = _other_base(cells, name, arm, int(base))
            rival = results.load(other)["finetuned"] if other else None
            named = {"study": config["study"], "method": name, "data": arm, "base": int(base)}
            plan = {"doses": config["config"]["doses"], **forecast_strengths(config["config"], name, arm)}
            scored = _cell_rows(plan, told, fine, results.load(cell), rival)
            found[cell] = [{**named, **row} for row in scored]
    return [row for cell in sorted(found) for row in found[cell]]


def predictions(results: Results, place: str, method: str) -> Arrays:
    """What theories say of METHOD at ARM-BASE; sampled posteriors and dynamics where they are finished."""
    told, done = results.load(f"theories-{place}"), results.cells()
    for cell in (f"langevin-{place}", f"dynamics-{method}-{place}"):
        told |= results.load(cell) if cell in done else {}
    return told


def table(results: Results) -> list[dict[str, Any]]:
    """The rows that were saved, or else those of what is finished; refused under a broken seal."""
    check(results)
    return results.rows() or rows(results)


def _cell_rows(
    plan: dict[str, Any], theories: Arrays, fine: Refined, arrays: Arrays, rival: np.ndarray | None
) -> Iterator[dict[str, Any]]:
    target = arrays["finetuned"]
    entropy = np.sum(np.exp(target) * target, axis=-1)  # (s, d, c)
    groups = {str(name): theories["group"] == name for name in dict.fromkeys(theories["group"])}

    def nats(told: np.ndarray) -> np.ndarray:
        """KL(finetuned ‖ told) at every context, (s, d, c), for as many finetuning seeds as are told."""
        some = target[: len(told)] if told.ndim == target.ndim else target
        return np.maximum(entropy[: len(some)] - np.sum(np.exp(some) * told, axis=-1), 0.0)

    def means(gap: np.ndarray | None) -> dict[str, Numbers]:
        """Of every group, at every dose a value for each seed."""
        return {} if gap is None else {g: _numbers(gap[..., c].mean(axis=-1)) for g, c in groups.items()}

    shift, order = means(nats(theories["base"])), means(nats(arrays["twin"]))
    seed = means(nats(rival) if rival is not None else None)
    for theory, prior, grade, told, betas, ceilings, converged in every_prediction(
        plan, theories, arrays, groups, fine
    ):
        gap, some = nats(told), len(told)
        missed, strengths = means(gap), _numbers(betas) if betas is not None else None
        for group, inside in groups.items():
            ceiling = _numbers(ceilings[group]) if ceilings else missed[group]
            # past the end of a ladder, and at a dose that the law has seen, nothing is said
            for index in np.flatnonzero(np.isfinite(gap[..., inside]).all(axis=(0, 2))):
                yield {
                    "dose": plan["doses"][index],
                    "theory": theory,
                    "prior": prior,
                    "grade": grade,
                    "split": SPLIT if grade == "law" else None,
                    "group": group,
                    "beta": strengths[index] if strengths else None,
                    "nats": missed[group][index],
                    "shift": shift[group][index][:some],
                    "order": order[group][index][:some],
                    "seed": seed[group][index][:some] if seed else None,
                    "ceiling": ceiling[index],
                    "trusted": None if converged is None else converged[:, index].tolist(),
                }


def every_prediction(
    plan: dict[str, Any], theories: Arrays, arrays: Arrays, groups: dict[str, np.ndarray], fine: Refined
) -> Iterator[Prediction]:
    """Every theory's answers (s, d, c, a), its β (s, d), its ceilings {group: (s, d) nats}, and whether the
    chains behind it passed the gate (s, d). A sampled theory may tell of the first finetuning seeds alone.
    `fine` is `refined(theories)`, or that of other methods there."""
    target = arrays["finetuned"]
    free = functools.cache(lambda group: _free_weights(target, theories, groups[group]))
    base = np.broadcast_to(theories["base"], target.shape)
    yield "unchanged", "network", "forecast", base, None, None, None
    for theory in REPLAYED:
        if theory in theories:
            yield theory, "network", "forecast", theories[theory], None, None, None
    for name in sorted(key for key in theories if key.startswith("ladder/")):
        _, theory, prior = name.split("/")
        coarse = theories[f"betas/{theory}/{prior}"]
        betas, rungs = fine(f"{theory}/{prior}")
        target = arrays["finetuned"][: len(rungs)]
        problems = theories.get(f"problems/{theory}/{prior}")
        inside = groups[FITTED_ON]
        chosen = _fit(target[..., inside, :], rungs[..., inside, :])
        told = taken(rungs, chosen)
        ceilings = {
            group: (
                np.minimum(free(group), _gap(target, told, inside))
                if theory in MIXTURES
                else _path_ceiling(target[..., inside, :], rungs[..., inside, :])
            )
            for group, inside in groups.items()
        }
        yield (
            theory,
            prior,
            "fitted",
            told,
            betas[chosen],
            ceilings,
            _trusted(problems, coarse, betas[chosen]),
        )
        by_law = law(np.asarray(plan["doses"]), betas[chosen])
        if by_law is not None:
            few = len(by_law)
            near, told = _at(betas, rungs[:few], by_law)
            sound = _trusted(problems, coarse, near)
            yield theory, prior, "law", told, near, {k: v[:few] for k, v in ceilings.items()}, sound
        forecast = plan.get(theory)
        time = theories.get(f"time/{theories.get(f'clock/{theory}/{prior}')}")
        if time is not None:  # told by τ, which is ∝ β
            forecast = time * (coarse[-1] / theories[f"times/{theory}/{prior}"][-1])
        if forecast is not None:
            near, told = _at(betas, rungs, np.broadcast_to(forecast, (len(rungs), len(forecast))))
            yield theory, prior, "forecast", told, near, ceilings, _trusted(problems, coarse, near)


def forecast_strengths(config: dict[str, Any], method: str, arm: str) -> dict[str, np.ndarray]:
    """β without a fitted number, at every dose, from the recipe alone.

    tempered-posterior   each pass over D' counts it once, β = steps × batch / n; one that teaches tells its β

    Theories over weights are told by the method's training time instead, on disk (experiments.cells.clock).
    """
    doses, n = np.asarray(config["doses"], float), config["n"]
    own = re.search(r"b(\d+)$", arm)  # an arm with a batch of its own says so
    batch = int(own.group(1)) if own else config["batch"]
    strengths = {"tempered-posterior": doses * batch / n}
    if config.get("fresh"):
        strengths["tempered-posterior"] = doses / doses[-1]
    if method == "distillation" and "teacher" in config:
        strengths["tempered-posterior"] = np.full(len(doses), config["teacher"])
    return strengths


def _trusted(problems: np.ndarray | None, rungs: np.ndarray, betas: np.ndarray) -> np.ndarray | None:
    """Whether the rungs next to each β (s, d), on both sides, have no problem; None without chains."""
    if problems is None:
        return None
    sound = problems == ""
    above = np.clip(np.searchsorted(rungs * (1 + 1e-6), betas), 0, len(rungs) - 1)
    below = np.where(rungs[above] <= betas * (1 + 1e-6), above, np.maximum(above - 1, 0))
    rows = np.arange(len(sound))[:, None]
    return sound[rows, above] & sound[rows, below]


def refined(theories: Arrays) -> Refined:
    """The finer ladder of every THEORY/PRIOR, made when it is first asked for."""
    return functools.cache(lambda name: finer(theories[f"betas/{name}"], theories[f"ladder/{name}"]))


def finer(betas: np.ndarray, rungs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """More rungs by straight lines in log-probability (renormalised) and in log β; in β up to the first."""
    count = -(-FINE // (len(betas) - 1))
    parts = np.arange(count) / count
    low, high = rungs[:, :-1, None], rungs[:, 1:, None]
    with np.errstate(invalid="ignore"):  # 0 × -inf; an answer that a rung rules out is ruled out beside it
        between = np.where(
            parts[:, None, None] > 0, (1 - parts[:, None, None]) * low + parts[:, None, None] * high, low
        )
    between = between.reshape(rungs.shape[0], -1, *rungs.shape[2:])
    between = np.concatenate([between, rungs[:, -1:]], axis=1)
    between -= np.log(np.sum(np.exp(between), axis=-1, keepdims=True))
    place = np.arange(between.shape[1]) / count
    fine = np.exp(np.interp(place, np.arange(1, len(betas)), np.log(betas[1:])))
    fine[: count + 1] = betas[0] + place[: count + 1] * (betas[1] - betas[0])
    return fine, between


def _cross(target: np.ndarray, rungs: np.ndarray) -> np.ndarray:
    """-Σ p log q over contexts and answers, (s, d, b): one matrix product a seed; ∞ where q is missing."""
    weights = np.exp(target).reshape(*target.shape[:2], -1)
    cross = -np.einsum("sdx,sbx->sdb", weights, rungs.reshape(*rungs.shape[:2], -1), optimize=True)
    return np.where(np.isnan(cross), np.inf, cross)


def _fit(target: np.ndarray, rungs: np.ndarray) -> np.ndarray:
    """The rung of least mean KL for every network and dose, (s, d)."""
    return _cross(target, rungs).argmin(axis=-1)


def _at(betas: np.ndarray, rungs: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The β nearest to the wanted ones (s, d) and its answers, nan past the end of what was solved."""
    lost = np.isnan(rungs[..., 0, 0])[:, None]
    chosen = np.where(lost, np.inf, np.abs(betas - np.nan_to_num(wanted)[..., None])).argmin(axis=-1)
    ends = np.where(lost[:, 0], -np.inf, betas).max(axis=-1, keepdims=True)
    told = wanted <= ends * (1 + 1e-3)
    return betas[chosen], np.where(told[..., None, None], taken(rungs, chosen), np.nan)


def taken(rungs: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Of rungs (s, b, c, a) those that are chosen (s, d): (s, d, c, a)."""
    return rungs[np.arange(rungs.shape[0])[:, None], chosen]


def _path_ceiling(target: np.ndarray, rungs: np.ndarray) -> np.ndarray:
    """The least mean KL any rung reaches on these contexts, (s, d)."""
    entropy = np.sum(np.exp(target) * target, axis=(-1, -2))
    return np.maximum(entropy + _cross(target, rungs).min(axis=-1), 0.0) / target.shape[-2]


def _free_weights(target: np.ndarray, theories: Arrays, inside: np.ndarray) -> np.ndarray:
    """The least mean KL any weights over the personas reach on these contexts, (s, d)."""
    answers = target[..., inside, :].reshape(-1, int(inside.sum()), target.shape[-1])
    components, evidence = theories["members"][:, inside], theories["evidence"][:, inside]
    if (evidence == evidence[0]).all():  # contexts that tell nothing of the persona: convex, solved exactly
        least = nearest(answers, components).nats
    else:
        _, least = fit_weights(answers, components, evidence)
    return least.reshape(target.shape[:2])


def _gap(target: np.ndarray, told: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Mean KL(target ‖ told) on these contexts, (s, d)."""
    terms = np.exp(target) * (target - told)
    return np.maximum(terms[..., inside, :].sum(axis=-1).mean(axis=-1), 0.0)


def _other_base(cells: list[str], name: str, arm: str, base: int) -> str | None:
    """The cell of the next base network, cyclically: the same D', another pretraining seed."""
    bases = sorted(int(cell.rsplit("-", 1)[1]) for cell in cells if cell.rsplit("-", 1)[0] == f"{name}-{arm}")
    if len(bases) < 2:
        return None
    return f"{name}-{arm}-{bases[(bases.index(base) + 1) % len(bases)]}"


def _numbers(values: np.ndarray) -> Numbers:
    """Of (s, d) numbers those of every dose, with seven significant digits: what float32 holds."""
    return [[float(f"{value:.7g}") for value in dose] for dose in values.T.tolist()]
