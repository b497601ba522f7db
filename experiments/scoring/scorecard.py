"""Scorecard: the explained part of the shift for each theory, dose and group, with its interval. Numpy only.

explained       1 - Σ nats / Σ shift over networks; undefined (None) where Σ shift does not exceed Σ replica,
                the noise of another order of the data, or the resolution (that of float32 where none was
                measured), and where a theory was fitted to what it would be scored on; -∞, without an
                interval, where the theory rules out an answer that a network gives, and where it fails for a
                network
interval        of 95 %, by base networks × D', of one imported model by D' (experiments.scoring.intervals)
noise_ceiling   1 - Σ replica / Σ shift: what another order of the same D' scores
noise           Σ replica over networks, a mean in nats, and `predicted_noise` what the theory noise expects
order_blind     1 - ½ Σ replica / Σ shift: what the centre of all orders scores, the best that a theory can
                reach which does not know the order; both None without a replica
over_null       what a theory explains beyond the best null theory, on the same networks
networks        those that a line is over, of the finetuned ones; for `failed` of them the theory fails
"""

import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

import numpy as np

from experiments.scoring.intervals import Estimate
from experiments.scoring.labels import FITTED_ON, NULLS, UNCHANGED
from experiments.scoring.networks import Networks, RowKey, gather_by_data, of_one_model
from experiments.scoring.paired import CENTRE, advantage, covers, of_the_rest, on_networks_of, share
from experiments.scoring.swap import shares
from experiments.storage.records import Json, Row, Sample, ScoreLine
from experiments.storage.row_file import RowFile


def scorecard(rows: Iterable[Row]) -> list[ScoreLine]:
    """One line for each (study, method, D', dose, theory, prior, grade, group), over all networks."""
    return list(_of_file(rows) if isinstance(rows, RowFile) else score_lines(rows))


@functools.lru_cache(maxsize=2)  # figures and the report all show the same lines
def _of_file(rows: RowFile) -> tuple[ScoreLine, ...]:
    return tuple(score_lines(rows))


def score_lines(rows: Iterable[Row]) -> Iterator[ScoreLine]:
    """The same lines one after the other; of a file those of one method and D' are held at a time."""
    for gathered in gather_by_data(rows):
        yield from _score_lines(gathered)


def _score_lines(gathered: Mapping[RowKey, Networks]) -> Iterator[ScoreLine]:
    of_one = of_one_model(gathered)
    lines = {key: _line(key, networks, of_one) for key, networks in gathered.items()}
    panels: dict[tuple[object, ...], Panel] = defaultdict(Panel)
    for key, line in lines.items():
        if line.theory == UNCHANGED:
            panels[key.panel].known = _of_panel(line, gathered[key])
        if line.theory in NULLS and line.explained is not None:
            panels[key.panel].nulls.append(line)
    for key, line in lines.items():
        panel = panels[key.panel]
        yield replace(line, **panel.known, **_over_null(line, panel.nulls))


@dataclass
class Panel:
    """Lines of one method, D', dose and group: the fields that all have in common, and the nulls with a
    score."""

    known: Json = field(default_factory=dict)
    nulls: list[ScoreLine] = field(default_factory=list)


def _of_panel(unchanged: ScoreLine, networks: Networks) -> Json:
    """The fields that all lines of a panel have from that of `unchanged`."""
    expected, sample = networks.predicted_noise, unchanged.sample
    swapped = None if unchanged.noise_ceiling is None or sample is None else shares(networks, sample)
    return {
        **(swapped or {}),
        "predicted_noise": None if expected is None else fmean(expected),
        "finetuned": unchanged.networks,
    }


def score_json(lines: Iterable[ScoreLine]) -> list[Json]:
    """Lines as plain values; old names (`floor`, `ceiling`) stand beside the new ones."""
    return [line.to_json() for line in lines]


def _line(key: RowKey, networks: Networks, of_one: bool) -> ScoreLine:
    """The line of one theory, at one dose, on one group, over networks."""
    sample = Sample(
        networks.draws,
        networks.bases,
        networks.seeds,
        networks.nats,
        networks.shift,
        networks.replica,
        networks.best_in_class,
        of_one,
    )
    nats, shift = fmean(sample.nats), fmean(sample.shift)
    replica = None if sample.replica is None else fmean(sample.replica)
    defined = shift > max(replica or 0.0, networks.resolution)
    scored = defined and (key.grade != "fitted" or key.group != FITTED_ON)
    missed = share(np.array(sample.nats), sample) if scored else Estimate(float("nan"))

    def score(part: Sequence[float]) -> float:
        return 1 - fmean(part) / shift

    return ScoreLine(
        study=key.study,
        method=key.method,
        data=key.data,
        dose=key.dose,
        theory=key.theory,
        prior=key.prior,
        grade=key.grade,
        group=key.group,
        explained=1 - missed.value if scored else None,
        standard_error=missed.standard_error,
        interval=of_the_rest(missed),
        best_null=None,
        over_null=None,
        over_null_interval=None,
        noise_ceiling=score(sample.replica) if defined and sample.replica else None,
        order_blind=1 - CENTRE * replica / shift if defined and replica is not None else None,
        other_base=score(networks.other_base) if defined and networks.other_base else None,
        best_in_class=score(sample.best_in_class) if scored else None,
        nats=nats,
        shift=shift,
        beta=float(np.median(networks.betas)) if networks.betas else None,
        converged=fmean(networks.converged) if networks.converged else None,
        split=networks.split,
        networks=len(sample.nats),
        base_error=float(np.mean(networks.base_errors)) if networks.base_errors else None,
        failed=networks.failed,
        failure="; ".join(networks.reasons),
        noise=replica,
        hyperparameter=float(np.median(networks.hyperparameters)) if networks.hyperparameters else None,
        sample=sample,
    )


def _over_null(line: ScoreLine, nulls: Sequence[ScoreLine]) -> Json:
    """The fields on the best null of a line's networks; none where it has no score, or is a null itself.

    A null that says nothing of one of the networks is no rival there.
    """
    if line.explained is None or line.theory in NULLS:
        return {}
    whole = [null for null in nulls if covers(null, line)]
    if not whole:
        return {}
    best = max(whole, key=lambda null: (on_networks_of(null, line)[0], null.theory == UNCHANGED))
    over = advantage(line, best)
    return {"best_null": best.theory, "over_null": over.value, "over_null_interval": over.interval}
