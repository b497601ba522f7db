"""The worked example of docs/real-models.md is a whole table."""

import csv
import json
import re
from pathlib import Path

from experiments.tables.checks import check_table
from experiments.tables.columns import COLUMNS, KINDS, NUMBER
from experiments.tables.inputs import Reader, make_plan
from experiments.tables.reading import from_records
from experiments.tables.sidecar import Sidecar

PAGE = (Path(__file__).parents[3] / "docs" / "real-models.md").read_text(encoding="utf-8")


def test_the_worked_example_is_read():
    (rows,) = re.findall(r"^```csv\n(.*?)^```$", PAGE, flags=re.M | re.S)
    sidecars = re.findall(r"^```json\n(.*?)^```$", PAGE, flags=re.M | re.S)
    table = from_records(csv.DictReader(rows.splitlines()))
    for text in sidecars:
        Sidecar.from_json(json.loads(text))
    sidecar = Sidecar.from_json(json.loads(sidecars[-1]))
    check_table(table, sidecar)
    plan = make_plan(table, sidecar)
    reader = Reader(table, sidecar, plan, "code", "")
    inputs = reader.inputs()
    assert inputs.components.shape == (2, 3, 2) and inputs.documents.shape == (1, 2, 2)
    assert reader.networks("finetuned", "lora").shape == (1, 1, 3, 2)


def test_the_page_names_every_column_and_kind():
    for name in (*COLUMNS, NUMBER, *KINDS):
        assert f"| `{name}` |" in PAGE, name
