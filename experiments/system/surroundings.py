"""Surroundings of a command: terminals, variables and folders as people have them. No jax, no matplotlib."""

import io
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NARROWEST = 40  # columns: help in fewer never ends


def settle() -> None:
    """Print what an encoding lacks as a question mark, draw without a window, and take no terminal for
    narrower than words are."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    os.environ["MPLBACKEND"] = "agg"  # a notebook leaves its own to the processes that it starts
    if shutil.get_terminal_size().columns < NARROWEST:
        os.environ["COLUMNS"] = str(NARROWEST)


def command_line(*words: str) -> list[str]:
    """A command of finebayes for a process of its own; nothing in the current folder is imported there."""
    return [sys.executable, "-P", "-m", "experiments.cli", *words]


def variables(**more: str) -> dict[str, str]:
    """The environment of such a process: ours, with `more`, and where `experiments` is."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path} | more
