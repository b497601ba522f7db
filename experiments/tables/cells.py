"""Cells of a run from a table: theories, forecasts of strengths, and the networks that were finetuned."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from experiments.discovery import Catalogue
from experiments.scoring.fits import divergence
from experiments.scoring.labels import REFERENCES
from experiments.scoring.networks import RESOLUTION
from experiments.storage.archive import digest_arrays
from experiments.storage.contents import CellContent, Contexts, FinetunedCell, ReplayCell, TheoryCell
from experiments.storage.files import digest
from experiments.storage.records import Cell, Json
from experiments.storage.table_facts import TableFacts
from experiments.tables.checks import check_table
from experiments.tables.columns import AFTERWARDS, KINDS, Table, refuse
from experiments.tables.inputs import Inputs, Plan, Reader, make_plan, short
from experiments.tables.ladders import IN_CONTEXT, Ladders, make_forms, make_ladders, strengths
from experiments.tables.own_theories import check_declared, own_forms
from experiments.tables.sidecar import Sidecar

PRIOR = {True: "given", False: "uniform"}  # its label, with a prior in the sidecar and without


class Made(NamedTuple):
    """A cell with its content."""

    cell: Cell
    content: CellContent


@dataclass(frozen=True)
class Imported:
    """Everything that a table makes: cells of theories, cells of networks, and facts about it.

    `config` names what the forecasts depend on, and no finetuned network.
    """

    config: Json
    doses: tuple[int, ...]
    expected: tuple[Made, ...]
    networks: tuple[Made, ...]
    facts: TableFacts


def import_table(table: Table, sidecar: Sidecar, catalogue: Catalogue | None = None) -> Imported:
    """The cells of a table, with theories of the user's own files; raises `Misuse` for whatever is wrong."""
    check_table(table, sidecar)
    plan = make_plan(table, sidecar)
    readers = {
        (arm, base): Reader(table, sidecar, plan, arm, base) for arm in plan.arms for base in plan.bases
    }
    inputs = {key: reader.inputs() for key, reader in readers.items()}
    networks = tuple(  # read before anything is computed: a mistake in them costs nothing
        made
        for (arm, base), reader in readers.items()
        for made in _networks(reader, plan.bases.index(base), arm)
    )
    log_prior, label = sidecar.log_prior(plan.hypotheses), PRIOR[bool(sidecar.prior)]
    expected, notes, resolution = [], {}, {}
    forms = make_forms(len(plan.hypotheses), plan.factors)
    computed = {*(form.name for form in forms), IN_CONTEXT, *REFERENCES}
    added = own_forms(catalogue or Catalogue(), computed)
    check_declared(added, sidecar)
    _check_predictions(table, computed | {form.name for form in added})
    for (arm, base), part in inputs.items():
        ladders = make_ladders(part, (*forms, *added), log_prior, plan.factors, label)
        theories = _theories(part, ladders, plan, sidecar)
        number = plan.bases.index(base)
        expected.append(Made(Cell("theories", arm, number), theories))
        for method, recipe in sidecar.finetuning.items():
            count = recipe.documents if part.documents is None else part.documents.shape[-1]
            known = strengths((*forms, *added), ladders.ladders, recipe.training(sidecar.doses), count)
            content = ReplayCell(part.predictions.get(method, {}), known)
            expected.append(Made(Cell("replays", arm, number, method), content))
        notes |= dict.fromkeys(ladders.notes)
        if theories.resolution is not None:
            resolution |= {
                f"{arm}, {group}": max(
                    float(theories.resolution[theories.contexts.inside(group)].mean()), RESOLUTION
                )
                for group in theories.contexts.groups
            }
    return Imported(
        config=_config(plan, sidecar, inputs),
        doses=sidecar.doses,
        expected=tuple(expected),
        networks=networks,
        facts=TableFacts(
            rows={kind: count for kind in KINDS if (count := len(table.rows(kind)))},
            outside=_outside(readers.values()),
            resolution=resolution,
            notes=(*notes, *_without(table, sidecar), *_spread(table, plan)),
        ),
    )


def _check_predictions(table: Table, computed: set[str]) -> None:
    """Refuse predictions under the name of a theory that is computed here."""
    rows = table.rows("prediction")
    for name in table.used("model", rows):
        if name in computed:
            row = int(rows[table.codes["model"][rows] == table.code("model", name)][0])
            raise refuse(table, row, "model", f"{name} is computed here; give the prediction another name.")


def _config(plan: Plan, sidecar: Sidecar, inputs: dict[tuple[str, str], Inputs]) -> Json:
    """Everything that forecasts depend on: names, the sidecar, and a digest of all arrays."""
    digests = {"/".join(key): digest_arrays(part.to_arrays()) for key, part in inputs.items()}
    names = {name: list(getattr(plan, name)) for name in ("arms", "bases", "hypotheses", "answers")}
    seeds = {arm: list(words) for arm, words in plan.seeds.items()}
    return {
        "doses": list(sidecar.doses),
        **names,
        "seeds": seeds,
        "sidecar": sidecar.to_json(),
        "expectations": digest(digests),
    }


def _theories(inputs: Inputs, ladders: Ladders, plan: Plan, sidecar: Sidecar) -> TheoryCell:
    base = np.asarray(inputs.base, np.float32)
    contexts = Contexts(
        group=np.array([group for group, _ in inputs.contexts]),
        questions=np.array([short(context) for _, context in inputs.contexts]),
        answers=np.array(plan.answers),
        components=np.asarray(inputs.components, np.float32),
        evidence=np.asarray(inputs.evidence - inputs.evidence.max(axis=0, initial=-np.inf), np.float32)
        if len(inputs.evidence)
        else np.zeros((0, len(base)), np.float32),
        exact=base,  # nobody knows more of what it was pretrained on than the model does
        base=base,
    )
    return TheoryCell(
        contexts=contexts,
        ladders=ladders.ladders,
        implied_weights=ladders.implied,
        curvatures=np.zeros(0),
        reachable=_reachable(inputs),
        resolution=_resolution(inputs, sidecar),
    )


def _reachable(inputs: Inputs) -> np.ndarray | None:
    """Losses on D' (s, 3), in nats a document: of the base model, nan for a bias, of the best hypothesis."""
    if inputs.documents is None or inputs.base_documents is None:
        return None
    base = -inputs.base_documents.mean(axis=-1)
    best = -inputs.documents.mean(axis=-1).max(axis=-1)
    return np.stack([base, np.full_like(base, np.nan), best], axis=-1)


def _resolution(inputs: Inputs, sidecar: Sidecar) -> np.ndarray | None:
    """The least shift (c,): KL of the base model from itself, scored again, or that of the precision."""
    if len(inputs.again):
        return np.maximum(divergence(inputs.base, inputs.again), 0.0).mean(axis=0)
    return np.full(len(inputs.base), sidecar.rounding) if sidecar.rounding else None


def _networks(reader: Reader, number: int, arm: str) -> Iterator[Made]:
    """The finetuned networks of every method that has some."""
    for method in reader.sidecar.finetuning:
        finetuned, replica = (reader.networks(kind, method) for kind in AFTERWARDS)
        if finetuned is None:
            continue
        shape = finetuned.shape[:2]
        content = FinetunedCell(
            finetuned=np.asarray(finetuned, np.float32),
            replica=np.asarray(np.full_like(finetuned, np.nan) if replica is None else replica, np.float32),
            loss=np.zeros((shape[0], 0), np.float32),
            distance=np.full(shape, np.nan, np.float32),
            data_loss=reader.data_loss(method),
        )
        yield Made(Cell("finetuned", arm, number, method), content)


def _outside(readers: Iterable[Reader]) -> dict[str, tuple[float, ...]]:
    """Mean and largest probability outside the listed answers, by kind."""
    every: dict[str, list[np.ndarray]] = {}
    for reader in readers:
        for kind, values in reader.outside.items():
            every.setdefault(kind, []).append(values)
    joined = {kind: np.concatenate(parts) for kind, parts in every.items()}
    return {kind: (float(values.mean()), float(values.max())) for kind, values in joined.items()}


def _spread(table: Table, plan: Plan) -> Iterator[str]:
    """Sentences on intervals that are over D' alone, or that there are none of."""
    if not len(table.rows("finetuned")):
        return
    seeds = min(map(len, plan.seeds.values()))
    if seeds < 2:
        yield "There is one finetuning seed, and so no interval: give the rows of two or more."
    elif len(plan.bases) == 1:
        yield (
            f"There is one base model: intervals are over its {seeds} finetuning seeds (D', or its order), "
            "and say nothing of another base model."
        )


def _without(table: Table, sidecar: Sidecar) -> Iterator[str]:
    """Sentences on noise that was not measured."""
    if len(table.rows("finetuned")) and not len(table.rows("replica")):
        yield (
            "There are no replica rows (the same D' in another order): there is no noise ceiling, and a "
            "shift is only compared with the resolution."
        )
    if not len(table.rows("again")):
        what = f"that of {sidecar.precision}" if sidecar.rounding else "taken to be that of float32"
        yield f"There are no again rows (the base model scored twice), and the resolution is {what}."
