"""Finetuned on one narrow line width, what does a network do at other widths that its context shows?

Documents are wrapped at a hidden width. D' has the rarest and narrowest one; the control has the widest. The
contexts are of the other widths, asked where these and D's disagree on a newline: in the first line, which
shows no width yet (`first_line`), and after one, two or three lines (`lines_1` ...).

    one width for all of D' (tempered):     log-odds = prior + β n E - e lines:  lines ∝ dose to undo it
    a width a document (exchangeable):      odds (κ π0 + β n) / κ π0:            lines ∝ log dose, one or two

The tempered posterior is refuted where a network whose first lines are D's takes up the width that the
context shows; the exchangeable mixture where it keeps D's after three lines; the paths (geometric, linear)
where the share of D' in its answers changes with the lines shown. If the narrow and the wide D' differ in
this, what was learnt is a habit of breaking lines and no belief about the width.
"""

from dataclasses import dataclass
from typing import Any

from experiments.design.config import BRIEF, FULL, Recipe, compared
from theory.errors import Misuse


@dataclass(frozen=True)
class Config(Recipe):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    widths: tuple[int, ...] = (7, 5, 9, 4)
    """Hidden line widths, in characters, the commonest first."""
    lengths: tuple[int, ...] = (1, 2, 3, 4)
    """Characters of the words, space included."""
    length: int = 20
    """Tokens of a document."""
    noise: float = 0.05
    """Probability that a line is not broken as its width says."""
    rarity: float = 0.6
    """How much rarer each width is than the one before."""
    finetuned_widths: tuple[int, ...] = (4, 9)
    """The width of D', one arm of the study each: the narrowest or the widest, so that all others break
    lines on the same side of it."""
    lines: int = 3
    """Most lines of another width that a context shows."""
    pretraining_steps: int = 2400
    """Steps of pretraining."""
    base_seeds: int = 3
    """Pretrained networks."""
    temperatures: tuple[float, ...] = ()
    """Temperatures of the sampled posteriors (default: none are sampled)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.finetuned_widths:
            raise Misuse("finetuned_widths needs at least one width, got none.")
        for width in self.finetuned_widths:
            if width not in (ends := (min(self.widths), max(self.widths))):
                raise Misuse(f"finetuned_widths must be the narrowest or the widest of {ends}, got {width}.")


ALONE = "width of D′ alone"  # who has no other
PRESETS = {
    "smoke": Config(**BRIEF, finetuned_widths=(4,), lines=2),
    "small": Config(),
    "full": Config(**FULL),
}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.design.experiment import arm
    from theory.processes.linebreak import LineBreak

    process = LineBreak(config.widths, config.lengths, config.length, config.noise, config.rarity)
    arms = [
        arm(
            f"width{width}",
            lambda key, n, width=width: process.narrow(key, n, width),
            lambda key, width=width: process.contexts(key, width, config.repeats, config.lines),
            config.seed,
        )
        for width in config.finetuned_widths
    ]
    return compared(config, process, arms)


def draw(results: Any) -> list[Any]:
    """The comparison; newlines against lines shown; the weights of the widths before any is shown."""
    from experiments.figures.comparison import draw_comparison
    from experiments.figures.mixture_weights import draw_beliefs

    config = results.config["config"]
    components = {f"width {width}": (config["widths"].index(width),) for width in config["finetuned_widths"]}
    return [
        *draw_comparison(results),
        *_draw_lines(results, config),
        *draw_beliefs(results, components, "first_line"),
    ]


def _draw_lines(results: Any, config: dict[str, Any]) -> list[Any]:
    """Probability of a newline against lines shown, at three doses; a row for each method and D'."""
    from matplotlib.figure import Figure

    from experiments.figures.comparison import LEGEND
    from experiments.figures.curves import SPEAKERS, Curves
    from experiments.figures.style import WIDTH, panels_grid, save, style
    from experiments.scoring import rows as scoring
    from experiments.scoring.labels import panel_name, panels

    table, doses = scoring.table(results), config["doses"]
    every, chosen = panels(scoring.scorecard(table)), [len(doses) // 3, 2 * len(doses) // 3, len(doses) - 1]
    chosen, curves, name = sorted(set(chosen)), Curves(), f"{results.study}-lines"
    with style():
        tall = 1.35 * len(every)
        figure = Figure(figsize=(WIDTH, LEGEND + 0.2 + tall + 0.45))
        grid = panels_grid(figure, LEGEND + 0.2, tall, len(every), len(chosen), wspace=0.06, hspace=0.14)
        grid = grid.subplots(squeeze=False, sharex=True, sharey="row")
        for row, (method, data) in enumerate(every):
            same = [line for line in table if (line["method"], line["data"]) == (method, data)]
            said = newlines(results, same, config["widths"].index(int(data.removeprefix("width"))))
            label = f"{panel_name(method, data).replace(', ', chr(10))}\np(newline)"
            for axes, dose in zip(grid[row], chosen, strict=True):
                for who in [who for who in (ALONE, *SPEAKERS) if who in said]:
                    look = {"color": "0.6", "ls": "-", "lw": 2.5} if who == ALONE else {}
                    values = said[who][:, :, dose].T  # (bases, lines)
                    curves.line(
                        axes, (label, f"dose {doses[dose]}"), who, range(values.shape[1]), values, **look
                    )
            grid[row, 0].set_ylabel(label)
        for column, dose in enumerate(chosen):
            grid[0, column].set_title(f"dose {doses[dose]}")
            grid[-1, column].set_xlabel("lines of another width shown")
            grid[-1, column].set_xticks(range(config["lines"] + 1))
        curves.legend(figure)
        return save(results, {name: figure}, {name: curves.table})


def newlines(results: Any, rows: list[Any], own: int) -> dict[str, Any]:
    """By who says it, the mean probability of a newline after 0, 1 ... lines of another width, where the two
    widths disagree: (lines, bases, doses). `rows` are of one method and D', `own` is the width of D'."""
    import numpy as np

    from experiments.scoring.predictions import told

    found: dict[str, list[Any]] = {}
    for lines in range(results.config["config"]["lines"] + 1):
        group = f"lines_{lines}" if lines else "first_line"
        here: dict[str, list[Any]] = {}
        for context, said in told(results, [row for row in rows if row["group"] == group]):
            newline = list(context["answers"]).index("newline")
            said[ALONE] = np.broadcast_to(context["members"][own], said["finetuned"].shape)
            for who, answers in said.items():
                here.setdefault(who, []).append(np.exp(answers[..., newline]).mean(axis=(0, 2)))
        for who, each in here.items():
            found.setdefault(who, []).append(each)
    return {who: np.array(each) for who, each in found.items()}
