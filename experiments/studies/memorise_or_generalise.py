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

The diversity of pretraining is the option `urns`: one run for each, side by side by `finebayes compare`.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.design.config import BRIEF, FULL, Recipe, compared
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse


@dataclass(frozen=True)
class Config(Recipe):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    urns: int = 4
    """D, the known urns, with prior proportional to rarity^d."""
    drawers: int = 3
    """Drawers of an urn."""
    colours: int = 5
    """Colours of the balls."""
    pairs: int = 8
    """(drawer, colour) pairs in a document."""
    concentration: float = 0.5
    """Of the Dirichlet that draws each drawer's colours: small is extreme."""
    new: float = 0.25
    """Share of pretraining documents whose urn is new."""
    rarity: float = 0.7
    """How much rarer each known urn is than the one before."""
    process_seed: int = 2
    """Draws the known urns."""
    urn: int = 3
    """The known urn of D'."""
    kinds: tuple[str, ...] = ("known", "new")
    """What D' is, the known urn or a new one, one arm of the study each."""
    finetuned_drawers: tuple[int, ...] = (0,)
    """The drawers of D'."""
    temperatures: tuple[float, ...] = ()
    """Temperatures of the sampled posteriors (default: none are sampled)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.process_seed < 0:
            raise Misuse(f"Seeds must be at least 0, got {self.process_seed}.")
        if not self.kinds or not {*self.kinds} <= {"known", "new"} or len({*self.kinds}) < len(self.kinds):
            raise Misuse(f"kinds must be known, new or both, got {list(self.kinds)}.")
        if not 0 <= self.urn < self.urns:
            raise Misuse(
                f"urn must be one of the known ones, 0 to {self.urns - 1}, got {self.urn}: the new one is "
                "the other arm."
            )


PRESETS = {
    "smoke": Config(kinds=("new",), **BRIEF),
    "small": Config(),
    "full": Config(**FULL),
}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.design.experiment import CORE, arm
    from theory.processes.urns import Urns

    process = Urns(
        config.urns,
        config.drawers,
        config.colours,
        config.pairs,
        config.concentration,
        config.new,
        config.rarity,
        config.process_seed,
    )
    opened, arms = config.finetuned_drawers, []
    for name in config.kinds:
        urn = config.urn if name == "known" else config.urns
        process.check(urn, opened)
        process.held_out(opened)
        arms.append(
            arm(
                name,
                lambda key, n, urn=urn: process.narrow(key, n, urn, opened),
                lambda key, urn=urn: process.contexts(key, urn, opened, config.repeats),
                config.seed,
            )
        )
    return dataclasses.replace(compared(config, process, arms), theories=(*CORE, "complexity-prior"))


def draw(run: RunFolder) -> list[Path]:
    """The comparison, and the weights of D's own urn, of the other known ones and of a new one."""
    from experiments.figures.comparison import draw_comparison
    from experiments.figures.mixture_weights import draw_beliefs

    urn, count = run.options["urn"], run.options["urns"]
    others = tuple(other for other in range(count) if other != urn)
    components = {f"urn {urn}": (urn,), "other known": others, "new urn": (count,)}
    return [*draw_comparison(run), *draw_beliefs(run, components)]
