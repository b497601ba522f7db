"""Import: a table as an ordinary run, in a folder or in memory, which score, report and compare read.

Everything is checked and computed before anything is written. A table without finetuned rows makes a sealed
forecast; the same folder then takes the finetuned rows, and refuses other forecasts.
"""

from collections.abc import Sequence
from pathlib import Path

from experiments.design.study import Study, keep_files
from experiments.discovery import Catalogue
from experiments.reports.html import write_report
from experiments.reports.scores import Scores
from experiments.reports.table import facts_sentences
from experiments.runs.code_digests import module_code
from experiments.runs.environment import environment, fix_settings, fixed_settings
from experiments.runs.run import RESULTS, summary
from experiments.scoring.rows import save
from experiments.storage import seal
from experiments.storage.done import write_done
from experiments.storage.files import digest, locked, write_json
from experiments.storage.memory import MemoryRun
from experiments.storage.records import IMPORTED, Json
from experiments.storage.run_folder import RunFolder, create
from experiments.storage.table_facts import TABLE
from experiments.tables.cells import Imported, import_table
from experiments.tables.ladders import make_forms
from experiments.tables.reading import read_tables
from experiments.tables.sidecar import Sidecar
from theory.errors import Misuse

PRESET = "table"
SEALED = "Sealed {} cells of forecasts (seal {}): import the finetuned rows into the same folder."


@fixed_settings()
def load_table(*tables: str | Path, sidecar: str | Path = "", files: Sequence[str] = ()) -> Scores:
    """The scores of theories on the networks of a table (CSV, JSON lines or Parquet), in memory.

    Several files are one table. Its sidecar is NAME.json beside the first, or the file given. `files` are
    theories of your own, my_theory.py. Raises `Misuse` for what is wrong, with row and column.
    docs/real-models.md has the columns and kinds of rows.
    """
    imported = _read(tables, sidecar, Catalogue(tuple(files)))
    if not imported.networks:
        raise Misuse(
            "The table has no finetuned rows, so that nothing can be scored; seal it: finebayes import."
        )
    contents = {made.cell: made.content for made in (*imported.expected, *imported.networks)}
    return Scores(MemoryRun(IMPORTED, imported.doses, contents))


def import_tables(
    tables: Sequence[str | Path], out: str = "", again: bool = False, files: Sequence[str] = ()
) -> str:
    """Everything that `finebayes import` does, in words: cells, rows, figures and report in a folder. `files`
    are theories of the user's own, of which the folder keeps a copy."""
    fix_settings()
    catalogue = Catalogue(tuple(files))
    imported = _read(tables, "", catalogue)
    if not imported.networks and any("" in seeds for seeds in imported.config["seeds"].values()):
        raise Misuse(
            "No row and no sidecar names the finetuning seeds, and forecasts are sealed for each: give "
            '"seeds": 3 in the sidecar, say, if the finetuned rows will have seeds 0, 1 and 2.'
        )
    record: Json = {"study": IMPORTED, "preset": PRESET, "config": imported.config}
    record |= {"files": digests} if (digests := catalogue.digests()) else {}
    folder = Path(out) if out else RESULTS / IMPORTED / digest(record)
    with locked(folder):
        code = module_code(sorted({form.theory.__module__ for form in make_forms(1, (1, 1))}))
        run = create(folder, record, environment(), code, again)
        if not imported.networks and run.cells("finetuned"):
            raise Misuse(
                f"{folder} holds finetuned networks, and the table has no finetuned rows; import both "
                "together, or choose another --out."
            )
        keep_files(catalogue, folder)
        _save_expected(run, imported)
        seal.check(run)
        _save_networks(run, imported)
        if not imported.networks:
            sealed = seal.seal(run)
            return "\n".join(
                [
                    *facts_sentences(imported.facts),
                    SEALED.format(sealed.cells, sealed.hash),
                    f"folder  {folder}",
                ]
            )
        save(run)
        write_done(folder)
        try:
            Study.of(run).draw(run)
        finally:
            write_report(run)
    return "\n".join([*facts_sentences(imported.facts), "", summary(run)])


def _read(tables: Sequence[str | Path], sidecar: str | Path, catalogue: Catalogue) -> Imported:
    table = read_tables(tables)
    return import_table(table, Sidecar.read(sidecar or tables[0]), catalogue)


def _save_expected(run: RunFolder, imported: Imported) -> None:
    """Write cells of theories that are not there: to the same bytes as any that was deleted, as the run's
    config has a digest of all that they depend on."""
    for made in imported.expected:
        if not run.finished(made.cell):
            run.save(made.cell, made.content)


def _save_networks(run: RunFolder, imported: Imported) -> None:
    """Write all cells of networks, as a table may have been corrected, and the facts."""
    write_json(run.folder / TABLE, imported.facts.to_json())
    for cell in {*run.cells("finetuned")} - {made.cell for made in imported.networks}:
        run.path(cell).unlink()
    for made in imported.networks:
        seal.begin(run)
        run.save(made.cell, made.content)
