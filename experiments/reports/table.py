"""An imported table in the report: what it had, what it lacked, and what counts as a shift. No jax."""

from experiments.scoring.labels import nats
from experiments.storage.run_folder import RunFolder
from experiments.storage.table_facts import TABLE, TableFacts

ABOUT = (
    "Numbers are natural logarithms that were computed elsewhere. Answers are renormalised over those "
    "listed; the probability outside is the mean and the largest over contexts. A shift counts where it "
    "exceeds the resolution: the KL of the base model from itself, scored again, or what its precision "
    "leaves."
)


def facts(run: RunFolder) -> TableFacts | None:
    """The facts of an imported run; None of another."""
    return run.record(TABLE, TableFacts.from_json, "import again")


def facts_table(known: TableFacts) -> list[list[str]]:
    """Header and rows: rows of the table by kind, and the probability outside the listed answers."""
    body = [
        [kind, str(count), *(f"{100 * value:.2f} %" for value in known.outside.get(kind, ()))]
        for kind, count in known.rows.items()
    ]
    return [["kind", "rows", "outside, mean", "largest"], *([*row, *["-"] * (4 - len(row))] for row in body)]


def resolution_table(known: TableFacts) -> list[list[str]]:
    """Header and rows: the resolution by D' and group of contexts; empty where it is that of float32."""
    body = [[name, nats(value)] for name, value in known.resolution.items()]
    return [["contexts", "resolution (nats)"], *body] if body else []


def facts_sentences(known: TableFacts) -> list[str]:
    """The facts as sentences, for a terminal."""
    counts = ", ".join(f"{count} {kind}" for kind, count in known.rows.items())
    worst = max(((values[0], kind) for kind, values in known.outside.items()), default=None)
    sentences = [f"Rows: {counts}."]
    if worst is not None:
        sentences.append(
            f"Outside the listed answers is at most {100 * worst[0]:.2g} % of the probability (mean over "
            f"contexts, of kind {worst[1]})."
        )
    if known.resolution:
        name, value = max(known.resolution.items(), key=lambda pair: pair[1])
        sentences.append(f"A shift counts above the resolution, at most {nats(value)} nats ({name}).")
    return [*sentences, *known.notes]
