"""The overview of many studies: the shift of each D' and its scores, at the last dose. No jax.

    overview.md     one row for each run, method and D': the base network's excess over the exact predictor,
                    the shift, and the scores on held-out contexts of theories that every study has

Excess (nats, mean over positions) stands next to that of a predictor which knows every hypothesis and never
infers which one a document is of: what there is to learn from context, and the share of it that was learnt.
"""

from collections.abc import Sequence
from pathlib import Path

from experiments.figures.looks import OVERVIEW
from experiments.scoring.inference import words
from experiments.scoring.labels import beats_nulls, with_interval
from experiments.scoring.leaderboard import UNCHANGED, YARDSTICK, Column, TheoryKey, markdown_table
from experiments.scoring.learnt import percent
from experiments.storage.files import write_text
from experiments.storage.records import Interval, ScoreLine
from experiments.storage.run_folder import RunFolder

LEAST = -1.0  # scores below say no more than that they are worse than nothing
ABOUT = (
    "Last dose, held-out contexts: the part of the shift that is explained with its interval of 95 % over "
    "base networks and D′ (1: all; 0: no better than “nothing changed”). *D′ learnt* is the part of D′ that "
    "the networks learnt, and that one bias for each answer could learn, by the loss on D′ itself (0 %: the "
    "base network; 100 %: the best hypothesis of the process). *Shift* is what there is to explain; *best "
    "null* the best score of a theory that knows of no hypothesis and no weights, which any other must beat "
    "(in bold those that do, by the whole interval of the difference on the same networks); *last dose, "
    "scaled* that of a yardstick, the shift of the same networks at the dose before times one number that is "
    "fitted in-domain (–: undefined at a first dose, or rows that are older than it); *another seed* the "
    "score of a network from another pretraining seed, finetuned alike; *best mixture* that of the weights "
    "over hypotheses that are fitted to these answers. β of the posteriors is fitted in the domain of D′ and "
    "nowhere else, from the prior implied by the base network. *Learnt* is the share of "
    "inference that the base networks have learnt, 1 − excess / uninformed: *excess* is theirs over the "
    "exact predictor, mean over positions, *uninformed* that of a predictor which never infers the "
    "hypothesis of a document."
)


def write(columns: Sequence[Column], runs: Sequence[RunFolder], out: Path) -> Path:
    """Write overview.md."""
    path = out / "overview.md"
    write_text(path, f"{ABOUT}\n\n{markdown_table(table(columns, runs))}\n")
    return path


def table(columns: Sequence[Column], runs: Sequence[RunFolder]) -> list[list[str]]:
    """Header and rows; a run is named in its first row."""
    names = list(dict.fromkeys(column.run for column in columns))
    quality = dict(zip(names, map(_quality, runs), strict=True))
    linearised, *posteriors = OVERVIEW
    head = ["study", "learnt", "excess; uninformed (nats)", "method, D′", "D′ learnt; by best null"]
    head += ["shift (nats)", "best null", "last dose, scaled"]
    rows = [[*head, linearised, "another seed", *posteriors, "best mixture"]]
    for index, column in enumerate(columns):
        first = not index or columns[index - 1].run != column.run
        rows.append([column.run, *quality[column.run]] if first else [""] * 3)
        dose = max(line.dose for line in column.lines)
        base, null = column.at(UNCHANGED, dose), column.best_null(dose)
        last = column.at(YARDSTICK, dose)
        lines = {title: column.at(TheoryKey(*theory), dose) for title, theory in OVERVIEW.items()}
        bounds = [line.best_in_class for title in posteriors if (line := lines[title]) is not None]
        rows[-1] += [
            column.name,
            f"{percent(column.learnt.at(dose))}; {percent(column.learnt.null)}" if column.learnt else "–",
            f"{base.shift:.4f}" if base else "–",
            _null(null),
            _score(last.explained if last else None),
            _line(lines[linearised]),
            _score(base.other_base if base else None),
            *(_line(lines[title]) for title in posteriors),
            _score(max((bound for bound in bounds if bound is not None), default=None)),
        ]
    return rows


def _quality(run: RunFolder) -> tuple[str, str]:
    quality = run.quality()
    if quality is None:
        return "–", "–; –"
    return words(quality.learnt), f"{quality.mean:.4f}; {quality.uninformed:.4f}"


def _null(line: ScoreLine | None) -> str:
    return f"{_score(line.explained)} ({line.theory.replace('-', ' ')})" if line else "–"


def _line(line: ScoreLine | None) -> str:
    if line is None:
        return "–"
    text = _score(line.explained, line.interval)
    return f"**{text}**" if beats_nulls(line) else text


def _score(explained: float | None, interval: Interval | None = None) -> str:
    if explained is None:
        return "–"
    return f"below −{-LEAST:g}" if explained < LEAST else with_interval(explained, interval)
