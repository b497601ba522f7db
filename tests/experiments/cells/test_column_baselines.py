"""Column and width as one code or two: exact shares, and planted streams."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments.cells.column_baselines import Additive, ColumnBaselines, foreign_process
from experiments.cells.pages import columns
from experiments.storage.inside_cell import FEATURES
from theory.probes.scores import held_out
from theory.processes.linebreak import LineBreak

STREAMS, FOREIGN, TOKENS, SHUFFLED = (
    FEATURES.index(name) for name in ("streams", "foreign", "tokens", "shuffled")
)


def pages_of(process, count):
    """Pages of a process, as far as they are read here."""
    tokens = np.asarray(process.distribution().sample(jax.random.key(0), count))
    held, word = held_out(tokens, np.random.default_rng(0)), columns(tokens, process)[0] > 0
    return SimpleNamespace(
        process=process,
        tokens=tokens,
        word=word,
        fitted=word & ~held[:, None],
        scored=word & held[:, None],
        seed=0,
    )


@pytest.fixture(scope="module")
def pages():
    return pages_of(LineBreak(widths=(4, 7), lengths=(1, 2, 3), length=12), 120)


def reading(pages, *parts):
    """A network of one block whose stream holds these numbers (n, t), and whose answers say nothing."""
    random = np.random.default_rng(0)
    stream = 0.01 * random.normal(size=(*pages.tokens.shape, 6))
    for index, part in enumerate(parts):
        stream[..., index] += 0.1 * part
    stream[..., -1] += 4  # of which normalisation leaves a constant
    network = SimpleNamespace(predict=lambda tokens: np.zeros((*tokens.shape, 4)))
    return SimpleNamespace(pages=pages, streams=np.stack([stream, stream], axis=1), network=network)


def baselines(pages, *parts):
    """The tables of such a network."""
    processes = pages.process, foreign_process(pages.process)
    codes = [Additive.of(pages, process) for process in processes]
    return ColumnBaselines.of(reading(pages, *parts), reading(pages), *codes)


def test_a_stream_that_holds_the_column_alone_has_nothing_of_what_an_additive_code_lacks(pages):
    column = columns(pages.tokens, pages.process)[0]
    made = baselines(pages, column)
    (row,) = made.column[..., 0]
    assert row[STREAMS] > 0.95 and row[FEATURES.index("outputs")] < 0.01
    assert row[SHUFFLED] < 0.7  # what the position tells
    assert row[FOREIGN] < 0.1 and row[TOKENS] < row[STREAMS]
    assert (made.explained < 0.99).all() and made.beyond[:, 0, STREAMS, 0].max() < 0.1


def test_a_stream_that_holds_other_lengths_is_not_selective_and_a_joint_code_is_seen(pages):
    process = pages.process
    column, other = (columns(pages.tokens, part)[0] for part in (process, foreign_process(process)))
    lacking = Additive.of(pages, process).beyond
    made = baselines(pages, column, other, 20 * lacking[..., 1])
    assert made.column[0, FOREIGN, 0] > 0.9 and made.beyond[1, 0, STREAMS, 0] > 0.8


@pytest.mark.slow
def test_an_additive_code_has_of_the_larger_process_what_was_computed_beforehand():
    """0.85 and 0.93 of a newline within 2 and 3 tokens (16 widths, 64 tokens)."""
    process = LineBreak(widths=(*range(12, 28),), lengths=(*range(1, 7),), length=64, noise=0.02, rarity=1.0)
    explained = Additive.of(pages_of(process, 300), process).explained
    np.testing.assert_allclose(explained[1:], [0.85, 0.93], atol=0.015)
