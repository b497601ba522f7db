"""Sealed laws: proposed on one half of a sweep's points, kept with time and hash, then scored on the other.

`laws.json` is written once, before the second half is looked at. It names the points of the first half with a
digest of their observations, so that laws of other scores are refused. Points that finish later have not been
seen by the laws, and are of the second half, whatever their names; so are those of another sweep
(`read_laws`, `judge_all`). No jax.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from experiments.scoring.laws import LEAST, Law, Observation, Verdict, halves, judge, propose
from experiments.storage.files import digest, read_json, write_json
from experiments.storage.records import Json
from experiments.storage.typed import typed
from theory.errors import Misuse

LAWS = "laws.json"
SPLIT = "points whose SHA-256 begins with an even digit propose, the others score"


@dataclass(frozen=True)
class SealedLaws:
    """Laws by theory, the best first and then its rivals; the points and the digest of the scores that they
    were proposed on, when, and a hash of all that."""

    made: str
    split: str
    points: tuple[str, ...]
    scores: str
    laws: dict[str, tuple[Law, ...]]
    hash: str


def seal_laws(folder: Path, observations: Sequence[Observation]) -> SealedLaws:
    """The sealed laws of a sweep's folder: those that are there, or new ones from the first half."""
    path = folder / LAWS
    if path.exists():
        sealed = read_laws(folder)
        first = [line for line in observations if line.point in sealed.points]
        if sealed.scores != _digest(first):
            raise Misuse(
                f"{path} was sealed on other scores than these of {len(sealed.points)} points; delete it to "
                "propose anew, which makes the second half one that was seen."
            )
        return sealed
    first, _ = halves(observations)
    points = {(line.theory, line.point): None for line in first}
    counts = Counter(theory for theory, _ in points)
    record: Json = {
        "made": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "split": SPLIT,
        "points": sorted({line.point for line in first}),
        "scores": _digest(first),
        "laws": {
            theory: [_plain(law) for law in propose(first, theory)]
            for theory, count in counts.items()
            if count >= LEAST  # else scores are undefined at most of them
        },
    }
    write_json(path, record | {"hash": digest(record, 0)})
    return read_laws(folder)


def verdicts(sealed: SealedLaws, observations: Sequence[Observation]) -> list[Verdict]:
    """The R² of every sealed law and of its rivals on the points that it was not proposed on."""
    return judge_all(sealed, [line for line in observations if line.point not in sealed.points])


def judge_all(sealed: SealedLaws, observations: Sequence[Observation]) -> list[Verdict]:
    """The R² of every sealed law and of its rivals on observations that none of them has seen."""
    scored = {line.theory for line in observations}
    return [judge(laws, observations) for theory, laws in sealed.laws.items() if theory in scored]


def verdict_table(every: Sequence[Verdict]) -> list[dict[str, object]]:
    """A line for each law and rival: measures, constants, R² within the first half and on the second, and by
    how much of R² a rival is behind its law."""
    return [
        {
            "theory": verdict.law.theory,
            "role": role,
            "form": verdict.law.form,
            "measures": " and ".join(verdict.law.measures),
            "constants": " ".join(f"{number:.4g}" for number in verdict.law.constants),
            "r2_left_out": round(verdict.law.left_out, 4),
            "r2": round(verdict.r2, 4),
            "r2_low": round(verdict.interval[0], 4),
            "r2_high": round(verdict.interval[1], 4),
            "r2_within": round(verdict.within, 4),
            **_behind(verdict),
            "points": verdict.points,
            "observations": verdict.observations,
        }
        for best in every
        for role, verdict in (("law", best), *(("rival", rival) for rival in best.rivals))
    ]


def _behind(verdict: Verdict) -> dict[str, object]:
    """The distance of a rival from its law, with its interval; empty of a law."""
    names = "behind", "behind_low", "behind_high"
    if verdict.behind is None:
        return dict.fromkeys(names, "")
    difference, interval = verdict.behind
    numbers = zip(names, (difference, *interval), strict=True)
    return {name: round(number, 4) for name, number in numbers}


def read_laws(folder: Path) -> SealedLaws:
    """The sealed laws in a sweep's folder; none, or changed ones, are refused."""
    path = folder / LAWS
    if not path.exists():
        raise Misuse(
            f"{folder} has no sealed laws (no {LAWS}); finebayes sweep {folder} --law proposes and seals "
            "them."
        )
    values = read_json(path, "delete it to propose anew")
    try:
        sealed = typed(SealedLaws, values)
    except Misuse as error:
        raise Misuse(f"{path} is damaged ({error}); delete it to propose anew.") from error
    content = {name: value for name, value in values.items() if name != "hash"}
    if digest(content, 0) != sealed.hash:
        raise Misuse(f"{path} was changed after it was sealed; these laws cannot be scored.")
    return sealed


def _plain(law: Law) -> Json:
    return {name: list(part) if isinstance(part, tuple) else part for name, part in asdict(law).items()}


def _digest(observations: Sequence[Observation]) -> str:
    """Of scores and measures, whatever their order."""
    lines = sorted(json.dumps(asdict(line), sort_keys=True) for line in observations)
    return digest({"observations": lines}, 0)
