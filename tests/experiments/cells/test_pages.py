"""Pages: columns and past lines of a page that one can count by hand, and what the exact process uses."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.cells.pages import Pages, columns, needed, newline_log_odds, newline_within, past_lines
from experiments.design.options import with_options
from experiments.studies import linebreak_manifold as study
from theory.errors import Misuse
from theory.processes.linebreak import LineBreak

PAGE = np.array([[0, 2, 3, 1, 3, 2, 2, 2, 3, 0]])  # words of 1, 2 and 3 characters; 3 is the newline


def test_columns_and_past_lines_are_those_that_one_counts():
    process = LineBreak(widths=(4, 6), lengths=(1, 2, 3), length=12)
    column, ended = columns(PAGE, process)
    assert column.tolist() == [[0, 1, 4, 0, 2, 0, 3, 6, 9, 0]]
    assert ended.tolist() == [[0, 0, 0, 4, 0, 2, 0, 0, 0, 9]]
    longest, last, slow, *_ = past_lines(ended)
    assert longest.tolist() == [[0, 0, 0, 4, 4, 4, 4, 4, 4, 9]]
    assert last.tolist() == [[0, 0, 0, 4, 4, 2, 2, 2, 2, 9]]
    np.testing.assert_allclose(slow, [[0, 0, 0, 4, 4, 3.5, 3.5, 3.5, 3.5, 4.875]])


def test_prediction_needs_two_dimensions_of_the_larger_process():
    process = study.PRESETS["small"].process.build()
    assert isinstance(process, LineBreak)
    curve = needed(process, np.arange(1, 27))
    np.testing.assert_allclose(curve.spectrum(3), [0.826, 0.950, 0.984], atol=5e-4)
    assert curve.dimension() == 2 and needed(process, np.arange(1, 28)).dimension() == 3
    one, two, _ = newline_within(process, 30)
    np.testing.assert_allclose(one[30], 1 - process.noise)
    # at column 12 of a page of 17 one word of six characters is too long, and a second is after one of five
    first = one[12, process.widths.index(17)]
    later = np.mean([0.98 * one[12 + long, 5] for long in range(1, 6)] + [0.02 * one[18, 5]])
    assert first == pytest.approx((5 * 0.02 + 0.98) / 6) and two[12, 5] == pytest.approx(first + later)


@pytest.fixture(scope="module")
def pages():
    options = with_options(study.PRESETS["smoke"], {"documents": 300, "process.noise": 0.02})
    return Pages.drawn(study.experiment(options), 300)


@pytest.mark.slow
def test_the_exact_process_is_its_own_best_statistic(pages):
    used = pages.used(pages.statistics[0])
    assert used[0] > 0.9 and used[0] > used[1] > used[2] + 0.05  # the posterior, its mean, the longest line
    assert used[2] > max(used[3:]) + 0.05  # a moving average, the last line
    assert max(abs(np.array(pages.used(np.random.default_rng(0).normal(size=pages.column.shape))))) < 0.1


@pytest.mark.slow
def test_chances_of_a_newline_are_those_of_the_process(pages):
    belief = pages.beliefs[pages.scored]
    exact = newline_log_odds(pages.exact)[pages.scored]
    chance = np.sum(belief * pages.breaks[pages.column[pages.scored]], axis=-1)
    np.testing.assert_allclose(np.log(chance / (1 - chance)), exact, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_substitutions_are_after_words_of_held_documents(pages):
    rows, positions, moves = pages.swaps
    assert pages.held[rows].all() and pages.word[rows, positions].all()
    after = pages.column[rows, positions] + moves
    assert (moves != 0).all() and (after >= 1).all() and (after <= 15).all()


def test_positions_that_too_few_columns_have_are_refused_before_a_network_is_read():
    column = np.tile(np.arange(12), (20, 1))
    pages = SimpleNamespace(
        tokens=column, column=column, ended=column, fitted=column > 0, newlines=column > 0
    )
    Pages.check(pages, 20)
    with pytest.raises(Misuse, match=r"least must leave 8 columns in a row .*, got 1000, which 0 have in 20"):
        Pages.check(pages, 1000)
    pages.newlines = column > 5
    with pytest.raises(Misuse, match=r"least must leave 8 lengths of lines in a row .* which 6 have"):
        Pages.check(pages, 20)
