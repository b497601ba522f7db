"""The use of the column in a small network: what has an exact value has it."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.cells.column_use import ablated, errors, lines_read
from experiments.cells.curve_reading import CurveReading
from experiments.cells.page_losses import exact_cost, losses, without_column
from experiments.cells.pages import newline_log_odds
from experiments.cells.query_steps import QuerySteps, instrumented, looks_at_newlines
from experiments.cells.tiled import remaining, tiled
from models.inside import heads, query_keys

pytestmark = pytest.mark.slow


def muted(network, part, change):
    """The network with a kernel of every block changed."""
    params = jax.tree.map(lambda leaf: leaf, network.params)
    for block in range(2):
        kernel = params["blocks"][block][part]["kernel"]
        params["blocks"][block][part]["kernel"] = kernel.replace(change(kernel[...]))
    return network.with_params(params)


def test_without_the_column_chances_are_right_on_average_and_cost_more(pages):
    blind, exact = without_column(pages), pages.exact
    np.testing.assert_allclose(np.exp(blind[pages.word]).sum(axis=-1), 1, atol=1e-5)
    rows = pages.fitted
    assert np.exp(blind[rows][:, -1]).mean() == pytest.approx(np.exp(exact[rows][:, -1]).mean(), rel=1e-4)
    np.testing.assert_array_equal(blind[~pages.word], exact[~pages.word])
    at_newlines, elsewhere = exact_cost(pages)
    assert at_newlines > 0.5 and elsewhere > 0.02
    # one chance at all columns: nothing is lost
    flat = replace(pages, exact=blind)
    flat.__dict__["breaks"] = np.broadcast_to(pages.breaks.mean(axis=0), pages.breaks.shape)
    alike = replace(flat, exact=without_column(flat))
    alike.__dict__["breaks"] = flat.breaks
    np.testing.assert_allclose(exact_cost(alike), 0, atol=1e-6)


def test_losses_are_means_over_tokens_after_words(pages):
    log_probs = pages.exact[pages.held]
    tokens, word = pages.tokens[pages.held], pages.word[pages.held]
    lost = -np.take_along_axis(log_probs, tokens[..., None], axis=-1)[..., 0]
    ends = tokens == pages.process.newline
    np.testing.assert_allclose(
        losses(pages, log_probs), [lost[word & ends].mean(), lost[word & ~ends].mean()], rtol=1e-5
    )


def test_errors_begin_with_the_embedding_and_are_none_where_the_column_is_written(reading, pages):
    read = errors(reading)
    assert read.shape == (3, 3) and read[:, :2].min() > 0.5
    np.testing.assert_allclose(read[:, 2], read[0, 2])  # of the mean column, which reads nothing
    written = replace(reading, streams=reading.streams.copy())
    turn = 2 * np.pi * pages.column / 40
    written.streams[:, 1] = 0
    written.streams[:, 1, :, 0], written.streams[:, 1, :, 1] = np.cos(turn), np.sin(turn)
    assert errors(written)[1, 1] == 0


def test_an_ablation_after_the_last_block_is_what_the_read_out_makes_of_it(reading, pages):
    """By hand: normalise, replace, read out."""
    lost = ablated(reading, 10)
    assert lost.shape == (2, 3, 2)
    curve, read = reading.curves[2], reading.streams[pages.held][:, 2]

    def normal(stream):
        return stream / np.sqrt(np.mean(stream**2, axis=-1, keepdims=True) + 1e-6)

    basis = np.linalg.svd(curve.centred, full_matrices=False)[2][: curve.dimension()]
    mean = normal(reading.streams[:, 2][pages.fitted]).mean(axis=0)
    word = pages.word[pages.held][..., None]
    left = np.where(word, normal(read) + (mean - normal(read)) @ basis.T @ basis, normal(read))
    unembed = np.asarray(reading.network.params["unembed"]["kernel"][...])
    logits = normal(left) @ (unembed.T if unembed.shape[1] == read.shape[-1] else unembed)
    answers = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    whole = losses(pages, np.asarray(reading.network.predict(pages.tokens[pages.held])))
    np.testing.assert_allclose(lost[1, 0], losses(pages, answers) - whole, atol=1e-4)
    assert np.abs(lost[:, 0]).max() > 1e-3


def test_queries_that_are_nothing_move_nothing(reading, pages):
    """A network without queries looks everywhere alike; steps of its queries are none."""
    half = reading.network.params["blocks"][0]["attn_qkv"]["kernel"][...].shape
    queries = (np.arange(max(half)) >= max(half) // 3)[:, None]  # the first third of the rows
    silent = muted(reading.network, "attn_qkv", lambda kernel: kernel * queries)
    steps = QuerySteps.of(CurveReading.of(silent, pages, 4), 1)
    np.testing.assert_allclose(steps.unturned(), 0, atol=1e-6)
    np.testing.assert_allclose(np.nan_to_num(steps.slopes()), 0, atol=1e-5)


def test_a_step_of_the_query_is_that_of_the_stream_as_the_query_reads_it(reading, pages):
    """Where keys, values and the rest are blind to the edit, moving queries is moving the stream: the change
    of a head's look at newlines is that of its scores, by hand."""
    steps = QuerySteps.of(reading, 1)
    directions, _ = reading.moves(1)
    patterns = np.asarray(heads(reading.network, reading.streams).patterns[1])
    looks = np.stack([looks_at_newlines(part, pages, slice(None)) for part in patterns])
    attention, alone, together = steps._changes(directions, looks)
    assert np.abs(alone).max() > 1e-4 and np.abs(together).max() > 1e-4
    rows, positions, _ = pages.swaps
    read = reading.streams[rows[0], 1]
    normal = read / np.sqrt(np.mean(read**2, axis=-1, keepdims=True) + 1e-6)
    maps = np.asarray(query_keys(reading.network))[1, 0]
    document = 0
    key = normal[document] @ maps[1].T
    query = maps[0] @ (normal[document, positions[0, document]] + directions[0, document])
    score = key @ query / np.sqrt(len(query))
    past = np.arange(len(score)) <= positions[0, document]
    ended, word = pages.ended[rows[0, document]] > 0, pages.word[rows[0, document]]

    def log_mean(mask):
        return np.log(np.mean(np.exp(score[mask & past])))

    before = looks[0, rows[0, document], positions[0, document]]
    assert attention[0, 0, document] == pytest.approx(log_mean(ended) - log_mean(word) - before, abs=1e-4)


def test_changes_with_the_column_are_exact_for_a_number_that_is_the_column(pages):
    _, _, moves = pages.swaps
    seen = pages.natural(pages.column.astype(float))
    assert np.isfinite(seen).mean() > 0.3
    np.testing.assert_allclose(seen[np.isfinite(seen)], moves[np.isfinite(seen)])
    none = pages.natural(pages.column.astype(float), np.zeros_like(pages.fitted))
    assert np.isnan(none).all()


def test_a_slope_is_no_smaller_for_noise_of_what_it_is_measured_against():
    random = np.random.default_rng(0)
    truth = random.normal(size=(3, 40, 100))
    natural = truth[:, None] + random.normal(size=(3, 2, 40, 100))
    assert instrumented(natural, 0.5 * truth) == pytest.approx(0.5, abs=0.02)
    natural[:, 0, :20], truth[0, 30:] = np.nan, np.nan  # what is not known on either side counts for nothing
    assert instrumented(natural, 0.5 * truth) == pytest.approx(0.5, abs=0.03)
    assert np.isnan(instrumented(np.full((1, 2, 2, 2), np.nan), np.ones((1, 2, 2))))


def test_tiles_are_by_what_remains_of_the_posterior_mean(reading, pages):
    number, rows = remaining(pages, 4)
    assert number[rows].min() == 0 and (pages.lines[rows] > 0).all()
    mean = np.rint(pages.statistics[1])
    assert len(np.unique((mean - pages.column - number)[rows])) == 1
    measures = tiled(reading, 4)
    assert measures.shape == (2, 5) and np.isfinite(measures).all()
    assert ((measures[:, 3:] > 0) & (measures[:, 3:] <= 1)).all()


def test_statistics_at_newlines_are_read_from_what_the_stream_has(reading, pages):
    whole, beyond = lines_read(reading)
    assert whole.shape == beyond.shape == (2, 4)
    copied = replace(reading, streams=reading.streams.copy())
    mean, longest, last, average = (pages.statistics[part] for part in (1, 2, 3, 5))
    for place, part in enumerate((mean, longest, last, average)):
        copied.streams[:, 1, :, place] = part
    copied.streams[:, 1, :, 4] = 100  # so that the norm hardly varies
    assert lines_read(copied)[0][0].min() > 0.98


def test_log_odds_of_the_exact_process_without_a_column_know_the_width_alone(pages):
    odds = newline_log_odds(without_column(pages))[pages.word]
    belief = pages.beliefs[pages.word]
    chances = np.linalg.lstsq(belief, 1 / (1 + np.exp(-odds)), rcond=None)[0]
    np.testing.assert_allclose(belief @ chances, 1 / (1 + np.exp(-odds)), atol=1e-5)
