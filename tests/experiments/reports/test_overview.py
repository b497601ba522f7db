"""The table of many studies says what their scorecards say, and what their base networks are worth."""

from dataclasses import replace

import pytest

from experiments.reports import overview
from experiments.scoring import leaderboard as compare
from experiments.scoring.learnt import Learnt
from experiments.storage.files import write_json
from experiments.storage.manifests import NetworkQuality, Quality
from experiments.storage.records import Row
from experiments.storage.run_folder import create

NEWER = {
    ("exchangeable-mixture", "implied", "fitted"): 0.25,
    ("last-dose", "network", "fitted"): 0.95,
}
SCORES = {  # (theory, prior, grade): explained on held-out contexts, without and with another base network
    ("unchanged", "network", "forecast"): 0.0,
    ("linearised", "network", "forecast"): 0.9,
    ("tempered-posterior", "implied", "fitted"): -3.0,
    ("tempered-posterior", "process", "fitted"): 0.7,
}


@pytest.fixture
def runs(tmp_path):
    """Two runs of one study at doses 1 and 4; the second has no exchangeable mixture, no quality yet and rows
    that are older than the yardstick."""
    made = []
    for name in ("one", "two"):
        config = {"study": "made-up", "preset": "tiny", "config": {"name": name}}
        made.append(create(tmp_path / name, config, {}))
        scores = SCORES | (NEWER if name == "one" else {})
        rows = []
        for method in ("sgd", "adam"):
            for dose, shift in ((1, 0.1), (4, 0.2)):
                for (theory, prior, grade), score in scores.items():
                    for base in range(2):
                        for group in ("in_domain", "held_out"):
                            nats = shift * (1 - score - 0.02 * (base - 0.5) * (theory == "linearised"))
                            names = ("made-up", method, "all", base, dose, theory, prior, grade)
                            noise = (0.001,), (0.3 * shift,), (0.4 * shift,)
                            rows.append(Row(*names, None, group, None, (nats,), (shift,), *noise, None))
        made[-1].save_rows(rows)
    quality = Quality((NetworkQuality(0, 0.01234, 0.1, (0.0, 0.1), 0.5, (0.0, 1.0), 7),))
    write_json(made[0].folder / "networks.json", quality.to_json())
    return made


def test_a_row_says_what_the_scorecard_says_at_the_last_dose(runs, tmp_path):
    _, columns, read = compare.read(tuple(str(run.folder) for run in runs))
    shares = Learnt("sgd", "all", (1, 4), 0.62, (0.4, 0.81))
    columns = [replace(column, learnt=shares) if column == columns[0] else column for column in columns]
    head, first, second, third, last = overview.table(columns, read)
    wanted = ["study", "learnt", "excess; uninformed (nats)", "method, D′", "D′ learnt; by best null"]
    assert head[:8] == [*wanted, "shift (nats)", "best null", "last dose, scaled"]
    assert first == [
        *(
            "made-up (one)",
            "0.975",
            "0.0123; 0.5000",
            "SGD, D′ on all",
            "81 %; 62 %",
            "0.2000",
            "0.000 (unchanged)",
            "0.950",
            "0.900",
            "0.700",
        ),
        *("below −1", "0.250", "0.600"),
    ]
    assert second[:5] == ["", "", "", "Adam, D′ on all", "–"] and second[5:] == first[5:]
    assert third[:4] == ["made-up (two)", "–", "–; –", "SGD, D′ on all"] and third[-2:] == ["–", "0.600"]
    assert third[6:9] == ["0.000 (unchanged)", "–", "0.900"]
    assert last[:3] == ["", "", ""]
    path = overview.write(columns, read, tmp_path)
    text = path.read_text(encoding="utf-8")
    assert path.name == "overview.md" and text.startswith(overview.ABOUT)
    assert (
        text.count("\n| ") == 6
        and "| made-up (one) | 0.975 | 0.0123; 0.5000 | SGD, D′ on all | 81 %; 62 % | 0.2000 |" in text
    )


def test_what_beats_the_best_null_is_bold(runs):
    _, (column, *_), read = compare.read((str(runs[0].folder),))
    ends = {"linearised": (0.1, 0.3), "tempered-posterior": (-0.1, 0.3)}
    lines = tuple(replace(line, over_null_interval=ends.get(line.theory)) for line in column.lines)
    row = overview.table([replace(column, lines=lines)], read)[1]
    assert row[8] == "**0.900**" and not any("*" in cell for cell in [*row[:8], *row[9:]])
