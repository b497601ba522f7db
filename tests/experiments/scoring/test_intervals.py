"""Intervals of 95 % cover 95 %, within 3 points, however few clusters there are and whatever D' does."""

import numpy as np
import pytest
from scipy.stats import t

from experiments.scoring import intervals
from experiments.scoring.intervals import Estimate, clusters, half_width, mean, ratio, ratio_difference

BASES, DATA, EFFECTS = range(3, 9), range(2, 6), (0.0, 0.25, 0.5, 1.0, 2.0)
NOISES = (0.0, 0.3, 0.6, 1.0)  # of what neither explains, in units of the effect of base networks


def crossed(bases, data):
    """Every base network with every D': the cluster of each network, by base and by D'."""
    return np.repeat(np.arange(bases), data), np.tile(np.arange(data), bases)


def effects(random, repeats, bases, data, effect, noise):
    """Sums of an effect of the base network, one of D' and noise, (repeats, networks)."""
    parts = (
        random.normal(size=(repeats, bases, 1)),
        effect * random.normal(size=(repeats, 1, data)),
        noise * random.normal(size=(repeats, bases, data)),
    )
    return sum(parts).reshape(repeats, bases * data)


def coverage(random, bases, data, effect, noise, repeats):
    """The share of intervals of a ratio that hold its true value 0.2, of shifts that vary as much."""
    shift = np.exp(0.2 * effects(random, repeats, bases, data, effect, noise))
    nats = shift * (0.2 + 0.05 * effects(random, repeats, bases, data, effect, noise))
    value = nats.sum(axis=1, keepdims=True) / shift.sum(axis=1, keepdims=True)
    _, half = half_width([(nats, shift)], crossed(bases, data))
    return np.mean(np.abs(value[:, 0] - 0.2) <= half)


def one_way(random, bases, data, effect, noise=0.3, repeats=10_000):
    """The same of ± one standard error with base networks alone as clusters: what it was before."""
    errors = effects(random, repeats, bases, data, effect, noise)
    means = errors.reshape(repeats, bases, data).mean(axis=2)
    return np.mean(np.abs(means.mean(axis=1)) <= means.std(axis=1, ddof=1) / np.sqrt(bases))


HARD = [(8, 2, 2.0, 1.0), (8, 2, 2.0, 0.3), (7, 2, 0.25, 0.0), (3, 2, 0.5, 1.0), (4, 2, 0.25, 1.0)]
HARD += [(5, 2, 2.0, 0.0), (3, 5, 0.0, 0.3), (6, 3, 2.0, 1.0), (4, 5, 1.0, 0.3)]


@pytest.mark.parametrize("design", HARD)
def test_intervals_cover_what_they_say_in_the_hardest_designs(design):
    """Those of the least and the largest coverage of all (below), and two others."""
    assert 0.92 <= coverage(np.random.default_rng(0), *design, 10_000) <= 0.98


def test_the_interval_of_one_imported_model_is_that_of_a_mean_over_its_seeds():
    """Without base networks as a way it is Student's, exactly; with them there is none."""
    values = np.array([0.1, 0.4, 0.3, 0.9])
    seeds, alike = range(4), [0] * 4
    ways = clusters(alike, alike, seeds, of_one_model=True)
    error = values.std(ddof=1) / 2
    half = t.ppf(0.975, 3) * error
    made = mean(values, ways)
    assert made.standard_error == pytest.approx(error)
    assert made.interval == pytest.approx((values.mean() - half, values.mean() + half))
    assert mean(values, clusters(alike, alike, seeds)).interval is None
    assert mean(values[:1], clusters([0], [0], [0], of_one_model=True)).interval is None


@pytest.mark.slow
@pytest.mark.parametrize("noise", NOISES)
def test_the_table_of_the_docs(noise):
    """Prints the least and the largest coverage over effects of D', by base networks and D'."""
    random = np.random.default_rng(1)
    print(f"\nnoise {noise}", *(f"{data} D'" for data in DATA), sep="\t")
    for bases in BASES:
        cells = []
        for data in DATA:
            covered = [coverage(random, bases, data, effect, noise, 20_000) for effect in EFFECTS]
            cells.append(f"{100 * min(covered):.1f}-{100 * max(covered):.1f}")
            assert min(covered) >= 0.92 and max(covered) <= 0.98, (bases, data, covered)
        print(f"{bases} bases", *cells, sep="\t")
    print("one way, 4 x 5:", [f"{100 * one_way(random, 4, 5, effect, noise):.0f}" for effect in EFFECTS])


def test_before_an_effect_of_the_data_halved_the_coverage():
    """± one standard error over base networks, which means 68 %: what the formula it replaces covers."""
    random = np.random.default_rng(2)
    assert one_way(random, 4, 5, 0.0) == pytest.approx(0.61, abs=0.02)  # t with 3 degrees of freedom
    assert one_way(random, 4, 5, 2.0) == pytest.approx(0.33, abs=0.02)


def test_the_standard_error_is_that_of_repeated_experiments():
    random = np.random.default_rng(3)
    values = effects(random, 20_000, 4, 5, 1.0, 0.5)
    error, _ = half_width([(values, np.ones_like(values))], crossed(4, 5))
    assert np.mean(error**2) == pytest.approx(np.var(values.mean(axis=1)), rel=0.1)


def test_the_error_of_a_ratio_is_that_of_repeated_experiments():
    """The delta method's error, and a difference's, against the spread over simulated studies."""
    random = np.random.default_rng(1)
    values, errors, gaps = [], [], []
    for _ in range(800):
        below, other = (1 + 0.05 * effects(random, 1, 6, 5, 1.0, 0.3)[0] for _ in range(2))
        above = 0.3 * below + 0.03 * effects(random, 1, 6, 5, 1.0, 0.3)[0]
        estimate = ratio(above, below, crossed(6, 5))
        gap = ratio_difference((above, below), (0.1 * other, other), crossed(6, 5))
        values.append(estimate.value)
        errors.append(estimate.standard_error)
        gaps.append(gap.value)
        assert gap.standard_error == pytest.approx(estimate.standard_error)  # the second ratio is always 0.1
    assert abs(np.mean(values) - 0.3) < 4 * np.std(values) / np.sqrt(800)
    assert np.mean(gaps) == pytest.approx(np.mean(values) - 0.1)
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(errors))), np.std(values), rtol=0.1)


def test_one_cluster_has_no_interval():
    values = np.arange(4.0)
    for ways in (([0] * 4, range(4)), (range(4), [0] * 4), ([0, 0, 1, 1], [0] * 4)):
        estimate = ratio(values, np.ones(4), [list(way) for way in ways])
        assert estimate == Estimate(1.5) and not estimate.above and not estimate.below
    assert mean(values[:1], ([0], [0])) == Estimate(0.0)
    assert np.isnan(ratio(values, np.zeros(4), crossed(2, 2)).value)
    assert ratio(np.array([1.0, 1.0, np.inf, 1.0]), np.ones(4), crossed(2, 2)) == Estimate(np.inf)
    assert ratio(values, np.array([1.0, 1.0, 0.0, 0.0]), crossed(2, 2)) == Estimate(3.0)  # the first has all


def test_a_difference_counts_each_cluster_by_what_it_has_of_either_shift():
    """By hand: the ratios without each base network, and without each D', of two ratios with other shifts."""
    random = np.random.default_rng(7)
    bases, data = crossed(3, 2)
    (above, below), (other, wide) = random.uniform(1, 2, (2, 2, 6))
    gap = ratio_difference((above, below), (other, wide), (bases, data))

    def without(chosen):
        return above[chosen].sum() / below[chosen].sum() - other[chosen].sum() / wide[chosen].sum()

    whole = without(slice(None))
    parts = [
        (count - 1) / count * sum((whole - without(way != cluster)) ** 2 for cluster in range(count))
        for way, count in ((bases, 3), (data, 2))
    ]

    def residuals(up, low):
        return ((up - up.sum() / low.sum() * low) / low.mean()).reshape(3, 2)

    left = residuals(above, below) - residuals(other, wide)
    left = left - left.mean(axis=0) - left.mean(axis=1, keepdims=True)
    variance = max(sum(parts) - (left**2).sum() / 2 / 6, *parts)
    assert gap.value == pytest.approx(whole)
    assert gap.standard_error == pytest.approx(np.sqrt(variance))


def test_clusters_inside_others_are_those_of_the_others():
    """Three draws of the process with two base networks and two D' each: six bases are not six draws."""
    random = np.random.default_rng(4)
    draws, bases = np.repeat(range(3), 4), np.repeat(range(6), 2)
    data = 2 * draws + np.tile([0, 1], 6)
    values = random.normal(size=12) + draws
    assert mean(values, (draws, bases, data)) == mean(values, (draws,))
    assert mean(values, (draws, draws)) == mean(values, (draws,))
    expected = np.std([values[draws == draw].mean() for draw in range(3)], ddof=1) / np.sqrt(3)
    estimate = mean(values, (draws, bases, data))
    assert estimate.standard_error == pytest.approx(expected)
    low, high = estimate.interval
    assert (high - low) / 2 == pytest.approx(4.3027 * expected, rel=1e-4)  # t, two degrees of freedom


def test_three_crossed_ways_count_their_noise_once():
    random = np.random.default_rng(5)
    shape = (4, 3, 3)
    ways = [way.ravel() for way in np.indices(shape)]
    noise = random.normal(size=(5000, 36))
    error, half = half_width([(noise, np.ones_like(noise))], ways)
    assert 1.0 <= np.mean(error**2) * 36 <= 2.0  # 1, or more as it is no less than any of three parts
    assert np.mean(np.abs(noise.mean(axis=1)) <= half) > 0.95


def test_a_missing_network_leaves_an_interval():
    random = np.random.default_rng(6)
    values, kept = effects(random, 1, 4, 5, 1.0, 0.3)[0], np.arange(20) != 7
    bases, data = crossed(4, 5)
    whole, part = mean(values, (bases, data)), mean(values[kept], (bases[kept], data[kept]))
    assert part.standard_error == pytest.approx(whole.standard_error, rel=0.2)


def test_networks_of_any_design_are_projected_off_all_clusters():
    """Against the matrix of all networks: incomplete designs, one way, and clusters that others make up."""
    random = np.random.default_rng(0)
    kept = random.random(24) < 0.7
    bases, data = (np.asarray(way)[kept] for way in crossed(6, 4))
    for ways in ([bases, data], [bases], [bases, np.where(bases < 3, 7, data)]):
        design = intervals._design(tuple(map(tuple, ways)))
        every = np.concatenate([(way[:, None] == np.unique(way)) / 1.0 for way in ways], axis=1)
        values = random.normal(size=(3, len(bases)))
        left = values - values @ every @ np.linalg.pinv(every)
        np.testing.assert_allclose(design.remaining(values), left, atol=1e-12)
        assert design.free == len(bases) - np.linalg.matrix_rank(every)


def test_tens_of_thousands_of_networks_have_an_interval():
    bases, data = crossed(20_000, 2)
    random = np.random.default_rng(0)
    shift = random.uniform(1.0, 2.0, len(bases))
    nats = shift * random.uniform(0.1, 0.3, len(bases))
    estimate = ratio(nats, shift, intervals.clusters([0] * len(bases), bases.tolist(), data.tolist()))
    assert estimate.interval[0] < 0.2 < estimate.interval[1] and estimate.standard_error < 0.01
