"""Finetuning: all weights, or LoRA by hand, by AdamW on the continuations of D'; no dropout.

W' = W + U V      of rank r, U = 0 before the first step, W frozen
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize

from theory.errors import Misuse

from .scoring import Tokens, token_log_probs

TARGETS = ("c_attn", "q_proj", "v_proj")  # of GPT-2; of Llama and the like


@dataclass(frozen=True)
class Recipe:
    """Steps of `batch` documents at a step size; LoRA has a `rank`, 0 moves all weights."""

    rate: float
    batch: int
    rank: int = 0

    @property
    def about(self) -> str:
        """In words."""
        return f"LoRA of rank {self.rank} on {', '.join(TARGETS)}" if self.rank else "all weights"


class LowRank(torch.nn.Module):
    """A weight with a product of two factors added."""

    def __init__(self, weight: torch.Tensor, rank: int):
        super().__init__()
        rows, columns = weight.shape
        factors = torch.zeros(rows, rank), torch.randn(rank, columns) / math.sqrt(columns)
        self.up, self.down = (torch.nn.Parameter(part.to(weight)) for part in factors)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """W + U V."""
        return weight + self.up @ self.down


def finetune(
    model: Any, documents: Sequence[Tokens], recipe: Recipe, doses: Sequence[int], seed: int, order: int
) -> Iterator[int]:
    """Train the model in place, and stop at every dose, where the caller may score it. `seed` draws LoRA's
    factors, seed and order the order of documents."""
    torch.manual_seed(seed)
    moving = _moving(model, recipe.rank)
    optimizer = torch.optim.AdamW(moving, lr=recipe.rate, weight_decay=0.0)
    batches = _batches(len(documents), recipe.batch, max(doses), np.random.default_rng((seed, order)))
    for step, rows in enumerate(batches, 1):
        chosen, counted = token_log_probs(model, [documents[row] for row in rows])
        (-chosen[counted].mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
        if step in doses:
            yield step


def _moving(model: Any, rank: int) -> list[torch.Tensor]:
    """The numbers that move."""
    model.eval()  # no dropout: the loss of a step is that of its documents alone
    if rank:
        model.requires_grad_(False)
        layers = [part for name, part in model.named_modules() if name.rpartition(".")[2] in TARGETS]
        if not layers:
            raise Misuse(
                f"The model has no layers called {', '.join(TARGETS)}; finetune all weights instead."
            )
        for layer in layers:
            parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))
    return [part for part in model.parameters() if part.requires_grad]


def _batches(count: int, batch: int, steps: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """The documents of every step: D' over and over, each pass in another order."""
    every = np.zeros(0, int)
    for _ in range(steps):
        while len(every) < batch:
            every = np.concatenate([every, random.permutation(count)])
        yield every[:batch]
        every = every[batch:]
