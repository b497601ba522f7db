"""Live progress on standard error: a bar on a terminal, plain lines elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


@dataclass
class Progress:
    """Says where a run is. `quiet_seconds` is the least time between two plain lines."""

    console: Console = field(default_factory=lambda: Console(stderr=True))
    quiet_seconds: float = 3.0
    started: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """One line, with the seconds since the start."""
        self.console.print(f"[dim]{time.monotonic() - self.started:6.1f} s[/dim]  {text}", highlight=False)

    @contextlib.contextmanager
    def training(self, steps: int) -> Iterator[Callable[[int, np.ndarray, np.ndarray], None]]:
        """Pretraining: step, loss and excess over the exact predictor (nats), means over seeds."""
        with self._bar("pretraining", steps) as update:

            def show(step: int, loss: np.ndarray, excess: np.ndarray) -> None:
                told = f"loss {np.mean(loss):.3f}  excess {np.mean(excess):.4f} nats"
                update(step, told if np.isfinite(loss).all() else "")

            yield show

    @contextlib.contextmanager
    def cells(self, count: int, done: int) -> Iterator[Callable[[str, str], None]]:
        """Cells, one by one; a failed one is said at once."""
        if done:
            self.say(f"{done} of {count} cells are finished already")
        with self._bar("cells", count, done) as update:
            finished = done

            def advance(cell: str, failure: str) -> None:
                nonlocal finished
                finished += 1
                update(finished, cell)
                if failure:
                    self.say(f"[red]{cell} failed:[/red] {failure}")

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
        columns: list[Any] = [
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
