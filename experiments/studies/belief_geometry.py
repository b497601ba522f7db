"""Finetuned to one hidden Markov process of a family, does a network still track the others' states?

Documents are of a Mess3 process at one of a few settings, which the context shows. D' is of one setting: a
rare one, a common one, and one that pretraining never had. The contexts are of the other settings: their
second half, which shows the setting (`held_out`); their first tokens, which hardly do (`early`); documents
that turn to D's process half-way (`switch`).

Within a setting D' says nothing of the filter: under every Bayesian theory the mixed states stay as they
are, and D' moves the belief about the setting alone. If all of D' had one setting, as the tempered posterior
has it, contexts of others are read by D's filter however clearly they show their own; if every document has
its own, as the exchangeable mixture has it, `early` moves and `held_out` hardly does. The tempered posterior
is refuted by networks that keep to the setting shown, the exchangeable mixture by networks whose `held_out`
moves as far as `early`, and all mixtures of settings by a D' that none of them can write (the third), by a
low ceiling, or where the states of the shown setting are lost (no affine map of the answers restores them).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.design.config import BRIEF, FULL, Recipe, compared
from theory.errors import Misuse

POINTS = 400  # contexts drawn in a triangle


@dataclass(frozen=True)
class Config(Recipe):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    family: str = "mess3"
    """The family: mess3, rrxor, zero_one_random, golden_mean or even."""
    settings: tuple[str, ...] = ("0.05,0.85", "0.15,0.6", "0.45,0.9")
    """Settings that pretraining has (the family's parameters, comma-separated), the commonest first."""
    length: int = 20
    """Tokens of a document."""
    rarity: float = 0.6
    """How much rarer each setting is than the one before."""
    slip: float = 0.0
    """Probability that a token is drawn at random; above 0 for families that never show some tokens."""
    finetuned_settings: tuple[str, ...] = ("0.45,0.9", "0.15,0.6", "0.3,0.8")
    """The setting of D', of pretraining's or another, one arm of the study each."""
    base_seeds: int = 3
    """Pretrained networks."""
    repeats: int = 16
    """Documents for each setting that contexts are taken of."""
    temperatures: tuple[float, ...] = ()
    """Temperatures of the sampled posteriors (default: none are sampled)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.finetuned_settings:
            raise Misuse("finetuned_settings needs at least one setting, got none.")
        for text in (*self.settings, *self.finetuned_settings):
            numbers(text)


def numbers(text: str) -> tuple[float, ...]:
    """The parameters of a setting."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise Misuse(
            f"A setting must be numbers with commas between, such as 0.05,0.85; got {text!r}."
        ) from None


PRESETS = {
    "smoke": Config(**BRIEF, finetuned_settings=("0.45,0.9",), length=12),
    "small": Config(),
    "full": Config(**{**FULL, "repeats": 32}),
}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.design.experiment import arm
    from theory.processes.mess3 import BeliefGeometry

    settings = tuple(numbers(text) for text in config.settings)
    process = BeliefGeometry(config.family, settings, config.length, config.rarity, config.slip)
    if process.rules_out():
        raise Misuse(
            f"A process of {config.family} never shows some tokens, from which every network is ∞ nats away; "
            f"got slip = {config.slip:g}: set it above 0, such as --slip 0.01."
        )
    arms = []
    for text in config.finetuned_settings:
        process.check(numbers(text))
        arms.append(
            arm(
                text.replace(",", "_"),
                lambda key, n, text=text: process.narrow(key, n, numbers(text)),
                lambda key, text=text: process.contexts(key, numbers(text), config.repeats),
                config.seed,
            )
        )
    return compared(config, process, arms)


def draw(results: Any) -> list[Any]:
    """The comparison; weights of the settings; what is left of the filters' states."""
    from experiments.figures.comparison import draw_comparison
    from experiments.figures.mixture_weights import draw_beliefs
    from experiments.figures.readouts import draw_readings

    components = {text: (place,) for place, text in enumerate(results.config["config"]["settings"])}
    wanted = {title: (group, kept) for title, group in (("in-domain", "in_domain"), ("held-out", "held_out"))}
    return [
        *draw_comparison(results),
        *_draw_states(results),
        *draw_readings(results, wanted, "kept"),
        *draw_beliefs(results, components, "early", "beliefs-early"),
        *draw_beliefs(results, components, "held_out", "beliefs-held-out"),
    ]


def shown(context: Any) -> tuple[int, np.ndarray]:
    """The setting that contexts show most often, and which (c,) of them show it."""
    best = np.asarray(context["evidence"]).argmax(axis=0)
    place = int(np.bincount(best).argmax())
    return place, best == place


def kept(context: Any, probs: np.ndarray) -> np.ndarray:
    """R² (s, d) of the filter's answers, of the setting shown, on an affine map of the answers (s, d, c, a).

    A filter's answers are an affine image of its mixed states. 1: every state can be read off the answers;
    0: none. The map is fitted to the same contexts, a number for each of them and each token."""
    place, inside = shown(context)
    truth = np.exp(np.asarray(context["members"], float)[place, inside])
    truth -= truth.mean(axis=0)
    said = probs[..., inside, :]
    said = said - said.mean(axis=-2, keepdims=True)
    fitted = said @ (np.linalg.pinv(said, rcond=1e-6) @ truth)
    return 1 - np.sum((truth - fitted) ** 2, axis=(-1, -2)) / np.sum(truth**2)


def _draw_states(results: Any) -> list[Any]:
    """Answers as points of the triangle of three tokens, coloured by what the filter of the setting shown
    says: the filter, the first base network, its finetuned ones. The first D', a row a method and group."""
    from matplotlib.figure import Figure

    from experiments.figures.style import WIDTH, panels_grid, save, style
    from experiments.scoring import rows as scoring
    from experiments.scoring.labels import METHODS
    from experiments.scoring.predictions import BASE, NETWORK, told

    config, table = results.config["config"], scoring.table(results)
    doses, data = config["doses"], config["finetuned_settings"][0].replace(",", "_")
    rows = [line for line in table if line["data"] == data and line["group"] in ("in_domain", "held_out")]
    panels = sorted({(line["method"], line["group"]) for line in rows}, reverse=True)
    chosen = sorted({len(doses) // 3, 2 * len(doses) // 3, len(doses) - 1})
    who = [(BASE, -1), *((NETWORK, dose) for dose in chosen), ("linearised", -1)]
    titles = [
        "filter of the setting shown",
        *(f"dose {doses[dose]}" if dose >= 0 else name for name, dose in who),
    ]
    if not panels or config["family"] != "mess3":  # a triangle has three corners
        return []
    with style():
        figure = Figure(figsize=(WIDTH, len(panels) + 0.45))
        grid = panels_grid(figure, 0.35, len(panels), len(panels), len(titles), wspace=0.03, hspace=0.08)
        grid = grid.subplots(squeeze=False, sharex=True, sharey=True)
        for row, panel in enumerate(panels):
            same = [line for line in rows if (line["method"], line["group"]) == panel]
            context, said = next(told(results, same))
            place, inside = shown(context)
            inside = np.flatnonzero(inside)[:POINTS]
            truth = np.exp(context["members"][place, inside])
            looks = [truth, *(np.exp(said[name][0, dose][inside]) for name, dose in who)]
            for axes, probs in zip(grid[row], looks, strict=True):
                axes.scatter(*_corner(probs), s=2.5, c=truth / truth.max(axis=0), lw=0)
                axes.plot(*_corner(np.eye(3)[[0, 1, 2, 0]]), color="0.8", lw=0.6, zorder=0)
                axes.set_aspect("equal")
                axes.axis("off")
            name = f"{METHODS.get(panel[0], panel[0])}\n{panel[1].replace('_', '-')}"
            grid[row, 0].text(-0.08, 0.43, name, rotation=90, ha="right", va="center")
        for axes, title in zip(grid[0], titles, strict=True):
            axes.set_title(title)
        return save(results, {f"{results.study}-states": figure})


def _corner(probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places in a triangle of side 1 of probabilities (c, 3)."""
    return probs[:, 1] + probs[:, 2] / 2, probs[:, 2] * np.sqrt(0.75)
