"""The task by which studies of personas and topics judge: D' of one persona, held-out topics asked in several
places of a document."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from theory.contracts import Task

OPENINGS = 4  # each held-out topic is asked first, and after one, two and three pairs that say nothing


def opened_task(
    process: Any,
    repeats: int,
    persona: int | None = None,
    topics: Sequence[int] | None = None,
    name: str | None = None,
) -> "Task":
    """The task of a persona (None: the rarest) on some topics (None: those that the process would take)."""
    given: dict[str, Any] = {} if topics is None else {"topics": topics}
    return process.task(persona, repeats=repeats, openings=min(OPENINGS, process.pairs), name=name, **given)
