"""A network that has stopped learning short of what is wanted goes on from smaller weights, and no other."""

import jax
import jax.numpy as jnp
import numpy as np

from models.optimizers.stalls import PATIENCE, SHRINK, Watch, look
from models.pretraining import TrainingState, _shrunk


def looked(missing, steps=None, wanted=0.95, last=10 * PATIENCE):
    """The steps at which a network with so much missing at every look is shrunk, and how it is watched."""
    watch, shrunk = Watch(jnp.int32(0), jnp.float32(jnp.inf)), []
    for number, share in enumerate(missing, 1):
        step = PATIENCE * number if steps is None else steps[number - 1]
        watch, stalled = look(watch, jnp.int32(step), jnp.float32(share), wanted, last)
        shrunk += [step] if stalled else []
    return shrunk, watch


def test_a_network_has_stalled_where_a_fifth_of_what_is_missing_is_not_learnt_in_time():
    assert looked((0.2, 0.15, 0.11))[0] == []
    shrunk, watch = looked((0.2, 0.17), last=4 * PATIENCE)
    assert shrunk == [2 * PATIENCE] and (int(watch.start), float(watch.missing)) == (2 * PATIENCE, np.inf)


def test_a_network_that_is_slow_and_gets_there_has_not_stalled():
    """0.17 × 0.85⁸ is below the 0.05 that may be missing; 0.17 × 0.85² is not."""
    assert looked((0.2, 0.17))[0] == []
    assert looked((0.06, 0.055), last=4 * PATIENCE)[0] == [] and looked((0.06, 0.059))[0] == [2 * PATIENCE]


def test_a_shrunk_network_is_judged_by_what_it_does_from_there_on():
    """After a first look, as at the beginning."""
    assert looked((0.2, 0.2, 0.2, 0.2, 0.2))[0] == [2 * PATIENCE, 4 * PATIENCE]
    assert looked((0.2, 0.2, 0.4, 0.3))[0] == [2 * PATIENCE]


def test_what_has_learnt_enough_or_has_no_time_left_or_no_number_stays():
    assert looked((0.05, 0.049))[0] == [] and looked((np.nan, np.nan))[0] == []
    assert looked((0.2, 0.2), last=3 * PATIENCE - 1)[0] == [] and looked((0.2, 0.2), last=3 * PATIENCE)[0]
    assert looked((0.2, 0.2), steps=(PATIENCE, PATIENCE + 50))[0] == []  # between two looks


def test_only_the_weights_of_a_stalled_network_shrink_and_its_moments_and_average_begin_anew():
    state = TrainingState(jnp.full(3, 2.0), (jnp.ones(3), jnp.int32(7)), jnp.full(3, 5.0), Watch.of(1))
    shrunk, kept = _shrunk(state, jnp.array(True)), _shrunk(state, jnp.array(False))
    np.testing.assert_allclose(shrunk.params, 2 * SHRINK)
    np.testing.assert_allclose(shrunk.average, 2 * SHRINK)
    assert not shrunk.moments[0].any() and (shrunk.moments[1], shrunk.moments[1].dtype) == (0, jnp.int32)
    for left, right in zip(jax.tree.leaves(kept), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(left, right)
