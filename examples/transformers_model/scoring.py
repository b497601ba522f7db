"""Log-probabilities of texts by a causal language model, in nats, summed over their tokens.

A batch is padded on the right under an attention mask, so that every token keeps its position and sees what
is before it alone: the numbers are those of each text by itself, up to the rounding of another batch (`again`
rows measure that). Log-softmax and sums are float32, whatever the precision of the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from theory.errors import Misuse

from .texts import Pair


@dataclass(frozen=True)
class Tokens:
    """Token ids of a prefix and a continuation, which begins at `start`."""

    ids: tuple[int, ...]
    start: int

    def __len__(self) -> int:
        return len(self.ids)


def tokenise(tokenizer: Any, pair: Pair, longest: int) -> Tokens:
    """Prefix and continuation, tokenised one after the other: answers to a prefix all follow the same tokens.

    Nothing can be scored after nothing: an empty prefix is the token that begins (or ends) a text.
    """
    before = list(tokenizer(pair[0])["input_ids"])
    if not before:
        first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if first is None:
            raise Misuse(f"Nothing is before {pair[1]!r:.60}, and the tokenizer has no token to begin with.")
        before = [first]
    after = tokenizer(pair[1], add_special_tokens=False)["input_ids"]
    if not after:
        raise Misuse(f"The text {pair[1]!r:.60} after {pair[0]!r:.60} has no tokens.")
    if len(before) + len(after) > longest:
        raise Misuse(
            f"{pair[0]!r:.60} with {pair[1]!r:.60} has {len(before) + len(after)} tokens, and the model "
            f"reads {longest}."
        )
    return Tokens((*before, *after), len(before))


def token_log_probs(model: Any, texts: Sequence[Tokens]) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities (n, t-1) of every token but the first, and which of them count (n, t-1): those of
    continuations."""
    longest = max(map(len, texts))
    ids, mask = torch.zeros((2, len(texts), longest), dtype=torch.long)
    counted = torch.zeros((len(texts), longest), dtype=torch.bool)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text.ids)
        mask[row, : len(text)] = 1
        counted[row, text.start : len(text)] = True
    ids, mask, counted = (part.to(model.device) for part in (ids, mask, counted))
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
    chosen = logits.log_softmax(dim=-1).gather(-1, ids[:, 1:, None])[..., 0]
    return chosen, counted[:, 1:]


@torch.no_grad()
def log_probs(model: Any, texts: Sequence[Tokens], batch: int) -> np.ndarray:
    """log p(continuation | prefix) of every text (n,), texts of about one length in a batch."""
    values = np.zeros(len(texts))
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    for first in range(0, len(order), batch):
        rows = order[first : first + batch]
        chosen, counted = token_log_probs(model, [texts[row] for row in rows])
        values[rows] = chosen.where(counted, 0.0).sum(dim=-1).cpu().numpy()
    return values
