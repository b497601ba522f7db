"""SLURM: an array of jobs by one `sbatch --wait`, each of which is a worker."""

import contextlib
import re
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from experiments.system import surroundings
from theory.errors import Misuse

OURS = ("array", "job-name", "open-mode", "output", "parsable", "requeue", "wait", "wrap")
NAME = re.compile(r"[a-z][a-z-]*")


@dataclass(frozen=True)
class Slurm:
    """Options of sbatch, with which jobs are submitted."""

    options: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """From words like partition=cpu,time=60,cpus-per-task=8, the long names of sbatch's options."""
        options = []
        for part in filter(None, text.split(",")):
            name, equals, value = part.strip().partition("=")
            if not NAME.fullmatch(name) or (equals and not value):
                raise Misuse(
                    f"--slurm takes options of sbatch by their long names, like partition=cpu,time=60, got "
                    f"{part!r:.60}."
                )
            if name in OURS:
                raise Misuse(f"--slurm cannot set {name}, which finebayes sets itself; omit it.")
            options.append(f"--{name}{equals}{value}")
        if shutil.which("sbatch") is None:
            raise Misuse(
                "--slurm needs the program sbatch, which is not on the PATH; call it where jobs are "
                "submitted, or omit --slurm to work on this machine."
            )
        return cls(tuple(options))

    @contextlib.contextmanager
    def submitted(self, words: Sequence[str], count: int, logs: Path) -> Iterator["subprocess.Popen[str]"]:
        """An array of `count` jobs of a command, as the process of sbatch that ends with the last of them.

        Raises `Misuse` where sbatch refuses it. Jobs are cancelled where the block is left before they end.
        """
        name = f"finebayes-{secrets.token_hex(4)}"
        options = [
            *("--parsable", "--wait", f"--array=1-{count}", f"--job-name={name}", "--requeue"),
            *("--open-mode=append", f"--output={logs.resolve()}/{name}-%a.log"),
        ]
        job = None
        try:
            job = subprocess.Popen(
                ["sbatch", *options, *self.options, f"--wrap=exec {shlex.join(words)}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=surroundings.variables(),
                start_new_session=True,  # Ctrl-C is for this process
            )
            yield job
            number, errors = job.communicate()
        except BaseException:
            subprocess.run(["scancel", f"--name={name}"], capture_output=True)
            if job is not None:
                job.kill()
                job.communicate()
            raise
        if job.returncode and not number.strip():
            refusal = errors.strip().rpartition("\n")[2].removeprefix("sbatch: ").removeprefix("error: ")
            raise Misuse(
                f"sbatch refused the jobs: {refusal.rstrip('.') or 'it said nothing'}; correct --slurm. What "
                "was finished is kept."
            )
