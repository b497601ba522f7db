"""Scorecard: the explained part of the shift for each theory, dose and group, with its interval. Numpy only.

explained       1 - Σ nats / Σ shift over networks; undefined (None) where Σ shift does not exceed Σ replica,
                the noise of another order of the data, or the resolution (that of float32 where none was
                measured), and where a theory was fitted to what it would be scored on; -∞, without an
                interval, where the theory rules out an answer that a network gives, and where it fails for a
                network
interval        of 95 %, by base networks × D' (experiments.scoring.intervals)
noise_ceiling   1 - Σ replica / Σ shift: what another order of the same D' scores
noise           Σ replica over networks, a mean in nats, and `predicted_noise` what the theory noise expects
order_blind     1 - ½ Σ replica / Σ shift: what the centre of all orders scores, the best that a theory can
                reach which does not know the order; both None without a replica
over_null       what a theory explains beyond the best null theory, on the same networks
networks        those that a line is over, of the finetuned ones; for `failed` of them the theory fails
"""

import functools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np

from experiments.scoring.intervals import Estimate
from experiments.scoring.labels import FITTED_ON, NULLS, UNCHANGED
from experiments.scoring.paired import CENTRE, advantage, covers, on_networks_of, share
from experiments.scoring.swap import shares
from experiments.storage.records import Grade, Json, Numbers, Row, Sample, ScoreLine

RESOLUTION = 1e-6  # nats: a shift below it is rounding of float32
Key = tuple[str, str, str, int, str, str, Grade, str]


def scorecard(rows: Iterable[Row]) -> list[ScoreLine]:
    """One line for each (study, method, D', dose, theory, prior, grade, group), over all networks."""
    return list(_scorecard(tuple(rows)))


@functools.lru_cache(maxsize=2)  # figures and the report all show the same lines
def _scorecard(rows: tuple[Row, ...]) -> tuple[ScoreLine, ...]:
    gathered: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        key = row.study, row.method, row.data, row.dose, row.theory, row.prior, row.grade, row.group
        gathered[key].append(row)
    lines = [_line(part) for part in gathered.values()]
    swapped = {
        _panel(line): known
        for line, part in zip(lines, gathered.values(), strict=True)
        if line.theory == UNCHANGED and line.noise_ceiling is not None and line.sample is not None
        if (known := shares(part, line.sample)) is not None
    }
    lines = [replace(line, **swapped.get(_panel(line), {})) for line in lines]
    expected = {
        _panel(line): fmean(known)
        for line, part in zip(lines, gathered.values(), strict=True)
        if line.theory == UNCHANGED and (known := together(row.predicted_noise for row in part)) is not None
    }
    lines = [replace(line, predicted_noise=expected.get(_panel(line))) for line in lines]
    nulls: dict[tuple[object, ...], list[ScoreLine]] = defaultdict(list)
    for line in lines:
        if line.theory in NULLS and line.explained is not None:
            nulls[_panel(line)].append(line)
    finetuned = {_panel(line): line.networks for line in lines if line.theory == UNCHANGED}
    lines = [replace(line, finetuned=finetuned.get(_panel(line))) for line in lines]
    return tuple(_over_null(line, nulls[_panel(line)]) for line in lines)


def score_json(lines: Iterable[ScoreLine]) -> list[Json]:
    """Lines as plain values; old names (`floor`, `ceiling`) stand beside the new ones."""
    return [line.to_json() for line in lines]


def _line(rows: Sequence[Row]) -> ScoreLine:
    """Rows of one theory, at one dose, on one group, put together over networks."""
    first = rows[0]
    sample = Sample(
        draws=tuple(row.draw for row in rows for _ in row.nats),
        bases=tuple(row.base for row in rows for _ in row.nats),
        seeds=tuple(seed for row in rows for seed in range(len(row.nats))),
        nats=_column(row.nats for row in rows),
        shift=_column(row.shift for row in rows),
        replica=together(row.replica for row in rows),
        best_in_class=_column(row.best_in_class for row in rows),
    )
    nats, shift = fmean(sample.nats), fmean(sample.shift)
    replica = None if sample.replica is None else fmean(sample.replica)
    defined = shift > max(replica or 0.0, resolution(rows))
    scored = defined and (first.grade != "fitted" or first.group != FITTED_ON)
    missed = share(np.array(sample.nats), sample) if scored else Estimate(float("nan"))
    low, high = missed.interval or (None, None)
    other_base = together(row.other_base for row in rows)
    betas = [row.beta for row in rows if row.beta is not None]
    converged = [row.converged for row in rows if row.converged is not None]
    errors = [row.base_error for row in rows if row.base_error is not None]
    failures = [reason for row in rows for reason in row.failures or () if reason]

    def score(part: Numbers) -> float:
        return 1 - fmean(part) / shift

    return ScoreLine(
        study=first.study,
        method=first.method,
        data=first.data,
        dose=first.dose,
        theory=first.theory,
        prior=first.prior,
        grade=first.grade,
        group=first.group,
        explained=1 - missed.value if scored else None,
        standard_error=missed.standard_error,
        interval=None if low is None or high is None else (1 - high, min(1 - low, 1.0)),
        best_null=None,
        over_null=None,
        over_null_interval=None,
        noise_ceiling=score(sample.replica) if defined and sample.replica else None,
        order_blind=1 - CENTRE * replica / shift if defined and replica is not None else None,
        other_base=score(other_base) if defined and other_base else None,
        best_in_class=score(sample.best_in_class) if scored else None,
        nats=nats,
        shift=shift,
        beta=float(np.median(_column(betas))) if betas else None,
        converged=fmean(_column(converged)) if converged else None,
        split=first.split,
        networks=len(sample.nats),
        base_error=float(np.mean(errors)) if errors else None,
        failed=len(failures),
        failure="; ".join(dict.fromkeys(failures)),
        noise=replica,
        sample=sample,
    )


def _over_null(line: ScoreLine, nulls: Sequence[ScoreLine]) -> ScoreLine:
    """The line with the best null of its networks; nothing where it has no score, or is a null itself.

    A null that says nothing of one of the networks is no rival there.
    """
    if line.explained is None or line.theory in NULLS:
        return line
    whole = [null for null in nulls if covers(null, line)]
    if not whole:
        return line
    best = max(whole, key=lambda null: (on_networks_of(null, line)[0], null.theory == UNCHANGED))
    over = advantage(line, best)
    return replace(line, best_null=best.theory, over_null=over.value, over_null_interval=over.interval)


def _panel(line: ScoreLine) -> tuple[object, ...]:
    return line.study, line.method, line.data, line.dose, line.group


def resolution(rows: Iterable[Row]) -> float:
    """The least shift (nats) that can be told from none: measured, and never below that of float32."""
    return max([RESOLUTION, *(row.resolution for row in rows if row.resolution is not None)])


def together(parts: Iterable[Numbers | None]) -> Numbers | None:
    """The values of all networks; None where some network has none."""
    every = list(parts)
    known = [part for part in every if part is not None]
    return _column(known) if len(known) == len(every) else None


def _column(parts: Iterable[Sequence[float]]) -> Numbers:
    """The values of all networks."""
    return tuple(float(value) for part in parts for value in part)
