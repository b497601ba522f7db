"""Pretraining by step size: the share of inference that networks of several widths have learnt, by steps.

    python -m benchmarks.pretraining_rates --seconds 600

`models.pretraining.default_rate` is read off this table, and that of `--study linebreak-widths`. Every rate
is trained once, to the last of the steps; the step size does not depend on how many there are. A share is 1 -
excess / excess of a predictor that never infers, on documents that are not trained on. Rows that do not fit
into the seconds are left out: `python -m benchmarks` shows the first of them.
"""

import time
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks._timing import row
from experiments.design.study import Study
from models.pretraining import Pretraining, default_rate, pretrain
from models.transformer import Architecture


def measure(
    seconds: float = 600.0,
    study: str = "weird-generalisation",
    widths: tuple[int, ...] = (24, 16, 32, 64),
    rates: tuple[float, ...] = (0.005, 0.0025, 0.01, 0.02),
    steps: tuple[int, ...] = (300, 600, 1200, 2400),
    networks: int = 2,
    optimizer: str = "muon",
    targets: str = "exact",
    batch: int = 64,
) -> list[dict[str, Any]]:
    """Shares (median, least and most of the networks) by width, rate and steps."""
    chosen = Study.find(study)
    experiment, rows, end = chosen.experiment(chosen.preset("small")), [], time.monotonic() + seconds
    for width in widths:
        rule = default_rate(optimizer, width)
        for rate in dict.fromkeys((rule, *rates)):
            if rows and time.monotonic() > end:
                return rows
            shape = replace(experiment.shape, width=width)
            recipe = Pretraining(optimizer, rate, max(steps), batch, targets=targets)
            learnt = _curve(experiment.process, shape, recipe, networks)
            name = f"width {width}, rate {rate:.3g}{' (the rule)' * (rate == rule)}"
            rows += [row(f"{name}, {count} steps", learnt[count], "learnt") for count in steps]
    return rows


def _curve(process: Any, shape: Architecture, recipe: Pretraining, networks: int) -> dict[int, np.ndarray]:
    """The share of inference that each network has learnt, by steps."""
    sizes = process.vocabulary, process.length
    chunks = pretrain(process.distribution(), shape, recipe, tuple(range(networks)), *sizes)
    return {chunk.step: chunk.learnt for chunk in chunks}


if __name__ == "__main__":
    from benchmarks._alone import alone

    alone(measure, "pretraining_rates")
