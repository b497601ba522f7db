"""Nats that pages cost, after a word of documents that are held out: where a line ends, and elsewhere."""

import numpy as np

from experiments.cells.pages import Pages


def losses(pages: Pages, log_probs: np.ndarray) -> np.ndarray:
    """Mean nats (k,) of the held documents' tokens, by log-probabilities (n, t, v) of these documents alone:
    of newlines, and of words. After a newline none can come, so positions there count for neither."""
    tokens, word = pages.tokens[pages.held], pages.word[pages.held]
    lost = -np.take_along_axis(np.asarray(log_probs, float), tokens[..., None], axis=-1)[..., 0]
    ends = tokens == pages.process.newline
    return np.array([lost[word & ends].mean(), lost[word & ~ends].mean()])


def without_column(pages: Pages) -> np.ndarray:
    """Log-probabilities (n, t, v) of the exact process for a reader who knows its belief over widths and not
    the column: at each width, the mean chance of a newline over the columns of the fitted documents."""
    belief = pages.beliefs[pages.fitted]
    chances = np.sum(belief * pages.breaks[pages.column[pages.fitted]], axis=0) / belief.sum(axis=0)
    chance, exact = pages.beliefs @ chances, pages.exact.copy()
    words = np.log1p(-chance) - np.log1p(-np.exp(exact[..., -1]))
    exact[..., :-1] += np.where(pages.word, words, 0.0)[..., None]
    exact[..., -1] = np.where(pages.word, np.log(chance), exact[..., -1])
    return exact


def exact_cost(pages: Pages) -> np.ndarray:
    """Nats (k,) that pages cost the exact process more without the column."""
    return losses(pages, without_column(pages)[pages.held]) - losses(pages, pages.exact[pages.held])
