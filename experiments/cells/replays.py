"""Theories that replay a way of finetuning step by step: what each says after every dose, out of one run.

    linearised     the network's expansion at w0, finetuned by the method itself
    quadratic      the same to second order
    relinearised   linearised, and expanded anew after every dose

Methods finetune them in their own coordinates: only the network is expanded, the product of LoRA's factors,
say, is not. Nothing is fitted.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from models.finetuning.method import ExtraData, Method, finetune, run_plan, training_plan
from theory.base import Dataset
from theory.theories.linearised import Linearization
from theory.theories.quadratic import QuadraticExpansion
from theory.theories.relinearised import relinearised_network, with_anchor

EXPANSIONS = {"linearised": Linearization, "quadratic": QuadraticExpansion}


def replay(
    kind: str,
    network: Any,
    data: Dataset,
    batches: Any,
    method: Method,
    doses: Sequence[int],
    extra: ExtraData,
) -> tuple[Any, Any]:
    """A theory's predictors after each dose, stacked, and its full weights there (d, ...)."""
    if kind in EXPANSIONS:
        line = EXPANSIONS[kind](network, network.params)
        weights, _ = finetune(line, data, batches, method, doses, extra)
        return _stacked(line, len(doses)).with_params(weights), weights
    way = training_plan(network, data, batches, method, extra)
    start: Any = way.start
    line = relinearised_network(network, start)
    rule = with_anchor(method.optimizer(), tuple(doses[:-1]))
    kept, _ = run_plan(replace(way, start=line), rule, doses)
    weights = kept[0]
    if start is not network:
        weights = jax.vmap(lambda params: start.with_params(params).weights)(weights)
    return _stacked(line, len(doses)).with_params(kept), weights


def _stacked(tree: Any, count: int) -> Any:
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *jnp.shape(leaf))), tree)
