"""Checks of the theories in a user's own files and of instances of own classes, before anything is compiled.

The shape of what they predict is found by tracing alone; that it is normalised, on the numbers of a few
contexts, at no strength and at one in the middle of the grid. A theory of the house is checked by its tests.
"""

import contextlib
import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.cells.candidates import Candidate
from experiments.cells.replays import extra_data
from experiments.design import random_streams
from experiments.design.experiment import Experiment
from experiments.storage.records import BOUNDS
from models.finetuning.method import FinetuningRun
from models.network import Network
from theory.base import Dataset, Model, Predictor, check_ladder, ladder
from theory.compute.descent import epochs
from theory.contracts import Scale, Setting, Theory, Training
from theory.errors import Misuse

HOUSE = "theory.theories."
CONTEXTS = 8
TOLERANCE = 1e-3  # of log Σ p, in nats: far above rounding, far below what a score can show


def check_theories(experiment: Experiment, template: Network, candidates: list[Candidate]) -> None:
    """Refuse a theory whose predictions have another shape than tokens × vocabulary or are not normalised."""
    checked: set[int] = set()
    for candidate in candidates:
        is_ours = type(candidate.form).__module__.startswith(HOUSE)
        if not (is_ours or candidate.kind == "sampled" or id(candidate.form) in checked):
            checked.add(id(candidate.form))
            _check(experiment, template, candidate)


def _check(experiment: Experiment, template: Network, candidate: Candidate) -> None:
    form = candidate.form
    documents, key = jax.random.split(random_streams.stream(experiment.seed, random_streams.THEORY_CHECKS))
    tokens = experiment.process.distribution().sample(documents, max(experiment.n, CONTEXTS))
    mask = jnp.broadcast_to(jnp.asarray(experiment.process.answer_mask()), tokens.shape)
    data = Dataset(tokens[: experiment.n], mask[: experiment.n])
    trainings = [experiment.training(method, arm) for arm in experiment.arms for method in experiment.methods]
    scale = experiment.scale(float(data.mask.sum()))
    with declared(form):
        grid = checked_grid(form, candidate.theory, scale, trainings, replays=candidate.kind == "replay")
    program = _program(experiment, template, candidate, tokens[:CONTEXTS], key)
    betas = jnp.asarray(grid[[0, len(grid) // 2]], jnp.float32)
    with declared(form):
        shapes = jax.eval_shape(program, data, betas)
    rungs = len(experiment.doses) if candidate.kind == "replay" else len(betas)
    wanted = (rungs, CONTEXTS, experiment.process.length, experiment.process.vocabulary)
    if getattr(shapes, "shape", None) != wanted:
        got = getattr(shapes, "shape", (0, type(shapes).__name__))[1:]
        raise Misuse(
            f"{location(form)}: the theory {candidate.theory} predicts log-probabilities of shape {got}, "
            f"but (contexts, tokens, vocabulary) is {wanted[1:]}; return one for every token and position."
        )
    if "normalised" in form.breaks:
        return
    with declared(form):
        totals = np.exp(np.asarray(jax.nn.logsumexp(jax.jit(program)(data, betas), axis=-1), float))
    off = ~(np.abs(np.log(totals)) <= TOLERANCE)
    off[int(candidate.kind != "replay") :] &= ~np.isnan(totals[int(candidate.kind != "replay") :])
    if off.any():
        rung, context, position = np.argwhere(off)[0]
        raise Misuse(
            f"{location(form)}: the theory {candidate.theory} predicts probabilities that sum to "
            f"{totals[rung, context, position]:.3g}, not to 1, at position {position} of a document; "
            "normalise them, as jax.nn.log_softmax does."
        )


@contextlib.contextmanager
def declared(form: Theory) -> Iterator[None]:
    """Around what a theory computes: all that it raises becomes one sentence with file and line."""
    try:
        yield
    except Misuse:
        raise
    except Exception as error:
        raise Misuse(f"{_failed_at(form, error)}: {type(error).__name__}: {_first_line(error)}") from error


def checked_grid(
    form: Theory, theory: str, scale: Scale, trainings: Sequence[Training], replays: bool = False
) -> np.ndarray:
    """The strengths (b,) of a theory of this name, its other declarations checked with them,
    forecasts for every recipe among them. One that replays a finetuning needs no grid."""
    name = f"{location(form)}: the theory {theory}"
    if not isinstance(form.breaks, Mapping):
        raise Misuse(f"{name} has breaks of type {type(form.breaks).__name__}; give a dict, {{law: reason}}.")
    if form.bound not in BOUNDS:
        raise Misuse(f"{name} has the bound {form.bound!r}; it must be {' or '.join(map(repr, BOUNDS))}.")
    grid = _numbers(form.grid(scale))
    if not replays and (grid is None or grid.ndim != 1 or len(grid) < 2 or grid[0] != 0):
        got = "no array of numbers" if grid is None else f"shape {grid.shape}: {np.ravel(grid)[:3].tolist()}"
        raise Misuse(f"{name} has an unfit grid. It must be (b,) numbers, 0 and more, got {got}.")
    try:
        check_ladder(np.zeros(1) if grid is None else grid)
    except Misuse as error:
        raise Misuse(f"{name} has an unfit grid. {error}") from None
    if form.hyperparameters is not None and not _ascends(_numbers(form.hyperparameters)):
        raise Misuse(
            f"{name} has unfit hyperparameters: they must be (m,) finite numbers, ascending, got "
            f"{form.hyperparameters!r:.60}."
        )
    for training in trainings:
        strength = form.strength(training, scale)
        beta = None if strength is None else _numbers(strength)
        fits = beta is not None and beta.shape == (len(training.doses),)
        if strength is None or (beta is not None and fits and np.all((beta >= 0) & (beta < np.inf))):
            continue
        raise Misuse(
            f"{name} forecasts an unfit strength: it must be finite and at least 0, one number a dose"
            f" ({len(training.doses)}), got {strength!r:.60}."
        )
    return grid if grid is not None else np.zeros(1)


def _ascends(values: np.ndarray | None) -> bool:
    """Whether these are (m,) finite numbers, one or more, each above the one before."""
    if values is None or values.ndim != 1 or not values.size:
        return False
    return bool(np.isfinite(values).all() and (np.diff(values) > 0).all())


def _numbers(value: object) -> np.ndarray | None:
    """An array of numbers; None if it is none."""
    try:
        array = np.asarray(value)
    except ValueError:  # rows of several lengths
        return None
    return array.astype(float) if array.dtype.kind in "iuf" else None


def _program(
    experiment: Experiment, template: Network, candidate: Candidate, tokens: Array, key: Array
) -> Callable[[Dataset, Array], Model]:
    """Log-probabilities (b, n, t, v) of a theory at all tokens, as its cell computes those of the answers."""
    form, process = candidate.form, experiment.process.distribution()
    completing, samples, ordering = jax.random.split(key, 3)
    order = jnp.asarray(epochs(ordering, experiment.n, experiment.batch, experiment.steps))

    def read(predictor: Model) -> Array:
        return checked_predictor(form, candidate.theory, predictor).predict(tokens)

    def over_strengths(data: Dataset, betas: Array) -> Array:
        whole = form.complete(Setting(process, template, data, data, completing))
        prior = process if candidate.kind == "hypotheses" else template
        return ladder(whole, prior, data, betas * whole.unit, read, key=samples)

    def over_doses(data: Dataset, betas: Array) -> Array:
        method = next(iter(experiment.methods.values()))
        extra = extra_data(experiment, method, data, jnp.asarray(0, jnp.int32))
        stacked, _ = form.follow(template, FinetuningRun(data, order, method, experiment.doses, extra))
        return jax.lax.map(read, stacked)

    return over_doses if candidate.kind == "replay" else over_strengths


def checked_predictor(form: Theory, theory: str, predictor: Model) -> Predictor:
    """The answer of a theory of this name, if it is a predictor."""
    if not isinstance(predictor, Predictor):
        kind = "an array" if isinstance(predictor, Array) else f"a {type(predictor).__name__}"
        raise Misuse(
            f"{location(form)}: the theory {theory} returns {kind}, which is no predictor; give it a method "
            "predict(tokens)."
        )
    return predictor


def location(form: Theory) -> str:
    """File and line of `predict`; a machine's path is nobody else's business."""
    code = getattr(inspect.unwrap(type(form).predict), "__code__", None)
    return f"{Path(code.co_filename).name}, line {code.co_firstlineno}" if code else type(form).__name__


def _failed_at(form: Theory, error: Exception) -> str:
    """File and line where a theory's own file was left, or else those of `predict`."""
    code = getattr(inspect.unwrap(type(form).predict), "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if code and frame.filename == code.co_filename]
    return f"{Path(code.co_filename).name}, line {lines[-1]}" if code and lines else location(form)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no message").split("\n")[0]
