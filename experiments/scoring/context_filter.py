"""The context's weight: by how much evidence in the context counts in answers, and from which prior. No jax.

    q_c = Σ_k ρ_k e^{K e_kc} m_kc / Σ_k ρ_k e^{K e_kc}

e_kc is the evidence of context c for hypothesis k and m_kc its answers there, both of the exact process.
Its own answers have K = 1 and ρ = π0. With a prior ρ(s) and an efficiency K(s) for each dose s this is
the Bayesian law of in-context learning of Arora et al., arXiv 2410.16531: after n shots Σ_m ρ_m P_m^{K n
+ 1} / Σ_m ρ_m P_m^{K n}. K and ρ are those of least mean KL(answers ‖ q) over contexts; contexts must
differ in evidence. A Bayesian finetuning moves ρ and leaves K: a tempered posterior multiplies ρ_k by
p(D' | k)^β. Numpy and scipy only. Axes: m networks, c contexts, a answers, k hypotheses.
"""

from typing import TYPE_CHECKING

import numpy as np

from theory.divergence.mixture_fit import fit_weights

if TYPE_CHECKING:
    from scipy.interpolate import CubicSpline

COUNTS = np.array([0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 4.0])
"""Values of K at which ρ is fitted; between them nats are a cubic spline."""
FINE = np.unique(np.concatenate([np.linspace(0, COUNTS[-1], 801), COUNTS]))
LEAST = 0.01  # of a belief: networks do not resolve what is below it


def efficiency(
    answers: np.ndarray, components: np.ndarray, evidence: np.ndarray
) -> tuple[np.ndarray, "CubicSpline"]:
    """K (m,) of answers (m, c, a), and the nats (m,) that any K reaches, at the best ρ each time.

    `components` (k, c, a) are log-probabilities, `evidence` (k, c) is log p(context | k).
    """
    from scipy.interpolate import CubicSpline  # takes a while to import

    curves = CubicSpline(
        COUNTS, np.stack([fit_weights(answers, components, scale * evidence)[1] for scale in COUNTS])
    )
    return FINE[curves(FINE).argmin(axis=0)], curves


def prior_odds(
    answers: np.ndarray, components: np.ndarray, evidence: np.ndarray, counts: np.ndarray, hypothesis: int
) -> np.ndarray:
    """Log-odds (m,) of a hypothesis against the others, their mean, in the ρ of answers whose K is `counts`
    (m,); nan where one of them is believed less than `LEAST` in every context."""
    odds = np.empty(len(answers))
    for count in np.unique(counts):
        here = counts == count
        weights, _ = fit_weights(answers[here], components, count * evidence)
        with np.errstate(divide="ignore"):
            logs = np.log(weights)
        joint = logs[..., None] + count * evidence
        beliefs = np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))
        logs = np.where(beliefs.max(axis=-1) < LEAST, np.nan, logs)
        odds[here] = logs[:, hypothesis] - np.delete(logs, hypothesis, axis=1).mean(axis=1)
    return odds
