"""The commands on tables of log-probabilities: import, plan-table."""

import dataclasses
from typing import Annotated

import tyro

from experiments.commands.parsing import OwnFiles, parse


@dataclasses.dataclass(frozen=True)
class _Import:
    tables: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="TABLE ...")]] = ()
    """Files of one table: .csv, .jsonl or .parquet. NAME.json beside the first is its sidecar: unit,
    precision, template, doses and the recipe of finetuning. Without finetuned rows, forecasts are sealed."""
    files: OwnFiles = ()
    """A theory of your own, my_theory.py, to be scored beside the others; may be given several times."""
    out: str = ""
    """The run's folder (default: results/imported-table/HASH)."""
    again: bool = False
    """Delete the results in the folder first, whatever code made them."""


def import_table(arguments: list[str]) -> None:
    options = parse(_Import, "import", arguments)
    from experiments.runs.environment import prepare_devices

    prepare_devices()
    from experiments.tables.importing import import_tables

    print(import_tables(options.tables, options.out, options.again, options.files))


@dataclasses.dataclass(frozen=True)
class _Plan:
    topics: tuple[str, ...]
    """Topics of D', whose contexts are in-domain."""
    held_out: tuple[str, ...]
    """Topics that theories are judged on."""
    personas: tuple[str, ...]
    """Hypotheses: prompts under which the base model is scored."""
    answers: tuple[str, ...] = ("yes", "no")
    """Answers, the same in every context."""
    methods: tuple[str, ...] = ("lora",)
    """Ways of finetuning."""
    doses: tuple[int, ...] = (10, 30, 100, 300)
    """Steps after which checkpoints are scored."""
    contexts: int = 10
    """Contexts of each topic."""
    seeds: int = 3
    """Finetuning seeds, each with a replica."""
    documents: int = 100
    """Documents in D'."""
    bases: tuple[str, ...] = ()
    """Base models, where there are several: intervals are then over them, too."""
    noise: float = 1.3e-3
    """Mean KL (nats) of a model from itself, scored again; by default what bfloat16 leaves."""
    out: str = "table.csv"
    """The file to be filled in: one row for each number. Its sidecar is NAME.json beside it."""


def plan_table(arguments: list[str]) -> None:
    options = vars(parse(_Plan, "plan-table", arguments))
    from experiments.tables.planning import TablePlan

    out = options.pop("out")
    print(TablePlan(**options).write(out))
