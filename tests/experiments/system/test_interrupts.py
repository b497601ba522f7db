"""An interrupt inside a weak reference's callback ends the program; without the hook it is ignored."""

import signal
import subprocess
import sys

import pytest

CODE = """
import signal, sys, time, weakref
from experiments.system import interrupts

class Thing: ...

if {hooked}:
    interrupts.raise_again()
thing = Thing()
keep = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
del thing
for _ in range(500 if {hooked} else 1):  # in steps, as such an interrupt waits for the end of one
    time.sleep(0.01)
print("went on")
"""


@pytest.mark.parametrize(("hooked", "went_on"), [(True, False), (False, True)])
def test_an_interrupt_in_a_callback_is_raised_again(heeding, hooked, went_on):
    words = [*heeding, sys.executable, "-c", CODE.format(hooked=hooked)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert ("went on" in done.stdout) == went_on
    assert (done.returncode == -signal.SIGINT or done.returncode == 130) == (not went_on)
