"""Sentences and text tables follow the numbers, whatever they are."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.reports import sentences
from experiments.scoring.labels import number


@pytest.fixture
def line(make_line):
    return make_line


def _words(lines, **known):
    return "\n".join(text for texts in sentences.findings(lines, **known).values() for text in texts)


def test_who_would_have_warned(line):
    good = line(theory="linearised", grade="forecast", explained=0.97, data="a")
    part = replace(good, data="b", explained=0.6)
    none = replace(good, data="c", explained=0.2)
    wrong = replace(part, theory="tempered-posterior", explained=-3.0)
    fitted = replace(none, theory="proximal", grade="fitted", explained=0.99)
    hole = replace(good, data="d", explained=None)
    first, second, third, fourth = sentences.warned([good, part, wrong, none, fitted, hole])
    assert "linearised would have warned, 0.97" in first and "misled" not in first
    assert "linearised would have warned of most of it, 0.6" in second
    assert "tempered-posterior would have misled, -3" in second
    assert "nobody would have warned; the best forecast is linearised, 0.2" in third
    assert "no forecast has a score" in fourth


@pytest.mark.parametrize(
    ("first", "second"), [("proximal", "geometric-path"), ("geometric-path", "proximal")]
)
def test_the_winner_is_the_theory_with_the_best_score(line, first, second):
    words = _words([line(first, 0.9), line(second, 0.4)])
    assert f"best is {first} (fitted), 0.900 ± 0.010, below the noise ceiling 0.990" in words
    assert f"next {second} (fitted), 0.400" in words


def test_a_score_near_the_noise_ceiling_is_called_so(line):
    assert "within two s.e. of the noise ceiling" in _words([line("proximal", 0.98)])
    assert ", above the noise ceiling" in _words([line("proximal", 0.995)])
    assert "no theory beats “nothing changed”" in _words([line("proximal", -0.4)])


def test_a_forecast_is_followed_to_the_dose_where_it_fails(line):
    scores = {1: 0.99, 2: 0.97, 4: 0.7}
    lines = [line("linearised", score, dose, "forecast") for dose, score in scores.items()]
    assert "0.95 or more at 2 of 3 doses; it first falls below that at dose 4, to 0.700" in _words(lines)
    assert "3 of 3 doses." in _words([replace(entry, explained=0.96) for entry in lines])
    assert "0 of 3 doses; its best is 0.500" in _words([replace(entry, explained=0.5) for entry in lines])


def test_a_class_is_refuted_by_its_best_member_and_a_theory_by_its_score(line):
    words = _words([line("proximal", 0.9), line("linear-mixture", -0.2, best_in_class=0.5)])
    assert "Refuted as a class (even its best member stays below 0.9): linear-mixture at dose 4" in words
    assert "Worse than “nothing changed” by more than two s.e.: linear-mixture (fitted)" in words
    assert "Refuted" not in _words([line("proximal", 0.4, best_in_class=0.95)])
    assert "Refuted" not in _words([line("proximal", 0.4, best_in_class=0.8, noise_ceiling=0.7)])


def test_a_strength_at_the_end_of_its_range_is_named(line):
    lines = [line("proximal", 0.9, beta=3.0)]
    assert "end of the range that was tried: proximal" in _words(lines, ends={"proximal/network": 3.0})
    assert "end of the range" not in _words(lines, ends={"proximal/network": 4.0})


def test_undefined_scores_are_named_and_nothing_fails_on_missing_numbers(line):
    holes = dict.fromkeys(
        ("explained", "standard_error", "noise_ceiling", "other_base", "best_in_class", "beta")
    )
    lines = [line("proximal", None, 1, **{k: v for k, v in holes.items() if k != "explained"})]
    lines += [line("proximal", 0.9, 4, standard_error=None), line("proximal", None, group="in_domain")]
    texts, table = _words(lines), sentences.scorecard_text(lines, everything=True)
    assert "Undefined on held_out contexts at dose 1" in texts
    assert "undefined" in table and "fitted here" in table
    assert "no theory has a score" in _words(lines[:1])


def test_the_table_is_aligned_and_sorted_and_chooses_three_doses(line):
    lines = [line("proximal", 0.1, dose) for dose in (1, 2, 4, 8, 16)]
    lines += [line("geometric-path", 0.5, dose) for dose in (1, 2, 4, 8, 16)]
    head, *body = sentences.scorecard_text(lines).splitlines()
    assert [row[head.index("dose") :].split()[0] for row in body] == ["1", "1", "4", "4", "16", "16"]
    assert [row[head.index("theory") :].split()[0] for row in body[:2]] == ["geometric-path", "proximal"]
    assert len(sentences.scorecard_text(lines, everything=True).splitlines()) == 11
    assert sentences.scorecard_text([]) == "Nothing is scored yet."


def test_numbers_close_to_one_are_not_rounded_to_it():
    assert number(0.9998) == "0.9998" and number(1.0) == "1.000"
    assert number(np.nan) == "-" and number(-4308.2) == "-4308"
