"""Does a network finetuned on one urn become that urn, go back to all urns it has memorised, or to none?

Balls are drawn from one of D known urns, which pretraining shows again and again, or from a new one. Two
strategies predict them: memorising (a document is of one of the D, nobody says which) and generalising
(counts of this document, plus a prior). D' is one known urn or one that nobody has seen, in some drawers.

The complexity prior weighs the strategies and nothing else, from the weights that pretraining left (their
description length): D' of a known urn should bring back all known urns in the shares of pretraining. The
tempered posterior weighs single urns: only D's own urn remains, in the drawers that D' never opens too. A new
urn says "generalise" to both, and its drawers are independent: closed ones answer 1 / colours. Each theory
is refuted where it explains less of the shift than another order of D' would. All mixtures are refuted where
even the best in class does: no hypothesis is the new urn itself, which weights can learn.

The diversity of pretraining is the option `process.urns`: one run for each value, side by side by `finebayes
compare`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.checks import check_kinds, known
from experiments.design.config import StudyConfig
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = process_options("urns")
    urn: int = 3
    """The known urn of D'."""
    kinds: tuple[str, ...] = ("known", "new")
    """The urn of D', a known one or a new one; one arm of the study each."""
    finetuned_drawers: tuple[int, ...] = (0,)
    """The drawers of D'."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_kinds(self.kinds)


PRESETS = {
    "smoke": with_options(Config(), BRIEF | {"kinds": ("new",)}),
    "small": Config(),
    "full": with_options(Config(), FULL),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    from experiments.design.experiment import Arm

    process = config.process.build()
    urns = {"known": known(process.urns, urn=config.urn), "new": process.urns}
    arms = [
        Arm(process.task(urns[kind], config.finetuned_drawers, config.repeats, name=kind))
        for kind in config.kinds
    ]
    return config.experiment(process, arms, extra_theories=("complexity-prior",))


def draw(run: RunFolder) -> list[Path]:
    """The comparison, and the weights of D's own urn, of the other known ones and of a new one."""
    from experiments.figures.comparison import draw_comparison
    from experiments.figures.mixture_weights import draw_beliefs

    urn, count = run.options["urn"], run.options["process"]["urns"]
    others = tuple(other for other in range(count) if other != urn)
    components = {f"urn {urn}": (urn,), "other known": others, "new urn": (count,)}
    return [*draw_comparison(run), *draw_beliefs(run, components)]
