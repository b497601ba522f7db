"""Sentences and text tables follow the numbers, whatever they are."""

from dataclasses import fields, replace

import numpy as np
import pytest

from experiments.reports import sentences
from experiments.scoring.labels import number
from experiments.storage.records import Sample


@pytest.fixture
def line(make_line):
    return make_line


def _words(lines, **known):
    return "\n".join(text for texts in sentences.findings(lines, **known).values() for text in texts)


def test_who_would_have_warned(line):
    good = line(theory="linearised", grade="forecast", explained=0.97, data="a")
    part = line(theory="linearised", grade="forecast", explained=0.6, data="b")
    none = line(theory="linearised", grade="forecast", explained=0.2, data="c")
    wrong = line(theory="tempered-posterior", grade="forecast", explained=-3.0, data="b")
    fitted = line(theory="proximal", explained=0.99, data="c")
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
    assert (
        f"best is {first} (fitted), 0.900 [0.880, 0.920], beats the nulls by 0.600 [0.580, 0.620], below the "
        "order-blind bound 0.990"
    ) in words
    assert f"next {second} (fitted), 0.400 [0.380, 0.420], 0.500 [0.500, 0.500] behind" in words


def test_a_score_near_the_order_blind_bound_is_called_so(line):
    """The bound is 0.99; another order would score 0.98, which is below what can be reached."""
    assert "within the noise of the order-blind bound" in _words([line("proximal", 0.985)])
    assert ", below the order-blind bound" in _words([line("proximal", 0.98, half=0.005)])
    assert ", above the order-blind bound" in _words([line("proximal", 0.9999, half=0.001)])
    assert ", order-blind bound 1 − 0.01" not in _words([line("proximal", 0.985)])
    assert "no theory beats “nothing changed”" in _words([line("proximal", -0.4)])


def test_a_winner_beats_the_nulls_and_ties_are_named(line):
    """Without an interval nothing beats anything, and a difference whose interval holds 0 is a tie."""
    short = line("proximal", 0.9, over_null=0.02, over_null_interval=(-0.01, 0.05))
    assert "nothing is shown to beat the nulls; the highest is proximal" in _words([short])
    assert "not above the best null, answer bias: 0.020 [-0.010, 0.050]" in _words([short])
    tied = _words([line("proximal", 0.9, half=0.2), line("linearised", 0.88)])
    assert "tied with linearised (fitted), 0.880 [0.860, 0.900], 0.020 [" in tied and "next" not in tied


def test_theories_are_compared_on_the_same_networks(line):
    """One network, where the other has 0.99, too: 0.96 there is less, though the other's mean is 0.9."""
    whole = line("linearised", 0.9, grade="forecast", half=1.143, over_null_interval=(0.1, 0.5))
    best = max(range(4), key=lambda index: -whole.sample.nats[index])
    few = line("langevin-posterior", 0.96, half=None, networks=1)
    one = {
        name: getattr(whole.sample, name)[best : best + 1]
        for name in ("draws", "bases", "seeds", "shift", "replica")
    }
    few = replace(few, sample=Sample(**one, nats=(0.04 * 0.1,), best_in_class=(0.0,)))
    words = _words([whole, few])
    assert "best is linearised (forecast), 0.900" in words
    assert "next langevin-posterior (fitted), 0.960, 0.030 behind on 1 networks, no interval" in words


def test_theories_without_a_network_in_common_are_not_compared(line):
    """Laws of few networks, say: the next best is one that can be compared."""
    whole = line("linearised", 0.9, half=0.02)
    columns = [getattr(whole.sample, column.name) for column in fields(Sample)[:-1]]
    half = [Sample(*(column[part] for column in columns)) for part in (slice(2), slice(2, 4))]
    first, other = (
        replace(whole, theory=name, explained=value, networks=2, sample=sample)
        for name, value, sample in zip(("proximal", "fisher"), (0.95, 0.93), half, strict=True)
    )
    words = _words([first, other])
    assert "best is proximal (fitted), 0.950" in words and "fisher (fitted), 0.930" not in words
    assert "next fisher" not in _words([first, other, replace(whole, explained=0.5)])


def test_a_forecast_is_followed_to_the_dose_where_it_fails(line):
    scores = {1: 0.99, 2: 0.97, 4: 0.7}
    lines = [line("linearised", score, dose, "forecast") for dose, score in scores.items()]
    assert "0.95 or more at 2 of 3 doses; it first falls below that at dose 4, to 0.700" in _words(lines)
    assert "3 of 3 doses." in _words([replace(entry, explained=0.96) for entry in lines])
    assert "0 of 3 doses; its best is 0.500" in _words([replace(entry, explained=0.5) for entry in lines])


def test_a_class_is_refuted_by_its_best_member_and_a_theory_by_its_score(line):
    words = _words([line("proximal", 0.9), line("linear-mixture", -0.2, best_in_class=0.5)])
    assert (
        "Refuted as a class (even its best member stays below 0.9, and below the order-blind bound" in words
    )
    assert "whole interval): linear-mixture at dose 4" in words
    assert "Worse than “nothing changed” by the whole interval: linear-mixture (fitted)" in words
    assert "Refuted" not in _words([line("proximal", 0.4, best_in_class=0.95)])
    # of what the replica leaves, 0.4, half could be explained: 0.8, by the best in class, is as much
    assert "Refuted" not in _words([line("proximal", 0.4, best_in_class=0.8, noise_ceiling=0.6)])
    assert "Refuted" in _words([line("proximal", 0.4, best_in_class=0.7, noise_ceiling=0.6)])
    alone = line("proximal", 0.4, best_in_class=0.5, half=None)
    assert "Refuted" not in _words([alone])


def test_a_strength_at_the_end_of_its_range_is_named(line):
    lines = [line("proximal", 0.9, beta=3.0)]
    assert "end of the range that was tried: proximal" in _words(lines, ends={"proximal/network": 3.0})
    assert "end of the range" not in _words(lines, ends={"proximal/network": 4.0})


def test_undefined_scores_are_named_and_nothing_fails_on_missing_numbers(line):
    holes = dict.fromkeys(("explained", "interval", "order_blind", "other_base", "best_in_class", "beta"))
    lines = [line("proximal", None, 1, **{k: v for k, v in holes.items() if k != "explained"})]
    lines += [line("proximal", 0.9, 4, half=None), line("proximal", None, group="in_domain")]
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


def test_the_grade_law_is_explained():
    assert "law: β is a power of the dose" in sentences.COLUMNS["grade"]


def test_numbers_close_to_one_are_not_rounded_to_it():
    assert number(0.9998) == "0.9998" and number(1.0) == "1.000"
    assert number(np.nan) == "-" and number(-4308.2) == "-4308"
