"""The laws of a sweep: sealed on half of its points, scored on the other half, written and drawn. No jax.

Or the laws that another sweep has sealed, scored on all points here that it does not have.

laws.json           the sealed laws (experiments.scoring.sealed_laws); not of those of another sweep
laws.csv            every law and rival with its R² on the points that did not propose it
ranks.csv           Spearman's correlation of every measure with the scores of every theory, over all points
observations.csv    what laws are made of: scores and measures by point, method, dose and theory
figures/            laws and kappa (experiments.figures.laws)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.figures.laws import draw_laws
from experiments.reports.sentences import aligned
from experiments.scoring.laws import Observation, Verdict, rank_table
from experiments.scoring.observations import observations
from experiments.scoring.sealed_laws import (
    SealedLaws,
    judge_all,
    read_laws,
    seal_laws,
    verdict_table,
    verdicts,
)
from experiments.storage.files import as_csv, digest, locked, write_text
from experiments.storage.run_folder import RunFolder
from experiments.storage.sweep_folder import SweepFolder
from theory.errors import Misuse


@dataclass(frozen=True)
class SweepLaws:
    """Sealed laws, what they score, and the observations of all points; `sealed_in` is the sweep's folder
    that sealed them, where it is another one."""

    sealed: SealedLaws
    verdicts: tuple[Verdict, ...]
    observations: tuple[Observation, ...]
    sealed_in: Path | None = None

    def __str__(self) -> str:
        header = [
            "theory",
            "",
            "law",
            "R² left out",
            "R²",
            "95 %",
            "within methods",
            "rival behind by",
            "points",
        ]
        lines = [
            [
                str(line["theory"]) if line["role"] == "law" else "",
                str(line["role"]),
                f"{line['form']} in {line['measures']}",
                f"{line['r2_left_out']:.2f}",
                f"{line['r2']:.2f}",
                f"{line['r2_low']:.2f} to {line['r2_high']:.2f}",
                f"{line['r2_within']:.2f}",
                f"{line['behind']:.2f} [{line['behind_low']:.2f}, {line['behind_high']:.2f}]"
                if line["role"] == "rival"
                else "",
                str(line["points"]),
            ]
            for line in verdict_table(self.verdicts)
        ]
        judged = f"the others. The split: {self.sealed.split}."
        if self.sealed_in:
            judged = f"the points here, none of which is in {self.sealed_in}."
        sealed = f"sealed on {self.sealed.made} ({self.sealed.hash})"
        text = f"Proposed on {len(self.sealed.points)} points and {sealed}; R² is of {judged}"
        return "\n".join([aligned([header, *lines]), "", text])

    @property
    def proposing(self) -> tuple[str, ...]:
        """The points here on which the laws were proposed."""
        return () if self.sealed_in else self.sealed.points


def sweep_laws(sweep: SweepFolder, other: SweepFolder | None = None) -> SweepLaws:
    """The laws of a sweep all of whose runs have ended; failed runs are no points. With another sweep: its
    sealed laws, on the points here whose config no point of it has."""
    if other:
        sealed = read_laws(other.folder)
        seen = {_purpose(run) for run in _runs(other).values()}
        observed = _observations(
            {name: run for name, run in _runs(sweep).items() if _purpose(run) not in seen}
        )
        if not observed:
            raise Misuse(f"{sweep.folder} has no point that is not in {other.folder}; run other values.")
        return SweepLaws(sealed, tuple(judge_all(sealed, observed)), tuple(observed), other.folder)
    observed = _observations(_runs(sweep))
    with locked(sweep.folder):
        sealed = seal_laws(sweep.folder, observed)
    return SweepLaws(sealed, tuple(verdicts(sealed, observed)), tuple(observed))


def _runs(sweep: SweepFolder) -> dict[str, RunFolder]:
    """Finished runs by the names of their points, of a sweep all of whose runs have ended."""
    points = sweep.record.points
    waiting = [point.folder for point in points if sweep.status(point) in ("missing", "unfinished")]
    if waiting:
        raise Misuse(
            f"{len(waiting)} of {len(points)} runs are not finished (first {waiting[0]}), and laws are "
            "sealed on all of them; finish the sweep first."
        )
    return {point.folder: sweep.run(point) for point in points if sweep.status(point) == "finished"}


def _purpose(run: RunFolder) -> str:
    """The digest of a run's study and options, whatever code has made it."""
    return digest({"study": run.config.study, "config": run.config.config}, 0)


def _observations(runs: Mapping[str, RunFolder]) -> list[Observation]:
    return [line for name, run in runs.items() for line in observations(run, name)]


def write_laws(sweep: SweepFolder, laws: SweepLaws) -> list[Path]:
    """The tables and figures of a sweep's laws; returns their paths."""
    tables: dict[str, Sequence[Mapping[str, object]]] = {
        "laws.csv": verdict_table(laws.verdicts),
        "ranks.csv": rank_table(laws.observations),
        "observations.csv": [_flat(line) for line in laws.observations],
    }
    paths = draw_laws(sweep.folder, laws.verdicts, laws.observations, laws.proposing)
    for name, table in tables.items():
        paths.append(sweep.folder / name)
        write_text(paths[-1], as_csv(table))
    return paths


def _flat(line: Observation) -> dict[str, object]:
    known = {"point": line.point, "method": line.method, "dose": line.dose, "theory": line.theory}
    return {**known, "explained": line.score, **line.measures}
