"""Points share what is compiled as long as shapes stay the same, and never the compiler's settings."""

import contextlib
import threading
from pathlib import Path

import jax
import pytest

from experiments.runs import sweep_executor
from experiments.runs.sweep_executor import OPTIMISATIONS, InThisProcess, Settings, own_optimisations
from theory.compute.background import background


@pytest.fixture
def clears(monkeypatch):
    """How often programs are dropped, while the points of a plan are run by a stub."""
    dropped = []
    monkeypatch.setattr(sweep_executor.jax, "clear_caches", lambda: dropped.append(True))
    monkeypatch.setattr(sweep_executor, "run", lambda *arguments, **options: None)

    def count(plan, executor=None):
        executor = executor or InThisProcess()
        for _, study_run in plan.points.values():
            executor(study_run, Path("s"), Settings(Path("networks")), None)
        return len(dropped)

    return count


@pytest.mark.parametrize(
    ("words", "times"),
    [
        (["process.style=0.5,1,2"], 1),  # before the first, as checking the points compiles too
        (["process.seed=0,1,2", "finetuning.n=8,16"], 1),
        (["width=8,16,32"], 3),
        (["process.pairs=4,5", "process.style=1,2"], 2),
        (["optimise=true,false"], 2),
    ],
)
def test_programs_are_dropped_where_shapes_change(clears, sweeps, words, times):
    assert clears(sweeps.plan(*words)) == times


def test_programs_are_dropped_where_memory_grows(clears, sweeps, monkeypatch):
    memory = iter(range(0, 10**12, 2**31))
    monkeypatch.setattr(sweep_executor, "_resident", lambda: next(memory))
    assert clears(sweeps.plan("process.style=0.5,1,2")) == 3


def test_the_settings_of_a_run_end_with_it(clears, sweeps, monkeypatch):
    def run(*arguments, **options):
        jax.config.update(OPTIMISATIONS, not before)
        raise KeyboardInterrupt

    before = jax.config.values[OPTIMISATIONS]
    monkeypatch.setattr(sweep_executor, "run", run)
    with pytest.raises(KeyboardInterrupt):
        clears(sweeps.plan("process.style=1"))
    assert jax.config.values[OPTIMISATIONS] == before


@pytest.mark.parametrize("error", [None, ValueError])
def test_what_is_compiled_ahead_is_compiled_by_the_settings_of_its_run(error):
    before, begun, seen = jax.config.values[OPTIMISATIONS], threading.Event(), []

    def compile_late():
        begun.wait()
        seen.append(jax.config.values[OPTIMISATIONS])

    with contextlib.suppress(ValueError), own_optimisations():
        jax.config.update(OPTIMISATIONS, not before)
        background(compile_late).start()
        threading.Timer(0.05, begun.set).start()
        if error:
            raise error
    assert seen == [not before] and jax.config.values[OPTIMISATIONS] == before


def test_memory_is_read():
    assert sweep_executor._resident() > 10**7
