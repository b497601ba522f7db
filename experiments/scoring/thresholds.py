"""Thresholds of the convergence diagnostics of sampled posteriors, for sampling and for figures. No jax.

Only the predictive average is scored: at a bulk ESS of 25 its error is a fifth of the posterior's spread, a
few T nats. The other limits are those of theory.mcmc.diagnostics.Thresholds.
"""

COLUMNS = (  # of the array `diagnostics` of a ladder, as theory.mcmc.diagnostics.Diagnostics has them
    *("rhat", "bulk_ess", "tail_ess", "acceptance"),
    *("halved_step", "gradient_noise", "drift", "base_loss_change"),
)
LIMITS = {
    "rhat": 1.1,
    "bulk_ess": 25.0,
    "tail_ess": 20.0,
    "acceptance": 0.5,
    "halved_step": 0.1,
    "gradient_noise": 0.1,
}
AT_LEAST = ("bulk_ess", "tail_ess", "acceptance")  # the others are upper limits
