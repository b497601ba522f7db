"""A process of the user's own is refused before pretraining where its samples are not those it predicts."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import pytest

from experiments.runs.pretraining import check_samples
from theory.errors import Misuse
from theory.latent.mixture import Mixture
from theory.processes.persona_topics import PersonaTopics


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Swapped(Mixture):
    """A mixture that draws the rarest hypothesis as often as the commonest should be drawn."""

    def sample(self, key, n):
        return Mixture(self.components, jnp.flip(self.log_weights)).sample(key, n)


@dataclass(frozen=True)
class Mine(PersonaTopics):
    """A process of one's own."""

    wrong: bool = False

    def distribution(self):
        exact = super().distribution()
        return Swapped(exact.components, exact.log_weights) if self.wrong else exact


def test_a_process_whose_samples_are_not_those_it_predicts_is_refused():
    mine = Mine(pairs=2, personas=3)
    check_samples(mine)
    with pytest.raises(
        Misuse, match=r"`sample` of Mine does not draw what `predict` says. In 4000 documents"
    ):
        check_samples(replace(mine, wrong=True))
