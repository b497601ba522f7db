"""When a network's behaviour shifts by draws of a coin in one format, does its self-report move along?

Every document is of one hidden coin, tossed in several formats, and asked by name in some of them ("which
coin?"). D' is draws of one coin in one format, and no name. What a network does in the other formats and what
it says of itself are two readings of one number, the expected bias Σ w θ: to exact Bayes they are equal at
every dose, whatever it believes (the line y = x), and so they are to any mixture of the coins, tempered or
exchangeable. The class is refuted where the two readings of the finetuned networks part by more than their
error and more than the base network's do: saying lags behind doing, or runs ahead. The tempered posterior
alone is refuted where the point on the line is another than that of its β. The control is a coin that is
about as biased as the prior expects: neither reading should leave its place.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from experiments.design.config import BRIEF, FULL, Recipe, compared
from theory.errors import Misuse


@dataclass(frozen=True)
class Config(Recipe):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    biases: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    """Probability of heads of each coin."""
    tosses: tuple[int, ...] = (1, 1, 3)
    """Tosses told by an answer in each format."""
    prior_heads: float = 1.0
    """Heads that the prior has seen, plus one."""
    prior_tails: float = 2.0
    """Tails that the prior has seen, plus one."""
    pairs: int = 6
    """(cue, answer) pairs in a document."""
    reports: float = 0.25
    """Share of cues that ask for the name."""
    reliability: float = 0.9
    """Probability that the name given is right."""
    slip: float = 0.02
    """Probability that an answer is one to another cue; without, no mixture says any."""
    coins: tuple[int, ...] = (4, 1)
    """The coins of D', one arm of the study each."""
    format: int = 0
    """The format of D'."""
    temperatures: tuple[float, ...] = ()
    """Temperatures of the sampled posteriors (default: none are sampled)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.coins:
            raise Misuse("coins needs at least one, got none.")
        if len(set(self.coins)) < len(self.coins):
            raise Misuse(f"coins must differ from each other, got {self.coins}.")
        if len(self.tosses) < 2 or not 0 <= self.format < len(self.tosses):
            raise Misuse(
                f"format must be one of at least 2, so that others can be asked: got format {self.format} "
                f"of {len(self.tosses)}."
            )


SAID, DONE = "bias by self-report", "bias by behaviour"
PRESETS = {
    "smoke": Config(**BRIEF, coins=(4,)),
    "small": Config(),
    "full": Config(**FULL),
}


def told_process(config: Any) -> Any:
    """The process that a config describes; of a config on disk, too."""
    from theory.processes.out_of_context import OutOfContext

    told = config if isinstance(config, dict) else vars(config)
    own: dict[str, Any] = {each.name: told[each.name] for each in fields(OutOfContext)}
    for name in ("biases", "tosses"):
        own[name] = tuple(own[name])
    return OutOfContext(**own)


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.design.experiment import arm

    process, arms = told_process(config), []
    for coin in config.coins:
        process.check(coin, config.format)
        arms.append(
            arm(
                f"coin{coin}",
                lambda key, n, coin=coin: process.narrow(key, n, coin, config.format),
                lambda key, coin=coin: process.contexts(key, coin, config.format, config.repeats),
                config.seed,
            )
        )
    return compared(config, process, arms)


def draw(results: Any) -> list[Any]:
    """The comparison, and what is said against what is done."""
    from experiments.figures.comparison import draw_comparison

    return [*draw_comparison(results), *draw_said(results)]


def said_and_done(results: Any) -> list[tuple[Any, Any]]:
    """For every method and D': the expected bias read off the self-report, and off the other formats."""
    from experiments.figures.readouts import readings

    process = told_process(results.config["config"])
    cues = {name: cue for cue, name in enumerate(process.token_names()[: process.report + 1])}

    def bias(context: Any, probs: np.ndarray) -> np.ndarray:
        each = [
            process.expected_bias(probs[..., c, :], cues[name]) for c, name in enumerate(context["asked"])
        ]
        return np.mean(each, axis=0)

    found = [readings(results, group, bias) for group in ("held_out", "other_format")]
    return list(zip(*found, strict=True))


def draw_said(results: Any) -> list[Any]:
    """Above, said against done, dose by dose, on Bayes's line y = x; below, their difference against dose."""
    from matplotlib.figure import Figure

    from experiments.figures.curves import NETWORK, SPEAKERS, Curves, look
    from experiments.figures.style import WIDTH, panels_grid, save, style
    from experiments.scoring.labels import panel_name

    found, curves, name = said_and_done(results), Curves(), f"{results.study}-said"
    if not found:
        return []
    with style():
        figure = Figure(figsize=(WIDTH, 4.2))
        above, below = (
            panels_grid(figure, start, tall, 1, len(found), wspace=0.08).subplots(sharey=True, squeeze=False)
            for start, tall in ((0.62, 1.8), (2.9, 0.85))
        )
        for place, (said, done) in enumerate(found):
            upper, lower = above[0, place], below[0, place]
            upper.plot([0, 1], [0, 1], color="0.8", lw=3, zorder=0)
            lower.axhline(0, color="0.8", lw=3, zorder=0)
            lower.set_xscale("log", base=2)
            column = panel_name(said.method, said.data)
            heard, line = said.means(), {NETWORK: {"marker": "o"}}
            for who in [who for who in SPEAKERS if who in heard]:
                report, behaviour, drawn = heard[who], done.means()[who], look(who) | line.get(who, {})
                up, error = curves.note((SAID, column), who, said.doses, report)
                across, aside = curves.note((DONE, column), who, said.doses, behaviour)
                upper.errorbar(across, up, error, aside, elinewidth=0.6, **drawn)
                curves.line(lower, ("said − done", column), who, said.doses, report - behaviour, **drawn)
            upper.set(title=column, xlim=(0, 1), ylim=(0, 1))
            upper.set_xticks((0, 0.5, 1), ("0", "½", "1"))
            upper.set_xlabel(DONE)
            lower.set_xlabel("dose (finetuning steps)")
        above[0, 0].set_ylabel(SAID)
        below[0, 0].set_ylabel("said − done")
        curves.legend(figure)
        return save(results, {name: figure}, {name: curves.table})
