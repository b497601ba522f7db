"""What every kernel must be, for each module of theory.samplers: pure, independent, resumable, batched."""

import importlib
import pkgutil
from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.mcmc import MCMCKernel

import theory.samplers
from theory.errors import Misuse
from theory.mcmc.langevin import Langevin, LangevinState

NAMES = [module.name for module in pkgutil.iter_modules(theory.samplers.__path__)]
CHAINS, STEPS = 3, 6
START = {"a": jnp.array([[0.5, -1.0], [0.1, 0.2], [2.0, 1.0]]), "b": jnp.array([0.3, -0.7, 1.1])}


@pytest.fixture(params=NAMES, scope="module")
def module(request):
    return importlib.import_module(f"theory.samplers.{request.param}")


def energy(z):
    return 0.5 * jnp.sum((z["a"] - z["b"]) ** 2) + 0.5 * z["b"] ** 2


def estimate(z, key):
    return energy(z) * (1 + 0.3 * jax.random.normal(key))


@pytest.fixture(scope="module")
def kernel(module):
    """The example's kernel and settings, on a potential over a pytree, estimated where it may be."""
    mine = module.example()
    return replace(mine, potential_fn=estimate if mine.minibatch else energy, whole_potential_fn=energy)


@pytest.fixture(scope="module")
def runs(kernel):
    """`run(keys, start)`: states after every step, of one chain or of several; and a step."""
    step = jax.jit(kernel.sample, compiler_options={"xla_backend_optimization_level": 1})

    def run(keys, start):
        states = [kernel.init(keys, 2, start)]
        for _ in range(STEPS):
            states.append(step(states[-1]))
        return states

    return run, step


@pytest.fixture(scope="module")
def batch(runs):
    return runs[0](jax.random.split(jax.random.key(0), CHAINS), START)


def row(tree, chain):
    return jax.tree.map(lambda leaf: leaf[chain], tree)


def same(one, other, **tolerance):
    def check(a, b):
        a, b = (jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in (a, b))
        np.testing.assert_allclose(a, b, **(tolerance or {"rtol": 0, "atol": 0}))

    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(check, one, other)


def test_there_are_kernels():
    assert {"ula", "mala", "sgld", "preconditioned_sgld", "sghmc", "control_variate_sgld"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_module_opens_with_a_sentence_and_holds_one_kernel(name):
    module = importlib.import_module(f"theory.samplers.{name}")
    first = module.__doc__.splitlines()[0]
    assert first[0].isupper() and first.endswith(".")
    kernels = [
        one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__
    ]
    assert len(kernels) == 1 and issubclass(kernels[0], Langevin) and issubclass(kernels[0], MCMCKernel)
    assert isinstance(module.example(), kernels[0])


def test_the_position_keeps_its_pytree(batch):
    for i, state in enumerate(batch):
        assert isinstance(state, LangevinState)
        assert jax.tree.map(jnp.shape, state.z) == jax.tree.map(jnp.shape, START)
        assert (np.asarray(state.i) == i).all() and state.i.shape == (CHAINS,)
        assert state.potential_energy.shape == state.accept_prob.shape == (CHAINS,)
        assert jax.tree.map(lambda leaf: leaf.dtype, state) == jax.tree.map(lambda leaf: leaf.dtype, batch[0])
    assert np.isfinite(jax.tree.leaves(batch[-1].z)[0]).all()


@pytest.mark.slow
def test_chains_side_by_side_are_the_same_chains_one_by_one(runs, batch):
    keys = jax.random.split(jax.random.key(0), CHAINS)
    for chain in range(CHAINS):
        alone = runs[0](keys[chain], row(START, chain))
        for one, all_of_them in zip(alone, batch, strict=True):
            same(one, row(all_of_them, chain), rtol=2e-5, atol=2e-6)


def test_a_run_goes_on_with_the_same_bits(runs, batch):
    """Through numpy and back, as from a file."""
    half = batch[STEPS // 2]
    data = np.asarray(jax.random.key_data(half.rng_key))
    stored = jax.tree.map(np.asarray, half._replace(rng_key=data))
    state = jax.tree.map(jnp.asarray, stored)
    state = state._replace(rng_key=jax.random.wrap_key_data(state.rng_key))
    for wanted in batch[STEPS // 2 + 1 :]:
        state = runs[1](state)
        same(state, wanted)


def test_chains_of_the_example_are_finite_and_independent(module, draw):
    """Correlations over many steps between the moves of neighbouring chains from one position."""
    samples = draw(module.example(), jnp.ones((200, 1)), 60, warmup=5)[..., 0]
    moves = np.diff(samples, axis=1)
    moves /= moves.std(axis=0)
    products = (moves[1:] * moves[:-1]).mean(axis=1)
    assert abs(products.mean()) < 4 * products.std() / np.sqrt(len(products)) < 0.1


@pytest.mark.parametrize("step", [0.0, -0.1, float("nan"), float("inf")])
def test_a_step_must_be_above_0_and_finite(kernel, step):
    name = type(kernel).__name__
    with pytest.raises(Misuse, match=f"step_size of {name} must be finite and above 0, got"):
        replace(kernel, step_size=step)


def test_other_misuse_is_refused_before_sampling(kernel):
    name = type(kernel).__name__
    with pytest.raises(Misuse, match=f"{name} needs a model or a potential_fn, got neither"):
        replace(kernel, potential_fn=None)
    with pytest.raises(Misuse, match=f"{name} needs a model or a potential_fn, got both"):
        replace(kernel, model=lambda: None)
    with pytest.raises(Misuse, match=f"{name} with a potential_fn needs a first position; pass init_params"):
        kernel.init(jax.random.key(0), 0, None)
    start = jax.tree.map(lambda leaf: leaf.at[1].set(jnp.nan), START)
    with pytest.raises(
        Misuse, match=rf"potential of {name} is not finite at the first position \(chains \[1\]"
    ):
        kernel.init(jax.random.split(jax.random.key(0), CHAINS), 0, start)
    with pytest.raises(Misuse, match=f"scale of {name} must have the shapes of the position"):
        replace(kernel, scale={"a": jnp.ones(2)}).init(jax.random.key(0), 0, row(START, 0))
    if not kernel.minibatch:
        with pytest.raises(Misuse, match=f"{name} needs the whole potential, got a potential_fn"):
            replace(kernel, potential_fn=estimate)
    else:
        with pytest.raises(Misuse, match=f"control variate of {name} needs the whole potential beside"):
            replace(kernel, control_variate=True, whole_potential_fn=None)


def test_a_chain_keeps_single_precision_where_double_is_the_default(kernel):
    with jax.enable_x64(True):
        position = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), row(START, 0))
        state = jax.eval_shape(lambda: kernel.init(jax.random.key(0), 0, position))
        after = jax.eval_shape(kernel.sample, state)
    types = lambda tree: jax.tree.map(lambda leaf: leaf.dtype, tree)  # noqa: E731
    assert types(state) == types(after)
    assert state.z["a"].dtype == jnp.float32


@pytest.mark.parametrize("kind", [jnp.bfloat16, jnp.float16, jnp.int32])
def test_a_position_that_rounds_steps_away_is_refused(kernel, kind):
    position = jax.tree.map(lambda leaf: leaf.astype(kind), row(START, 0))
    with pytest.raises(Misuse, match=f"must be of float32 or float64, got {jnp.dtype(kind).name}"):
        jax.eval_shape(lambda: kernel.init(jax.random.key(0), 0, position))


def test_kernels_are_frozen(kernel):
    with pytest.raises(AttributeError):
        kernel.step_size = 1.0
    assert {"model", "potential_fn", "step_size", "scale"} <= {one.name for one in fields(kernel)}
