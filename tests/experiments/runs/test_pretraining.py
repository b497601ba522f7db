"""A process of the user's own is refused before pretraining where its samples are not those it predicts; and
pretraining says whether it has learnt what was wanted."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import pytest

from experiments.runs.pretraining import check_samples, ending
from experiments.storage.manifests import NetworkQuality
from models.pretraining import Pretraining
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


def test_what_was_learnt_is_said_and_what_to_do_where_it_is_too_little():
    quality = [
        NetworkQuality(seed, excess, 0.0, (excess,), 0.1, (0.1,), 400)
        for seed, excess in enumerate((0.01, 0.02))
    ]
    assert ending(quality, Pretraining(until_learnt=0.8)) == (
        "after 400 steps base networks have learnt 0.800 to 0.900 of inference (0.8 was wanted)"
    )
    assert ending(quality[:1], Pretraining(until_learnt=0.95)) == (
        "base networks have learnt 0.900 of inference in 400 steps, and 0.95 was wanted; give more "
        "pretraining.steps, or another pretraining.rate"
    )
