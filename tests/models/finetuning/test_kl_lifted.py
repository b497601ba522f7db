"""A penalty that is lifted: held as its rule holds until then, and plain descent from there on."""

import jax
import numpy as np
import pytest

from models.finetuning.kl_lifted import KlLifted
from models.finetuning.kl_regularised import KlRegularised
from models.finetuning.method import ExtraData
from models.finetuning.sgd import Sgd
from theory.base import Misuse

HELD = KlRegularised(20.0, contexts="replay", rule=Sgd(0.05))


def leaves_close(left, right, **tolerance):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


def at(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def test_it_holds_until_it_is_lifted_and_no_longer(network, data, batches, run, descent, others):
    """The first steps are the rule's; the next ones by hand, w ← w - η ∇ℓ(batch)."""
    doses = [1, 3, 4, 5, 8]
    kept, losses = run(network, data, batches, KlLifted(3, HELD), doses, ExtraData(others))
    wanted, held = run(network, data, batches, HELD, doses, ExtraData(others))
    leaves_close(at(kept, slice(2)), at(wanted, slice(2)), atol=1e-6)
    np.testing.assert_allclose(losses[:3], held[:3], rtol=1e-6)
    params = at(kept, 1)
    for step, slot in ((3, 2), (4, 3)):
        loss, slope = descent(params, batches[step])
        np.testing.assert_allclose(losses[step], loss, rtol=1e-5)
        params = jax.tree.map(lambda leaf, down: leaf - 0.05 * down, params, slope)
        leaves_close(at(kept, slot), params, atol=1e-6)
    gaps = jax.tree.map(lambda a, b: np.abs(a - b).max(), at(kept, 4), at(wanted, 4))
    assert max(jax.tree.leaves(gaps)) > 1e-3


def test_never_held_is_plain_descent_and_always_held_is_the_rule(network, data, batches, run, others):
    given = ExtraData(others)
    never, _ = run(network, data, batches, KlLifted(0, HELD), [8], given)
    leaves_close(never, run(network, data, batches, Sgd(0.05), [8])[0], atol=1e-6)
    soft = KlRegularised(2.0, contexts="replay", rule=Sgd(0.05))  # a stiff one multiplies rounding as well
    always, _ = run(network, data, batches, KlLifted(8, soft), [8], given)
    leaves_close(always, run(network, data, batches, soft, [8], given)[0], atol=1e-6)


def test_documents_that_are_missing_are_refused(network, data, batches, run):
    with pytest.raises(Misuse, match="KlLifted needs a replay, got none"):
        run(network, data, batches, KlLifted(), [1])


def test_bad_fields_are_refused():
    with pytest.raises(Misuse, match="steps must be at least 0, got -1"):
        KlLifted(-1)
    with pytest.raises(Misuse, match=r"penalty is on replayed documents, contexts='replay', got 'data'"):
        KlLifted(3, KlRegularised())
