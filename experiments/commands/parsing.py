"""The common part of all commands: their names, how options become a dataclass, a sentence on stderr."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Annotated, Any, NoReturn, TypeAlias, TypeVar

import tyro

from experiments.design.words import LISTS, Unknown, names_of, one_sentence, refuse_unknown
from theory.errors import Misuse

OptionsT = TypeVar("OptionsT")

COMMANDS = {
    "list": "Studies, processes, theories, methods and samplers, each in one line.",
    "run": "Pretrain, finetune, predict, compare and draw one study; finished parts are not redone.",
    "forecast": "Seal what every theory expects of a study before any finetuning; `run` scores exactly that.",
    "sweep": "Run a study over values of its fields, a folder of ordinary runs; draw scores by these fields.",
    "work": "Take cells of runs and sweeps that nobody is at, until none is missing; on any machine.",
    "plot": "Redraw the figures of a run (also an unfinished one) from what is on disk.",
    "report": "Write one static report.html with figures and tables inside.",
    "score": "Print the scorecard: how much of each shift every theory explains.",
    "compare": "Draw theories × methods of one or several runs as a heat map, with the numbers as tables.",
    "probe": "Find the direction of an event, described in words, in a base network of a run.",
    "import": "Score theories on a real model, from a table of log-probabilities; seal forecasts before.",
    "plan-table": "Write the empty rows of a table for `import`, with counts and the smallest visible shift.",
    "doctor": "Versions, devices, threads, and a three-second self-test; an accelerator against the CPU.",
}


def parse(
    kind: type[OptionsT],
    command: str,
    arguments: list[str],
    default: OptionsT | None = None,
    lists: bool = False,
    about: str = "",
) -> OptionsT:
    """The options of a command; an unknown one, and one given twice, is refused in a sentence. With a
    default, and with `lists`, a list may have commas. `about` is a sentence more in its help."""
    extra: dict[str, Any] = {} if default is None else {"default": default}
    if lists or default is not None:
        extra["registry"] = LISTS
    refuse_unknown(arguments, names_of(kind, getattr(default, "config", None)))
    with one_sentence(f"finebayes {command}"):
        return tyro.cli(
            kind,
            prog=f"finebayes {command}",
            description="\n\n".join(filter(None, (COMMANDS[command.split()[0]], about))),
            args=arguments,
            config=(tyro.conf.AvoidSubcommands,),
            **extra,
        )


OwnFiles: TypeAlias = Annotated[
    tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="with", metavar="FILE.py")
]


def say(sentence: str) -> None:
    """Print a sentence on standard error."""
    print(f"finebayes: {sentence}", file=sys.stderr, flush=True)


def stop(sentence: str, status: int = 1) -> NoReturn:
    """End the process with a sentence on standard error."""
    say(sentence)
    raise SystemExit(status)


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """End with one sentence and exit status 1 for a mistake, or what the machine refuses; 2 for an unknown
    option."""
    try:
        yield
    except Misuse as error:
        stop(str(error), 2 if isinstance(error, Unknown) else 1)
    except BrokenPipeError:  # the reader, like `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        stop(f"The system refused: {error.strerror or error}{where}; what was finished is kept.")
    except MemoryError:
        stop("The machine has not enough memory for this; make it smaller. What was finished is kept.")
