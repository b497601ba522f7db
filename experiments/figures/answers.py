"""Answers of finetuned networks as bars, with those of the base network, of a target and of theories.

The questions are those whose answers moved most. Numpy and matplotlib only.
"""

from collections.abc import Collection

import numpy as np
from matplotlib.figure import Figure

from experiments.figures.looks import rank
from experiments.figures.style import Look, marker_line, panels_grid
from experiments.scoring.predictions import BASE, NETWORK, predictions
from experiments.scoring.target import Target
from experiments.storage.records import Row
from experiments.storage.run import Run

TARGET, AIM = "target", {"color": "#c00000", "lw": 1.4, "ls": (0, (2, 1))}  # a name among answers, its line
ANSWERING: dict[str, Look] = {
    "finetuned network": {"color": "0.87", "lw": 5},
    "base network": {"color": "black", "lw": 1},
}
QUESTIONS, ANSWERS = 2, 12  # held-out questions whose answers are drawn, and at most so many answers
UPRIGHT, SMALL, LETTER = 4, 5.0, 0.042  # answers named upright; point size of more, and inches a letter then
Probabilities = tuple[dict[str, np.ndarray], list[str], list[str]]  # (d, q, a) by name, questions, answers


def probabilities(
    run: Run, rows: list[Row], target: Target | None = None, shown: Collection[str] | None = None
) -> Probabilities:
    """Means over networks and contexts, of the theories `shown` or all; `rows` are of one method, D' and
    group. A target's are TARGET."""
    if shown is not None:
        rows = [row for row in rows if row.theory in shown]
    parts: dict[str, list[np.ndarray]] = {}
    questions = answers = np.zeros(0, str)
    for contexts, log_probs in predictions(run, rows):
        questions, answers = np.unique(contexts.questions), contexts.answers
        share = (contexts.questions == questions[:, None]) / 1.0
        share /= share.sum(axis=1, keepdims=True)
        if target:
            aim = contexts.components[target.hypothesis]
            log_probs |= {TARGET: np.broadcast_to(aim, log_probs[NETWORK].shape)}
        for name, values in log_probs.items():
            parts.setdefault(name, []).append(np.einsum("qc,sdca->sdqa", share, np.exp(values)))
    means = {name: np.concatenate(arrays).mean(axis=0) for name, arrays in parts.items()}
    return means, questions.tolist(), answers.tolist()


def largest(shares: dict[str, np.ndarray], questions: list[str], answers: list[str]) -> Probabilities:
    """The questions that moved most and, of many answers, the likeliest there."""
    moved = np.abs(shares["finetuned"] - shares["base"])[-1].sum(axis=-1)
    topics = sorted(np.argsort(-moved, kind="stable")[:QUESTIONS])
    shares = {name: values[:, topics] for name, values in shares.items()}
    likeliest = np.max([shares[name].max(axis=(0, 1)) for name in ("finetuned", "base")], axis=0)
    kept = np.sort(np.argsort(-likeliest, kind="stable")[:ANSWERS])
    shares = {name: values[..., kept] for name, values in shares.items()}
    return shares, [questions[topic] for topic in topics], [answers[index] for index in kept]


def depth(answers: list[str]) -> float:
    """Inches that the names of answers need below their axis, beyond one line."""
    return LETTER * max(map(len, answers)) if len(answers) > UPRIGHT else 0.0


def draw_answers(figure: Figure, start: float, tall: float, shown: Probabilities, doses: list[int]) -> None:
    """Draw finetuned answers as bars, the base network as a line across, each theory as a marker."""
    shares, questions, answers = shown
    chosen = sorted(set(np.linspace(0, len(doses) - 1, 4).round().astype(int)[-3:]))
    names = sorted(set(shares) - {NETWORK, BASE, TARGET}, key=rank)
    grid = panels_grid(figure, start, tall, len(questions), len(chosen), wspace=0.05, hspace=0.12)
    grid = grid.subplots(squeeze=False, sharex=True, sharey=True)
    centres = np.arange(len(answers))
    for row, question in enumerate(questions):
        for axes, dose in zip(grid[row], chosen, strict=True):
            axes.bar(centres, shares["finetuned"][dose, row], 0.9, color="0.87")
            axes.hlines(shares["base"][dose, row], centres - 0.45, centres + 0.45, color="black", lw=1)
            if TARGET in shares:
                axes.hlines(shares[TARGET][dose, row], centres - 0.45, centres + 0.45, **AIM)
            for index, name in enumerate(names):
                offset = 0.76 * ((index + 0.5) / len(names) - 0.5)
                axes.plot(centres + offset, shares[name][dose, row], ls="", ms=3, mew=0, **marker_line(name))
        grid[row, 0].set_ylabel(f"{question}\nprobability")
    many = len(answers) > UPRIGHT
    for column, dose in enumerate(chosen):
        grid[0, column].set_title(f"dose {doses[dose]}")
        grid[-1, column].set_xticks(centres, answers, rotation=90 * many, fontsize=SMALL if many else None)
