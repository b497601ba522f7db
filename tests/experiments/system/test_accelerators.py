"""Accelerators: one process a device, and no question to a driver where no plugin is installed."""

import subprocess
from types import SimpleNamespace

import pytest

from experiments.commands import work
from experiments.system import accelerators
from experiments.system.accelerators import VISIBLE, devices, divided
from theory.errors import Misuse


@pytest.fixture
def answer(monkeypatch):
    """Let the process that counts print this; returns what it was called with."""
    calls = []

    def prepare(text, status=0):
        def run(words, env, **_):
            calls.append((words, env))
            if text is None:
                raise subprocess.TimeoutExpired(words, 1)
            return SimpleNamespace(stdout=text, returncode=status)

        monkeypatch.setattr(accelerators.subprocess, "run", run)
        monkeypatch.setattr(accelerators, "plugins", lambda: ["xla_cuda12"])
        monkeypatch.delenv("JAX_PLATFORMS", raising=False)
        monkeypatch.delenv(VISIBLE, raising=False)
        return calls

    return prepare


def test_devices_are_counted_in_a_process_that_takes_no_memory(answer, monkeypatch):
    calls = answer("gpu 2\n")
    assert devices() == ["0", "1"]
    assert calls[0][1]["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    monkeypatch.setenv(VISIBLE, "3,GPU-5f")
    assert devices() == ["3", "GPU-5f"]


@pytest.mark.parametrize(("text", "status"), [("cpu 2\n", 0), ("", 1), ("gpu 2\n", 1)])
def test_without_a_device_that_starts_there_is_none(answer, text, status):
    answer(text, status)
    assert devices() == []


def test_devices_that_cannot_be_counted_are_refused(answer):
    answer(None)
    with pytest.raises(Misuse, match=r"could not be counted in 120 s; call again, or set JAX_PLATFORMS=cpu"):
        devices()


def test_a_cpu_is_not_asked(answer, monkeypatch):
    calls = answer("gpu 2\n")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert devices() == []
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setattr(accelerators, "plugins", lambda: [])
    assert devices() == [] and calls == []


def test_each_worker_has_a_device_of_its_own(answer):
    answer("gpu 3\n")
    crew = work.crew_of(2, "")
    assert [*crew.variables] == [{VISIBLE: "0"}, {VISIBLE: "1"}]
    with pytest.raises(Misuse, match=r"--workers 4 are more than the 3 accelerators .* give --workers 3, or"):
        work.crew_of(4, "")
    assert work.crew_of(0, "").variables == ()
    assert divided([], 3) == [{}, {}, {}]
