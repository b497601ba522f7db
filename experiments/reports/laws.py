"""The laws of a sweep: sealed on half of its points, scored on the other half, written and drawn. No jax.

laws.json           the sealed laws (experiments.scoring.sealed_laws)
laws.csv            every law and rival with its R² on the second half
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
from experiments.scoring.sealed_laws import SealedLaws, seal_laws, verdict_table, verdicts
from experiments.storage.files import as_csv, locked, write_text
from experiments.storage.sweep_folder import SweepFolder
from theory.errors import Misuse


@dataclass(frozen=True)
class SweepLaws:
    """The sealed laws of a sweep, what they score, and the observations of all points."""

    sealed: SealedLaws
    verdicts: tuple[Verdict, ...]
    observations: tuple[Observation, ...]

    def __str__(self) -> str:
        header = ["theory", "", "law", "R² left out", "R²", "95 %", "points"]
        lines = [
            [
                str(line["theory"]) if line["role"] == "law" else "",
                str(line["role"]),
                f"{line['form']} in {line['measures']}",
                f"{line['r2_left_out']:.2f}",
                f"{line['r2']:.2f}",
                f"{line['r2_low']:.2f} to {line['r2_high']:.2f}",
                str(line["points"]),
            ]
            for line in verdict_table(self.verdicts)
        ]
        count = len(self.sealed.points)
        return "\n".join(
            [
                aligned([header, *lines]),
                "",
                f"Proposed on {count} points and sealed on {self.sealed.made} ({self.sealed.hash}); R² is of "
                f"the others. The split: {self.sealed.split}.",
            ]
        )


def sweep_laws(sweep: SweepFolder) -> SweepLaws:
    """The laws of a sweep all of whose runs have ended; failed runs are no points."""
    observed: list[Observation] = []
    points = sweep.record.points
    waiting = [point.folder for point in points if sweep.status(point) in ("missing", "unfinished")]
    if waiting:
        raise Misuse(
            f"{len(waiting)} of {len(points)} runs are not finished (first {waiting[0]}), and laws are "
            "sealed on all of them; finish the sweep first."
        )
    for point in points:
        if sweep.status(point) == "finished":
            observed += observations(sweep.run(point), point.folder)
    with locked(sweep.folder):
        sealed = seal_laws(sweep.folder, observed)
    return SweepLaws(sealed, tuple(verdicts(sealed, observed)), tuple(observed))


def write_laws(sweep: SweepFolder, laws: SweepLaws) -> list[Path]:
    """The tables and figures of a sweep's laws; returns their paths."""
    tables: dict[str, Sequence[Mapping[str, object]]] = {
        "laws.csv": verdict_table(laws.verdicts),
        "ranks.csv": rank_table(laws.observations),
        "observations.csv": [_flat(line) for line in laws.observations],
    }
    paths = draw_laws(sweep.folder, laws.verdicts, laws.observations)
    for name, table in tables.items():
        paths.append(sweep.folder / name)
        write_text(paths[-1], as_csv(table))
    return paths


def _flat(line: Observation) -> dict[str, object]:
    known = {"point": line.point, "method": line.method, "dose": line.dose, "theory": line.theory}
    return {**known, "explained": line.score, **line.measures}
