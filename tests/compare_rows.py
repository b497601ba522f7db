"""Compare the rows of two runs number by number: python tests/compare_rows.py OLD NEW.

Rows of version 0.1 are read under their new names: order -> replica, seed -> other_base, ceiling ->
best_in_class, trusted -> converged, the prior held -> implied, an arm's b16 -> -batch16. Exit status 1
where a row is missing or a number differs.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

OLD_FIELDS = {"order": "replica", "seed": "other_base", "ceiling": "best_in_class", "trusted": "converged"}
KEYS = ("study", "method", "data", "base", "dose", "theory", "prior", "grade", "group")


def rows(folder: str) -> dict[tuple[object, ...], dict[str, object]]:
    """The rows of a run by what they are of, under their new names."""
    found = {}
    for line in (Path(folder) / "rows.jsonl").read_text(encoding="utf-8").splitlines():
        row = {OLD_FIELDS.get(key, key): value for key, value in json.loads(line).items()}
        row["prior"] = {"held": "implied"}.get(row["prior"], row["prior"])
        row["data"] = re.sub(r"(?<=\d)b(\d+)$", r"-batch\1", row["data"])
        found[tuple(row[key] for key in KEYS)] = {key: row[key] for key in row if key not in KEYS}
    return found


def numbers(value: object) -> Iterator[float]:
    """Every number in a value of a row."""
    if isinstance(value, list):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, (int, float)):
        yield float(value)


def compare(old: str, new: str) -> list[str]:
    """A line for each difference; none where all numbers are equal."""
    before, after = rows(old), rows(new)
    differences = [f"only in {old}: {key}" for key in before.keys() - after.keys()]
    differences += [f"only in {new}: {key}" for key in after.keys() - before.keys()]
    for key in before.keys() & after.keys():
        for name, value in before[key].items():
            if value != after[key].get(name):
                pairs = zip(numbers(value), numbers(after[key].get(name)), strict=False)
                largest = max((abs(a - b) for a, b in pairs), default=float("nan"))
                differences.append(f"{key} {name}: differs by {largest:.3g}")
    return differences


def main() -> None:
    """Print how many rows agree, and what differs."""
    old, new = sys.argv[1:3]
    differences = compare(old, new)
    print(f"{len(rows(old))} rows in {old}, {len(rows(new))} in {new}: {len(differences)} differences")
    print(*sorted(differences)[:40], sep="\n")
    sys.exit(bool(differences))


if __name__ == "__main__":
    main()
