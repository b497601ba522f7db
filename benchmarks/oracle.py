"""The exact predictor of persona-topics on ten thousand contexts of the default length, in seconds."""

from typing import Any

import jax

from benchmarks._timing import interleaved, row
from theory.distributions.persona_topics import PersonaTopics

CONTEXTS = 10_000


def measure(seconds: float) -> list[dict[str, Any]]:
    """Seconds of one call, compiled, on one device."""
    process = PersonaTopics().distribution()
    tokens = jax.jit(lambda key: process.sample(key, CONTEXTS))(jax.random.key(0))
    predict = jax.jit(lambda process, tokens: process.predict(tokens))
    taken = interleaved({"oracle": lambda: predict(process, tokens)}, min(seconds, 3.0))
    return [row(f"exact predictor, {CONTEXTS} contexts", taken["oracle"], "s", goal="≤ 1")]
