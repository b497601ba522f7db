"""Which theories a comparison hears, over which strengths, and whose clock tells their forecast.

Closed forms over hypotheses start from the process or from the `held` prior (the weights that the base
network acts on); closed forms over predictions, and theories over weights, from the base network. A theory
over weights is told by τ = βN/γ, N the counted positions of D', over octaves; in another metric than the
identity τ has another unit, so its ladder is wide. What follows a method's training time
(experiments.cells.clock) names the metric.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from theory.base import Dataset, Parametric
from theory.theories.adam_gibbs import AdamGibbs
from theory.theories.belief_dynamics import BeliefDynamics
from theory.theories.complexity_prior import ComplexityPrior
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.gaussian_process import GaussianProcess
from theory.theories.geometric_path import GeometricPath
from theory.theories.in_context import InContext
from theory.theories.kernel_predictor import KernelPredictor
from theory.theories.langevin_posterior import LangevinPosterior
from theory.theories.laplace import Laplace
from theory.theories.linear_mixture import LinearMixture
from theory.theories.linear_response import LinearResponse
from theory.theories.narrow_or_broad import NarrowOrBroad
from theory.theories.spectrum import Spectrum
from theory.theories.tempered_posterior import TemperedPosterior
from theory.weights.diagonal_metrics import fisher
from theory.weights.kronecker import kronecker
from theory.weights.subnetwork import subnetwork

LIKELIHOOD = np.concatenate([[0.0], np.logspace(-6, 3, 109)]).astype(np.float32)
COUNT = np.concatenate([[0.0], np.logspace(-5, 3, 99)]).astype(np.float32)
PATH = np.concatenate([[0.0], np.logspace(-4, 1.2, 79)]).astype(np.float32)
SHOTS = np.concatenate([[0.0], np.logspace(-2, 0, 13)]).astype(np.float32)
NARROW, WIDE, STRONG = (-8, 4), (-13, 8), (2, 13)  # octaves of τ
COLD = 1e5  # prior precision of theories with a temperature

MIXTURES: dict[str, tuple[Any, np.ndarray]] = {
    "tempered-posterior": (TemperedPosterior(), LIKELIHOOD),
    "exchangeable-mixture": (ExchangeableMixture(), COUNT),
    "narrow-or-broad": (NarrowOrBroad(), LIKELIHOOD),
    "complexity-prior": (ComplexityPrior(), LIKELIHOOD),
    "belief-dynamics": (BeliefDynamics(alpha=0.3, tokens_per_shot=2), LIKELIHOOD),
}
# of a hidden variable that is a product; a study names those that it hears
FAMILIES: dict[str, tuple[Any, np.ndarray]] = {
    f"exchangeable-{family}": (ExchangeableMixture(family), COUNT) for family in ("product", "tilted")
}


def mixtures(process: Any) -> dict[str, tuple[Any, np.ndarray]]:
    """Theories of a mixture over members, `FAMILIES` too where its hidden variable is a product. Where a
    process says which predictors its members make up, the complexity prior weighs those; where it says its
    members' description lengths instead, those count, in full; without either, and from the prior's own
    weights, it is the tempered posterior."""
    parts = process.predictors() if hasattr(process, "predictors") else None
    lengths = None
    if parts is None and hasattr(process, "description_lengths"):
        lengths = tuple(float(bits) for bits in process.description_lengths())
    return {
        **MIXTURES,
        "complexity-prior": (ComplexityPrior(lengths, predictors=parts), LIKELIHOOD),
        **(FAMILIES if len(process.distribution().factors) > 1 else {}),
    }


def paths(process: Any) -> dict[str, tuple[Any, np.ndarray]]:
    """Theories of any predictor."""
    return {
        "geometric-path": (GeometricPath(process), PATH),
        "linear-mixture": (LinearMixture(process), PATH),
        "in-context": (InContext(), SHOTS),
    }


@dataclass(frozen=True)
class Weighted:
    """A theory over weights: `make(network, data, documents, key)` builds it for one network, one D' and
    documents of pretraining; `layers` are those it may move (none: all)."""

    theory: str
    prior: str
    make: Callable[[Parametric, Dataset, Dataset, Any], Any]
    octaves: tuple[int, int] = NARROW
    clock: str = ""
    prior_precision: float = 1.0
    layers: tuple[str, ...] = ()

    def times(self) -> np.ndarray:
        """τ, from 0 on."""
        return np.concatenate([[0.0], 2.0 ** np.arange(self.octaves[0], self.octaves[1] + 1.0)])

    def prepared(self, network: Parametric) -> Parametric:
        """The network, or the part of it that moves."""
        return subnetwork(network, self.layers) if self.layers else network


def _adam(network: Parametric, data: Dataset, key: Any) -> Any:
    return AdamGibbs().metric(network, data, key)


WEIGHTED = (
    Weighted("spectrum", "identity", lambda network, data, documents, key: Spectrum(), clock="identity"),
    Weighted(
        "spectrum",
        "adam",
        lambda network, data, documents, key: Spectrum(metric=_adam(network, data, key)),
        WIDE,
        "adam",
    ),
    Weighted(
        "kernel-predictor",
        "identity",
        lambda network, data, documents, key: KernelPredictor(),
        clock="identity",
    ),
    Weighted(
        "gaussian-process",
        "identity",
        lambda network, data, documents, key: GaussianProcess(prior_precision=COLD, samples=16),
        clock="identity",
        prior_precision=COLD,
    ),
    Weighted("laplace", "isotropic", lambda network, data, documents, key: Laplace(), clock="identity"),
    Weighted(
        "laplace",
        "fisher",
        lambda network, data, documents, key: Laplace(metric=fisher(network, documents)),
        WIDE,
    ),
    Weighted(
        "laplace",
        "kronecker",
        lambda network, data, documents, key: Laplace(metric=kronecker(network, documents)),
        WIDE,
    ),
    Weighted(
        "laplace", "last-layer", lambda network, data, documents, key: Laplace(), WIDE, layers=("read",)
    ),
    Weighted(
        "laplace",
        "sequential",
        lambda network, data, documents, key: Laplace(replay=documents, alpha=1.0),
        STRONG,
    ),
    Weighted(
        "linear-response",
        "identity",
        lambda network, data, documents, key: LinearResponse(LangevinPosterior(COLD), samples=16),
        clock="identity",
        prior_precision=COLD,
    ),
)
ALL = (
    *MIXTURES,
    *("geometric-path", "linear-mixture", "in-context"),
    *{each.theory: 0 for each in WEIGHTED},
    *("quadratic", "relinearised"),  # of experiments.cells.replays, beside linearised
)
