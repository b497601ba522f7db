"""A planned table, filled: every row gets its number and the number of tokens of its answer."""

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.tables.adapters import write_table
from theory.errors import Misuse

from .finetuning import Recipe, finetune
from .scoring import Tokens, log_probs, tokenise
from .texts import Row, Texts

Load = Callable[[], Any]
"""The base model, anew: a finetuning changes it in place."""
AFTERWARDS = ("finetuned", "replica")


def fill(
    rows: Sequence[Row],
    load: Load,
    tokenizer: Any,
    texts: Texts,
    recipes: Mapping[str, Recipe],
    batch: int = 16,
) -> list[dict[str, object]]:
    """The rows of one base model with `logprob` (nats) and `tokens`.

    `again` rows are scored in other batches. A replica meets the documents of its seed in another order, from
    the same start.
    """
    model = load()
    longest = getattr(model.config, "max_position_embeddings", None) or 10**9
    tokens = [tokenise(tokenizer, texts.pair(row), longest) for row in rows]
    values = np.full(len(rows), np.nan)

    def score(model: Any, chosen: Sequence[int], batch: int) -> None:
        values[chosen] = log_probs(model, [tokens[index] for index in chosen], batch)

    again = [index for index, row in enumerate(rows) if row["kind"] == "again"]
    after = [index for index, row in enumerate(rows) if row["kind"] in AFTERWARDS]
    before = sorted({*range(len(rows))} - {*again, *after})
    model.eval()
    for chosen, size in ((before, batch), (again, max(batch // 2 - 1, 1))):
        if chosen:
            score(model, chosen, size)
    networks: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index in after:
        networks[tuple(rows[index][name] for name in ("method", "data", "seed", "kind"))].append(index)
    for (method, data, seed, kind), chosen in networks.items():
        of_dose = defaultdict(list)
        for index in chosen:
            of_dose[int(rows[index]["dose"])].append(index)
        model = load()
        documents = _documents(rows, tokens, data)
        order = AFTERWARDS.index(kind)
        for dose in finetune(model, documents, _recipe(recipes, method), [*of_dose], int(seed), order):
            score(model, of_dose[dose], batch)
    return [
        dict(row) | {"tokens": len(text) - text.start, "logprob": value}
        for row, text, value in zip(rows, tokens, values.tolist(), strict=True)
    ]


def _documents(rows: Sequence[Row], tokens: Sequence[Tokens], data: str) -> list[Tokens]:
    """D': the documents that the base model scores."""
    return [
        text
        for row, text in zip(rows, tokens, strict=True)
        if (row["kind"], row["model"]) == ("document", "base") and row["data"] in (data, "")
    ]


def _recipe(recipes: Mapping[str, Recipe], method: str) -> Recipe:
    if method not in recipes:
        raise Misuse(f"There is no recipe of {method!r:.40}; the methods here are {', '.join(recipes)}.")
    return recipes[method]


def read_plan(path: str | Path) -> list[dict[str, str]]:
    """The rows of a planned table."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_filled(
    plan: str | Path,
    out: str | Path,
    rows: Sequence[Mapping[str, object]],
    recipes: Mapping[str, Recipe],
    precision: str,
    template: str,
) -> Path:
    """Write the filled table, and the plan's sidecar with what the plan did not know."""
    sidecar = json.loads(Path(plan).with_suffix(".json").read_text(encoding="utf-8"))
    for method, recipe in sidecar["finetuning"].items():
        ours = _recipe(recipes, method)
        recipe |= {"batch": ours.batch, "rate": ours.rate, "optimizer": "adamw", "about": ours.about}
    sidecar |= {"precision": precision, "template": template}
    path = write_table(out, rows)
    path.with_suffix(".json").write_text(json.dumps(sidecar, indent=1) + "\n", encoding="utf-8")
    return path
