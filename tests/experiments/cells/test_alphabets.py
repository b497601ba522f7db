"""Documents of one alphabet: beliefs over concepts mix the exact answers, seen together or apart."""

import jax
import numpy as np
import pytest

from experiments.cells.alphabets import Alphabet
from theory.processes.modalities import Modalities


@pytest.mark.parametrize("together", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_concepts_by_their_beliefs_make_the_exact_answers(together):
    process = Modalities(concepts=3, symbols=2, strokes=2, blocks=3, together=together)
    part = Alphabet.drawn(process, jax.random.key(0), 1, 30, 0)
    np.testing.assert_allclose(part.beliefs.sum(axis=-1), 1, atol=1e-5)
    assert set(part.tokens[:, ::3].ravel().tolist()) == {1}  # cues of this alphabet alone
    assert np.flatnonzero(part.ends).tolist() == [3, 6]
    first = np.roll(part.ends, 1)  # the first symbol of the blocks that follow
    mixed = np.einsum("ntk,kntv->ntv", part.beliefs, np.exp(part.components))
    np.testing.assert_allclose(mixed[:, first], np.exp(part.exact[:, first]), atol=1e-5)
    sides = part.side(True), part.side(False)
    assert not (sides[0] & sides[1]).any() and ((sides[0] | sides[1]) == part.ends).all()
