"""Ctrl-C that is heard: an interrupt in the middle of a callback is raised again, instead of being ignored.

Python cannot raise from a weak reference's callback, of which jax has many: a KeyboardInterrupt there is
printed and forgotten, and the run would go on.
"""

import _thread
import sys
import threading

DELAY = 0.02  # seconds, in which the callback ends


def raise_again() -> None:
    """Let every interrupt that Python could not raise come again, once the callback has ended."""
    report = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs", /) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            timer = threading.Timer(DELAY, _thread.interrupt_main)
            timer.daemon = True
            timer.start()
        else:
            report(unraisable)

    sys.unraisablehook = hook
