"""Where the best theory without a fitted number errs: contexts, topics, layers, directions. Numpy only.

    best        the forecast that explains most at its worst dose, of those that speak at every dose
    residual    of the best forecast, KL(finetuned ‖ theory) in nats
    linear      the linear theory: the network linearised at w0, in the full weights to first order
    gap         the update w - w0 less that of the linear theory
    leading     the directions in which D' curves the loss most at w0: eigenvectors of Gauss-Newton

Residuals are means over all networks. Updates are those of the first finetuning seed, and their numbers means
over base networks. What is not on disk (an unfinished run, an older folder) is left out.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments import scoring
from experiments.compare import RULE, UNCHANGED, Column, Line, Theory, column, theories, theory_name
from experiments.results import Arrays, Results
from experiments.words import nats, number, panels
from theory.residual import Split, captured, concentration, kl, layers, split

LEADING = (1, 4, 16)  # directions
ROUNDING = 1e-4  # of an update: a smaller gap is what float32 leaves of w - w0, and has no direction
NOISE = 1e-6  # of the largest curvature
PARTS = {"the largest": 0.0, "a tenth": 0.1, "a quarter": 0.25}  # of the contexts
ALL = "all weights"
ABOUT = (
    f"{RULE} Residuals are means over all networks. Updates w − w0 are those of the first finetuning seed, "
    "and their numbers means over base networks; the linear theory is the network linearised at w0, and the "
    "gap what it misses of the update. Leading directions are those in which D′ curves the loss most at w0 "
    "(eigenvectors of its Gauss-Newton matrix)."
)
Table = list[list[str]]


@dataclass(frozen=True)
class Where:
    """One method on one D', at e doses: the small one and the large one.

    theory      the best forecast
    residual    mean residual at every context, nats, (e, c)
    groups      the same by group of contexts, `topics` by topic asked, (e, g)
    moved       (e, layers, 6): norms of update and linear theory's, cosine and relative error of the two,
                shares of ‖update‖² and of ‖gap‖²; the last of the `layers` are all weights
    inside      (e, 2, 3): what the 1, 4 and 16 leading directions hold of ‖update‖² and of ‖gap‖²
    """

    name: str
    theory: str
    doses: tuple[int, ...]
    residual: np.ndarray
    groups: Split
    topics: Split
    layers: tuple[str, ...] = ()
    moved: np.ndarray | None = None
    inside: np.ndarray | None = None

    @property
    def tables(self) -> dict[str, Table]:
        """Captions, each with a table whose first row is a header."""
        told = {
            f"Residual of {self.theory}, by group of contexts": _split_table(self, "group", self.groups),
            "The same, by topic asked": _split_table(self, "topic", self.topics),
            "The same, in the contexts that have most of it": _concentration_table(self),
            "The update and the linear theory's, layer by layer": _layer_table(self),
            "What the leading directions hold of ‖update‖² and of ‖gap‖²": _leading_table(self),
        }
        return {caption: table for caption, table in told.items() if len(table) > 1}


def where(results: Results, lines: list[Line]) -> list[Where]:
    """For every method and D': what is on disk about its best forecast."""
    unchanged = [line for line in lines if line["theory"] == UNCHANGED[0]]
    told = (_where(results, column("", lines, *panel)) for panel in panels(unchanged))
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
    answers, moved, inside, names, told = [], [], [], (), {}
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
                inside.append(_inside(ours[at], ours[at] - theirs[at], told["curvatures"], vectors))
    if not answers:
        return None
    finetuned, said, base = map(np.concatenate, zip(*answers, strict=True))
    covered = set(told["asked"][told["group"] == scoring.FITTED_ON].tolist())
    topics = [f"{topic} (in D′)" if topic in covered else str(topic) for topic in told["asked"].tolist()]
    return Where(
        one.name,
        theory_name(theory),
        doses,
        kl(finetuned, said).mean(axis=0),
        _over_networks(split(finetuned, said, base, told["group"])),
        _over_networks(split(finetuned, said, base, topics)),
        names,
        np.mean(moved, axis=0) if moved else None,
        np.mean(inside, axis=0) if inside else None,
    )


def _forecast(config: dict[str, Any], one: Column, theory: Theory, told: Arrays, arrays: Arrays) -> Any:
    """A forecast's answers at every dose, (s, d, c, a)."""
    plan = {"doses": config["doses"], **scoring._forecast_strengths(config, one.method, one.data)}
    groups = {scoring.FITTED_ON: told["group"] == scoring.FITTED_ON}
    predicted = scoring._predictions(plan, told, arrays, groups)
    return next((said for name, prior, grade, said, *_ in predicted if (name, prior, grade) == theory), None)


def _over_networks(told: Split) -> Split:
    """Residuals and shifts averaged over the first axis, and the shares that makes."""
    residual, shift = told.residual.mean(axis=0), told.shift.mean(axis=0)
    return replace(told, residual=residual, shift=shift, share=_part(told.count * residual))


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
    return np.concatenate([compared, _part(np.transpose([*sizes, np.sum(sizes, axis=0)]), -1).T], axis=1)


def _inside(update: np.ndarray, gap: np.ndarray, values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Shares of update and gap (e, p) in the leading directions, (e, 2, 3); nan where there are too few."""
    sound = values > NOISE * values.max()
    shares = [captured(each, values[sound], vectors[sound]) for each in (update, gap)]
    told = np.full((len(update), 2, max(LEADING)), np.nan)
    told[..., : shares[0].shape[-1]] = np.stack(shares, axis=1)[..., : max(LEADING)]
    told[np.linalg.norm(gap, axis=1) <= ROUNDING * np.linalg.norm(update, axis=1), 1] = np.nan
    return told[..., np.array(LEADING) - 1]


def _part(sizes: np.ndarray, total: int | None = None) -> np.ndarray:
    """What each has of the sum over the last axis, or of its entry `total`; nan where that is 0."""
    whole = sizes.sum(axis=-1) if total is None else sizes[..., total]
    return sizes / np.where(whole == 0, np.nan, whole)[..., None]


def _shift_share(told: Split) -> np.ndarray:
    return _part(told.count * told.shift)


def _of_contexts(found: list[Where]) -> list[str]:
    if not found:
        return []
    theory, best_in = _most(found, lambda one: one.theory)
    group, largest_in = _most(found, lambda one: str(one.groups.labels[np.argmax(one.groups.share[-1])]))
    share, shift = (
        [of(one.groups)[-1, one.groups.labels == group].sum() for one in found]
        for of in (lambda told: told.share, _shift_share)
    )
    half = np.median([1 + np.sum(concentration(one.residual[-1]) < 0.5) for one in found])
    return [
        f"The best forecast is {theory}{best_in}. Its residual is largest on {group} contexts{largest_in}: "
        f"they hold {_percent(np.median(share))} of the residual and {_percent(np.median(shift))} of the shift. "
        f"Half of the residual is in {half:g} of {np.median([one.residual.shape[1] for one in found]):g} "
        "contexts."
    ]


def _of_layers(found: list[Where]) -> list[str]:
    told = [(one.layers, one.moved) for one in found if one.moved is not None]
    if not told:
        return []
    layer, times = _most(told, lambda each: each[0][np.argmax(np.nan_to_num(each[1][-1, :-1, 5]))])
    whole = np.median([moved[[0, -1], -1, 2:4] for _, moved in told], axis=0)
    there = np.median([moved[-1, names.index(layer), 4:] for names, moved in told], axis=0)
    return [
        f"The linear theory's update and the network's have the cosine {number(whole[0, 0])} at the small dose "
        f"and {number(whole[1, 0])} at the large one, where the gap is {_percent(whole[1, 1])} of the update in "
        f"length. It is largest in {layer}{times}: {_percent(there[1])} of ‖gap‖², for {_percent(there[0])} of "
        "‖update‖²."
    ]


def _of_directions(found: list[Where]) -> list[str]:
    told = np.array([one.inside[-1, :, -1] for one in found if one.inside is not None]).reshape(-1, 2)
    told = told[np.isfinite(told).all(axis=1)]
    if not len(told):
        return []
    update, gap = map(_percent, np.median(told, axis=0))
    less = f"in {np.sum(told[:, 1] < told[:, 0])} of {len(told)}"
    return [
        f"The {LEADING[-1]} leading directions hold {update} of ‖update‖² and {gap} of ‖gap‖², less of the gap "
        f"than of the update {less} {'case' if len(told) == 1 else 'cases'}."
    ]


def _split_table(one: Where, kind: str, told: Split) -> Table:
    """The largest share first."""
    table, shift = (
        [["dose", kind, "contexts", "nats", "of the residual", "of the shift", "explained"]],
        _shift_share(told),
    )
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
        told, count = concentration(residual), len(residual)
        shares = [_percent(told[max(1, round(part * count)) - 1]) for part in PARTS.values()]
        table.append([str(dose), str(count), *shares, str(1 + np.sum(told < 0.5))])
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
