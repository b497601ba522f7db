"""Adapters: rows of a table from the output of tools that score language models. Numpy only.

    lm_eval_rows     samples of lm-evaluation-harness (--log_samples), whose numbers are text
    vllm_row         prompt_logprobs of vLLM, whose values depend on the batch: score the base model twice
    logits_row       logits of a forward pass (transformers), for answers of several tokens
    scores_rows      scores of transformers' generate, for answers of one token
    openai_rows      logprobs of an OpenAI chat completion, for answers of one token among the top
    inspect_rows     the same in a log of inspect-ai

All give dicts with `context`, `answer`, `tokens` and `logprob` (nats, summed over the answer's tokens), to
which `columns` are added: kind, group, model, method, ... `write_table` makes a CSV of them.
"""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from experiments.storage.files import write_text
from experiments.tables.columns import COLUMNS, NUMBER
from theory.errors import Misuse

Rows: TypeAlias = Iterator[dict[str, object]]
UNLISTED = -9999.0  # OpenAI's log-probability of a token that is not among the top


def lm_eval_rows(samples: Iterable[Mapping[str, Any]], numbered: bool = False, **columns: object) -> Rows:
    """Every choice of every sample: a line of samples_TASK.jsonl, parsed. Answers are the choices' texts, or
    their numbers where each question has choices of its own."""
    for sample in samples:
        pairs = _arguments(sample)
        if len(pairs) != len(sample["resps"]):
            raise Misuse(
                f"Sample {sample.get('doc_id')} has {len(pairs)} requests and {len(sample['resps'])} "
                "responses."
            )
        for number, ((context, answer), response) in enumerate(zip(pairs, sample["resps"], strict=True)):
            value = response[0]  # of one repeat
            logprob = value[0] if isinstance(value, list | tuple) else value
            chosen = str(number) if numbered else answer.strip()
            yield columns | {"context": context, "answer": chosen, NUMBER: _number(logprob, context)}


def vllm_row(output: Mapping[str, Any], start: int, answer: str, **columns: object) -> dict[str, object]:
    """One answer: a request whose prompt is a context, its first `start` tokens, and an answer. `output` has
    prompt, prompt_token_ids and prompt_logprobs (of which the first is None)."""
    ids, listed = output["prompt_token_ids"], output["prompt_logprobs"]
    if not 0 < start < len(ids):
        raise Misuse(f"start is the number of tokens of the context, from 1 to {len(ids) - 1}, got {start}.")
    total = 0.0
    for token, known in zip(ids[start:], listed[start:], strict=True):
        entry = known.get(token, known.get(str(token)))
        if entry is None:
            raise Misuse(f"prompt_logprobs do not have the prompt's own token {token}: ask for one or more.")
        total += float(entry["logprob"] if isinstance(entry, Mapping) else getattr(entry, "logprob", entry))
    context = columns.pop("context", output.get("prompt", ""))
    return columns | {"context": context, "answer": answer, "tokens": len(ids) - start, NUMBER: total}


def logits_row(
    logits: np.ndarray, token_ids: Sequence[int], start: int, context: str, answer: str, **columns: object
) -> dict[str, object]:
    """One answer from the logits (t, vocabulary) of a forward pass over a context, the first `start` tokens,
    and an answer: entry t predicts token t + 1."""
    if not 0 < start < len(token_ids) or len(logits) != len(token_ids):
        raise Misuse(
            f"Logits (t, vocabulary) of {len(token_ids)} tokens are needed, and a context of 1 to "
            f"{len(token_ids) - 1} of them; got {np.shape(logits)} and {start}."
        )
    before = _log_softmax(np.asarray(logits, np.float64)[start - 1 : -1])
    total = float(before[np.arange(len(before)), np.asarray(token_ids[start:])].sum())
    return columns | {"context": context, "answer": answer, "tokens": len(before), NUMBER: total}


def scores_rows(
    scores: Sequence[np.ndarray],
    answers: Mapping[str, int],
    contexts: Sequence[str],
    **columns: object,
) -> Rows:
    """Answers of one token, by token id, from the scores of transformers' generate: those (batch,
    vocabulary) of its first step. Later steps follow what was generated, and are not read."""
    first = _log_softmax(np.asarray(scores[0], np.float64))
    if len(first) != len(contexts):
        raise Misuse(f"There are scores of {len(first)} prompts, and {len(contexts)} contexts.")
    for context, row in zip(contexts, first, strict=True):
        for answer, token in answers.items():
            if not math.isfinite(row[token]):
                raise Misuse(
                    f"The score of {answer!r} after {context!r:.60} is {row[token]}: a logits processor "
                    "(top_k, top_p) has removed it; generate without any, or ask for output_logits."
                )
            yield columns | {"context": context, "answer": answer, "tokens": 1, NUMBER: float(row[token])}


def openai_rows(
    completion: Mapping[str, Any], answers: Mapping[str, str], context: str, **columns: object
) -> Rows:
    """Answers of one token, {answer: token}, from a chat completion with logprobs and top_logprobs."""
    yield from _of_choice(completion["choices"][0], answers, context, columns)


def inspect_rows(log: Mapping[str, Any], answers: Mapping[str, str], **columns: object) -> Rows:
    """The same for every sample of a log of inspect-ai, read as JSON; contexts are the samples' ids."""
    for sample in log["samples"]:
        yield from _of_choice(sample["output"]["choices"][0], answers, str(sample["id"]), columns)


def write_table(path: str | Path, rows: Iterable[Mapping[str, object]]) -> Path:
    """Write rows as a CSV with the columns of a table."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*COLUMNS, NUMBER], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(Path(path), text.getvalue())
    return Path(path)


def _arguments(sample: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Context and continuation of every request: older versions log lists, newer ones fields by name."""
    given = sample["arguments"]
    if isinstance(given, Mapping):
        return [(part["arg_0"], part["arg_1"]) for part in given.values()]
    return [(part[0], part[1]) for part in given]


def _of_choice(
    choice: Mapping[str, Any], answers: Mapping[str, str], context: str, columns: Mapping[str, object]
) -> Rows:
    content = (choice.get("logprobs") or {}).get("content") or []
    if not content:
        raise Misuse(f"The completion of {context!r:.60} has no logprobs; ask for them.")
    known = {entry["token"]: float(entry["logprob"]) for entry in content[0].get("top_logprobs") or []}
    known.setdefault(content[0]["token"], float(content[0]["logprob"]))
    for answer, token in answers.items():
        value = known.get(token, UNLISTED)
        if value <= UNLISTED:
            raise Misuse(
                f"The token {token!r} is not among the top after {context!r:.60}, so that its probability "
                "is not known; raise top_logprobs, or list answers that are given."
            )
        yield dict(columns) | {"context": context, "answer": answer, "tokens": 1, NUMBER: value}


def _number(value: object, context: str) -> float:
    try:
        return float(value)  # pyright: ignore[reportArgumentType] (text or a number)
    except (TypeError, ValueError):
        raise Misuse(
            f"The response {value!r:.40} to {context!r:.60} is no number: only tasks of log-likelihoods have "
            "one (multiple_choice, loglikelihood)."
        ) from None


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        shifted = logits - logits.max(axis=-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
