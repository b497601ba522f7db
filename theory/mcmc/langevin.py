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

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpyro.handlers import seed
from numpyro.infer.mcmc import MCMCKernel
from numpyro.infer.util import constrain_fn, initialize_model, potential_energy
from numpyro.util import identity, is_prng_key

from theory.base import PyTree
from theory.errors import Misuse
from theory.mcmc.minibatch import Rows
from theory.mcmc.stability import check_stable, curvature

StepSize: TypeAlias = float | Float[Array, ""] | Callable[[Array], Array]
Flat: TypeAlias = Float[Array, " p"]
Memory: TypeAlias = PyTree  # what a kernel carries from step to step: a momentum, the last gradient
Arguments: TypeAlias = tuple[object, ...]  # of a NumPyro model
Options: TypeAlias = dict[str, Any]  # its keyword arguments
Potential: TypeAlias = Callable[[PyTree, PRNGKeyArray | None], Float[Array, ""]]
Gradient: TypeAlias = Callable[[PyTree, PRNGKeyArray], tuple[Float[Array, ""], PyTree]]
ValueAndGrad: TypeAlias = Callable[[Flat, PRNGKeyArray], tuple[Float[Array, ""], Flat]]


class LangevinState(NamedTuple):
    """State of a chain: `i` steps done; `z` the position (unconstrained, as for NumPyro's HMC);
    `potential_energy` of the last gradient (an estimate where that is one); `accept_prob` of the last
    proposal (1 where nothing is ever rejected); `memory` of the kernel; `rng_key` the chain's stream."""

    i: Array
    z: PyTree
    potential_energy: Array
    accept_prob: Array
    memory: Memory
    rng_key: Array


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
    """

    model: Callable[..., object] | None = None
    potential_fn: Callable[..., Array] | None = None
    step_size: StepSize = field(default=1e-3, kw_only=True)
    scale: PyTree = field(default=None, kw_only=True)
    control_variate: bool = field(default=False, kw_only=True)
    whole_potential_fn: Callable[[PyTree], Array] | None = field(default=None, kw_only=True)

    sample_field: ClassVar[str] = "z"  # type: ignore[misc]
    minibatch: ClassVar[bool] = True  # False: every gradient is of the whole potential
    # NumPyro's MCMC looks for this attribute: without it a resumed run would call `init` again.
    _sample_fn: ClassVar[bool] = True

    def __post_init__(self) -> None:
        name = type(self).__name__
        if (self.model is None) == (self.potential_fn is None):
            raise Misuse(
                f"{name} needs a model or a potential_fn, got {'both' if self.model else 'neither'}."
            )
        check_step(name, self.step_size)
        if self.potential_fn is not None and not self.minibatch and _is_random(self.potential_fn):
            raise Misuse(
                f"{name} needs the whole potential, got a potential_fn(z, key); use a minibatch kernel "
                "like SGLD."
            )
        if self.control_variate and self.whole_potential_fn is None and _is_random(self.potential_fn):
            raise Misuse(
                f"The control variate of {name} needs the whole potential besides a potential_fn(z, key); "
                "pass it as whole_potential_fn."
            )

    # Methods that a kernel overrides

    def limit(self, curvature: float) -> float:
        """The largest stable step for the largest curvature of the potential (in scaled coordinates)."""
        return float("inf")

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
        kwargs = model_kwargs or {}
        if init_params is None:
            init_params = self._guess(rng_key, model_args, kwargs)

        def init_chain(key: PRNGKeyArray, params: PyTree) -> LangevinState:
            params = jax.tree.map(jnp.asarray, params)
            check_scale(type(self).__name__, self.scale, params)
            chain, first = jax.random.split(key)
            anchor = self._anchor(params, model_args, kwargs)
            flat, value_and_grad = self._flat(params, anchor, model_args, kwargs)
            memory, value = self.start(flat, value_and_grad, first, num_warmup)
            return LangevinState(jnp.zeros((), int), params, value, jnp.ones(()), (memory, anchor), chain)

        single = is_prng_key(rng_key)
        state = jax.jit(init_chain if single else jax.vmap(init_chain))(rng_key, init_params)
        _check_finite(type(self).__name__, state.potential_energy)
        if not isinstance(state.potential_energy, Tracer):
            start = state.z if single else jax.tree.map(lambda leaf: leaf[0], state.z)
            self.check(start, model_args, kwargs)
        return state

    def check(self, position: PyTree, args: Arguments = (), kwargs: Options | None = None) -> None:
        """Refuse, before any step, a potential that is not finite at the first position, and a step size
        that is unstable there. Traced values and schedules of step sizes cannot be checked."""
        # Under jit even a constant is a tracer: then there is no value to look at, and nothing to refuse.
        if isinstance(jnp.zeros(()), Tracer):
            return
        name, step = type(self).__name__, self.step_size
        # A kernel without a limit is stable at infinite curvature: spare it the Hessian products.
        unlimited = callable(step) or isinstance(step, Tracer) or self.limit(float("inf")) == float("inf")

        def measure(position: PyTree, key: PRNGKeyArray) -> tuple[Array, Array | float]:
            anchor = self._anchor(position, args, kwargs or {})
            flat, value_and_grad = self._flat(position, anchor, args, kwargs or {})
            largest = 0.0 if unlimited else curvature(lambda z, now: value_and_grad(z, now)[1], flat, key)
            return value_and_grad(flat, key)[0], largest

        value, largest = jax.jit(measure)(jax.tree.map(jnp.asarray, position), jax.random.key(0))
        if not isinstance(value, Tracer):
            _check_finite(name, value)
        if not unlimited and not isinstance(largest, Tracer):
            check_stable(name, float(step), float(largest), self.limit(float(largest)))  # type: ignore[arg-type]

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
            step = self.step_size(state.i) if callable(self.step_size) else self.step_size
            # The step size in the position's precision: a float64 one would promote the whole chain.
            moved = self.move(flat, memory, value_and_grad, jnp.asarray(step, flat.dtype), now, state.i)
            z = self._unflat(state.z)(moved.position)
            return LangevinState(
                state.i + 1, z, moved.potential_energy, moved.accept_prob, (moved.memory, anchor), chain
            )

        return sample_chain(state) if is_prng_key(state.rng_key) else jax.vmap(sample_chain)(state)

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
        model, function, whole_function = self.model, self.potential_fn, self.whole_potential_fn
        if function is not None:
            if not _is_random(function):
                return lambda z, key: function(z)
            if whole and whole_function is not None:
                return lambda z, key: whole_function(z)
            return function
        assert model is not None, "a kernel has a model or a potential_fn"

        def energy(z: PyTree, key: PRNGKeyArray | None) -> Float[Array, ""]:
            bound = model if whole else seed(model, key)
            return jnp.asarray(potential_energy(Rows(bound, whole=whole), args, kwargs or {}, z))

        return energy

    def _guess(self, key: Array, args: Arguments, kwargs: Options) -> PyTree:
        if self.model is None:
            raise Misuse(
                f"{type(self).__name__} with a potential_fn needs a first position; pass init_params to run."
            )
        fold = jax.random.fold_in if is_prng_key(key) else jax.vmap(jax.random.fold_in, in_axes=(0, None))
        model = Rows(self.model, whole=not self.minibatch)
        return initialize_model(fold(key, 1), model, model_args=args, model_kwargs=kwargs).param_info.z

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


def check_step(name: str, step_size: StepSize) -> None:
    """Refuse a step size that is not a positive finite number (schedules and traced ones are not checked)."""
    if callable(step_size) or isinstance(step_size, Tracer):
        return
    if not 0 < float(step_size) < float("inf"):
        raise Misuse(f"step_size of {name} must be above 0 and finite, got {float(step_size)}.")


def check_scale(name: str, scale: PyTree, position: PyTree) -> None:
    """Refuse a scale whose shapes are not those of the position."""
    if scale is None:
        return
    expected, given = (jax.tree.map(jnp.shape, tree) for tree in (position, scale))
    if expected != given:
        raise Misuse(f"scale of {name} must have the shapes of the position, {expected}, got {given}.")


def _is_random(function: Callable[..., Array] | None) -> bool:
    """Whether a potential takes a key besides the position."""
    if function is None:
        return False
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a function written in C has no signature
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len([p for p in positional if p.default is p.empty]) >= 2


def _check_finite(name: str, energies: Array) -> None:
    if isinstance(energies, Tracer):
        return
    values = jnp.ravel(energies).tolist()
    bad = [index for index, value in enumerate(values) if not abs(value) < float("inf")]
    if bad:
        raise Misuse(
            f"The potential of {name} is not finite at the first position (chains {bad}); start elsewhere "
            "or fix the potential."
        )
