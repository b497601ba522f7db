"""Does a network finetuned on one persona's answers become it where other topics need other words?

Each topic puts a persona's manner into words by a map of its own (theory.processes.wordings). D' is n
documents of the rarest persona on the three topics of a block, over which all personas say every word equally
often; the network is judged on the twelve topics of the other blocks: asked first and after a few answers
that say nothing (held-out; in-context: after three), and after those of another persona (conflict).

A bias for words, or for words by position, learns nothing of such a D' and explains nothing elsewhere: what
moves there was inferred from D'. A theory is refuted where it explains less of the shift than another seed of
the same finetuning would, less half of its noise (the order-blind bound); a theory that is right is right at
all shares of D' that a network has learnt (STUDY-by-share), up to the last doses, where little of D' is left
to learn.

Chosen by measurements of two draws with two base networks each that had learnt 0.73 to 0.93 of inference: D'
is dealt and held-out topics are asked at four positions, as a bias for words otherwise explained up to 0.83
of SGD's small first shifts. `specific` is 0, as networks learn such tables sooner. The last doses are beyond
those after which networks have learnt all that the best persona gains on D'. With 64 documents a step one
base network of eight had learnt 0.73 of inference after 6000 steps; with 128 all sixteen of `small` learn
0.95 in 650 to 1750. docs/results.md has the scores.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.config import FinetuningConfig, NetworkConfig, PretrainingConfig, SamplingConfig
from experiments.design.options import Ints, ProcessOptions, process_options, with_options
from experiments.design.presets import FULL, SMOKE
from experiments.storage.run_folder import RunFolder
from experiments.studies import weird_generalisation as shared

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


@dataclass(frozen=True)
class Config(shared.Config):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = process_options("wordings")
    network: NetworkConfig = NetworkConfig(width=32)
    pretraining: PretrainingConfig = PretrainingConfig(seeds=2, steps=6000, batch=128, until_learnt=0.95)
    finetuning: FinetuningConfig = FinetuningConfig(
        seeds=2,
        n=48,
        batch=12,
        sgd_rate=0.02,
        adam_rate=0.0003,
        doses=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
    )
    sampling: SamplingConfig = SamplingConfig()
    process_seeds: int = 8
    """Draws of the process (of manners and maps), by seeds from `process.seed` on, each with base networks of
    its own."""
    repeats: int = 3
    """Contexts for each held-out topic in the groups that have a context. In-domain documents are four times
    as many: a multiple of the topics of D', so that as many begin with each."""
    persona: int = 3
    """The persona of D'."""
    finetuned_topics: tuple[Ints, ...] = ((0, 1, 2),)
    """The topics of D', like 0,1,2; one arm of the study each."""


SMALLER = {"process_seeds": 1, "process.pairs": 4, "network.width": 16}
ONE = {  # draw of the process alone, so that intervals are by base networks and D'
    "process_seeds": 1,
    "pretraining.seeds": 4,
    "pretraining.groups": 2,  # the first figure comes when two are pretrained
    "finetuning.seeds": 4,  # with two, t quantiles of one degree of freedom make bars of the whole axis
    "finetuning.doses": (1, 4, 16, 64, 256),
}
PRESETS = {
    "smoke": with_options(Config(), SMOKE | SMALLER),
    "demo": with_options(Config(), ONE),
    "small": Config(),
    "full": with_options(Config(), FULL),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    process = config.process.build()
    return config.experiment(process, shared.arms(config, process))


target = shared.target


def draw(run: RunFolder) -> list[Path]:
    """The comparison, and the scores against the share of D' that networks learnt."""
    from experiments.figures.by_share import draw_by_share
    from experiments.figures.comparison import draw_comparison

    return [*draw_comparison(run, target(run.options)), *draw_by_share(run)]
