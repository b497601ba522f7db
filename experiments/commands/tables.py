"""The commands that read tables of log-probabilities: import."""

import dataclasses
from typing import Annotated

import tyro

from experiments.commands.parsing import parse


@dataclasses.dataclass(frozen=True)
class _Import:
    tables: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="TABLE ...")]] = ()
    """Files of one table: .csv, .jsonl or .parquet. NAME.json beside the first is its sidecar: unit,
    precision, template, doses and the recipe of finetuning. Without finetuned rows, forecasts are sealed."""
    out: str = ""
    """The run's folder (default: results/imported-table/HASH)."""
    again: bool = False
    """Delete the results in the folder first, whatever code made them."""


def import_table(arguments: list[str]) -> None:
    options = parse(_Import, "import", arguments)
    from experiments.runs.environment import prepare_devices

    prepare_devices()
    from experiments.tables.importing import import_tables

    print(import_tables(options.tables, options.out, options.again))
