"""What writes the newline: parts add up, and what has an exact value has it."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cells.column_baselines import Additive
from experiments.cells.newline_code import banded, codes, newline_parts, ranks
from experiments.cells.pages import Pages
from experiments.storage.newline_code import BANDS, CODE_OF, RANKED_BY, SUMS
from experiments.studies import linebreak_manifold as study
from models.editing.logit_parts import logit_parts
from models.inside import heads

SHARE, LOG_ODDS, CHANCE, APART, COMPARISON = range(len(CODE_OF))


def test_parts_add_up_to_the_logit_of_the_network(reading, pages):
    direction = np.append(np.full(pages.process.vocabulary - 1, -0.25), 1.0)
    start, blocks = (np.asarray(part) for part in logit_parts(reading.network, reading.streams, direction))
    log_probs = np.asarray(reading.network.predict(pages.tokens), float)
    wanted = log_probs @ direction  # what softmax subtracts cancels in a difference
    np.testing.assert_allclose(start + blocks.sum(axis=(0, 1)), wanted, atol=1e-4)
    last = reading.streams[:, -1]
    size = np.sqrt(np.mean(last**2, axis=-1) + 1e-6)
    unembed = np.asarray(reading.network.params["unembed"]["kernel"][...])
    reads = direction @ (unembed if unembed.shape[1] == last.shape[-1] else unembed.T)
    written = np.asarray(heads(reading.network, reading.streams).writes).sum(axis=1) @ reads / size
    np.testing.assert_allclose(blocks[:, 0], written, atol=1e-4)
    assert np.abs(blocks).reshape(4, -1).max(axis=1).min() > 1e-3


def test_an_exact_logit_compares_and_a_sum_of_column_and_width_does_not(pages):
    exact = pages.statistics[0]
    random = np.random.default_rng(0)
    apart = random.normal(size=pages.column.max() + 1)[pages.column] + pages.beliefs @ random.normal(
        size=pages.beliefs.shape[-1]
    )
    chance = 1 / (1 + np.exp(-exact))
    noise = random.normal(size=exact.shape)
    measured = codes(np.stack([exact, 0.3 * exact + apart, apart, chance, noise]), exact, pages)
    np.testing.assert_allclose(measured[0, [SHARE, LOG_ODDS, COMPARISON]], 1, atol=1e-6)
    assert measured[0, CHANCE] < 0.99 and measured[0, APART] < 0.9
    assert measured[1, COMPARISON] == pytest.approx(0.3)
    assert measured[2, APART] > 0.999 and abs(measured[2, COMPARISON]) < 1e-9
    assert measured[3, CHANCE] > 0.999 > measured[3, LOG_ODDS]
    assert np.abs(measured[4, [SHARE, LOG_ODDS, CHANCE]]).max() < 0.05
    # shares of parts add up
    parts = np.stack([0.3 * exact + apart, 0.7 * exact - apart])
    assert codes(parts, exact, pages)[:, SHARE].sum() == pytest.approx(1)
    assert codes(parts, exact, pages)[:, COMPARISON].sum() == pytest.approx(1, abs=1e-6)


def test_writers_of_a_network_add_up(reading):
    sums, writers = newline_parts(reading)
    assert sums.shape == (len(SUMS), len(CODE_OF)) and writers.shape == (2, 2, len(CODE_OF))
    for column in (SHARE, COMPARISON):
        np.testing.assert_allclose(sums[:3, column].sum(), sums[3, column], atol=1e-6)
        np.testing.assert_allclose(writers[:, :, column].sum(axis=0), sums[1:3, column], atol=1e-6)
    assert sums[3, SHARE] == pytest.approx(1)


def test_a_column_ranks_all_contexts_and_none_of_one_column(pages):
    chances = Additive.of(pages, pages.process).chances[pages.scored]
    column = pages.column[pages.scored].astype(float)
    read = banded(np.repeat(column[:, None], chances.shape[1], axis=1), chances, pages)
    assert np.array(read).shape == (3, len(BANDS))
    assert min(row[0] for row in read) > 0.6
    np.testing.assert_allclose([row[1:] for row in read], 0.5)
    ceiling = np.array(banded(chances, chances, pages))
    assert (ceiling[:, 0] >= np.array(read)[:, 0]).all() and ceiling[2, 1:].min() > 0.5


def test_a_stream_that_has_the_chances_is_at_the_ceiling(reading, pages):
    chances = Additive.of(pages, pages.process).chances
    read = ranks(reading, reading, chances)
    by = {name: read[:, :, index] for index, name in enumerate(RANKED_BY)}
    assert read.shape == (3, 2, len(RANKED_BY), len(BANDS))
    np.testing.assert_array_equal(by["streams"], by["untrained"])
    assert (by["streams"] <= by["exact"] + 1e-6).all()
    copied = replace(reading, streams=reading.streams.copy())
    copied.streams[:, 1, :, :3] = chances
    copied.streams[:, 1, :, 3:] = 1  # so that the norm hardly varies
    lifted = ranks(copied, reading, chances)[:, 0]
    np.testing.assert_allclose(lifted[:, 0], lifted[:, -1], atol=0.01)


def test_ceilings_of_wide_pages_are_what_was_computed_beforehand():
    """Those of a newline within 1, 2 and 3 tokens on pages of sixteen widths."""
    wide = study.experiment(study.PRESETS["small"])
    pages = Pages.drawn(wide, 300)
    chances = Additive.of(pages, pages.process).chances[pages.scored]
    ceiling = np.array(banded(chances, chances, pages))
    np.testing.assert_allclose(ceiling[:, 0], (0.924, 0.921, 0.920), atol=0.01)


def test_logit_parts_take_any_direction(reading, pages):
    zero, blocks = logit_parts(reading.network, reading.streams, jnp.zeros(pages.process.vocabulary))
    assert not np.abs(np.asarray(zero)).max() and not np.abs(np.asarray(blocks)).max()
