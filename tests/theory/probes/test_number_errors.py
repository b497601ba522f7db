"""Errors of a number: none of a code with a direction a value, all of one that has nothing."""

import numpy as np
import pytest

from theory.errors import Misuse
from theory.probes.number_errors import number_errors


def test_a_direction_for_each_value_is_read_without_error_and_noise_is_worth_nothing():
    random = np.random.default_rng(0)
    numbers = random.integers(3, 9, size=600)
    fitted = np.arange(600) < 400
    exact = number_errors(np.eye(9)[numbers], numbers, fitted)
    assert exact.classes == 0 and exact.linear < 0.01
    spread = np.sqrt(np.mean((numbers[~fitted] - numbers[fitted].mean()) ** 2))
    assert exact.constant == pytest.approx(spread)
    noise = number_errors(random.normal(size=(600, 4)), numbers, fitted)
    assert noise.linear == pytest.approx(spread, rel=0.05) and noise.classes > spread


def test_a_circle_is_read_by_classes_and_not_linearly():
    numbers = np.tile(np.arange(12), 40)
    turn = 2 * np.pi * numbers / 12
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    read = number_errors(circle, numbers, np.arange(480) < 300)
    assert read.classes == 0 and read.linear > 1.5


def test_numbers_that_were_not_fitted_are_left_out_and_none_are_refused():
    numbers = np.array([1, 2, 1, 2, 7, 2])
    fitted = np.arange(6) < 4
    assert number_errors(np.eye(8)[numbers], numbers, fitted).classes == 0
    with pytest.raises(Misuse, match="two numbers to fit and rows to score, got 1"):
        number_errors(np.eye(8)[numbers], np.ones(6, int), fitted)
