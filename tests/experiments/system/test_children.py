"""Child processes end with their parent, however that ends."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARENT = """
import os, subprocess, sys, time
child = "import os, sys, time; from experiments.system import children; children.GLANCE = 0.02;" \\
    "children.end_with(os.getppid()); print(os.getpid(), flush=True); time.sleep(60)"
subprocess.Popen([sys.executable, "-c", child])
time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_a_child_ends_with_its_parent():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        child = Path(f"/proc/{int(parent.stdout.readline())}")
        assert child.exists()
        parent.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 50
        while child.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
