"""Sentences on what a run is: a smoke run, or one with cells missing. No jax."""

from collections import Counter

from experiments.storage.run_folder import RunFolder

SMOKE = "smoke"  # the preset of seconds
OF_SOME = {"posteriors", "retrained"}  # kinds of cells that only the first base networks have


def caveats(run: RunFolder) -> list[str]:
    """Sentences to be read before the numbers of a run; none of an ordinary one."""
    return [*_smoke(run), *missing(run)]


def _smoke(run: RunFolder) -> list[str]:
    if run.config.preset != SMOKE:
        return []
    return [
        "Smoke: few, small and hardly trained networks; what follows shows that everything runs, and is no "
        "verdict."
    ]


def missing(run: RunFolder) -> list[str]:
    """The base networks of which cells are missing, in a sentence; none where rows were saved, which are of
    all cells."""
    if run.rows():
        return []
    cells = [cell for cell in (*run.finished_cells(), *run.failures()) if cell.kind not in OF_SOME]
    counts = Counter(cell.base for cell in cells)
    seeds = run.options.get("pretraining", {}).get("seeds", 0)
    draws = run.options.get("process_seeds", 1) * (1 + len(run.options.get("worlds") or ()))
    most = [max(counts[draw * seeds + row] for row in range(seeds)) for draw in range(draws)] if seeds else []
    short = [base for base in range(seeds * draws) if counts[base] < max(most[base // seeds], 1)]
    if not short:
        return []
    return [
        f"Cells of {len(short)} of {seeds * draws} base networks are missing ({_listed(short)}): what "
        "follows is of the others; run the same command again for all."
    ]


def _listed(numbers: list[int], most: int = 12) -> str:
    shown = ", ".join(map(str, numbers[:most]))
    return shown + (f" and {len(numbers) - most} more" if len(numbers) > most else "")
