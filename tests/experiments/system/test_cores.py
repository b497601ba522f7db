"""Cores are shared fairly, and a process keeps to its share."""

import os
import subprocess
import sys

import pytest

from experiments.system.cores import cores, divided

KEPT = """
import os, threading
from experiments.system.cores import cores, keep_to
threading.Thread(target=threading.Event().wait, daemon=True).start()
keep_to([])
first = cores()[:1]
keep_to(first)
for thread in os.listdir("/proc/self/task"):
    assert os.sched_getaffinity(int(thread)) == set(first)
"""


@pytest.mark.parametrize(
    ("numbers", "shares", "wanted"),
    [
        ([0, 1, 2, 3], 2, [[0, 2], [1, 3]]),
        ([0, 1, 2], 2, [[0, 2], [1]]),
        ([4, 7], 3, [[4], [7], [4]]),
        ([], 2, [[], []]),
    ],
)
def test_cores_are_divided(numbers, shares, wanted):
    assert divided(numbers, shares) == wanted


@pytest.mark.skipif(not cores() or not os.path.isdir("/proc/self/task"), reason="needs Linux")
def test_all_threads_keep_to_a_share():
    subprocess.run([sys.executable, "-c", KEPT], check=True)
