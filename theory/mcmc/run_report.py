"""A report on a NumPyro run, measured at its last positions: a companion of `print_summary`.

    mcmc.run(key); mcmc.print_summary(); print(diagnose(mcmc))

R̂ and effective sample sizes compare chains with each other, and all of them share the bias of a step. So here
are the two numbers that such a bias comes from: the noise of minibatch gradients over the injected noise
(theory.mcmc.gradient_noise), and the step size over the largest one that is stable (theory.mcmc.stability).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpyro.infer import MCMC
from numpyro.util import is_prng_key

from theory.errors import Misuse
from theory.mcmc.diagnostics import Thresholds
from theory.mcmc.gradient_noise import BATCHES, mean_ratios, worst_ratio
from theory.mcmc.langevin import Langevin
from theory.mcmc.minibatch import spare

CHAINS = 4  # at whose last positions the stability is asked


@dataclass(frozen=True)
class RunReport:
    """Gradient noise over injected noise by site (mean over its coordinates) and in the worst direction, and
    the step size over the largest stable one (nan where the kernel has no limit, or a schedule of steps)."""

    noise_by_site: dict[str, float]
    gradient_noise: float
    step_over_stable: float

    def problems(self, thresholds: Thresholds | None = None) -> list[str]:
        """A sentence for each violation: what, the value, what to do."""
        limit, sentences = (thresholds or Thresholds()).gradient_noise, []
        if limit is not None and not self.gradient_noise <= limit:
            sentences.append(
                f"Gradient noise is {self.gradient_noise:.2g} times the injected noise in the worst "
                f"direction, but must be at most {limit:g}: variances there are about "
                f"{1 + self.gradient_noise:.2g} times too large, so take a smaller step, larger minibatches "
                "or a control variate."
            )
        if self.step_over_stable > 1:
            sentences.append(
                f"The step size is {self.step_over_stable:.2g} times the largest that is stable at the last "
                "positions: take a smaller step."
            )
        return sentences

    def __str__(self) -> str:
        lines = [f"{'gradient noise / injected noise':<40}{'mean':>10}"]
        lines += [f"{site:>40}{ratio:>10.3g}" for site, ratio in self.noise_by_site.items()]
        lines.append(f"{'in the worst direction':>40}{self.gradient_noise:>10.3g}")
        if not np.isnan(self.step_over_stable):
            lines.append(f"{'step size / largest stable step size':<40}{self.step_over_stable:>10.3g}")
        return "\n".join([*lines, *(self.problems() or ["No problem found."])])


def diagnose(mcmc: MCMC) -> RunReport:
    """The report of a finished run of one of our kernels, with the model and arguments that it ran on."""
    kernel, state = mcmc.sampler, mcmc.last_state
    if not isinstance(kernel, Langevin):
        raise Misuse(
            f"diagnose reports on the kernels of theory.samplers, got {type(kernel).__name__}; NumPyro's own "
            "have their diagnostics in print_summary."
        )
    if state is None:
        raise Misuse("diagnose needs a finished run, got an MCMC without one; call run first.")
    args, kwargs = mcmc._args, mcmc._kwargs
    states = jax.tree.map(lambda leaf: leaf[None], state) if is_prng_key(state.rng_key) else state
    keys = jax.vmap(spare)(states.rng_key)  # not those of the next step
    measure = jax.vmap(lambda state, key: kernel.noise(state, args, kwargs, key, BATCHES))
    deviations = jax.jit(measure)(states, keys)
    first = jax.tree.map(lambda leaf: leaf[0], states.z)
    by_coordinate = ravel_pytree(first)[1](mean_ratios(deviations))
    sites = {
        jax.tree_util.keystr(path, simple=True, separator=".") or "z": float(jnp.mean(leaf))
        for path, leaf in jax.tree_util.tree_leaves_with_path(by_coordinate)
    }
    shares = [
        kernel.step_over_stable(jax.tree.map(lambda leaf: leaf[chain], states.z), args, kwargs)  # noqa: B023
        for chain in range(min(CHAINS, len(states.i)))
    ]
    return RunReport(sites, float(worst_ratio(deviations)), float(np.max(shares)))
