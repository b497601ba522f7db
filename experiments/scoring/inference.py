"""The share of inference that base networks have learnt, by group of contexts and by position. Numpy only.

    learnt = 1 - Σ KL(exact ‖ network) / Σ KL(exact ‖ uninformed)

exact        the process, which infers the hypothesis of a document from what stands before
uninformed   a predictor that knows every hypothesis and its prior, and never infers which one it is

1 is the exact predictor; 0 is a network that is as far from it as if it never inferred. Sums are over
documents and positions (`Quality`), or over the contexts of a group, of all arms and base networks. Where
nothing stands before that speaks of a hypothesis there is nothing to infer, and no share.
"""

from collections import defaultdict

import numpy as np

from experiments.scoring.fits import divergence
from experiments.scoring.labels import nats
from experiments.storage.manifests import Quality, share
from experiments.storage.run import Run

ABOUT = (
    "Share of inference learnt: 1 − excess over the exact predictor / that of a predictor which knows every "
    "hypothesis and never infers which one a document is of. –: there is nothing to infer."
)


def by_group(run: Run) -> dict[str, float]:
    """The share by group of contexts, nan where there is nothing to infer; empty before any cell is done."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for cell in run.cells("theories"):
        content = run.theories(cell)
        if content is None:
            continue
        for group in content.contexts.groups:
            contexts = content.contexts.of(group)
            exact = contexts.exact.astype(float)
            for index, other in enumerate((contexts.base, contexts.uninformed)):
                sums[group][index] += float(divergence(exact, other.astype(float)).mean())
    return {group: share(excess, uninformed) for group, (excess, uninformed) in sums.items()}


def sentence(quality: Quality | None, groups: dict[str, float], wanted: float | None = None) -> str:
    """The shares as a sentence, `wanted` what pretraining was to reach; empty where nothing is measured."""
    if quality is None or np.isnan(quality.learnt):
        return ""
    shares = [network.learnt for network in quality.networks]
    several = f" ({min(shares):.3f} to {max(shares):.3f})" if len(shares) > 1 else ""
    known = [f"{group.replace('_', '-')} {words(value)}" for group, value in groups.items() if value == value]
    parts = f"; {', '.join(known)}" if known else ""
    missed = wanted is not None and min(shares) < wanted
    steps = max(network.steps for network in quality.networks)
    ending = f" {wanted:g} was wanted, and not reached in {steps} steps." if missed else ""
    if shrunk := sum(network.shrunk > 0 for network in quality.networks):
        ending += f" {shrunk} of {len(shares)} had stalled and went on from smaller weights."
    return f"Of inference the base networks have learnt {quality.learnt:.3f}{several}{parts}.{ending}"


def table(quality: Quality) -> list[list[str]]:
    """Header and rows: excess and share of every network, and where it was shrunk if one was."""
    any_shrunk = any(network.shrunk for network in quality.networks)
    head = ["seed", "steps", "excess (nats)", "at the first answer", "never inferring", "learnt"]
    head += ["shrunk at step"] * any_shrunk
    rows = [
        [
            str(network.seed),
            str(network.steps),
            *map(nats, (network.mean, network.first_answer, network.uninformed)),
            words(network.learnt),
            *[str(network.shrunk or "–")] * any_shrunk,
        ]
        for network in quality.networks
    ]
    return [head, *rows]


def positions(quality: Quality) -> list[list[str]]:
    """Header and rows: excess and share by position of a document, means over networks."""
    rows = [
        [str(position), nats(excess), words(learnt)]
        for position, ((excess, _), learnt) in enumerate(
            zip(quality.by_position, quality.learnt_by_position, strict=True)
        )
    ]
    return [["position", "excess (nats)", "learnt"], *rows]


def words(value: float) -> str:
    """A share as text."""
    return "–" if np.isnan(value) else f"{value:.3f}"
