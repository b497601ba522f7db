"""HarmonicLangevin: exact on Gaussians at any stable step, its energy error by brute force, its limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.errors import Misuse
from theory.samplers.harmonic_langevin import HarmonicLangevin
from theory.samplers.mala import MALA
from theory.samplers.sghmc import SGHMC

QUICK = {"xla_backend_optimization_level": 1}  # these programs compile for longer than they run
CENTRE, SCALE = np.array([1.0, -2.0, 0.5]), np.array([0.5, 2.0, 1.0])
# what a likelihood adds to a standard normal prior, in scaled coordinates: curvature, and where it pulls
BEND = np.array([[1.5, -0.8, 0.2], [-0.8, 1.0, 0.3], [0.2, 0.3, 0.4]])
PULL = np.array([1.0, 0.5, -1.5])


def prior(z):
    return 0.5 * jnp.sum(((z - CENTRE) / SCALE) ** 2)


def bent(z):
    away = (z - CENTRE) / SCALE
    return prior(z) + 0.5 * (away - PULL) @ jnp.asarray(BEND) @ (away - PULL)


def step(h, friction, slope):
    """The step in numpy on (z - a, r, ∇Φ), which is linear where `slope(away, noise)`, ∇Φ, is."""
    cosine, sine, kick, decay = np.cos(h / 2), np.sin(h / 2), np.tan(h / 2), np.exp(-friction * h)

    def move(x, noise, _):
        away, r, gradient = np.split(x, 3)
        r = r - kick * gradient
        away, r = cosine * away + sine * r, cosine * r - sine * away
        r = decay * r + np.sqrt(1 - decay**2) * noise[: len(away)]
        away, r = cosine * away + sine * r, cosine * r - sine * away
        gradient = slope(away, noise[len(away) :])
        return np.concatenate([away, r - kick * gradient, gradient])

    return move


def states(
    kernel, start, steps, warmup=0, read=lambda state: (state.z, state.memory[0][1], state.accept_prob)
):
    """(position, momentum, acceptance), each (chain, step, ...): one chain for each row of `start`."""

    def chain(key, start):
        def one(state, _):
            state = kernel.sample(state)
            return state, read(state)

        return jax.lax.scan(one, kernel.init(key, 0, start), length=warmup + steps)[1]

    keys = jax.random.split(jax.random.key(0), len(start))
    chains = jax.jit(jax.vmap(chain), compiler_options=QUICK)(keys, start)
    return jax.tree.map(lambda leaf: np.asarray(leaf, float)[:, warmup:], chains)


def rows(start, chains):
    return jnp.broadcast_to(jnp.asarray(start), (chains, *np.shape(start)))


@pytest.mark.parametrize("h", [1.5, 2.5])
def test_the_prior_alone_is_exact_at_any_step(h, agree, second):
    """At h = 2.5 SGHMC is unstable (from 2 on); at 1.5 ULA's like step has more than twice the variance."""
    kernel = HarmonicLangevin(potential_fn=prior, step_size=h, scale=jnp.asarray(SCALE))
    z, momentum, accept = states(kernel, rows(CENTRE, 500), 500, warmup=40)
    agree(z.mean(axis=1), CENTRE, against=[0 * CENTRE])
    agree(second(z, CENTRE), np.diag(SCALE**2), against=[np.eye(3), np.diag(SCALE**2) / (1 - 1.5**2 / 4)])
    agree(second(momentum), np.eye(3))
    np.testing.assert_allclose(accept, 1, atol=1e-5)
    # the clock, which the variance leaves open: half a turn, friction, half a turn
    lag = ((z[:, 1:] - CENTRE) * (z[:, :-1] - CENTRE)).mean(axis=1)
    decay = np.exp(-h)
    wanted = np.cos(h / 2) ** 2 - decay * np.sin(h / 2) ** 2
    agree(lag, SCALE**2 * wanted, against=[SCALE**2 * np.cos(h), SCALE**2 * np.exp(-h)])


@pytest.mark.slow
@pytest.mark.parametrize(("h", "friction"), [(0.9, 1.0), (0.3, 2.0)])
def test_a_gaussian_likelihood_is_exact_at_a_large_step(h, friction, agree, second, law):
    """Mean, covariance and momentum; the kick h/2 instead of tan(h/2) would leave the bias of `untrue`."""
    precision = np.eye(3) + BEND
    mean, covariance = np.linalg.solve(precision, BEND @ PULL), np.linalg.inv(precision)
    _, whole = law(step(h, friction, lambda x, _: BEND @ (x - PULL)), 9, 3)
    np.testing.assert_allclose(whole[:3, :3], covariance, atol=1e-10)
    kernel = HarmonicLangevin(potential_fn=bent, step_size=h, friction=friction, scale=jnp.asarray(SCALE))
    z, momentum, _ = states(kernel, rows(CENTRE, 1000), 1000 if h < 0.5 else 1200, warmup=60)
    z = (z - CENTRE) / SCALE
    weaker = h / 2 / np.tan(h / 2)
    untrue = np.linalg.inv(np.eye(3) + weaker * BEND)
    agree(z.mean(axis=1), mean, against=[0 * mean])
    agree(second(z, mean), covariance, against=[np.eye(3)] + [untrue] * (h > 0.5))
    agree(second(momentum - momentum.mean(axis=(0, 1))), whole[3:6, 3:6])
    # the momentum is thermal at the middle of the step; at its end √(1 - λ tan²(h/2)) short of it
    np.testing.assert_allclose(whole[3:6, 3:6], np.eye(3) - np.tan(h / 2) ** 2 * BEND, atol=1e-10)


def test_it_finds_the_target_whatever_scale_and_centre_are(agree, second, law):
    """Scales too small and too large (extra curvatures of both signs), a centre far off."""
    precision, mean = np.linalg.inv(np.array([[1.0, 0.6], [0.6, 2.0]])), np.array([1.0, -1.0])

    def energy(z):
        return 0.5 * (z - mean) @ jnp.asarray(precision) @ (z - mean)

    h, scale, centre = 0.7, np.array([0.6, 2.5]), np.array([-3.0, 4.0])
    kernel = HarmonicLangevin(potential_fn=energy, step_size=h, scale=jnp.asarray(scale))
    z, _, _ = states(kernel, rows(centre, 800), 1500, warmup=250)
    extra = np.diag(scale) @ precision @ np.diag(scale) - np.eye(2)
    assert np.linalg.eigvalsh(extra)[0] < -0.3 < 0.3 < np.linalg.eigvalsh(extra)[1]
    agree(z.mean(axis=1), mean, against=[centre])
    agree(
        second(z, mean),
        np.linalg.inv(precision),
        against=[np.diag(scale**2), np.diag(np.diag(1 / precision))],
    )


@pytest.mark.slow
def test_beyond_gaussians_the_bias_vanishes_with_the_step(agree):
    """U = z²/2 + 3 log cosh(z - 1.5), from a wrong centre and a wrong scale: the truth by quadrature."""
    centre, scale = 0.4, 0.8

    def energy(z):
        return 0.5 * z**2 + 3 * jnp.logaddexp(z - 1.5, 1.5 - z)

    def moments(share):
        """Of the target whose ∇Φ is shortened to a share, as by kicks that are too small."""
        x = np.linspace(-9, 9, 4001)
        quadratic = 0.5 * ((x - centre) / scale) ** 2
        weights = np.exp(-quadratic - share * (np.asarray(energy(x), float) - quadratic))
        return np.array([np.sum(weights * x), np.sum(weights * x**2)]) / weights.sum()

    def samples(h):
        kernel = HarmonicLangevin(potential_fn=energy, step_size=h, scale=jnp.asarray(scale))
        z = states(kernel, jnp.full(2000, centre), 1000, warmup=40, read=lambda state: state.z)
        return np.stack([z.mean(axis=1), (z**2).mean(axis=1)], axis=1)

    agree(samples(0.5), moments(1.0), against=[0 * moments(1.0), moments(0.25 / np.tan(0.25))])
    agree(
        samples(1.3) - moments(1.0), [-0.0015, 0.026], against=[0.0, [0.1, 0.1]]
    )  # in 8e6 steps: exact it is not


def rotate(z, r, angle):
    return np.cos(angle) * z + np.sin(angle) * r, np.cos(angle) * r - np.sin(angle) * z


@pytest.mark.parametrize("friction", [pytest.param(0.0, marks=pytest.mark.slow), 0.8])
def test_the_acceptance_is_the_energy_error_without_the_heat(friction):
    """W from H = U + ½ r² alone: before and after what comes first, before and after what comes last."""
    h, steps = 0.8, 6
    kernel = HarmonicLangevin(potential_fn=bent, step_size=h, friction=friction, scale=jnp.asarray(SCALE))
    start = jnp.asarray(np.random.default_rng(0).normal(size=(40, 3)))
    begin = jax.jit(jax.vmap(lambda key, z: kernel.init(key, 0, z)))
    first = begin(jax.random.split(jax.random.key(0), 40), start).memory[0][1]
    z, momentum, accept = states(kernel, start, steps)
    energy, slope = jax.jit(jax.vmap(bent)), jax.jit(jax.vmap(jax.grad(bent)))
    position, before = np.asarray(start, float), np.asarray(first, float)

    def kick(z, r, sign):
        away = (z - np.asarray(start)) / SCALE
        gradient = np.asarray(slope(jnp.asarray(z)), float) * SCALE - away  # ∇Φ, Φ = U - ½ away²
        return r - sign * np.tan(h / 2) * gradient

    def turn(z, r, angle):
        away, r = rotate((z - np.asarray(start)) / SCALE, r, angle)
        return np.asarray(start) + SCALE * away, r

    def height(z, r):
        return np.asarray(energy(jnp.asarray(z)), float) + 0.5 * np.sum(r**2, axis=1)

    works = []
    for now in range(steps):
        after, r_after = z[:, now], momentum[:, now]
        middle, r_middle = turn(position, kick(position, before, 1), h / 2)
        again, r_again = turn(after, kick(after, r_after, -1), -h / 2)
        np.testing.assert_allclose(again, middle, atol=2e-5)  # O moves the momentum only
        work = height(middle, r_middle) - height(position, before) + height(after, r_after)
        work -= height(again, r_again)
        np.testing.assert_allclose(accept[:, now], np.minimum(1, np.exp(-work)), atol=5e-5)
        works.append(work)
        position, before = after, r_after
    assert np.mean(np.array(works) > 0.05) > 0.2 and np.mean(np.array(works) < -0.05) > 0.1
    heat = np.abs(r_middle - r_again).max()
    assert heat < 1e-4 if friction == 0 else heat > 0.5


@pytest.mark.slow
def test_directions_of_the_prior_alone_cost_no_acceptance(agree):
    """One bent direction among 1 or 3000: the same acceptance, where MALA and SGHMC lose theirs."""
    h, sizes = 1.0, (1, 3000)

    def energy(z):
        return 0.5 * jnp.sum(z**2) + 0.5 * (z[0] - 1) ** 2

    def acceptance(kernel, start, steps, warmup=0):
        return states(kernel, start, steps, warmup, lambda state: state.accept_prob).mean(axis=1)

    mine, mala, sghmc = {}, {}, {}
    for size in sizes:
        kernel = HarmonicLangevin(potential_fn=energy, step_size=h)
        mine[size] = acceptance(kernel, jnp.zeros((50, size)), 100, warmup=15)
        starts = jax.random.normal(jax.random.key(1), (50, size))
        mala[size] = acceptance(MALA(potential_fn=energy, step_size=h**2 / 2), starts, 3).mean()
        rough = SGHMC(potential_fn=energy, step_size=h, friction=0.0)

        def work(key, z, rough=rough):
            state = rough.init(key, 0, z)
            height = lambda state: energy(state.z) + 0.5 * jnp.sum(state.memory[0][0] ** 2)  # noqa: E731
            return height(rough.sample(state)) - height(state)

        errors = jax.jit(jax.vmap(work))(jax.random.split(jax.random.key(2), 50), starts)
        sghmc[size] = np.exp(np.minimum(0, -np.asarray(errors, float))).mean()
    agree(mine[3000] - mine[1], 0.0, against=[-0.06])
    assert 0.85 < mine[1].mean() < 0.97
    assert mala[1] > 0.5 > 1e-3 > mala[3000]
    assert sghmc[1] > 0.5 > 1e-3 > sghmc[3000]


@pytest.mark.parametrize("friction", [0.5, 3.0])
@pytest.mark.parametrize("h", [0.4, 1.0])
def test_it_is_unstable_from_the_curvature_that_the_module_says(h, friction, law):
    edge = 1 / np.sin(h / 2) ** 2 - 1
    assert 4 / h**2 - 1 < edge  # h √(1 + λ) < 2 is enough
    for extra in (-0.99, 0.99 * edge):
        _, covariance = law(step(h, friction, lambda x, _, extra=extra: extra * x), 3, 1)
        np.testing.assert_allclose(covariance[0, 0], 1 / (1 + extra), rtol=1e-6)
    for extra in (-1.01, 1.01 * edge):
        with pytest.raises(AssertionError):
            law(step(h, friction, lambda x, _, extra=extra: extra * x), 3, 1)


@pytest.mark.slow
def test_beyond_the_limit_it_grows_as_the_exact_recursion(agree):
    h, steps = 1.0, 12
    edge = 1 / np.sin(h / 2) ** 2 - 1
    extras = np.array([0.9, 1.1]) * edge

    def energy(z):
        return 0.5 * jnp.sum((1 + jnp.asarray(extras)) * z**2)

    z, _, _ = states(HarmonicLangevin(potential_fn=energy, step_size=h), rows([0.0, 0.0], 20000), steps)
    wanted = []
    for extra in extras:
        move = step(h, 1.0, lambda x, _, extra=extra: extra * x)
        inner = np.stack([move(row, np.zeros(1), None) for row in np.eye(3)], axis=1)
        outer = move(np.zeros(3), np.ones(1), None)
        moment = np.diag([0.0, 1.0, 0.0])
        for _ in range(steps):
            moment = inner @ moment @ inner.T + np.outer(outer, outer)
        wanted.append(moment[0, 0])
    agree(z[:, -1] ** 2, np.array(wanted))
    assert wanted[0] < 1.01 / (1 + extras[0]) and wanted[1] > 10 / (1 + extras[1])


@pytest.mark.slow
def test_gradient_noise_heats_by_the_lyapunov_equation(agree, law):
    """About h σ²/(2κ) of the temperature, as for SGHMC."""
    h, friction, sigma, extra = 0.4, 1.5, 2.0, 0.8

    def noisy(z, key):
        return 0.5 * (1 + extra) * z**2 + sigma * z * jax.random.normal(key)

    def slope(x, noise):
        return extra * x + sigma * noise

    _, covariance = law(step(h, friction, slope), 3, 2)
    kernel = HarmonicLangevin(potential_fn=noisy, step_size=h, friction=friction)
    z, _, _ = states(kernel, jnp.zeros(1000), 1000, warmup=60)
    agree((z**2).mean(axis=1), covariance[0, 0], against=[1 / (1 + extra)])
    small = 1e-3
    _, cooler = law(step(small, friction, slope), 3, 2)
    heat = small * sigma**2 / (2 * friction)
    np.testing.assert_allclose(cooler[0, 0] * (1 + extra) - 1, heat, rtol=0.01)


@pytest.mark.parametrize("friction", [-0.1, np.nan, np.inf])
def test_a_bad_friction_is_refused(friction):
    with pytest.raises(Misuse, match=f"friction of HarmonicLangevin must be .* got {friction}"):
        HarmonicLangevin(potential_fn=prior, friction=friction)
