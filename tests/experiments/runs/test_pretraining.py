"""A process of the user's own is refused before pretraining where its samples are not those it predicts; and
pretraining says whether it has learnt what was wanted."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.runs import pretraining
from experiments.runs.pretraining import check_samples, ending
from experiments.runs.progress import Silent
from experiments.storage.manifests import NetworkQuality
from models.network import build
from models.optimizers.stalls import Watch
from models.pretraining import Chunk, Pretraining, TrainingState
from models.transformer import Architecture
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


class Lines(Silent):
    """Progress that keeps its lines."""

    def say(self, text):
        self.lines = [*getattr(self, "lines", []), str(text)]


def test_a_network_that_stalls_is_told_of_and_its_quality_has_the_step(monkeypatch):
    """Of three networks the last, at the second of three chunks."""
    process, shape, seeds = Mine(pairs=2, personas=3), Architecture(width=4, layers=1, heads=1), (0, 1, 2)
    params = build(shape, process.vocabulary, process.length, seeds).params

    def chunk(step, start, excess):
        watch = Watch(np.array([0, 0, start]), np.ones(3))
        state = TrainingState(params, (), params, watch)
        return Chunk(step, state, np.ones(3), np.array([0.1, 0.1, excess]), np.ones(3))

    chunks = [chunk(20, 0, 0.4), chunk(40, 40, 0.4), chunk(60, 40, 0.1)]
    monkeypatch.setattr(pretraining, "pretrain", lambda *arguments: iter(chunks))
    measured = [NetworkQuality(seed, 0.1, 0.0, (0.1,), 1.0, (1.0,), 60) for seed in seeds]
    monkeypatch.setattr(pretraining, "measure", lambda *arguments: tuple(measured))
    recipe, progress = Pretraining(steps=60, until_learnt=0.8), Lines()
    _, quality = pretraining.train(process, shape, recipe, seeds, progress)
    told = [line for line in progress.lines if "stalled" in line]
    assert told == ["network 2 has stalled at 0.600; it goes on from smaller weights"]
    assert [network.shrunk for network in quality] == [0, 0, 40]


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
