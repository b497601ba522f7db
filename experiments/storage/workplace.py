"""Workplace: a run's folder as workers share it. No jax.

workers.json    where they find the base networks, seen from the run's folder
claims/         what they are at (experiments.storage.claims)
"""

import os
from dataclasses import dataclass
from pathlib import Path

from experiments.storage.claims import Claims
from experiments.storage.files import write_json
from experiments.storage.manifests import RunConfig
from experiments.storage.records import Json
from experiments.storage.run_folder import RunFolder
from experiments.storage.typed import typed
from theory.errors import Misuse

WORKERS, CLAIMS = "workers.json", "claims"


@dataclass(frozen=True)
class Workplace:
    """The content of workers.json."""

    networks: str


def note_networks(run: RunFolder, networks: Path) -> None:
    """Note where workers find the base networks, in a folder that is made here."""
    networks.mkdir(parents=True, exist_ok=True)
    relative = os.path.relpath(networks.resolve(), run.folder.resolve())  # machines may mount it elsewhere
    write_json(run.folder / WORKERS, {"networks": Path(relative).as_posix()})


def networks_of(run: RunFolder) -> Path:
    """The folder of base networks that was noted; refused where none was."""
    note = run.record(WORKERS, lambda values: typed(Workplace, values))
    if note is None:
        raise Misuse(
            f"{run.folder} does not say where its base networks are; give --networks, or begin it with "
            "--workers."
        )
    return run.folder.resolve() / note.networks


def join(run: RunFolder, record: Json, code: dict[str, str]) -> None:
    """Refuse a run of other code than this process has: only one code may make its cells."""
    theirs, ours = run.config, RunConfig.from_json(RunConfig.make(record, code))
    changed = theirs.changed_code(ours) if theirs.is_current else ["the version of finebayes"]
    if changed or theirs.hash != ours.hash:
        commit = str(run.environment.get("commit") or "")[:12]
        raise Misuse(
            f"{run.folder} is made by other code than this worker has: {', '.join(changed) or 'its files'} "
            f"changed; start workers from the checkout that began it{f' (commit {commit})' * bool(commit)}."
        )


def refuse_workers(run: RunFolder) -> None:
    """Refuse a folder at which workers are, on this machine or another."""
    living = Claims(run.folder / CLAIMS).living()
    if living:
        name, holder = next(iter(living.items()))
        raise Misuse(
            f"Workers are at {run.folder} ({holder} holds {name}); wait for them, or delete "
            f"{run.folder / CLAIMS} if there are none."
        )
