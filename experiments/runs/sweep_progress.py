"""Live progress of a sweep: one line a run, which says how far it is, and then how it ended."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from experiments.runs.progress import Progress

SILENT = Console(quiet=True, force_terminal=False)
QUIET = 10.0  # seconds between two lines of one run where there is no terminal


@dataclass
class _Line(Progress):
    """Progress of a run in lines, each of which goes to `show`."""

    show: Callable[[str], None] = print

    def say(self, text: str | Text) -> None:
        """Show a line."""
        self.show(str(text))


@dataclass
class SweepProgress:
    """Says where a sweep is, on standard error."""

    count: int
    progress: Progress = field(default_factory=Progress)
    done: int = 0

    def say(self, text: str) -> None:
        """One line."""
        self.progress.say(Text(text))

    def ended(self, title: str, words: str, failed: bool = False) -> None:
        """The lasting line of a run."""
        self.done += 1
        style = "red" if failed else ""
        self.progress.say(Text.assemble((f"{self._number(self.done)}  {title}  ", ""), (words, style)))

    @contextlib.contextmanager
    def running(self, title: str) -> Iterator[Progress]:
        """The progress of a run that is the next: a live line on a terminal, a plain one now and then."""
        began, head = time.monotonic(), f"{self._number(self.done + 1)}  {title}"
        console = self.progress.console
        if not console.is_terminal:
            yield _Line(console=SILENT, quiet_seconds=QUIET, show=lambda text: self.say(f"{head}  {text}"))
            return
        spinner = Spinner("dots", Text(head))
        with Live(spinner, console=console, transient=True, refresh_per_second=8):

            def show(text: str) -> None:
                seconds = f"{time.monotonic() - began:5.0f} s"
                spinner.update(text=Text.assemble(f"{head}  {seconds}  ", (text, "dim"), no_wrap=True))

            yield _Line(console=SILENT, quiet_seconds=0.2, show=show)

    def _number(self, index: int) -> str:
        return f"{index:{len(str(self.count))}d}/{self.count}"
