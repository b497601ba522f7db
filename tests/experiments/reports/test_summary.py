"""The answer says what the small table shows, in three sentences or fewer."""

import re
from dataclasses import replace

import pytest

from experiments.reports.score_table import ROWS, score_table
from experiments.reports.summary import answer, last_scores, score, theories


@pytest.fixture
def lines(make_line):
    """Two methods at doses 4 and 8; the last one decides, and another prior is not drawn."""
    scores = {
        ("unchanged", "forecast", "network"): (0.0, 0.0),
        ("linearised", "forecast", "network"): (0.97, 0.4),
        ("proximal", "fitted", "network"): (0.9, 0.8),
        ("tempered-posterior", "fitted", "implied"): (-3.0, 0.1),
        ("tempered-posterior", "fitted", "process"): (0.99, 0.99),
        ("tempered-posterior", "law", "implied"): (0.99, 0.99),
    }
    result = []
    for (theory, grade, prior), values in scores.items():
        for method, value in zip(("sgd", "adam"), values, strict=True):
            for dose, part in ((4, 0.1), (8, 1.0)):
                entry = make_line(theory, value * part, dose, grade, prior=prior, method=method)
                result += [entry, replace(entry, group="in_domain", explained=0.5)]
    return result


def test_the_answer_names_the_best_the_forecasts_and_the_failures_at_the_last_dose(lines):
    best, forecasts, failures = answer(last_scores(lines))
    assert best == (
        "On held-out contexts after 8 steps the shift is explained best by linearised (forecast: 0.970 ± "
        "0.010 after SGD on topic 0) and proximal (fitted: 0.800 ± 0.010 after Adam on topic 0); noise "
        "ceiling 0.990."
    )
    assert forecasts == (
        "Without a fitted number, the best forecast is linearised (0.970 ± 0.010 after SGD on topic 0 and "
        "0.400 ± 0.010 after Adam on topic 0)."
    )
    assert failures == (
        "Worse than “nothing changed” by more than two s.e.: tempered posterior (fitted: in 1 of 2 ways, "
        "lowest −3.0 ± <0.1)."
    )


def test_many_ways_are_told_by_their_extremes(lines):
    many = [
        replace(line, data=f"topics{index}") for index in range(3) for line in lines if line.method == "sgd"
    ]
    best, *_ = answer(last_scores(many))
    assert "0.970 ± 0.010 after SGD on topic 0 to 0.970" in best and best.count("±") == 2


def test_every_number_of_the_answer_is_in_the_table(lines):
    scored = last_scores(lines)
    table = re.sub("<.*?>", " ", score_table(scored))
    for number in re.findall(r"−?\d+\.\d+", " ".join(answer(scored))):
        assert number in table


def test_the_best_of_each_column_is_bold_and_undefined_scores_are_dashes(lines):
    lines = [
        replace(line, explained=None, noise_ceiling=None) if line.method == "adam" else line for line in lines
    ]
    text = score_table(last_scores(lines))
    assert re.findall("<strong>(.*?)</strong>", text) == ["0.970"]
    assert text.count("<td>–</td>") == 4  # three theories and the noise ceiling
    best, *_ = answer(last_scores(lines))
    assert "undefined after Adam on topic 0, where the shift does not exceed its noise" in best


def test_nothing_undefined_or_unscored_breaks_the_answer(lines):
    assert answer([]) == ["Nothing is scored yet."] and score_table([]) == ""
    holes = [replace(line, explained=None, standard_error=None, noise_ceiling=None) for line in lines]
    (sentence,) = answer(last_scores(holes))
    assert "no theory has a score" in sentence
    alone = [line for line in lines if line.theory == "linearised" and line.method == "sgd"]
    _, forecasts, failures = answer(last_scores(alone))
    assert forecasts.startswith("All of these are forecasts") and failures.startswith(
        "Nothing fails outright"
    )
    bad = [replace(line, explained=-0.2) for line in alone]
    assert "nothing beats “nothing changed”" in answer(last_scores(bad))[0]
    fitted = [replace(line, grade="fitted") for line in alone]
    assert answer(last_scores(fitted))[1] == "No forecast without a fitted number has a score."


def test_more_theories_than_there_is_room_for_are_folded(make_line):
    lines = [make_line(f"theory-{index}", index / 20) for index in range(ROWS + 3)]
    shown, folded = score_table(last_scores(lines)).split("<details>")
    assert shown.count("<small>fitted") == ROWS and folded.count("<small>fitted") == 3
    assert "3 more" in folded and "theory 10<" in shown and "theory 0<" in folded


def test_a_theory_that_predicts_little_does_not_rank_first(make_line):
    lines = [make_line("whole", 0.8, method=method) for method in ("sgd", "adam")]
    lines.append(make_line("partial", 0.9))
    assert theories(last_scores(lines)) == [("whole", "fitted"), ("partial", "fitted")]
    assert "<td></td>" in score_table(last_scores(lines))


def test_scores_are_short_and_doubted_ones_are_marked(make_line):
    assert score(None) == ("", "") and score(make_line("a", None)) == ("–", "")
    assert score(make_line("a", -13.23, standard_error=2.04)) == ("−13.2", "± 2.0")
    assert score(make_line("a", -4308.2, standard_error=210.4)) == ("−4308", "± 210")
    assert score(make_line("a", -2.72, standard_error=0.045)) == ("−2.7", "± <0.1")
    assert score(make_line("a", -432.1, standard_error=0.2)) == ("−432", "± <1")
    assert score(make_line("a", 0.99961, standard_error=0.00002)) == ("0.9996", "± <0.0001")
    assert score(make_line("a", 0.5, standard_error=None, converged=0.5)) == ("0.500*", "")
