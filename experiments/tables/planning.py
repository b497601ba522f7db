"""Plans of tables: which prompts to score with which model, how many, and the smallest shift that they show.

    least = r (1 + 2 √(2 / ((a - 1) C S)))

r    noise (nats): the mean KL of a model from itself, scored again, or of a replica
a    answers, C contexts of a group, S finetuned networks (base models × seeds)

To second order a KL of answers that differ by noise alone is r χ²/(a - 1), with a - 1 degrees of freedom:
its mean is r, its variance 2 r²/(a - 1). `least` is two standard errors above the mean over C S independent
ones. Contexts that resemble each other are fewer than they look. No jax.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.storage.files import write_json
from experiments.storage.records import Json, check_name
from experiments.tables.adapters import write_table
from experiments.tables.columns import BASE, FINETUNED, IN_DOMAIN
from experiments.tables.sidecar import UNIT, Recipe
from theory.errors import Misuse

HELD_OUT = "held_out"
MOST_ROWS = 5_000_000
UNKNOWN = 0  # of a recipe: to be filled in, and refused before
Row = dict[str, object]


@dataclass(frozen=True)
class TablePlan:
    """The sizes of a table; every topic has `contexts` contexts."""

    topics: tuple[str, ...]
    held_out: tuple[str, ...]
    personas: tuple[str, ...]
    answers: tuple[str, ...]
    methods: tuple[str, ...]
    doses: tuple[int, ...]
    contexts: int = 10
    seeds: int = 3
    documents: int = 100
    noise: float = 1.3e-3
    bases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("topics", "held_out", "personas", "methods", "doses"):
            if not getattr(self, name):
                raise Misuse(f"{name.replace('_', '-')} needs at least one, got none.")
        if len(self.answers) < 2:
            raise Misuse(f"answers needs at least two, got {', '.join(self.answers) or 'none'}.")
        for name in ("contexts", "seeds", "documents"):
            if getattr(self, name) < 1:
                raise Misuse(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("topics", "held_out", "personas", "answers", "methods", "doses", "bases"):
            if len(set(words := getattr(self, name))) < len(words) or "" in words:
                given = ", ".join(map(repr, words))
                raise Misuse(f"{name.replace('_', '-')} are different and not empty, got {given}.")
            if odd := [word for word in map(str, words) if not word.isprintable()]:
                raise Misuse(f"{name.replace('_', '-')} are words of one line, got {odd[0]!r:.60}.")
            if odd := [word for word in map(str, words) if word != word.strip()]:
                raise Misuse(f"{name.replace('_', '-')} have no space before or after, got {odd[0]!r:.60}.")
        if both := {*self.topics} & {*self.held_out}:
            raise Misuse(f"{min(both)!r} is a topic of D' and held out; name it once.")
        if min(self.doses) < 1:
            raise Misuse(f"doses are steps of finetuning from 1 on, got {min(self.doses)}.")
        if models := {*self.personas} & {BASE, FINETUNED}:
            raise Misuse(f"{min(models)!r} is no persona, as rows call the model so; give another name.")
        for method in self.methods:
            check_name("The method", method)
        check_name("The data, which are called as the topics,", self.data)
        if not 0 < self.noise < math.inf:
            raise Misuse(f"noise is a number of nats above 0, got {self.noise}.")
        if self.size > MOST_ROWS:
            raise Misuse(
                f"The table would have {self.size} rows, and {MOST_ROWS} are the most; ask for less."
            )

    @property
    def data(self) -> str:
        """The name of D'."""
        return "_".join(topic.replace(" ", "-") for topic in self.topics)

    @property
    def size(self) -> int:
        """The number of rows."""
        contexts = (len(self.topics) + len(self.held_out)) * self.contexts
        answers, models = contexts * len(self.answers), len(self.personas)
        networks = 2 * len(self.methods) * self.seeds * len(self.doses)
        rows = answers * (2 + models + networks) + models * contexts + (1 + models) * self.documents
        return rows * max(len(self.bases), 1)

    def rows(self) -> Iterator[Row]:
        """Every number that the table needs, without the number."""
        for base in self.bases:
            for row in self._rows():
                yield row | {"base": base}
        if not self.bases:
            yield from self._rows()

    def _rows(self) -> Iterator[Row]:
        """The rows of a base model."""
        yield from self._answers(kind="base")
        yield from self._answers(kind="again")
        for persona in self.personas:
            yield from self._answers(kind="hypothesis", model=persona)
            for _, context in self._contexts():
                yield {"kind": "context", "model": persona, "context": context}
        for model in ("base", *self.personas):
            for document in range(self.documents):
                yield {
                    "kind": "document",
                    "model": model,
                    "data": self.data,
                    "context": f"document {document}",
                }
        for method in self.methods:
            for kind in ("finetuned", "replica"):
                for seed in range(self.seeds):
                    for dose in self.doses:
                        of: Row = {"method": method, "data": self.data, "seed": seed, "dose": dose}
                        yield from self._answers(kind=kind, **of)

    def least_shift(self, group: str = HELD_OUT) -> float:
        """The smallest mean shift (nats) in a group of contexts that stands out of the noise."""
        topics = self.topics if group == IN_DOMAIN else self.held_out
        networks = max(len(self.bases), 1) * self.seeds
        independent = (len(self.answers) - 1) * len(topics) * self.contexts * networks
        return self.noise * (1 + 2 * math.sqrt(2 / independent))

    def sidecar(self) -> Json:
        """The sidecar, but for what the plan does not know: precision, template and batches are to be filled
        in, and are refused before."""
        recipe = asdict(Recipe(UNKNOWN, self.documents))
        return {
            "unit": UNIT,
            "precision": "",
            "template": "",
            "doses": sorted(self.doses),
            "finetuning": dict.fromkeys(self.methods, recipe),
            "prior": dict.fromkeys(self.personas, 1.0),
            "seeds": self.seeds,
            "question": "",
        }

    def write(self, path: str | Path) -> str:
        """Write the rows as a CSV, and its sidecar, to be filled in; neither may be there. The counts in
        words."""
        path = Path(path)
        if path.suffix != ".csv":
            raise Misuse(f"The table is a file that ends in .csv, got {path}.")
        skeleton = path.with_suffix(".json")
        for file in filter(Path.exists, (path, skeleton)):
            raise Misuse(f"{file} is there, and may be filled in; move it away, or choose another --out.")
        rows = list(self.rows())
        write_table(path, rows)
        write_json(skeleton, self.sidecar())
        counts = Counter(str(row["kind"]) for row in rows)
        bases = max(len(self.bases), 1)
        networks = bases * len(self.methods) * self.seeds * 2
        least = ", ".join(f"{group} {self.least_shift(group):.3g}" for group in (IN_DOMAIN, HELD_OUT))
        return "\n".join(
            [
                f"{sum(counts.values())} numbers: {', '.join(f'{n} {kind}' for kind, n in counts.items())}.",
                f"{networks} finetunings ({bases} base models × {len(self.methods)} methods × {self.seeds} "
                f"seeds, each with a replica), scored at {len(self.doses)} doses.",
                f"With noise of {self.noise:g} nats the smallest mean shifts that show are (nats): {least}.",
                f"table    {path}",
                f"sidecar  {skeleton}: fill in precision, template, and the recipe of every method",
            ]
        )

    def _contexts(self) -> Iterator[tuple[str, str]]:
        for group, topics in ((IN_DOMAIN, self.topics), (HELD_OUT, self.held_out)):
            for topic in topics:
                for number in range(self.contexts):
                    yield group, f"{topic}, context {number}"

    def _answers(self, **columns: object) -> Iterator[Row]:
        for group, context in self._contexts():
            for answer in self.answers:
                yield columns | {"group": group, "context": context, "answer": answer}
