"""Residuals of the best forecast: by context, question, layer and direction. Numpy only.

    best        the forecast that explains most at its worst dose, of those with a prediction at every dose
    residual    of the best forecast, KL(finetuned ‖ theory) in nats
    linear      the linear theory: the network's expansion at w0, finetuned by the same method
    gap         the update w - w0 less that of the linear theory, in full weights
    leading     the directions in which D' curves the loss most at w0: eigenvectors of Gauss-Newton

Residuals are means over all networks that the forecast has a finite prediction for: tables and sentences say
how many it has none for. Updates are those of the first finetuning seed, and their numbers means over base
networks. What is not on disk (an unfinished run, an older folder) is omitted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from experiments.scoring.fits import refined
from experiments.scoring.labels import BY_RATE, FITTED_ON, nats, number, panels
from experiments.scoring.leaderboard import (
    RULE,
    UNCHANGED,
    Column,
    TheoryKey,
    column,
    key,
    theory_name,
)
from experiments.scoring.networks import RESOLUTION
from experiments.scoring.paired import leader, ranked
from experiments.scoring.rows import Outcome, load_outcome
from experiments.storage.records import Arrays, ScoreLine
from experiments.storage.run import Run
from theory.divergence.residual import Split, captured, concentration, kl, layers, split

LEADING = (1, 4, 16)  # directions
ROUNDING = 1e-4  # of an update: a smaller gap is the rounding of w - w0 in float32, and has no direction
NOISE = 1e-6  # of the largest curvature
PARTS = {"the largest": 0.0, "a tenth": 0.1, "a quarter": 0.25}  # of the contexts
ALL = "all weights"
ABOUT = (
    f"{RULE} Residuals are means over networks, of all but those that a caption leaves out. Updates w − w0 "
    "are those of the first finetuning seed, and their numbers means over base networks. The linear theory "
    "finetunes the network linearised at w0; "
    "the gap is the update less the linear theory's. Leading directions are those in which D′ curves the "
    "loss most at w0 (eigenvectors of its Gauss-Newton matrix)."
)
Table = list[list[str]]


@dataclass(frozen=True)
class Residual:
    """The residual of one method on one D', at e doses: the small one and the large one.

    theory      the best forecast
    residual    mean residual at every context, nats, (e, c)
    groups      the same by group of contexts, `questions` by question, (e, g)
    moved       (e, layers, 6): norms of update and linear theory's, cosine and relative error of the two,
                shares of ‖update‖² and of ‖gap‖²; the last of the `layers` are all weights
    inside      (e, 2, 3): shares of ‖update‖² and ‖gap‖² in the 1, 4 and 16 leading directions, of `weights`
    networks    those that residuals are over, of all that were `finetuned`; for those that `failed` the
                forecast is not finite, and its residual not either
    """

    name: str
    theory: str
    doses: tuple[int, ...]
    residual: np.ndarray
    groups: Split
    questions: Split
    networks: int
    finetuned: int
    failed: int
    layers: tuple[str, ...] = ()
    moved: np.ndarray | None = None
    inside: np.ndarray | None = None
    weights: int = 0

    @property
    def tables(self) -> dict[str, Table]:
        """Captions, each with a table whose first row is a header."""
        tables = {
            f"Residual of {self.theory}{self._omitted}, by group of contexts": _split_table(
                self, "group", self.groups
            ),
            "The same, by question": _split_table(self, "question", self.questions),
            "Share of it in the contexts that have most": _concentration_table(self),
            "The update and the linear theory's, layer by layer": _layer_table(self),
            f"Shares of ‖update‖² and ‖gap‖² in leading directions, of {self.weights}": _leading_table(self),
        }
        return {caption: table for caption, table in tables.items() if len(table) > 1}

    @property
    def _omitted(self) -> str:
        """Words for the networks that residuals are not over; empty without any."""
        fails = f"; it fails for {self.failed}" if self.failed else ""
        fewer = self.networks < self.finetuned
        return f" (over {self.networks} of {self.finetuned} networks{fails})" if fewer else ""


def where(run: Run, lines: Sequence[ScoreLine]) -> list[Residual]:
    """For every method and D': the residual of its best forecast, from what is on disk."""
    known = [line for line in lines if (line.theory, line.group) == (UNCHANGED.theory, FITTED_ON)]
    residuals = (_residual(run, column("", lines, *panel)) for panel in panels(known))
    return [residual for residual in residuals if residual is not None]


def best(panel: Column) -> TheoryKey | None:
    """The forecast with the best worst dose, of those with a prediction at all judged doses."""
    order = ranked(panel.worst_of_forecasts())
    return key(leader(order)) if order else None


def sentences(residuals: Sequence[Residual]) -> list[str]:
    """The tables at the large dose in sentences, over all methods and D': counts and medians."""
    return [*_of_contexts(residuals), *_of_layers(residuals), *_of_directions(residuals)]


def _residual(run: Run, panel: Column) -> Residual | None:
    theory = best(panel)
    if theory is None:
        return None
    doses = tuple(dict.fromkeys((panel.small, panel.large)))
    at = [run.doses.index(dose) for dose in doses]
    cells = run.cells("finetuned", panel.data, panel.method)
    outcomes = [outcome for cell in cells if (outcome := load_outcome(run, cell))]
    answers = [answer for outcome in outcomes if (answer := _answers(outcome, theory, at))]
    if not answers:
        return None
    finetuned, predictions, base = map(np.concatenate, zip(*answers, strict=True))
    finite = np.isfinite(predictions).all(axis=(1, 2, 3))
    if not finite.any():
        return None
    finetuned, predictions, base = finetuned[finite], predictions[finite], base[finite]
    contexts = outcomes[0].theories.contexts
    covered = set(contexts.questions[contexts.inside(FITTED_ON)].tolist())
    questions = [f"{word} (in D′)" if word in covered else str(word) for word in contexts.questions.tolist()]
    moved, inside, names, weights = [], [], (), 0
    for outcome in outcomes:
        update, linear, modes = _leaves(outcome)
        if update and update.keys() == linear.keys():
            names = (*update, ALL)
            moved.append([_moved(update, linear, dose) for dose in at])
            if modes.keys() == update.keys():
                ours, theirs, vectors = map(_flat, (update, linear, modes))
                weights = vectors.shape[1]
                inside.append(_inside(ours[at], ours[at] - theirs[at], outcome.theories.curvatures, vectors))
    return Residual(
        panel.name,
        theory_name(theory),
        doses,
        np.maximum(kl(finetuned, predictions).mean(axis=0), 0.0),
        _over_networks(split(finetuned, predictions, base, contexts.group)),
        _over_networks(split(finetuned, predictions, base, questions)),
        int(finite.sum()),
        sum(len(outcome.finetuned.finetuned) for outcome in outcomes),
        int((~finite).sum()),
        names,
        np.mean(moved, axis=0) if moved else None,
        np.mean(inside, axis=0) if inside else None,
        weights,
    )


def _answers(outcome: Outcome, theory: TheoryKey, at: list[int]) -> tuple[np.ndarray, ...] | None:
    """Answers (s, e, c, a) of the finetuned networks, of a forecast, and of the base network; None without
    the forecast."""
    name = f"{theory.theory.removesuffix(BY_RATE)}/{theory.prior}"
    ladders = {key: ladder for key, ladder in outcome.ladders.items() if key == name}
    predictions = replace(outcome, ladders=ladders).predictions(refined(ladders.values()))
    for prediction in predictions:
        if (prediction.theory, prediction.prior, prediction.grade) == theory:
            log_probs = prediction.log_probs[:, at]
            finetuned = outcome.finetuned.finetuned[: len(log_probs), at]
            base = np.broadcast_to(outcome.theories.contexts.base, finetuned.shape)
            return finetuned, log_probs, base
    return None


def _leaves(outcome: Outcome) -> tuple[Arrays, Arrays, Arrays]:
    """The update (d, ...), the linear theory's, and the modes (m, ...), by layer."""
    linear = outcome.replays.update if outcome.replays else {}
    trees = outcome.finetuned.update, linear, outcome.theories.modes
    update, linear, modes = ({name: leaf.astype(float) for name, leaf in tree.items()} for tree in trees)
    return update, linear, modes


def _over_networks(parts: Split) -> Split:
    """Residuals and shifts averaged over the first axis, and the shares that makes (nan of mere rounding)."""
    residual, shift = np.maximum(parts.residual.mean(axis=0), 0.0), parts.shift.mean(axis=0)
    total = parts.count * residual
    resolved = total.sum(axis=-1, keepdims=True) >= RESOLUTION * parts.count.sum()
    return replace(parts, residual=residual, shift=shift, share=np.where(resolved, _part(total), np.nan))


def _concentration(residual: np.ndarray) -> np.ndarray:
    return np.where(residual.mean() >= RESOLUTION, concentration(residual), np.nan)


def _flat(leaves: Mapping[str, np.ndarray]) -> np.ndarray:
    """The weights of all layers in one row, (rows, p)."""
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves.values()], axis=1)


def _moved(update: Arrays, linear: Arrays, dose: int) -> np.ndarray:
    """Every layer and all weights, (layers, 6)."""
    ours, theirs = ({name: leaf[dose] for name, leaf in tree.items()} for tree in (update, linear))
    parts = {**layers(ours, theirs), **layers(ours, theirs, lambda name: ALL)}.values()
    compared = [[part.actual, part.theory, part.cosine, part.relative_error] for part in parts]
    sizes = [[np.sum(ours[name] ** 2), np.sum((ours[name] - theirs[name]) ** 2)] for name in ours]
    shares = _part(np.transpose(sizes)) * [[1.0], [np.nan if _rounded(*np.sum(sizes, axis=0)) else 1.0]]
    return np.concatenate([compared, [*shares.T, shares.sum(axis=1)]], axis=1)


def _inside(update: np.ndarray, gap: np.ndarray, values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Shares of update and gap (e, p) in the leading directions, (e, 2, 3); nan where there are too few.

    Lanczos in float32 may end with a Ritz vector that is nothing but rounding: it is 0 and omitted."""
    valid = (values > NOISE * values.max()) & (np.linalg.norm(vectors, axis=-1) > 0)
    shares = captured(np.stack([update, gap], axis=1), values[valid], vectors[valid])
    padded = np.full((len(update), 2, max(LEADING)), np.nan)
    padded[..., : shares.shape[-1]] = shares[..., : max(LEADING)]
    padded[_rounded(np.sum(update**2, axis=1), np.sum(gap**2, axis=1)), 1] = np.nan
    return padded[..., np.array(LEADING) - 1]


def _rounded(update: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Whether a gap is rounding alone, from ‖update‖² and ‖gap‖²."""
    return gap <= ROUNDING**2 * update


def _part(sizes: np.ndarray) -> np.ndarray:
    """Shares of the sum over the last axis; nan where that is 0."""
    whole = sizes.sum(axis=-1, keepdims=True)
    return sizes / np.where(whole == 0, np.nan, whole)


def _shift_share(parts: Split) -> np.ndarray:
    return _part(parts.count * parts.shift)


def _of_contexts(residuals: Sequence[Residual]) -> list[str]:
    if not residuals:
        return []
    text = "The best forecast is {}{}.".format(*_most([residual.theory for residual in residuals]))
    if failed := sum(residual.failed for residual in residuals):
        predicted = failed + sum(residual.networks for residual in residuals)
        text += f" It fails for {failed} of {predicted} networks, which the following leaves out."
    resolved = [residual for residual in residuals if np.isfinite(residual.groups.share[-1]).all()]
    if not resolved:
        return [text]
    groups = [residual.groups for residual in resolved]
    group, times = _most([str(parts.labels[np.argmax(parts.share[-1])]) for parts in groups])
    share = np.median([parts.share[-1, parts.labels == group].sum() for parts in groups])
    shift = np.median([_shift_share(parts)[-1, parts.labels == group].sum() for parts in groups])
    half = np.median([1 + np.sum(_concentration(residual.residual[-1]) < 0.5) for residual in resolved])
    return [
        f"{text} At the large dose its residual is largest on {group} contexts{times}: they hold "
        f"{_percent(share)} of the residual and {_percent(shift)} of the shift. Half of the residual is in "
        f"{half:g} of {np.median([residual.residual.shape[1] for residual in resolved]):g} contexts."
    ]


def _of_layers(residuals: Sequence[Residual]) -> list[str]:
    updates = [(residual.layers, residual.moved) for residual in residuals if residual.moved is not None]
    if not updates:
        return []
    whole = np.median([moved[[0, -1], -1, 2:4] for _, moved in updates], axis=0)
    text = (
        "The linear theory's update and the network's have the cosine "
        f"{number(whole[0, 0])} at the small dose and {number(whole[1, 0])} at the large one, where the gap "
        f"is {_percent(whole[1, 1])} of the update in length."
    )
    resolved = [(names, moved) for names, moved in updates if np.isfinite(moved[-1, -1, 5])]
    if resolved:
        layer, times = _most([names[np.argmax(moved[-1, :-1, 5])] for names, moved in resolved])
        shares = np.median([moved[-1, names.index(layer), 4:] for names, moved in resolved], axis=0)
        text += f" The gap is largest in {layer}{times}: {_percent(shares[1])} of ‖gap‖², for "
        text += f"{_percent(shares[0])} of ‖update‖²."
    return [text]


def _of_directions(residuals: Sequence[Residual]) -> list[str]:
    inside = [residual.inside[-1, :, -1] for residual in residuals if residual.inside is not None]
    shares = np.array(inside).reshape(-1, 2)
    shares = shares[np.isfinite(shares).all(axis=1)]
    if not len(shares):
        return []
    update, gap = map(_percent, np.median(shares, axis=0))
    fewer = np.sum(shares[:, 1] < shares[:, 0])
    less = f", less of the gap than of the update in {fewer} of {len(shares)} cases"
    return [
        f"The {LEADING[-1]} leading directions hold {update} of ‖update‖² and {gap} of ‖gap‖² at the large "
        f"dose{less if len(shares) > 1 else ''}."
    ]


def _split_table(residual: Residual, kind: str, parts: Split) -> Table:
    """The largest share first."""
    table = [["dose", kind, "contexts", "nats", "of the residual", "of the shift", "explained"]]
    shift = _shift_share(parts)
    for row, dose in enumerate(residual.doses):
        for g in np.argsort(-parts.share[row], kind="stable"):
            size, score = nats(parts.residual[row, g]), number(parts.explained[row, g])
            shares = _percent(parts.share[row, g]), _percent(shift[row, g])
            table.append([str(dose), str(parts.labels[g]), str(parts.count[g]), size, *shares, score])
    return table


def _concentration_table(residual: Residual) -> Table:
    table = [["dose", "contexts", *PARTS, "contexts with half of it"]]
    for dose, values in zip(residual.doses, residual.residual, strict=True):
        shares, count = _concentration(values), len(values)
        largest = [_percent(shares[max(1, round(part * count)) - 1]) for part in PARTS.values()]
        half = str(1 + np.sum(shares < 0.5)) if np.isfinite(shares).all() else "-"
        table.append([str(dose), str(count), *largest, half])
    return table


def _layer_table(residual: Residual) -> Table:
    table = [["dose", "layer", "‖update‖", "linear", "cosine", "relative error", "of ‖update‖²", "of ‖gap‖²"]]
    for dose, moved in zip(residual.doses, () if residual.moved is None else residual.moved, strict=False):
        for name, (ours, theirs, cosine, error, *shares) in zip(residual.layers, moved, strict=True):
            norms = f"{ours:.3g}", f"{theirs:.3g}", number(cosine), number(error)
            table.append([str(dose), name, *norms, *map(_percent, shares)])
    return table


def _leading_table(residual: Residual) -> Table:
    table = [["dose", *(f"{part} in {count}" for part in ("update", "gap") for count in LEADING)]]
    for dose, shares in zip(residual.doses, () if residual.inside is None else residual.inside, strict=False):
        table.append([str(dose), *map(_percent, shares.ravel())])
    return table


def _most(names: Sequence[str]) -> tuple[str, str]:
    """The most common name, and in how many of several cases."""
    common, times = Counter(names).most_common(1)[0]
    return common, f" in {times} of {len(names)} cases" if len(names) > 1 else ""


def _percent(share: float) -> str:
    return "-" if not np.isfinite(share) else f"{100 * share:.{0 if share >= 0.0995 else 1}f} %"
