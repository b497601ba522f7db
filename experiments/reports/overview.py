"""Many studies in one table: what each D' did, and who explains it, at the last dose. No jax.

    overview.md     one row for each run, method and D': the base network's excess over the exact predictor,
                    the shift, and the scores on held-out contexts of those that every study hears

Excess (nats, mean over positions) stands beside that of a predictor which knows every hypothesis and never
infers which one a document is of: what there is to learn from context.
"""

from pathlib import Path
from typing import Any

from experiments.scoring.labels import plus_minus
from experiments.scoring.leaderboard import UNCHANGED, Column, Theory, markdown_table
from experiments.storage import run_folder as disk

SHOWN: dict[str, Theory] = {
    "linearised (forecast)": ("linearised", "network", "forecast"),
    "tempered posterior (fitted)": ("tempered-posterior", "held", "fitted"),
    "exchangeable mixture (fitted)": ("exchangeable-mixture", "held", "fitted"),
}
LEAST = -1.0  # scores below say no more than that they are worse than nothing
ABOUT = (
    "Last dose, held-out contexts: the part of the shift that is explained ± one standard error over base "
    "networks (1: all; 0: no better than “nothing changed”). *Shift* is what there is to explain; *another "
    "seed* the score of a network from another pretraining seed, finetuned alike; *best mixture* that of the "
    "weights over hypotheses that are fitted to these very answers. β of the posteriors is fitted in the "
    "domain of D′ and nowhere else, from the prior that the base network holds. *Excess* is the base "
    "networks' over the exact predictor, mean over positions, beside that of a predictor which never infers "
    "the hypothesis of a document."
)


def write(columns: list[Column], runs: list[disk.Results], out: Path) -> Path:
    """Write overview.md."""
    path, text = out / "overview.md", f"{ABOUT}\n\n{markdown_table(table(columns, runs))}\n"
    disk.write(path, lambda file: file.write(text.encode()))
    return path


def table(columns: list[Column], runs: list[disk.Results]) -> list[list[str]]:
    """Header and rows; a run is named in its first row."""
    names = list(dict.fromkeys(column.run for column in columns))
    quality = dict(zip(names, map(_quality, runs), strict=True))
    linearised, *posteriors = SHOWN
    head = ["study", "excess; uninformed (nats)", "method, D′", "shift (nats)"]
    rows = [[*head, linearised, "another seed", *posteriors, "best mixture"]]
    for index, column in enumerate(columns):
        first = not index or columns[index - 1].run != column.run
        rows.append([column.run, quality[column.run]] if first else ["", ""])
        dose = max(line["dose"] for line in column.lines)
        base = column.at(UNCHANGED, dose) or {"shift": None, "seed_floor": None}
        told = {title: column.at(theory, dose) for title, theory in SHOWN.items()}
        ceilings = [line["ceiling"] for title in posteriors if (line := told[title]) is not None]
        rows[-1] += [
            column.name,
            "–" if base["shift"] is None else f"{base['shift']:.4f}",
            _score(told[linearised]),
            _score({"explained": base["seed_floor"]}),
            *(_score(told[title]) for title in posteriors),
            _score({"explained": max((each for each in ceilings if each is not None), default=None)}),
        ]
    return rows


def _quality(run: disk.Results) -> str:
    path = run.folder / "networks.json"
    told: dict[str, Any] = disk.read_json(path) if path.exists() else {}
    both = [told.get(name) for name in ("mean", "uninformed")]
    return "; ".join("–" if each is None else f"{each:.4f}" for each in both)


def _score(line: dict[str, Any] | None) -> str:
    if line is None or line["explained"] is None:
        return "–"
    if line["explained"] < LEAST:
        return f"below −{-LEAST:g}"
    return plus_minus(line["explained"], line.get("standard_error"))
