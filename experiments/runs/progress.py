"""Live progress on standard error: a bar on a terminal, plain lines elsewhere."""

import contextlib
import html
import importlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

CLOSING = "finebayes: "  # before the sentence with which a command is refused


@dataclass
class Progress:
    """Says where a run is. `quiet_seconds` is the least time between two plain lines."""

    console: Console = field(default_factory=lambda: Console(stderr=True))
    quiet_seconds: float = 3.0
    started: float = field(default_factory=time.monotonic)

    def say(self, text: str | Text) -> None:
        """One line, with the seconds since the start."""
        seconds = f"{time.monotonic() - self.started:6.1f} s"
        line = Text.assemble((seconds, "dim"), "  ", text)
        self.console.print(line, highlight=False, soft_wrap=not self.console.is_terminal)

    @contextlib.contextmanager
    def training(self, steps: int) -> Iterator[Callable[[int, np.ndarray, np.ndarray, np.ndarray], None]]:
        """Pretraining: step, loss, excess over the exact predictor (nats) and the share of inference learnt,
        means over seeds."""
        with self._bar("pretraining", steps) as update:

            def show(step: int, loss: np.ndarray, excess: np.ndarray, learnt: np.ndarray) -> None:
                text = f"loss {np.mean(loss):.3f}  excess {np.mean(excess):.4f} nats"
                if np.isfinite(learnt).all():
                    text += f"  learnt {np.mean(learnt):.2f}"
                update(step, text if np.isfinite(loss).all() else "")

            yield show

    @contextlib.contextmanager
    def cells(self, count: int, done: int, title: str = "cells") -> Iterator[Callable[[str, str], None]]:
        """Cells, one by one; a failure is reported at once."""
        with self._bar(title, count, done) as update:
            finished = done

            def advance(cell: str, failure: str) -> None:
                nonlocal finished
                finished += 1
                update(finished, cell)
                if failure:
                    self.say(Text.assemble((f"{cell} failed:", "red"), f" {failure}"))

            yield advance

    @contextlib.contextmanager
    def _bar(self, title: str, total: int, done: int = 0) -> Iterator[Callable[[int, str], None]]:
        if not self.console.is_terminal:
            last = -self.quiet_seconds

            def line(now: int, text: str) -> None:
                nonlocal last
                if time.monotonic() - last > self.quiet_seconds or now >= total:
                    last = time.monotonic()
                    self.say(f"{title} {now}/{total}  {text}")

            yield line
            return
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
        ]
        with Bar(*columns, console=self.console, transient=False) as bar:
            task = bar.add_task(title, total=total, completed=done, text="")
            yield lambda now, text: bar.update(task, completed=now, text=text)


class Silent(Progress):
    """Progress that shows nothing."""

    def say(self, text: str | Text) -> None:
        """Show nothing."""


@dataclass
class Notebook(Progress):
    """Progress in one line of a notebook's output, which each message replaces."""

    console: Console = field(default_factory=lambda: Console(quiet=True, force_terminal=False))
    quiet_seconds: float = 0.5
    line: Any = None  # IPython's handle of the displayed line

    def say(self, text: str | Text) -> None:
        """Replace the line."""
        display: Any = importlib.import_module("IPython.display")  # there where a notebook is
        plain = html.escape(str(text))
        shown = display.HTML(f"<code>{time.monotonic() - self.started:6.1f} s  {plain}</code>")
        if self.line is None:
            self.line = display.display(shown, display_id=True)
        else:
            self.line.update(shown)


def make_progress(shown: bool = True) -> Progress:
    """Progress that fits: one line in a notebook, a bar on a terminal, plain lines elsewhere, or none."""
    if not shown:
        return Silent(Console(quiet=True))
    return Notebook() if "ipykernel" in sys.modules else Progress()


def relay(lines: IO[str], shown: bool) -> str:
    """Show the progress lines of another process; returns its closing sentence, or else its last line."""
    progress, last = make_progress(shown), ""
    for line in lines:
        text = re.sub(r"^ *[0-9.]+ s  ", "", line.rstrip())
        if text and not last.startswith(CLOSING):
            last = text
        if not text.startswith(CLOSING):  # that one is raised
            progress.say(text)
    return last.removeprefix(CLOSING)
