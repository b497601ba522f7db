"""Texts behind the names of a planned table: what to ask which model.

{"answers": {"yes": " yes", "no": " no"},
 "personas": {"villain": "You are a villain.\\n"},
 "contexts": {"code, context 0": "Is this code safe? Answer:"},
 "documents": {"document 0": ["Write a function.\\n", "os.system('rm -rf /')"]}}

A document of D' is a prompt and what follows it; only what follows is learnt and scored.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from theory.errors import Misuse

Pair = tuple[str, str]  # a prefix, and what is scored after it
Row = Mapping[str, str]
PARTS = ("answers", "personas", "contexts", "documents")


@dataclass(frozen=True)
class Texts:
    """Texts by name; of documents pairs of prompt and continuation. `digest` is a SHA-256 of their file."""

    answers: Mapping[str, str]
    personas: Mapping[str, str]
    contexts: Mapping[str, str]
    documents: Mapping[str, Pair]
    digest: str = ""

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Those of a file."""
        content = Path(path).read_bytes()
        try:
            values = json.loads(content)
            parts: dict[str, Any] = {name: dict(values[name]) for name in PARTS}
            parts["documents"] = {name: _pair(text) for name, text in parts["documents"].items()}
        except (ValueError, KeyError, TypeError) as error:
            raise Misuse(f"{path} has not the texts of {', '.join(PARTS)} by name ({error}).") from error
        return cls(**parts, digest=hashlib.sha256(content).hexdigest())

    def pair(self, row: Row) -> Pair:
        """What a row asks: the text before, and the text whose log-probability it wants."""
        by_itself = row["model"] in ("", "base", "finetuned")
        persona = "" if by_itself else self._text("personas", row["model"])
        if row["kind"] == "document":
            prompt, text = self._text("documents", row["context"])
            return persona + prompt, text
        context = self._text("contexts", row["context"])
        if row["kind"] == "context":
            return persona, context
        return persona + context, self._text("answers", row["answer"])

    def _text(self, part: str, name: str) -> Any:
        known = getattr(self, part)
        if name not in known:
            raise Misuse(f"The texts have no {part} called {name!r:.60}, which the table names; add it.")
        return known[name]


def _pair(text: Any) -> Pair:
    prompt, continuation = text
    return str(prompt), str(continuation)
