"""Words on the noise of an order: measured on replicas, and as the theory noise predicts it. No jax."""

from collections.abc import Sequence

from experiments.scoring.labels import nats
from experiments.storage.records import ScoreLine


def noise_sentences(lines: Sequence[ScoreLine]) -> list[str]:
    """A sentence on the last dose at which the noise is both predicted and measured; none without one."""
    known = [line for line in lines if line.predicted_noise is not None and line.noise is not None]
    if not known:
        return []
    last = max(known, key=lambda line: line.dose)
    return [
        f"Dose {last.dose}: two orders of one D′ are {nats(last.noise)} nats apart, "
        f"{nats(last.predicted_noise)} as predicted before finetuning from gradients of documents (noise)."
    ]


def noise_words(line: ScoreLine) -> str:
    """The noise in nats, with its prediction where there is one."""
    predicted = f" (predicted: {nats(line.predicted_noise)})" if line.predicted_noise is not None else ""
    return nats(line.noise) + predicted if line.noise is not None else ""
