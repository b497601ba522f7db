"""Where the best theory without a fitted number errs: contexts, questions, layers, directions. Numpy only.

    best        the forecast that explains most at its worst dose, of those that speak at every dose
    residual    of the best forecast, KL(finetuned ‖ theory) in nats
    linear      the linear theory: the network's expansion at w0, finetuned in the same way
    gap         the update w - w0 less that of the linear theory, in full weights
    leading     the directions in which D' curves the loss most at w0: eigenvectors of Gauss-Newton

Residuals are means over all networks. Updates are those of the first finetuning seed, and their numbers means
over base networks. What is not on disk (an unfinished run, an older folder) is left out.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments.scoring import rows as scoring
from experiments.scoring.labels import nats, number, panels
from experiments.scoring.leaderboard import (
    RULE,
    UNCHANGED,
    Column,
    Line,
    Theory,
    column,
    theories,
    theory_name,
)
from experiments.scoring.scorecard import RESOLUTION
from experiments.storage.run_folder import Arrays, Results
from theory.divergence.residual import Split, captured, concentration, kl, layers, split

LEADING = (1, 4, 16)  # directions
ROUNDING = 1e-4  # of an update: a smaller gap is what float32 leaves of w - w0, and has no direction
NOISE = 1e-6  # of the largest curvature
PARTS = {"the largest": 0.0, "a tenth": 0.1, "a quarter": 0.25}  # of the contexts
ALL = "all weights"
ABOUT = (
    f"{RULE} Residuals are means over all networks. Updates w − w0 are those of the first finetuning seed, "
    "and their numbers means over base networks. The linear theory finetunes the network linearised at w0; "
    "the gap is what it misses of the update. Leading directions are those in which D′ curves the loss most "
    "at w0 (eigenvectors of its Gauss-Newton matrix)."
)
Table = list[list[str]]


@dataclass(frozen=True)
class Where:
    """One method on one D', at e doses: the small one and the large one.

    theory      the best forecast
    residual    mean residual at every context, nats, (e, c)
    groups      the same by group of contexts, `questions` by what is asked, (e, g)
    moved       (e, layers, 6): norms of update and linear theory's, cosine and relative error of the two,
                shares of ‖update‖² and of ‖gap‖²; the last of the `layers` are all weights
    inside      (e, 2, 3): what the 1, 4 and 16 leading directions, of `weights`, hold of ‖update‖² and ‖gap‖²
    """

    name: str
    theory: str
    doses: tuple[int, ...]
    residual: np.ndarray
    groups: Split
    questions: Split
    layers: tuple[str, ...] = ()
    moved: np.ndarray | None = None
    inside: np.ndarray | None = None
    weights: int = 0

    @property
    def tables(self) -> dict[str, Table]:
        """Captions, each with a table whose first row is a header."""
        told = {
            f"Residual of {self.theory}, by group of contexts": _split_table(self, "group", self.groups),
            "The same, by question asked": _split_table(self, "question", self.questions),
            "Share of it in the contexts that have most": _concentration_table(self),
            "The update and the linear theory's, layer by layer": _layer_table(self),
            f"Leading directions, of {self.weights}: what they hold of ‖update‖², ‖gap‖²": _leading_table(
                self
            ),
        }
        return {caption: table for caption, table in told.items() if len(table) > 1}


def where(results: Results, lines: list[Line]) -> list[Where]:
    """For every method and D': what is on disk about its best forecast."""
    known = [line for line in lines if (line["theory"], line["group"]) == (UNCHANGED[0], scoring.FITTED_ON)]
    told = (_where(results, column("", lines, *panel)) for panel in panels(known))
    return [one for one in told if one]


def best(one: Column) -> Theory | None:
    """The forecast with the best worst dose, of those that speak wherever the shift exceeds its noise."""
    doses = {line["dose"] for line in one.of(UNCHANGED) if line["explained"] is not None}
    worst = {
        theory: line["explained"]
        for theory in theories([one])
        if (line := one.worst(theory)) and theory[2] == "forecast"
        if {line["dose"] for line in one.of(theory)} >= doses
    }
    return max(worst, key=lambda theory: worst[theory], default=None)


def sentences(found: list[Where]) -> list[str]:
    """What the tables say at the large dose, over all methods and D': counts and medians."""
    return [*_of_contexts(found), *_of_layers(found), *_of_directions(found)]


def _where(results: Results, one: Column) -> Where | None:
    theory, config, done = best(one), results.config["config"], results.cells()
    if theory is None:
        return None
    doses = tuple(dict.fromkeys((one.small, one.large)))
    at = [config["doses"].index(dose) for dose in doses]
    answers, moved, inside, names, weights, told = [], [], [], (), 0, {}
    for cell in done:
        name, data, base = cell.rsplit("-", 2)
        if (name, data) != (one.method, one.data) or f"theories-{data}-{base}" not in done:
            continue
        arrays, told = results.load(cell), scoring.predictions(results, f"{data}-{base}", name)
        said = _forecast(config, one, theory, told, arrays)
        if said is not None and np.isfinite(said[:, at]).all():
            finetuned = arrays["finetuned"][: len(said), at]
            answers.append((finetuned, said[:, at], np.broadcast_to(told["base"], finetuned.shape)))
        update, linear, modes = (
            {leaf: tree[f"{kind}/{leaf}"].astype(float) for leaf in _leaves(tree, kind)}
            for tree, kind in ((arrays, "update"), (told, "update"), (told, "mode"))
        )
        if update and update.keys() == linear.keys():
            names = (*update, ALL)
            moved.append([_moved(update, linear, dose) for dose in at])
            if modes.keys() == update.keys():
                ours, theirs, vectors = map(_rows, (update, linear, modes))
                weights = vectors.shape[1]
                inside.append(_inside(ours[at], ours[at] - theirs[at], told["curvatures"], vectors))
    if not answers:
        return None
    finetuned, said, base = map(np.concatenate, zip(*answers, strict=True))
    covered = set(told["asked"][told["group"] == scoring.FITTED_ON].tolist())
    questions = [f"{one} (in D′)" if one in covered else str(one) for one in told["asked"].tolist()]
    return Where(
        one.name,
        theory_name(theory),
        doses,
        np.maximum(kl(finetuned, said).mean(axis=0), 0.0),
        _over_networks(split(finetuned, said, base, told["group"])),
        _over_networks(split(finetuned, said, base, questions)),
        names,
        np.mean(moved, axis=0) if moved else None,
        np.mean(inside, axis=0) if inside else None,
        weights,
    )


def _forecast(config: dict[str, Any], one: Column, theory: Theory, told: Arrays, arrays: Arrays) -> Any:
    """A forecast's answers at every dose, (s, d, c, a)."""
    plan = {"doses": config["doses"], **scoring.forecast_strengths(config, one.method, one.data)}
    groups = {scoring.FITTED_ON: told["group"] == scoring.FITTED_ON}
    ladder = f"ladder/{theory[0]}/{theory[1]}"
    told = {name: each for name, each in told.items() if name == ladder or not name.startswith("ladder/")}
    predicted = scoring.every_prediction(plan, told, arrays, groups, scoring.refined(told))
    return next((said for name, prior, grade, said, *_ in predicted if (name, prior, grade) == theory), None)


def _over_networks(told: Split) -> Split:
    """Residuals and shifts averaged over the first axis, and the shares that makes (nan of mere rounding)."""
    residual, shift = np.maximum(told.residual.mean(axis=0), 0.0), told.shift.mean(axis=0)
    total = told.count * residual
    sound = total.sum(axis=-1, keepdims=True) >= RESOLUTION * told.count.sum()
    return replace(told, residual=residual, shift=shift, share=np.where(sound, _part(total), np.nan))


def _concentration(residual: np.ndarray) -> np.ndarray:
    return np.where(residual.mean() >= RESOLUTION, concentration(residual), np.nan)


def _leaves(arrays: Arrays, kind: str) -> list[str]:
    return [name.removeprefix(f"{kind}/") for name in arrays if name.startswith(f"{kind}/")]


def _rows(leaves: Arrays) -> np.ndarray:
    """All weights side by side, (rows, p)."""
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves.values()], axis=1)


def _moved(update: Arrays, linear: Arrays, dose: int) -> np.ndarray:
    """Every layer and all weights, (layers, 6)."""
    ours, theirs = ({name: leaf[dose] for name, leaf in tree.items()} for tree in (update, linear))
    told = {**layers(ours, theirs), **layers(ours, theirs, lambda name: ALL)}
    compared = [[each.actual, each.theory, each.cosine, each.relative_error] for each in told.values()]
    sizes = [[np.sum(ours[name] ** 2), np.sum((ours[name] - theirs[name]) ** 2)] for name in ours]
    shares = _part(np.transpose(sizes)) * [[1.0], [np.nan if _rounded(*np.sum(sizes, axis=0)) else 1.0]]
    return np.concatenate([compared, [*shares.T, shares.sum(axis=1)]], axis=1)


def _inside(update: np.ndarray, gap: np.ndarray, values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Shares of update and gap (e, p) in the leading directions, (e, 2, 3); nan where there are too few.

    Lanczos in float32 may end with a Ritz vector that is nothing but rounding: it is 0 and left out."""
    sound = (values > NOISE * values.max()) & (np.linalg.norm(vectors, axis=-1) > 0)
    shares = [captured(each, values[sound], vectors[sound]) for each in (update, gap)]
    told = np.full((len(update), 2, max(LEADING)), np.nan)
    told[..., : shares[0].shape[-1]] = np.stack(shares, axis=1)[..., : max(LEADING)]
    told[_rounded(np.sum(update**2, axis=1), np.sum(gap**2, axis=1)), 1] = np.nan
    return told[..., np.array(LEADING) - 1]


def _rounded(update: Any, gap: Any) -> Any:
    """Whether a gap is rounding alone, from ‖update‖² and ‖gap‖²."""
    return gap <= ROUNDING**2 * update


def _part(sizes: np.ndarray) -> np.ndarray:
    """What each has of the sum over the last axis; nan where that is 0."""
    whole = sizes.sum(axis=-1, keepdims=True)
    return sizes / np.where(whole == 0, np.nan, whole)


def _shift_share(told: Split) -> np.ndarray:
    return _part(told.count * told.shift)


def _of_contexts(found: list[Where]) -> list[str]:
    if not found:
        return []
    said = "The best forecast is {}{}.".format(*_most(found, lambda one: one.theory))
    sound = [one for one in found if np.isfinite(one.groups.share[-1]).all()]
    if not sound:
        return [said]
    group, times = _most(sound, lambda one: str(one.groups.labels[np.argmax(one.groups.share[-1])]))
    there = [one.groups.labels == group for one in sound]
    share = np.median([one.groups.share[-1, rows].sum() for one, rows in zip(sound, there, strict=True)])
    shift = np.median([_shift_share(one.groups)[-1, r].sum() for one, r in zip(sound, there, strict=True)])
    half = np.median([1 + np.sum(_concentration(one.residual[-1]) < 0.5) for one in sound])
    return [
        f"{said} At the large dose its residual is largest on {group} contexts{times}: they hold "
        f"{_percent(share)} of the residual and {_percent(shift)} of the shift. Half of the residual is in "
        f"{half:g} of {np.median([one.residual.shape[1] for one in sound]):g} contexts."
    ]


def _of_layers(found: list[Where]) -> list[str]:
    told = [(one.layers, one.moved) for one in found if one.moved is not None]
    if not told:
        return []
    whole = np.median([moved[[0, -1], -1, 2:4] for _, moved in told], axis=0)
    said = (
        "The linear theory's update and the network's have the cosine "
        f"{number(whole[0, 0])} at the small dose and {number(whole[1, 0])} at the large one, where the gap "
        f"is {_percent(whole[1, 1])} of the update in length."
    )
    sound = [each for each in told if np.isfinite(each[1][-1, -1, 5])]
    if sound:
        layer, times = _most(sound, lambda each: each[0][np.argmax(each[1][-1, :-1, 5])])
        there = np.median([moved[-1, names.index(layer), 4:] for names, moved in sound], axis=0)
        said += f" The gap is largest in {layer}{times}: {_percent(there[1])} of ‖gap‖², for "
        said += f"{_percent(there[0])} of ‖update‖²."
    return [said]


def _of_directions(found: list[Where]) -> list[str]:
    told = np.array([one.inside[-1, :, -1] for one in found if one.inside is not None]).reshape(-1, 2)
    told = told[np.isfinite(told).all(axis=1)]
    if not len(told):
        return []
    update, gap = map(_percent, np.median(told, axis=0))
    less = f", less of the gap than of the update in {np.sum(told[:, 1] < told[:, 0])} of {len(told)} cases"
    return [
        f"The {LEADING[-1]} leading directions hold {update} of ‖update‖² and {gap} of ‖gap‖² at the large "
        f"dose{less if len(told) > 1 else ''}."
    ]


def _split_table(one: Where, kind: str, told: Split) -> Table:
    """The largest share first."""
    table = [["dose", kind, "contexts", "nats", "of the residual", "of the shift", "explained"]]
    shift = _shift_share(told)
    for row, dose in enumerate(one.doses):
        for g in np.argsort(-told.share[row], kind="stable"):
            shares = _percent(told.share[row, g]), _percent(shift[row, g]), number(told.explained[row, g])
            table.append(
                [*map(str, (dose, told.labels[g], told.count[g])), nats(told.residual[row, g]), *shares]
            )
    return table


def _concentration_table(one: Where) -> Table:
    table = [["dose", "contexts", *PARTS, "contexts with half of it"]]
    for dose, residual in zip(one.doses, one.residual, strict=True):
        told, count = _concentration(residual), len(residual)
        shares = [_percent(told[max(1, round(part * count)) - 1]) for part in PARTS.values()]
        half = str(1 + np.sum(told < 0.5)) if np.isfinite(told).all() else "-"
        table.append([str(dose), str(count), *shares, half])
    return table


def _layer_table(one: Where) -> Table:
    table = [["dose", "layer", "‖update‖", "linear", "cosine", "relative error", "of ‖update‖²", "of ‖gap‖²"]]
    for dose, told in zip(one.doses, [] if one.moved is None else one.moved, strict=False):
        for name, (ours, theirs, cosine, error, *shares) in zip(one.layers, told, strict=True):
            norms = f"{ours:.3g}", f"{theirs:.3g}", number(cosine), number(error)
            table.append([str(dose), name, *norms, *map(_percent, shares)])
    return table


def _leading_table(one: Where) -> Table:
    table = [["dose", *(f"{what} in {count}" for what in ("update", "gap") for count in LEADING)]]
    for dose, told in zip(one.doses, [] if one.inside is None else one.inside, strict=False):
        table.append([str(dose), *map(_percent, told.ravel())])
    return table


def _most(found: Sequence[Any], name: Callable[[Any], str]) -> tuple[str, str]:
    """The most common name, and in how many of several cases."""
    common, times = Counter(map(name, found)).most_common(1)[0]
    return common, f" in {times} of {len(found)} cases" if len(found) > 1 else ""


def _percent(share: Any) -> str:
    return "-" if not np.isfinite(share) else f"{100 * share:.{0 if share >= 0.0995 else 1}f} %"
