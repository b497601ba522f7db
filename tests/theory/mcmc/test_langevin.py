"""What kernels share: models and minibatches, MCMC's ways of running chains, sites, scale, and refusals."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro.distributions import LogNormal, Normal
from numpyro.infer import MCMC
from numpyro.infer.util import potential_energy

from theory.errors import Misuse
from theory.mcmc.langevin import Langevin
from theory.samplers.control_variate_sgld import ControlVariateSGLD
from theory.samplers.mala import MALA
from theory.samplers.sgld import SGLD
from theory.samplers.ula import ULA

ROWS = jnp.array([0.3, -0.8, 1.2, 0.5, 2.0, -0.1])
Z = {"scale": jnp.array(0.2), "shift": jnp.array(0.7)}


def model(rows, size=2):
    """Six rows, two at a time; a positive site; a deterministic one."""
    scale = numpyro.sample("scale", LogNormal(0, 1))
    shift = numpyro.sample("shift", Normal(0, 1))
    numpyro.deterministic("sum", scale + shift)
    with numpyro.plate("rows", 6, subsample_size=size) as chosen:
        numpyro.deterministic("fit", shift * rows[chosen])
        numpyro.sample("y", Normal(shift, scale), obs=rows[chosen])


def by_keys(function, count=3000):
    return jax.jit(jax.vmap(function))(jax.random.split(jax.random.key(0), count))


def test_the_whole_potential_takes_all_rows():
    wanted = potential_energy(model, (ROWS, 6), {}, Z)
    for kernel in (ULA(model), SGLD(model)):
        got = kernel.potential((ROWS,), {}, whole=True)(Z, jax.random.key(0))
        np.testing.assert_allclose(got, wanted, rtol=1e-6)
    by_name = jax.jit(lambda: MALA(model).init(jax.random.key(0), 0, Z, (), {"rows": ROWS}))()
    np.testing.assert_allclose(by_name.potential_energy, wanted, rtol=1e-6)


def test_minibatches_of_a_model_are_unbiased():
    """Fifteen pairs, met equally often, whose gradients average to the whole one."""
    whole = jax.jit(jax.grad(SGLD(model).potential((ROWS,), {}, whole=True)))(Z, None)
    some = jax.value_and_grad(SGLD(model).potential((ROWS,), {}, whole=False))
    values, gradients = by_keys(lambda key: some(Z, key))
    kinds, counts = np.unique(np.round(np.asarray(values, float), 3), return_counts=True)
    assert len(kinds) == 15
    assert counts.min() > 200 - 4 * np.sqrt(200) and counts.max() < 200 + 4 * np.sqrt(200)
    first = [np.argmin(np.abs(np.asarray(values) - kind)) for kind in kinds]
    for name, expected in whole.items():
        each = np.asarray(gradients[name])[np.array(first)]
        assert np.std(each) > 0.5
        np.testing.assert_allclose(each.mean(), expected, rtol=1e-4, atol=1e-4)


def rows_used(kernel, z, chains=400, steps=2):
    """The potential of the last minibatch, (chain, step), at a position that does not move."""
    start = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (chains, *leaf.shape)), z)
    keys, args = jax.random.split(jax.random.key(3), chains), (ROWS,) if kernel.model else ()

    @jax.jit
    def run(keys, start):
        state = kernel.init(keys, 0, start, args, {})
        values = []
        for _ in range(steps):
            state = kernel.sample(state._replace(z=start), args, {})
            values.append(state.potential_energy)
        return jnp.stack(values, axis=1)

    return np.round(np.asarray(run(keys, start), float), 3)


def picks(z, key):
    return 0.5 * z["shift"] ** 2 + z["scale"] * ROWS[jax.random.randint(key, (), 0, 6)]


@pytest.mark.parametrize(
    ("kernel", "kinds"), [(SGLD(model), 15), (SGLD(potential_fn=picks), 6)], ids=["model", "function"]
)
def test_minibatches_are_independent_over_chains_and_steps(kernel, kinds):
    """The chance that two agree is 1/kinds: between steps of a chain, and between neighbouring chains."""
    values = rows_used(kernel, Z)
    assert len(np.unique(values)) == kinds
    for one, other in ((values[:, 0], values[:, 1]), (values[1:, 0], values[:-1, 0])):
        agree = np.mean(one == other)
        assert abs(agree - 1 / kinds) < 4 * np.sqrt(1 / kinds / len(one))


def run(method):
    """Two chains of three draws by NumPyro's MCMC; a warning is an error."""
    kernel = SGLD(model, step_size=1e-7)  # its gradient noise is warned of at larger ones
    mcmc = MCMC(
        kernel, num_warmup=2, num_samples=3, num_chains=2, chain_method=method, progress_bar=False
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mcmc.run(jax.random.key(0), ROWS, extra_fields=("potential_energy", "accept_prob", "i", "z.scale"))
    return mcmc.get_samples(group_by_chain=True), mcmc.get_extra_fields(group_by_chain=True)


@pytest.mark.slow
def test_numpyro_runs_it():
    """Fields of the state; constrained and deterministic sites, those of a plate in all its rows."""
    samples, fields = run("vectorized")
    shapes = {"scale": (2, 3), "shift": (2, 3), "sum": (2, 3), "fit": (2, 3, 6)}
    assert {name: leaf.shape for name, leaf in samples.items()} == shapes
    np.testing.assert_allclose(samples["scale"], np.exp(fields["z.scale"]), rtol=1e-5)
    np.testing.assert_allclose(samples["sum"], samples["scale"] + samples["shift"], rtol=1e-5)
    np.testing.assert_allclose(samples["fit"], samples["shift"][..., None] * np.asarray(ROWS), rtol=1e-5)
    np.testing.assert_array_equal(fields["i"], [[3, 4, 5]] * 2)
    assert fields["potential_energy"].shape == (2, 3) and (fields["accept_prob"] == 1).all()
    assert (np.asarray(samples["scale"][0]) != np.asarray(samples["scale"][1])).all()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sequential", "parallel"])
def test_numpyros_ways_of_running_chains_agree(method):
    for one, other in zip(run(method), run("vectorized"), strict=True):
        assert one.keys() == other.keys()
        for name, leaf in one.items():
            np.testing.assert_allclose(leaf, other[name], rtol=1e-4, atol=1e-5)


def test_numpyro_goes_on_with_the_same_bits():
    def chain(samples):
        return MCMC(
            MALA(potential_fn=lambda z: 0.5 * z**2, step_size=0.5),
            num_warmup=0, num_samples=samples, progress_bar=False,
        )  # fmt: skip

    whole, half = chain(8), chain(4)
    whole.run(jax.random.key(1), init_params=jnp.array(0.3))
    half.run(jax.random.key(1), init_params=jnp.array(0.3))
    first = half.get_samples()
    half.post_warmup_state = half.last_state
    half.run(half.post_warmup_state.rng_key)
    np.testing.assert_array_equal(np.concatenate([first, half.get_samples()]), whole.get_samples())


def test_first_positions_differ_between_chains():
    keys = jax.random.split(jax.random.key(0), 5)
    state = MALA(model).init(keys, 0, None, (ROWS,), {})
    assert len(np.unique(state.z["shift"])) == 5


def test_keys_of_the_old_style_are_the_same_keys():
    kernel = SGLD(potential_fn=picks, step_size=0.1)
    keys = jax.random.split(jax.random.key(0), 3)
    start = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, 3), Z)
    step = jax.jit(lambda keys, start: kernel.sample(kernel.init(keys, 0, start)).z)
    several, one = step(keys, start), step(keys[1], Z)
    jax.tree.map(np.testing.assert_array_equal, several, step(jax.random.key_data(keys), start))
    jax.tree.map(np.testing.assert_array_equal, one, step(jax.random.key_data(keys[1]), Z))


def test_a_position_of_plain_numbers_will_do():
    kernel = ULA(potential_fn=lambda z: 0.5 * z**2, step_size=0.1)
    state = kernel.init(jax.random.key(0), 0, 0.5)
    _, samples = jax.lax.scan(lambda s, _: (kernel.sample(s),) * 2, state, length=3)
    assert samples.z.shape == (3,) and samples.z.dtype == jnp.float32


def test_steps_may_be_traced_and_mapped():
    """The same program for every step size; a schedule reads the number of steps done."""

    def first(step):
        kernel = ULA(potential_fn=lambda z: 0.5 * z**2, step_size=step)
        return kernel.sample(kernel.init(jax.random.key(0), 0, jnp.array(1.0))).z

    steps = jnp.array([0.1, 0.4])
    noise = (jax.jit(jax.vmap(first))(steps) - (1 - steps)) / np.sqrt(2 * steps)
    np.testing.assert_allclose(noise[0], noise[1], rtol=1e-5)
    np.testing.assert_allclose(first(lambda i: 0.1 / (1 + i)), first(0.1), rtol=1e-6)


def test_a_latent_site_in_a_subsampled_plate():
    """Its rows would change under it: refused for minibatches, whole for a whole potential."""

    def local(rows):
        with numpyro.plate("rows", 6, subsample_size=2) as chosen:
            x = numpyro.sample("x", Normal(0, 1))
            numpyro.sample("y", Normal(x, 1), obs=rows[chosen])

    with pytest.raises(Misuse, match="Site 'x' lies in the subsampled plate 'rows', got a minibatch kernel"):
        SGLD(local).init(jax.random.key(0), 0, None, (ROWS,), {})
    state = MALA(local).init(jax.random.key(0), 0, None, (ROWS,), {})
    assert state.z["x"].shape == (6,)


def test_more_minibatch_than_data():
    """NumPyro itself takes a plate of 9 of 6 rows, and scales it wrongly."""
    for kernel in (SGLD(model), MALA(model)):
        with pytest.raises(Misuse, match="Plate 'rows' has 6 rows, got a subsample_size of 9 of them"):
            kernel.init(jax.random.key(0), 0, Z, (ROWS, 9), {})


def test_a_control_variate_carries_its_anchor():
    kernel = ControlVariateSGLD(model, step_size=0.01)
    after = jax.jit(lambda: kernel.sample(kernel.init(jax.random.key(0), 0, Z, (ROWS,), {}), (ROWS,), {}))()
    anchor, (value, gradient) = after.memory[1]
    wanted = jax.jit(jax.value_and_grad(kernel.potential((ROWS,), {}, whole=True)))(Z, None)
    assert jax.tree.map(float, anchor) == jax.tree.map(float, Z) != jax.tree.map(float, after.z)
    np.testing.assert_allclose(value, wanted[0], rtol=1e-6)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-6), gradient, wanted[1])


def test_the_base_has_no_move():
    kernel = Langevin(potential_fn=lambda z: 0.5 * z**2)
    with pytest.raises(NotImplementedError):
        kernel.sample(kernel.init(jax.random.key(0), 0, jnp.array(1.0)))
