"""Laws are sealed on one half, kept, and refused where they or their scores were changed."""

import json
from dataclasses import replace

import numpy as np
import pytest

from experiments.scoring.laws import Observation, halves
from experiments.scoring.sealed_laws import LAWS, judge_all, read_laws, seal_laws, verdict_table, verdicts
from theory.errors import Misuse


@pytest.fixture
def lines():
    random = np.random.default_rng(1)
    every = []
    for point in range(40):
        known = {"kappa": random.uniform(0.05, 0.9), "norm": random.uniform(10, 60), "leak": random.uniform()}
        score = 1 - known["kappa"] ** 2 + 0.01 * random.normal()
        every += [
            Observation(
                f"width={point}", "sgd", 8, theory, score if theory == "linearised" else -score, known
            )
            for theory in ("linearised", "proximal")
        ]
    return [*every, Observation("width=0", "sgd", 8, "seldom", 0.5, {"kappa": 0.3})]


def test_laws_are_sealed_once_and_scored_on_the_half_that_they_have_not_seen(lines, tmp_path):
    sealed = seal_laws(tmp_path, lines)
    first, second = halves(lines)
    assert set(sealed.points) == {line.point for line in first}
    assert sealed.laws.keys() == {"linearised", "proximal"}  # not the theory of a single point
    found = {verdict.law.theory: verdict for verdict in verdicts(sealed, lines)}
    assert found["linearised"].law.measures == ("kappa",) and found["linearised"].r2 > 0.95
    assert found["linearised"].points == len({line.point for line in second})
    table = verdict_table(found.values())
    assert [line["role"] for line in table] == ["law", "rival", "rival"] * 2
    assert float(table[1]["r2"]) < 0.5 < float(table[0]["r2_low"])
    assert seal_laws(tmp_path, lines[::-1]) == sealed  # the first seal stays, in whatever order


def test_points_of_the_second_half_may_be_added_but_scores_of_the_first_not_changed(lines, tmp_path):
    first, second = halves(lines)
    sealed = seal_laws(tmp_path, [*first, *second[:30]])
    assert seal_laws(tmp_path, lines) == sealed
    with pytest.raises(Misuse, match="was sealed on other scores"):
        seal_laws(tmp_path, [replace(first[0], score=0.0), *first[1:], *second])


def test_a_point_that_finishes_later_is_scored_whatever_its_name(lines, tmp_path):
    first, second = halves(lines)
    late = first[0].point
    sealed = seal_laws(tmp_path, [line for line in lines if line.point != late])
    assert seal_laws(tmp_path, lines) == sealed and late not in sealed.points
    found = {verdict.law.theory: verdict for verdict in verdicts(sealed, lines)}
    assert found["linearised"].points == 1 + len({line.point for line in second})


def test_laws_are_judged_on_points_of_another_sweep_whatever_their_names(lines, tmp_path):
    with pytest.raises(
        Misuse, match=r"has no sealed laws \(no laws.json\); finebayes sweep .* --law proposes"
    ):
        read_laws(tmp_path)
    sealed = seal_laws(tmp_path, lines)
    assert read_laws(tmp_path) == sealed
    strangers = halves(lines)[0]  # the names of points that proposed
    found = {verdict.law.theory: verdict for verdict in judge_all(sealed, strangers)}
    assert found["linearised"].points == len(sealed.points)
    changed = [replace(line, score=1 - line.measures["kappa"]) for line in strangers]
    assert judge_all(sealed, changed)[0].r2 < found["linearised"].r2 - 0.2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record | {"made": "2000-01-01"}, "was changed after it was sealed"),
        (lambda record: {name: part for name, part in record.items() if name != "laws"}, "is damaged"),
    ],
)
def test_a_seal_that_was_changed_is_refused(lines, tmp_path, change, message):
    seal_laws(tmp_path, lines)
    path = tmp_path / LAWS
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(Misuse, match=message):
        seal_laws(tmp_path, lines)
