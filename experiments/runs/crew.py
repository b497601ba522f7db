"""Crew: workers that a command starts, here or through SLURM, and follows until no cell is missing."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.runs.job import Job
from experiments.runs.progress import Progress
from experiments.runs.slurm import Slurm
from experiments.system import surroundings
from theory.errors import Misuse

LOGS = "logs"
GLANCE = 0.3  # seconds between two looks at the folders, at least
SELDOM = 200  # times what a look takes: many folders are not to cost the workers a core
PATIENCE = 20.0  # seconds in which workers end, and in which a network file system shows what others wrote
GOES_ON = "what was finished is kept, the same command goes on from there"


@dataclass(frozen=True)
class Watch:
    """A view of runs from the machine whose command started the workers; `count` is of all cells."""

    jobs: Sequence[Job]
    count: int
    progress: Progress

    @property
    def is_over(self) -> bool:
        """Whether every run is finished, or failed as a point of a sweep."""
        return all(job.is_over for job in self.jobs)

    def results(self) -> set[tuple[Path, str]]:
        """The finished and failed cells, by the folders of their runs."""
        return {(job.made.folder, name) for job in self.jobs for name in job.made.results()}

    def state(self) -> object:
        """All that changes where there is progress: cells, and networks that are trained."""
        networks = {job.networks for job in self.jobs}
        paths = [path for folder in networks for path in folder.glob("*.safetensors")]
        return self.results(), {path: path.stat().st_mtime_ns for path in paths}

    def follow(self, lives: Callable[[], bool]) -> None:
        """Show cells as they finish, as long as workers live."""
        seen = self.results()
        with self.progress.cells(self.count, len(seen)) as advance:
            alive = True
            while alive:
                began = time.process_time()
                alive = lives()  # before the look, which is the last one if they do not
                for folder, name in sorted(self.results() - seen):
                    seen.add((folder, name))
                    advance(name, "")
                time.sleep(alive * max(GLANCE, SELDOM * (time.process_time() - began)))

    def settles(self) -> bool:
        """Whether all runs are over, or soon look so."""
        deadline = time.monotonic() + PATIENCE
        while not (over := self.is_over) and time.monotonic() < deadline:
            time.sleep(GLANCE)
        return over


@dataclass(frozen=True)
class Crew:
    """So many workers, on this machine or as jobs of SLURM; `variables` are those of each one here."""

    count: int
    slurm: Slurm | None = None
    variables: Sequence[Mapping[str, str]] = ()

    def work(self, folder: Path, networks: Path, watch: Watch, options: Sequence[str] = ()) -> None:
        """Let workers, with these options, finish the run or the sweep in a folder; raises `Misuse` where
        they cannot."""
        if watch.is_over:
            return
        words = surroundings.command_line("work", str(folder), "--networks", str(networks), *options)
        logs = folder / LOGS
        logs.mkdir(exist_ok=True)
        at = "jobs of SLURM" if self.slurm else "processes"
        watch.progress.say(f"{self.count} {at} work at {folder}; what they say is in {logs}")
        if self.slurm is None:
            self._here(words, logs, watch)
        else:
            self._on_slurm(self.slurm, words, logs, watch)

    def _here(self, words: Sequence[str], logs: Path, watch: Watch) -> None:
        with contextlib.ExitStack() as stack:
            workers = [
                stack.enter_context(_started(words, logs / f"worker-{part}.log", part, self.count, variables))
                for part, variables in enumerate(self.variables or [{}] * self.count, start=1)
            ]
            watch.follow(lambda: _live(workers) and not watch.is_over)
            deadline = time.monotonic() + PATIENCE
            while _live(workers) and time.monotonic() < deadline:  # but for one that is stopped
                time.sleep(GLANCE)
        early = sum(worker.returncode != 0 for worker in workers)
        if not early and watch.is_over:
            return
        last = f"{early} of {self.count} workers ended early: {_last_words(logs)}"
        if not watch.is_over:
            raise Misuse(f"{last} What was finished is kept; the same command goes on from there.")
        watch.progress.say(f"{last} The others made what was left.")

    def _on_slurm(self, slurm: Slurm, words: Sequence[str], logs: Path, watch: Watch) -> None:
        while True:
            before = watch.state()
            with slurm.submitted(words, self.count, logs) as job:
                watch.follow(lambda: job.poll() is None)
            if watch.is_over or (not job.returncode and watch.settles()):
                return
            left = watch.count - len(watch.results())
            if not job.returncode:
                raise Misuse(
                    f"All jobs ended well, but {left} of {watch.count} cells are not in {logs.parent} as "
                    f"this machine sees it: let the nodes see the same folder; {GOES_ON}."
                )
            if watch.state() == before:
                raise Misuse(
                    f"The jobs ended without progress, {left} of {watch.count} cells are missing: "
                    f"{_last_words(logs)} Correct that; {GOES_ON}."
                )
            watch.progress.say(f"{left} of {watch.count} cells are missing: new jobs")


@contextlib.contextmanager
def _started(
    words: Sequence[str], log: Path, part: int, count: int, variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker on a share of the cores, with these variables, in a session of its own, as Ctrl-C is for its
    parent; it ends with the block, or with this process."""
    more = ["--share", f"{part}/{count}", "--parent", str(os.getpid())]
    with open(log, "wb") as file:
        worker = subprocess.Popen(
            [*words, *more],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=surroundings.variables(**variables),
            start_new_session=True,
        )
    try:
        yield worker
    finally:
        if worker.poll() is None:
            worker.send_signal(signal.SIGTERM)
            try:
                worker.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                worker.kill()
        worker.wait()


def _live(workers: Sequence[subprocess.Popen[bytes]]) -> bool:
    return any(worker.poll() is None for worker in workers)


def _last_words(logs: Path) -> str:
    """The last line of the newest log, with its path; that there is none, where nobody left one."""
    paths = sorted(logs.glob("*.log"), key=lambda path: path.stat().st_mtime_ns)
    for path in reversed(paths):
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        if written := [line.strip() for line in lines if line.strip()]:
            return f"{written[-1].removeprefix('finebayes: ').rstrip('.')} ({path})."
    return f"no worker has left a word in {logs}; do the nodes see this folder?"
