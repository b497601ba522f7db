"""Tiles: heads at four offsets lie as far apart as they are, and four alike do not."""

import numpy as np
import pytest

from theory.errors import Misuse
from theory.probes.tiling import line_share, peaks, tiles

RANGE = np.arange(20)


def bumps(*centres):
    return np.exp(-0.5 * (np.subtract.outer(centres, RANGE) / 2) ** 2)


def test_tiles_are_as_far_apart_as_they_are():
    centres = (3, 7, 11, 15)
    profiles = bumps(*centres)
    assert peaks(profiles).tolist() == [*centres]
    writes = profiles[..., None] * np.eye(4)[:, None]  # every head along a line of its own
    found = tiles(np.stack([profiles, profiles]), writes)
    assert found.apart == pytest.approx((4 * 3 + 8 * 2 + 12) / 6) and found.within == 0
    assert found.inner == 1 and found.line_head == pytest.approx(1) and found.line_sum < 0.5
    alike = np.stack([bumps(3, 9, 3, 9), bumps(9, 3, 3, 9)])  # documents make the peaks
    assert tiles(alike, writes).within == 3


def test_heads_with_one_profile_are_no_tiles_and_edges_are_no_peaks():
    profiles = np.stack([RANGE, RANGE[::-1]]).astype(float)
    assert peaks(profiles).tolist() == [19, 0]
    found = tiles(np.stack([profiles] * 2), profiles[..., None] * np.ones(3))
    assert found.inner == 0 and found.apart == 19
    alike = np.stack([bumps(8, 8)] * 2)
    found = tiles(alike, alike[0][..., None] * np.ones(3))
    assert found.apart == found.within == 0 and found.line_sum == pytest.approx(1)


def test_what_is_no_curve_or_no_heads():
    assert np.isnan(line_share(np.ones((5, 3))))
    with pytest.raises(Misuse, match="two heads"):
        tiles(np.ones((2, 1, 5)), np.ones((1, 5, 3)))
