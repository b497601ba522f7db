"""Observations of a run for laws: the scores of a few theories with what was known before finetuning. No jax.

Scores are those of the group that is judged first, over all networks of one draw of the process; measures are
means over its base networks. Besides theories there are `best-mixture`, the best that any weights of the
hypotheses reach, `best-null`, the best theory that knows nothing of hypotheses or weights, and
`read-out-share`, the share of the shift that the read-out makes alone (experiments.scoring.swap).
"""

from collections.abc import Iterator, Mapping, Sequence

from experiments.scoring.labels import NULLS, judged_groups, one_prior
from experiments.scoring.laws import Observation
from experiments.scoring.measures import Measures, averaged, measures
from experiments.scoring.rows import table
from experiments.scoring.scorecard import scorecard
from experiments.storage.records import ScoreLine
from experiments.storage.run import Run
from theory.errors import Misuse

BEST_MIXTURE, BEST_NULL, READ_OUT = "best-mixture", "best-null", "read-out-share"
MIXTURE = "tempered-posterior"  # whose best in class is that of any weights
THEORIES = {
    "linearised": "forecast",
    "proximal": "fitted",
    "tempered-posterior": "fitted",
    "exchangeable-mixture": "fitted",
    BEST_MIXTURE: "fitted",
    BEST_NULL: "fitted",
}
"""The theories of laws, and the grade of their scores."""
Panel = tuple[str, str, int]


def observations(run: Run, point: str) -> list[Observation]:
    """Those of one run, which is the point of a sweep, for each draw of the process; refuses a run without
    measures."""
    known = measures(run)
    if not known:
        raise Misuse(f"{run.study} has no measures; its experiment must ask for them (measures=True).")
    rows = table(run)
    every = []
    for draw in sorted({row.draw for row in rows}):
        of_draw = _known([line for line in known if line.draw == draw])
        every += _of_draw(scorecard([row for row in rows if row.draw == draw]), of_draw, point)
    return every


def _of_draw(
    lines: Sequence[ScoreLine], known: Mapping[Panel, Mapping[str, float]], point: str
) -> Iterator[Observation]:
    group = judged_groups(lines)[0]
    judged = [line for line in lines if line.group == group]
    several = len({line.data for line in judged}) > 1
    for panel in dict.fromkeys((line.method, line.data, line.dose) for line in judged):
        method, data, dose = panel
        name = f"{method}, {data}" if several else method
        here = [line for line in judged if (line.method, line.data, line.dose) == panel]
        for theory, score in _scores(here):
            yield Observation(point, name, dose, theory, score, known.get(panel, {}))


def _known(every: Sequence[Measures]) -> dict[Panel, Mapping[str, float]]:
    """Means over base networks of the measures that are known, by method, D' and dose."""
    panels: dict[Panel, list[Measures]] = {}
    for line in every:
        panels.setdefault((line.method, line.data, line.dose), []).append(line)
    return {
        panel: {name: value for name, value in averaged(part).items() if value is not None}
        for panel, part in panels.items()
    }


def _scores(lines: Sequence[ScoreLine]) -> Iterator[tuple[str, float]]:
    """Theories of laws that have a score at one method, D' and dose, and the share of the read-out."""
    nulls = [line.explained for line in lines if line.theory in NULLS and line.explained is not None]
    if len(nulls) > 1:  # without `unchanged` alone
        yield BEST_NULL, max(nulls)
    if lines[0].read_out_share is not None:
        yield READ_OUT, lines[0].read_out_share
    for line in one_prior(lines):
        if line.grade == THEORIES.get(line.theory) and line.explained is not None:
            yield line.theory, line.explained
        if line.theory == MIXTURE and line.grade == "fitted" and line.best_in_class is not None:
            yield BEST_MIXTURE, line.best_in_class
