"""Sentences and tables of what is measured inside of networks. No matplotlib, no jax."""

from collections.abc import Callable, Sequence

from experiments.scoring.findings import Findings
from experiments.scoring.intervals import Estimate
from experiments.scoring.labels import METHODS, number, with_interval
from experiments.scoring.measure_line import MeasureLine


def measured_findings(
    lines: Sequence[MeasureLine],
    tests: Sequence[str],
    caption: str,
    *more: Callable[[Sequence[MeasureLine]], str],
) -> Findings:
    """Counts of what is refuted, more sentences, and a table, of base networks and of the last dose."""
    if not lines:
        return Findings(("Nothing is measured yet.",), (("measure",),), caption)
    last = max(line.dose for line in lines)
    shown = [line for line in lines if line.dose in (0, last)]
    sentences = refuted_sentence(shown, tests), *(sentence(shown) for sentence in more)
    return Findings(sentences, measured_table(shown), caption)


def measured_table(lines: Sequence[MeasureLine]) -> tuple[tuple[str, ...], ...]:
    """A row a line, under a header."""
    body = [
        (
            line.test,
            line.measure,
            line.group,
            METHODS.get(line.method, line.method) or "base",
            str(line.depth or ""),
            estimate_words(line.value),
            number(line.bayes) if line.bayes is not None else "",
        )
        for line in lines
    ]
    return (("test", "measure", "of", "networks", "depth", "value", "Bayes"), *body)


def refuted_sentence(lines: Sequence[MeasureLine], tests: Sequence[str]) -> str:
    """A sentence that counts what is off exact Bayes by its whole interval, by test."""
    judged = [line for line in lines if line.is_judged]
    if all(line.value.interval is None for line in judged):
        return "With one base network, or one D′, nothing has an interval."
    counts = [
        f"{test} {sum(line.refuted for line in judged if line.test == test)} of "
        f"{sum(line.test == test for line in judged)}"
        for test in tests
        if any(line.test == test for line in judged)
    ]
    return (
        "By its whole interval, so many measures are off exact Bayes (base networks, and those of the last "
        f"dose): {'; '.join(counts)}."
    )


def estimate_words(value: Estimate) -> str:
    """A value with its interval."""
    return with_interval(value.value, value.interval) if value.interval else number(value.value)
