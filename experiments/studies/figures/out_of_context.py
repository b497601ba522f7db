"""The expected bias of a coin by self-report and by behaviour: two readouts that are one to Bayes. No jax.

Axes: b base networks, s finetuning seeds, d doses, c contexts, a answers.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.figures.curves import NETWORK, SPEAKERS, Curves, look
from experiments.figures.readouts import Read, Readout, readings
from experiments.figures.style import WIDTH, panels_grid, save, style
from experiments.scoring.labels import panel_name
from experiments.storage.contents import Contexts
from experiments.storage.run_folder import RunFolder

REPORT, BEHAVIOUR, DIFFERENCE = "bias by self-report", "bias by behaviour", "self-report − behaviour"


def expected_bias(run: RunFolder) -> Read:
    """Σ_z w_z θ_z read off probabilities (..., c, a), mean over contexts: the `expected_bias` of
    theory.processes.out_of_context, in numpy. Answers are numbers of heads in each format, then names."""
    tosses, biases, reliability = (
        run.options["process"][name] for name in ("tosses", "biases", "reliability")
    )
    ends = np.cumsum([0, *(count + 1 for count in tosses), len(biases)])
    wrong = (1 - reliability) / (len(biases) - 1)
    formats = {f"format {cue}": cue for cue in range(len(tosses))}

    def bias(probs: np.ndarray, question: str) -> np.ndarray:
        cue = formats.get(question, len(tosses))
        answers = probs[..., ends[cue] : ends[cue + 1]]
        answers = answers / np.sum(answers, axis=-1, keepdims=True)
        if question in formats:
            return answers @ np.arange(tosses[cue] + 1) / tosses[cue]
        return (answers - wrong) @ np.asarray(biases) / (reliability - wrong)

    def mean_bias(contexts: Contexts, probs: np.ndarray) -> np.ndarray:
        return np.mean([bias(probs[..., c, :], text) for c, text in enumerate(contexts.questions)], axis=0)

    return mean_bias


def report_and_behaviour(run: RunFolder) -> list[tuple[Readout, Readout]]:
    """For every method and D': the expected bias read off the self-report, and off the other formats."""
    bias = expected_bias(run)
    both = [readings(run, group, bias) for group in ("held_out", "other_format")]
    return list(zip(*both, strict=True))


def draw_report(run: RunFolder) -> list[Path]:
    """Above, report against behaviour, dose by dose, on Bayes's line y = x; below, their difference against
    dose."""
    panels, curves, name = report_and_behaviour(run), Curves(run), f"{run.study}-said"
    if not panels:
        return []
    with style():
        figure = Figure(figsize=(WIDTH, 4.2))
        above, below = (
            panels_grid(figure, start, high, 1, len(panels), wspace=0.08).subplots(sharey=True, squeeze=False)
            for start, high in ((0.62, 1.8), (2.9, 0.85))
        )
        for upper, lower, (report, behaviour) in zip(above[0], below[0], panels, strict=True):
            upper.plot([0, 1], [0, 1], color="0.8", lw=3, zorder=0)
            lower.axhline(0, color="0.8", lw=3, zorder=0)
            lower.set_xscale("log", base=2)
            column, doses = panel_name(report.method, report.data), report.doses
            reported, done = report.values, behaviour.values
            for learner in [learner for learner in SPEAKERS if learner in reported]:
                looks = look(learner) | ({"marker": "o"} if learner == NETWORK else {})
                y, y_error = curves.note((REPORT, column), learner, doses, reported[learner])
                x, x_error = curves.note((BEHAVIOUR, column), learner, doses, done[learner])
                upper.errorbar(x, y, y_error, x_error, elinewidth=0.6, **looks)
                difference = reported[learner] - done[learner]
                curves.line(lower, (DIFFERENCE, column), learner, doses, difference, **looks)
            upper.set(title=column, xlim=(0, 1), ylim=(0, 1))
            upper.set_xticks((0, 0.5, 1), ("0", "½", "1"))
            upper.set_xlabel(BEHAVIOUR)
            lower.set_xlabel("dose (finetuning steps)")
        above[0, 0].set_ylabel(REPORT)
        below[0, 0].set_ylabel("difference")
        curves.legend(figure)
        return save(run, {name: figure}, {name: curves.table})
