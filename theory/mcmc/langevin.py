"""What every Langevin kernel shares: a target, its gradient, and the plumbing of a NumPyro `MCMCKernel`.

    z ← z - ε s² ∇U(z) + √(2ε) s ξ,      ξ ~ N(0, 1)

ε is the step size in this convention throughout (others write (ε/2) ∇U and √ε ξ: their step is twice ours),
U = -log density the potential, s an optional fixed scale for each coordinate (the metric of the proposal is
1/s²; it changes how fast a chain mixes, not where it goes). The target is a NumPyro model, whose subsampled
plates give unbiased minibatches drawn anew in every step and chain, or a function: `potential_fn(z)`, or
`potential_fn(z, key)`, an unbiased estimate whose randomness comes from the key.

A kernel is a frozen dataclass that says how it starts and how it moves, both on flat vectors in scaled
coordinates, so that a step draws its noise in one call. Nothing is kept outside the state: `sample` is a pure
function that may be traced, vmapped and scanned anywhere.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.handlers import seed
from numpyro.infer.mcmc import MCMCKernel
from numpyro.infer.util import constrain_fn, initialize_model, potential_energy
from numpyro.primitives import Messenger
from numpyro.util import identity, is_prng_key

from theory.compute.random import rows
from theory.errors import Misuse
from theory.mcmc.stability import check_stable, curvature

StepSize: TypeAlias = float | Float[Array, ""] | Callable[[Array], Array]
Flat: TypeAlias = Float[Array, " p"]
Gradient: TypeAlias = Callable[[Any, PRNGKeyArray], tuple[Float[Array, ""], Any]]


class LangevinState(NamedTuple):
    """`i` steps done; `z` the position (unconstrained, as for NumPyro's HMC); `potential_energy` of the
    last gradient (an estimate where that is one); `accept_prob` of the last proposal (1 where nothing is
    ever rejected); `memory` what a kernel carries along; `rng_key` the chain's own stream."""

    i: Any
    z: Any
    potential_energy: Any
    accept_prob: Any
    memory: Any
    rng_key: Any


class StepResult(NamedTuple):
    """What a kernel returns: the new flat position, its memory, the potential and the acceptance."""

    position: Any
    memory: Any
    potential_energy: Any
    accept_prob: Any


ValueAndGrad: TypeAlias = Callable[[Flat, PRNGKeyArray], tuple[Float[Array, ""], Flat]]


@dataclass(frozen=True, eq=False)
class Langevin(MCMCKernel):
    """Base of the kernels: see the module.

    `step_size` is ε, or a function of the step number. `scale` is s, a pytree like z. With `control_variate`
    a minibatch gradient is corrected by the same minibatch at the first position a, where the whole gradient
    is computed once: ĝ(z) - ĝ(a) + ∇U(a) (Baker et al., arXiv 1706.05439); two evaluations a step, and next
    to no noise near a. A `potential_fn(z, key)` then needs its `whole_potential_fn(z)` beside it.
    """

    model: Callable[..., Any] | None = None
    potential_fn: Callable[..., Any] | None = None
    step_size: StepSize = field(default=1e-3, kw_only=True)
    scale: Any = field(default=None, kw_only=True)
    control_variate: bool = field(default=False, kw_only=True)
    whole_potential_fn: Callable[[Any], Any] | None = field(default=None, kw_only=True)

    sample_field: ClassVar[str] = "z"  # type: ignore[misc]
    minibatch: ClassVar[bool] = True  # False: every gradient is of the whole potential
    _sample_fn: ClassVar[bool] = True  # tells NumPyro's MCMC that a run which goes on needs no init

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
                f"The control variate of {name} needs the whole potential beside a potential_fn(z, key); "
                "pass it as whole_potential_fn."
            )

    # what a kernel defines

    def limit(self, curvature: float) -> float:
        """The largest stable step for the largest curvature of the potential (in scaled coordinates)."""
        return float("inf")

    def start(
        self, position: Flat, slope: ValueAndGrad, key: PRNGKeyArray, warmup: int
    ) -> tuple[Any, Float[Array, ""]]:
        """Memory and potential at the first position."""
        value, _ = slope(position, key)
        return (), value

    def move(
        self, position: Flat, memory: Any, slope: ValueAndGrad, step: Array, key: PRNGKeyArray, i: Any
    ) -> StepResult:
        """One step in scaled coordinates; `slope(position, key)` is the potential and its gradient there."""
        raise NotImplementedError

    def _anchor(self, start: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The first position and the whole potential and gradient there, if a control variate needs it."""
        if not self.control_variate:
            return ()
        whole = jax.value_and_grad(self.potential(args, kwargs, whole=True))
        return start, whole(start, None)

    def _gradient(self, anchor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Gradient:
        """(z, key) -> (potential, gradient), both unbiased."""
        plain = jax.value_and_grad(self.potential(args, kwargs, whole=not self.minibatch))
        if not self.control_variate:
            return plain
        start, told = anchor

        def corrected(z: Any, key: PRNGKeyArray) -> Any:
            pair = jax.tree.map(lambda *leaves: jnp.stack(leaves), z, start)
            both = jax.vmap(plain, in_axes=(0, None))(pair, key)
            return jax.tree.map(lambda two, whole: two[0] - two[1] + whole, both, told)

        return corrected

    # the interface of NumPyro

    def init(
        self,
        rng_key: Any,
        num_warmup: int,
        init_params: Any,
        model_args: tuple[Any, ...] = (),
        model_kwargs: dict[str, Any] | None = None,
    ) -> LangevinState:
        """The first state; with a batch of keys, one for each chain (`init_params` has that axis too)."""
        kwargs = model_kwargs or {}
        if init_params is None:
            init_params = self._guess(rng_key, model_args, kwargs)

        def one(key: Any, params: Any) -> LangevinState:
            params = jax.tree.map(jnp.asarray, params)
            check_scale(type(self).__name__, self.scale, params)
            chain, first = jax.random.split(key)
            anchor = self._anchor(params, model_args, kwargs)
            flat, slope = self._flat(params, anchor, model_args, kwargs)
            memory, value = self.start(flat, slope, first, num_warmup)
            return LangevinState(jnp.zeros((), int), params, value, jnp.ones(()), (memory, anchor), chain)

        single = is_prng_key(rng_key)
        state = jax.jit(one if single else jax.vmap(one))(rng_key, init_params)
        _check_finite(type(self).__name__, state.potential_energy)
        if not isinstance(state.potential_energy, Tracer):
            start = state.z if single else jax.tree.map(lambda leaf: leaf[0], state.z)
            self.check(start, model_args, kwargs)
        return state

    def check(self, position: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> None:
        """Refuse, before any step, a potential that is not finite at the first position, and a step size
        that is unstable there. What is traced, and a schedule of step sizes, passes unseen."""
        if isinstance(jnp.zeros(()), Tracer):
            return
        name, step = type(self).__name__, self.step_size
        free = callable(step) or isinstance(step, Tracer) or self.limit(float("inf")) == float("inf")

        def told(position: Any, key: Any) -> Any:
            anchor = self._anchor(position, args, kwargs or {})
            flat, slope = self._flat(position, anchor, args, kwargs or {})
            bent = 0.0 if free else curvature(lambda z, now: slope(z, now)[1], flat, key)
            return slope(flat, key)[0], bent

        value, bent = jax.jit(told)(jax.tree.map(jnp.asarray, position), jax.random.key(0))
        if not isinstance(value, Tracer):
            _check_finite(name, value)
        if not free and not isinstance(bent, Tracer):
            check_stable(name, float(step), float(bent), self.limit(float(bent)))  # type: ignore[arg-type]

    def sample(
        self,
        state: LangevinState,
        model_args: tuple[Any, ...] = (),
        model_kwargs: dict[str, Any] | None = None,
    ) -> LangevinState:
        """One step of one chain, or of every chain of a batch."""
        kwargs = model_kwargs or {}

        def one(state: LangevinState) -> LangevinState:
            memory, anchor = state.memory
            chain, now = jax.random.split(state.rng_key)
            flat, slope = self._flat(state.z, anchor, model_args, kwargs)
            step = self.step_size(state.i) if callable(self.step_size) else self.step_size
            moved = self.move(flat, memory, slope, jnp.asarray(step, flat.dtype), now, state.i)
            z = self._unflat(state.z)(moved.position)
            return LangevinState(
                state.i + 1, z, moved.potential_energy, moved.accept_prob, (moved.memory, anchor), chain
            )

        return one(state) if is_prng_key(state.rng_key) else jax.vmap(one)(state)

    def postprocess_fn(self, model_args: tuple[Any, ...], model_kwargs: dict[str, Any] | None) -> Any:
        """From unconstrained positions to the values of the model's sites, deterministic ones too."""
        if self.model is None:
            return identity
        model, kwargs = Rows(seed(self.model, 0), whole=True), model_kwargs or {}
        return lambda z: constrain_fn(model, model_args, kwargs, z, return_deterministic=True)

    def potential(
        self, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None, *, whole: bool
    ) -> Callable[[Any, PRNGKeyArray | None], Float[Array, ""]]:
        """U as a function of (z, key): over all the data, or over the minibatch that the key draws."""
        kwargs = kwargs or {}
        if self.model is None:
            function: Any = self.potential_fn
            if not _is_random(function):
                return lambda z, key: function(z)
            if whole:
                whole_fn: Any = self.whole_potential_fn
                return lambda z, key: whole_fn(z)
            return function
        model = self.model

        def energy(z: Any, key: PRNGKeyArray | None) -> Float[Array, ""]:
            bound = model if whole else seed(model, key)
            return jnp.asarray(potential_energy(Rows(bound, whole=whole), args, kwargs, z))

        return energy

    def _guess(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.model is None:
            raise Misuse(
                f"{type(self).__name__} with a potential_fn needs a first position; pass init_params to run."
            )
        fold = jax.random.fold_in if is_prng_key(key) else jax.vmap(jax.random.fold_in, in_axes=(0, None))
        model = Rows(self.model, whole=not self.minibatch)
        return initialize_model(fold(key, 1), model, model_args=args, model_kwargs=kwargs).param_info.z

    def _flat(
        self, z: Any, anchor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Flat, ValueAndGrad]:
        """z as a flat vector in scaled coordinates, and the gradient there."""
        unflat, gradient = self._unflat(z), self._gradient(anchor, args, kwargs)

        def slope(flat: Flat, key: PRNGKeyArray) -> tuple[Float[Array, ""], Flat]:
            value, leaves = gradient(unflat(flat), key)
            return value, self._scaled(ravel_pytree(leaves)[0], up=True)

        return self._scaled(ravel_pytree(z)[0], up=False), slope

    def _unflat(self, z: Any) -> Callable[[Flat], Any]:
        _, unravel = ravel_pytree(z)
        return lambda flat: unravel(self._scaled(flat, up=True))

    def _scaled(self, flat: Flat, *, up: bool) -> Flat:
        if self.scale is None:
            return flat
        scale = ravel_pytree(self.scale)[0]
        return flat * scale if up else flat / scale


class Rows(Messenger):
    """A model whose subsampled plates take all their rows (`whole`), or else hold no latent site: its value
    would belong to other rows in every step."""

    def __init__(self, model: Callable[..., Any], *, whole: bool):
        super().__init__(model)
        self.whole, self.sizes = whole, {}

    def process_message(self, msg: Any) -> None:
        if msg["type"] == "plate":
            size, chosen = msg["args"]
            if chosen is not None and chosen > size:
                raise Misuse(
                    f"Plate {msg['name']!r} has {size} rows, got a subsample_size of {chosen} of them."
                )
            self.sizes[msg["name"]] = size
            if self.whole:
                msg["args"], msg["value"] = (size, size), jnp.arange(size)
            elif jax.default_backend() == "cpu":
                msg["fn"] = rows
        elif msg["type"] == "sample" and not msg["is_observed"]:
            for plate in msg["cond_indep_stack"]:
                if plate.size != self.sizes.get(plate.name, plate.size):
                    raise Misuse(
                        f"Site {msg['name']!r} lies in the subsampled plate {plate.name!r}, got a minibatch "
                        "kernel; use one of the whole potential like MALA, or a plate of all rows."
                    )


def check_step(name: str, step_size: Any) -> None:
    """Refuse a step size that is not a positive finite number (schedules and traced ones pass unseen)."""
    if callable(step_size) or isinstance(step_size, Tracer):
        return
    if not 0 < float(step_size) < float("inf"):
        raise Misuse(f"step_size of {name} must be above 0 and finite, got {float(step_size)}.")


def check_scale(name: str, scale: Any, position: Any) -> None:
    """Refuse a scale that is not shaped like the position."""
    if scale is None:
        return
    wanted, given = (jax.tree.map(jnp.shape, tree) for tree in (position, scale))
    if wanted != given:
        raise Misuse(f"scale of {name} must have the shapes of the position, {wanted}, got {given}.")


def _is_random(function: Any) -> bool:
    """Whether a potential also takes a key."""
    if function is None:
        return False
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    needed = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return len([one for one in needed if one.default is one.empty]) >= 2


def _check_finite(name: str, energies: Any) -> None:
    if isinstance(energies, Tracer):
        return
    lost = [
        index for index, value in enumerate(jnp.ravel(energies).tolist()) if not abs(value) < float("inf")
    ]
    if lost:
        raise Misuse(
            f"The potential of {name} is not finite at the first position (chains {lost}); start elsewhere "
            "or mend the potential."
        )
