"""Base of all Langevin kernels: a target, its gradient, and the interface of a NumPyro `MCMCKernel`.

    z ← z - ε s² ∇U(z) + √(2ε) s ξ,      ξ ~ N(0, 1)

ε is the step size in this convention throughout (others write (ε/2) ∇U and √ε ξ: their step is twice ours),
U = -log density the potential, s an optional fixed scale of each coordinate (the metric of the proposal is
1/s²; it changes how fast a chain mixes, not its target). The target is a NumPyro model, whose subsampled
plates give unbiased minibatches drawn anew in every step and chain, or a function: `potential_fn(z)`, or
`potential_fn(z, key)`, an unbiased estimate whose randomness comes from the key.

A kernel is a frozen dataclass that defines `start` and `move`, both on flat vectors in scaled coordinates, so
that a step draws its noise in one call. Nothing is kept outside the state: `sample` is a pure function that
may be traced, vmapped and scanned anywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpyro.handlers import seed
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.mcmc import MCMCKernel
from numpyro.infer.util import constrain_fn
from numpyro.util import identity, is_prng_key

from theory.base import PyTree
from theory.errors import Misuse
from theory.mcmc import gradient_noise
from theory.mcmc.checks import check_finite, check_precision, check_scale, check_step, is_random, is_traced
from theory.mcmc.minibatch import Potential, Rows, first_position, init_to_centre, model_potential, spare
from theory.mcmc.stability import check_stable, curvature

StepSize: TypeAlias = float | Float[Array, ""] | Callable[[Array], Array]
Flat: TypeAlias = Float[Array, " p"]
Memory: TypeAlias = PyTree  # what a kernel carries from step to step: a momentum, the last gradient
Arguments: TypeAlias = tuple[object, ...]  # of a NumPyro model
Options: TypeAlias = dict[str, Any]  # its keyword arguments
Gradient: TypeAlias = Callable[[PyTree, PRNGKeyArray], tuple[Float[Array, ""], PyTree]]
ValueAndGrad: TypeAlias = Callable[[Flat, PRNGKeyArray], tuple[Float[Array, ""], Flat]]


class LangevinState(NamedTuple):
    """State of a chain: `i` steps done; `z` the position (unconstrained, as for NumPyro's HMC);
    `potential_energy` of the last gradient (an estimate where that is one); `accept_prob` of the last
    proposal (1 where nothing is ever rejected); `memory` of the kernel; `rng_key` the chain's stream;
    `warn_at` the step at which gradient noise is measured, () for never."""

    i: Array
    z: PyTree
    potential_energy: Array
    accept_prob: Array
    memory: Memory
    rng_key: Array
    warn_at: PyTree = ()


class StepResult(NamedTuple):
    """Result of one step: the new flat position, the memory, the potential and the acceptance."""

    position: Flat
    memory: Memory
    potential_energy: Array
    accept_prob: Array


@dataclass(frozen=True, eq=False)
class Langevin(MCMCKernel):
    """Base class of the kernels.

    `step_size` is ε, or a function of the step number. `scale` is s, a pytree like z. With `control_variate`
    a minibatch gradient is corrected by that of the minibatch at the first position a, where the whole
    gradient is computed once: ĝ(z) - ĝ(a) + ∇U(a) (Baker et al., arXiv 1706.05439); two evaluations a step,
    and next to no noise near a. A `potential_fn(z, key)` then also needs a `whole_potential_fn(z)`.

    A model's chains start at `init_params`, or where `init_strategy` (one of NumPyro's) puts them: by default
    at random, and at the prior's centre if the first position has a meaning (`centred`).
    """

    model: Callable[..., object] | None = None
    potential_fn: Callable[..., Array] | None = None
    step_size: StepSize = field(default=1e-3, kw_only=True)
    scale: PyTree = field(default=None, kw_only=True)
    control_variate: bool = field(default=False, kw_only=True)
    whole_potential_fn: Callable[[PyTree], Array] | None = field(default=None, kw_only=True)
    init_strategy: Callable[..., Any] | None = field(default=None, kw_only=True)

    sample_field: ClassVar[str] = "z"  # type: ignore[misc]
    minibatch: ClassVar[bool] = True  # False: every gradient is of the whole potential
    centred: ClassVar[bool] = False  # True: the first position has a meaning, as that of a control variate
    # NumPyro's MCMC looks for this attribute: without it a resumed run would call `init` again.
    _sample_fn: ClassVar[bool] = True

    def __post_init__(self) -> None:
        name = type(self).__name__
        if (self.model is None) == (self.potential_fn is None):
            raise Misuse(
                f"{name} needs a model or a potential_fn, got {'both' if self.model else 'neither'}."
            )
        check_step(name, self.step_size)
        if self.potential_fn is not None and not self.minibatch and is_random(self.potential_fn):
            raise Misuse(
                f"{name} needs the whole potential, got a potential_fn(z, key); use a minibatch kernel "
                "like SGLD."
            )
        if self.control_variate and self.whole_potential_fn is None and is_random(self.potential_fn):
            raise Misuse(
                f"The control variate of {name} needs the whole potential besides a potential_fn(z, key); "
                "pass it as whole_potential_fn."
            )

    # Methods that a kernel overrides

    def limit(self, curvature: float) -> float:
        """The largest stable step for the largest curvature of the potential (in scaled coordinates)."""
        return float("inf")

    def noise_gain(self, step: Array, memory: Memory) -> Array:
        """Variance that gradient noise of variance 1 adds to a step over the injected variance, of every
        scaled coordinate or of all: ε/2 for z ← z - ε ĝ + √(2ε) ξ."""
        return step / 2

    def start(
        self, position: Flat, value_and_grad: ValueAndGrad, key: PRNGKeyArray, warmup: int
    ) -> tuple[Memory, Float[Array, ""]]:
        """Memory and potential at the first position."""
        value, _ = value_and_grad(position, key)
        return (), value

    def move(
        self,
        position: Flat,
        memory: Memory,
        value_and_grad: ValueAndGrad,
        step: Array,
        key: PRNGKeyArray,
        i: Int[Array, ""],
    ) -> StepResult:
        """One step in scaled coordinates; `value_and_grad(position, key)` is the potential and its gradient
        there, `step` the step size of step number `i`."""
        raise NotImplementedError

    def _anchor(self, start: PyTree, args: Arguments, kwargs: Options) -> PyTree:
        """The first position, and the whole potential and gradient there; () without a control variate."""
        if not self.control_variate:
            return ()
        whole = jax.value_and_grad(self.potential(args, kwargs, whole=True))
        return start, whole(start, None)

    def _gradient(self, anchor: PyTree, args: Arguments, kwargs: Options) -> Gradient:
        """(z, key) -> (potential, gradient), both unbiased."""
        plain = jax.value_and_grad(self.potential(args, kwargs, whole=not self.minibatch))
        if not self.control_variate:
            return plain
        start, whole_at_start = anchor

        def corrected(z: PyTree, key: PRNGKeyArray) -> tuple[Float[Array, ""], PyTree]:
            # Both positions in one vmap: one pass over the minibatch's network, and one key, so that both
            # draw the rows whose noise is to cancel.
            pair = jax.tree.map(lambda *leaves: jnp.stack(leaves), z, start)
            both = jax.vmap(plain, in_axes=(0, None))(pair, key)
            return jax.tree.map(lambda two, whole: two[0] - two[1] + whole, both, whole_at_start)

        return corrected

    # The interface of NumPyro

    def init(
        self,
        rng_key: Array,
        num_warmup: int,
        init_params: PyTree,
        model_args: Arguments = (),
        model_kwargs: Options | None = None,
    ) -> LangevinState:
        """The first state; with a batch of keys, one for each chain (`init_params` has that axis too)."""
        kwargs, single = model_kwargs or {}, is_prng_key(rng_key)
        guessed = init_params is None
        if guessed:
            key = spare(rng_key) if single else jax.vmap(spare)(rng_key)
            init_params = self._guess(key, self._strategy, model_args, kwargs)
        traced = is_traced((rng_key, init_params))
        noisy = self.minibatch and (self.model is not None or is_random(self.potential_fn))

        def init_chain(key: PRNGKeyArray, params: PyTree) -> LangevinState:
            params = jax.tree.map(jnp.asarray, params)
            check_precision(type(self).__name__, params)
            check_scale(type(self).__name__, self.scale, params)
            chain, first = jax.random.split(key)
            anchor = self._anchor(params, model_args, kwargs)
            flat, value_and_grad = self._flat(params, anchor, model_args, kwargs)
            memory, value = self.start(flat, value_and_grad, first, num_warmup)
            at = (jnp.asarray(num_warmup),) if noisy and num_warmup and not traced else ()
            return LangevinState(jnp.zeros((), int), params, value, jnp.ones(()), (memory, anchor), chain, at)

        state = jax.jit(init_chain if single else jax.vmap(init_chain))(rng_key, init_params)
        check_finite(type(self).__name__, state.potential_energy)
        if not traced:
            start = state.z if single else jax.tree.map(lambda leaf: leaf[0], state.z)
            if guessed and self._strategy is init_to_uniform:  # stability is not asked at a random place
                start = self._guess(spare(jax.random.key(0)), init_to_centre, model_args, kwargs)
            self.check(start, model_args, kwargs)
        return state

    def check(self, position: PyTree, args: Arguments = (), kwargs: Options | None = None) -> None:
        """Refuse, before any step, a potential that is not finite at the first position, and a step size
        that is unstable there. Traced values and schedules of step sizes cannot be checked."""
        if is_traced(position):
            return
        name, (value, largest) = type(self).__name__, self._measure(position, args, kwargs or {})
        check_finite(name, value)
        if not isinstance(largest, Tracer) and float(largest) > 0:
            check_stable(name, float(self.step_size), float(largest), self.limit(float(largest)))  # type: ignore[arg-type]

    def step_over_stable(
        self, position: PyTree, args: Arguments = (), kwargs: Options | None = None
    ) -> float:
        """The step size over the largest that is stable at a position; nan for a schedule, or without a
        limit."""
        if callable(self.step_size) or self.limit(float("inf")) == float("inf"):
            return float("nan")
        largest = float(self._measure(position, args, kwargs or {})[1])
        return float(self.step_size) / self.limit(largest)  # type: ignore[arg-type]

    def noise(
        self, state: LangevinState, args: Arguments, kwargs: Options, key: PRNGKeyArray, batches: int
    ) -> Float[Array, "b p"]:
        """Gradients at a chain's position less their mean, in units of the injected noise of a step."""
        memory, anchor = state.memory
        flat, value_and_grad = self._flat(state.z, anchor, args, kwargs)
        gradients = jax.lax.map(lambda key: value_and_grad(flat, key)[1], jax.random.split(key, batches))
        gain = self.noise_gain(self._step(state, flat), memory)
        return jnp.sqrt(gain) * (gradients - jnp.mean(gradients, axis=0))

    def sample(
        self,
        state: LangevinState,
        model_args: Arguments = (),
        model_kwargs: Options | None = None,
    ) -> LangevinState:
        """One step of one chain, or of every chain of a batch."""
        kwargs = model_kwargs or {}

        def sample_chain(state: LangevinState) -> LangevinState:
            memory, anchor = state.memory
            chain, now = jax.random.split(state.rng_key)
            flat, value_and_grad = self._flat(state.z, anchor, model_args, kwargs)
            moved = self.move(flat, memory, value_and_grad, self._step(state, flat), now, state.i)
            z = self._unflat(state.z)(moved.position)
            # The type of the first state: half of x64's default where the position is in single precision.
            accept = jnp.asarray(moved.accept_prob, state.accept_prob.dtype)
            energy, memory = moved.potential_energy, (moved.memory, anchor)
            return LangevinState(state.i + 1, z, energy, accept, memory, chain, state.warn_at)

        if state.warn_at:
            self._warn(state, model_args, kwargs)
        return sample_chain(state) if is_prng_key(state.rng_key) else jax.vmap(sample_chain)(state)

    def _warn(self, state: LangevinState, args: Arguments, kwargs: Options) -> None:
        """At the end of warm-up, once for all chains: measure gradient noise, and warn if it is not small."""

        def deviations(state: LangevinState) -> Float[Array, "b p"]:
            return self.noise(state, args, kwargs, spare(state.rng_key), gradient_noise.BATCHES)

        def measure() -> None:
            single = is_prng_key(state.rng_key)
            noise = deviations(state)[None] if single else jax.vmap(deviations)(state)
            report = partial(gradient_noise.warn, type(self).__name__)
            jax.debug.callback(report, gradient_noise.worst_ratio(noise))

        jax.lax.cond(jnp.max(state.i) == jnp.max(state.warn_at[0]), measure, lambda: None)

    def _step(self, state: LangevinState, flat: Flat) -> Array:
        # In the position's precision: a float64 step would promote the whole chain.
        step = self.step_size(state.i) if callable(self.step_size) else self.step_size
        return jnp.asarray(step, flat.dtype)

    def postprocess_fn(
        self, model_args: Arguments, model_kwargs: Options | None
    ) -> Callable[[PyTree], PyTree]:
        """The function from unconstrained positions to the values of the model's sites, deterministic ones
        too."""
        if self.model is None:
            return identity
        model, kwargs = Rows(seed(self.model, 0), whole=True), model_kwargs or {}
        return lambda z: constrain_fn(model, model_args, kwargs, z, return_deterministic=True)

    def potential(self, args: Arguments = (), kwargs: Options | None = None, *, whole: bool) -> Potential:
        """U as a function of (z, key): over all the data, or over the minibatch that the key draws."""
        function, whole_function = self.potential_fn, self.whole_potential_fn
        if self.model is not None:
            return model_potential(self.model, args, kwargs or {}, whole=whole)
        assert function is not None, "a kernel has a model or a potential_fn"
        if not is_random(function):
            return lambda z, key: function(z)
        if whole and whole_function is not None:
            return lambda z, key: whole_function(z)
        return function

    @property
    def _strategy(self) -> Callable[..., Any]:
        if self.init_strategy is not None:
            return self.init_strategy
        return init_to_centre if self.centred or self.control_variate else init_to_uniform

    def _guess(self, key: Array, strategy: Callable[..., Any], args: Arguments, kwargs: Options) -> PyTree:
        if self.model is None:
            raise Misuse(
                f"{type(self).__name__} with a potential_fn needs a first position; pass init_params to run."
            )
        return first_position(self.model, key, strategy, args, kwargs, whole=not self.minibatch)

    def _measure(self, position: PyTree, args: Arguments, kwargs: Options) -> tuple[Array, Array | float]:
        """The potential at a position and the largest curvature there; 0 where no step size is refused."""
        step = self.step_size
        # A kernel without a limit is stable at infinite curvature: spare it the Hessian products.
        unlimited = callable(step) or isinstance(step, Tracer) or self.limit(float("inf")) == float("inf")

        def measure(position: PyTree) -> tuple[Array, Array | float]:
            rows, probe = jax.random.split(jax.random.key(0))
            anchor = self._anchor(position, args, kwargs)
            flat, value_and_grad = self._flat(position, anchor, args, kwargs)
            largest = 0.0 if unlimited else curvature(lambda z, now: value_and_grad(z, now)[1], flat, probe)
            return value_and_grad(flat, rows)[0], largest

        return jax.jit(measure)(jax.tree.map(jnp.asarray, position))

    def _flat(self, z: PyTree, anchor: PyTree, args: Arguments, kwargs: Options) -> tuple[Flat, ValueAndGrad]:
        """z as a flat vector in scaled coordinates, and the potential and its gradient in them."""
        unflat, gradient = self._unflat(z), self._gradient(anchor, args, kwargs)

        def value_and_grad(flat: Flat, key: PRNGKeyArray) -> tuple[Float[Array, ""], Flat]:
            value, leaves = gradient(unflat(flat), key)
            # Chain rule: z = s × flat, so the gradient in scaled coordinates is s × ∇U, not ∇U / s.
            return value, self._times_scale(ravel_pytree(leaves)[0])

        flat = ravel_pytree(z)[0]
        return flat if self.scale is None else flat / ravel_pytree(self.scale)[0], value_and_grad

    def _unflat(self, z: PyTree) -> Callable[[Flat], PyTree]:
        _, unravel = ravel_pytree(z)
        return lambda flat: unravel(self._times_scale(flat))

    def _times_scale(self, flat: Flat) -> Flat:
        return flat if self.scale is None else flat * ravel_pytree(self.scale)[0]
