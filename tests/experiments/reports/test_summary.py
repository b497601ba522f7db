"""The answer says what the small table shows, in three sentences or fewer."""

import re
from dataclasses import replace

import pytest

from experiments.reports.score_table import ROWS, score_table
from experiments.reports.summary import answer, cell, last_scores, printed_table, short_table, theories


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
        "On held-out contexts after 8 steps the shift is explained best by linearised (forecast), 0.970 "
        "[0.950, 0.990] after SGD on topic 0 (beats the nulls by 0.670 [0.650, 0.690]); and by proximal "
        "(fitted), 0.800 [0.780, 0.820] after Adam on topic 0 (beats the nulls by 0.500 [0.480, 0.520])."
    )
    assert forecasts == (
        "Without a fitted number, the highest score there is that of linearised (forecast), 0.400 [0.380, "
        "0.420] after Adam on topic 0 (beats the nulls by 0.100 [0.080, 0.120])."
    )
    assert failures == (
        "Worse than “nothing changed” by the whole interval: tempered posterior (fitted: in 1 of 2 ways, "
        "lowest −3.0 [−3.0, −3.0])."
    )


def test_a_theory_that_does_not_beat_the_best_null_does_not_explain(make_line):
    """Its interval beyond the null holds 0, or it has none."""
    short = make_line(
        "proximal", 0.9, best_null="answer-bias", over_null=0.01, over_null_interval=(-0.01, 0.03)
    )
    (best, *_) = answer(last_scores([short]))
    assert "explained best" not in best
    assert best == (
        "On held-out contexts after 4 steps nothing is shown to beat the best null, least bad proximal "
        "(fitted), 0.900 [0.880, 0.920] after SGD on topic 0 (not above the best null, answer bias: 0.010 "
        "[−0.010, 0.030])."
    )
    alone = replace(short, interval=None, over_null_interval=None)
    assert "0.010 over the best null, answer bias, no interval" in answer(last_scores([alone]))[0]
    assert "<span class=soft>0.900</span>" in score_table(last_scores([make_line("x", 0.95), short]))


def test_ties_and_few_networks_are_named(make_line):
    """The others are as good within the interval; a score on fewer networks without one does not win."""
    first, second = (
        make_line("proximal", 0.9, half=0.2),
        make_line("linearised", 0.88, half=0.05, grade="forecast"),
    )
    assert "; tied with linearised)" in answer(last_scores([first, second]))[0]
    few = make_line("langevin-posterior", 0.95, half=None, networks=1)
    best = answer(last_scores([few, make_line("unchanged", 0.0), second]))[0]
    assert "explained best by linearised" in best and "langevin" not in best
    assert "on 1 of 4 networks" in answer(last_scores([few, make_line("unchanged", 0.0)]))[0]


def test_every_number_of_the_answer_is_in_the_table(lines):
    scored = last_scores(lines)
    table = re.sub("<.*?>", " ", score_table(scored))
    for sentence in answer(scored):
        for number in re.findall(r"−?\d+\.\d+", re.sub(r"\(beats.*?\)", "", sentence)):
            assert number in table


def test_the_best_of_each_column_is_bold_and_undefined_scores_are_dashes(lines):
    lines = [
        replace(line, explained=None, order_blind=None) if line.method == "adam" else line for line in lines
    ]
    text = score_table(last_scores(lines))
    assert re.findall("<strong>(.*?)</strong>", text) == ["0.970"]
    assert (
        text.count("<td>–</td>") == 7
    )  # three theories, the bound, the best null; the last dose of both methods
    best, *_ = answer(last_scores(lines))
    assert "undefined after Adam on topic 0, where the shift does not exceed its noise" in best


def test_nothing_undefined_or_unscored_breaks_the_answer(lines):
    assert answer([]) == ["Nothing is scored yet."] and score_table([]) == ""
    holes = [replace(line, explained=None, interval=None, order_blind=None) for line in lines]
    (sentence,) = answer(last_scores(holes))
    assert "no theory has a score" in sentence
    alone = [line for line in lines if line.theory == "linearised" and line.method == "sgd"]
    _, forecasts, failures = answer(last_scores(alone))
    assert forecasts.startswith("All of these are forecasts")
    assert failures.startswith("Nothing is shown to be worse than “nothing changed”")
    fitted = [replace(line, grade="fitted") for line in alone]
    assert answer(last_scores(fitted))[1] == "No forecast without a fitted number has a score."


def test_more_theories_than_there_is_room_for_are_folded(make_line):
    lines = [make_line(f"theory-{index}", index / 20) for index in range(ROWS + 3)]
    shown, folded = score_table(last_scores(lines)).split("<details>")
    assert shown.count("<small>fitted") == ROWS and folded.count("<small>fitted") == 3
    assert "3 more" in folded and f"theory {ROWS + 2}<" in shown and "theory 0<" in folded


def test_a_theory_that_predicts_little_does_not_rank_first(make_line):
    lines = [make_line("whole", 0.8, method=method) for method in ("sgd", "adam")]
    lines.append(make_line("partial", 0.9))
    assert theories(last_scores(lines)) == [("whole", "fitted"), ("partial", "fitted")]
    assert "<td></td>" in score_table(last_scores(lines))


def test_scores_are_short_and_doubted_ones_are_marked(make_line):
    assert cell(None) == ("", "") and cell(make_line("a", None)) == ("–", "")
    assert cell(make_line("a", -13.23, half=2.04)) == ("−13.2", "[−15.3, −11.2]")
    assert cell(make_line("a", -4308.2, half=210.4)) == ("−4308", "[−4519, −4098]")
    assert cell(make_line("a", 0.99961, interval=(0.9992, 1.0))) == ("1 − 0.00039", "[0.99920, 1]")
    assert cell(make_line("a", 0.5, half=None, converged=0.5)) == ("0.500*", "")
    assert cell(make_line("a", float("-inf"), half=None)) == ("−∞", "")


def test_a_run_ends_in_at_most_three_sentences_and_a_short_table(lines):
    scored = last_scores(lines)
    assert len(answer(scored)) == 3
    first, *others = answer(scored, "Does it become that persona? It does.")
    assert first == "Does it become that persona? It does." and len(others) == 2
    head, bound, null, last, *rows = short_table(scored, 2)
    assert head == ["theory", "grade", "SGD on topic 0", "Adam on topic 0"]
    assert bound == ["order-blind bound", "", "0.990", "0.990"]
    assert null == ["best null", "", "0.000 unchanged", "0.000 unchanged"]
    assert last == ["last dose, scaled", "", "–", "–"]
    assert rows == [
        ["proximal", "fitted", "0.900 [0.880, 0.920]", "0.800 [0.780, 0.820]"],
        ["linearised", "forecast", "0.970 [0.950, 0.990]", "0.400 [0.380, 0.420]"],
    ]


def test_a_run_of_many_ways_is_printed_a_row_a_way(lines):
    scored = last_scores(lines)
    assert printed_table(scored, across=len(scored)) == short_table(scored)
    table, printed = short_table(scored, 3), printed_table(scored, across=1, down=1)
    assert [row[0] for row in printed] == ["", scored[0].name, f"and {len(scored) - 1} more"]
    assert printed[1][1:] == [row[2] for row in table[1:]]
    assert {len(row) for row in printed} == {len(table)}
