"""What the tests of kernels share: many chains in one scan, laws on a grid, a regression."""

import itertools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

QUICK = {"xla_backend_optimization_level": 1}  # these programs compile for longer than they run


def _draw(kernel, start, steps, *, warmup=0, seed=0, thin=1, data=None):
    """Draws (chain, draw, ...) of independent chains, one for each row of `start`: one program, one loop.

    With `data`, `kernel` makes a kernel out of each chain's own row of it.
    """

    def chain(key, start, row):
        mine = kernel if data is None else kernel(row)

        def step(state, _):
            state = mine.sample(state)
            return state, state.z

        return jax.lax.scan(step, mine.init(key, warmup, start), length=warmup + steps)[1]

    keys = jax.random.split(jax.random.key(seed), jax.tree.leaves(start)[0].shape[0])
    program = jax.jit(jax.vmap(chain), compiler_options=QUICK)
    kept = program(keys, start, keys if data is None else data)
    return jax.tree.map(lambda leaf: np.asarray(leaf, float)[:, warmup + thin - 1 :: thin], kept)


def _second(samples, mean=0.0):
    """Second moments about `mean` of each chain: (chain, p, p)."""
    centred = samples - mean
    return np.einsum("csi,csj->cij", centred, centred) / samples.shape[1]


def _grid(mean, spread, reach=9.0, size=1201):
    """Stationary law of x ← N(mean(x), spread(x)²) in one dimension, on a grid: points and weights."""
    x = np.linspace(-reach, reach, size)
    gap = (x[None, :] - mean(x)[:, None]) / spread(x)[:, None]
    moves = np.exp(-0.5 * gap**2)
    moves /= moves.sum(axis=1, keepdims=True)
    system, source = moves.T - np.eye(size), np.zeros(size)
    system[-1], source[-1] = 1.0, 1.0  # one balance equation follows from the others; the weights sum to 1
    return x, np.linalg.solve(system, source)


def _regression():
    """A tempered Bayesian linear regression: U(z) = β/2 Σ_i (y_i - x_i·z)² + γ/2 |z|², and its minibatches.

    Its posterior is N(mean, precision⁻¹). `estimate(z, key)` draws one of all pairs of rows; `slope(z, rows)`
    is that minibatch's gradient in numpy, of all rows for None.
    """
    beta, gamma, batch = 0.6, 0.5, 2
    x = np.array([[1.0, 0.3], [-0.4, 0.8], [0.7, -1.1], [0.2, 0.5], [-1.2, 0.1], [0.5, 0.9]])
    y = np.array([0.9, -1.4, 1.6, 0.3, -0.8, -1.1])
    pairs = list(itertools.combinations(range(len(x)), batch))
    table, rows, targets = jnp.array(pairs), jnp.asarray(x), jnp.asarray(y)
    precision = beta * x.T @ x + gamma * np.eye(2)

    def energy(z, rows, targets, scale):
        return scale * beta / 2 * jnp.sum((targets - rows @ z) ** 2) + gamma / 2 * jnp.sum(z**2)

    def whole(z):
        return energy(z, rows, targets, 1.0)

    def estimate(z, key):
        chosen = table[jax.random.randint(key, (), 0, len(pairs))]
        return energy(z, rows[chosen], targets[chosen], len(x) / batch)

    def slope(z, pair=None):
        chosen = list(range(len(x)) if pair is None else pair)
        scale = len(x) / len(chosen)
        return scale * beta * x[chosen].T @ (x[chosen] @ z - y[chosen]) + gamma * z

    mean = np.linalg.solve(precision, beta * x.T @ y)
    return SimpleNamespace(
        mean=mean,
        precision=precision,
        covariance=np.linalg.inv(precision),
        pairs=pairs,
        whole=whole,
        estimate=estimate,
        slope=slope,
    )


@pytest.fixture(scope="session")
def draw():
    return _draw


@pytest.fixture(scope="session")
def second():
    return _second


@pytest.fixture(scope="session")
def grid():
    return _grid


@pytest.fixture(scope="session")
def regression():
    return _regression()
