"""What is wrong with a table is named by row and column, and nothing is written."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.cli import main
from experiments.tables.cells import import_table
from experiments.tables.inputs import natural
from experiments.tables.reading import from_records, read_table
from experiments.tables.sidecar import Sidecar
from theory.errors import Misuse


@pytest.fixture(scope="module")
def world(tables):
    return tables.World()


@pytest.fixture
def rows(world):
    """Without hypotheses: nothing has to be compiled."""
    return [row for row in world.rows() if row["kind"] in ("base", "finetuned", "replica")]


def refused(rows, sidecar, sentence):
    with pytest.raises(Misuse, match=sentence):
        import_table(from_records(rows), Sidecar.from_json(json.loads(json.dumps(sidecar))))


def first(rows, **columns):
    """The number of the first row with these columns."""
    return next(
        index
        for index, row in enumerate(rows)
        if all(row.get(name) == value for name, value in columns.items())
    )


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("logprob", 1.5, r"the table, row 2, column logprob: 1.5 is above 0"),
        ("logprob", "nan", r"row 2, column logprob: nan is no finite number"),
        ("logprob", "-inf", r"row 2, column logprob: -inf is no finite number"),
        ("logprob", "much", r"row 2, column logprob: 'much' is no number"),
        ("kind", "bases", r"row 2, column kind: 'bases' is none of base, again"),
        ("logprob", -1e308, r"row 2, column logprob: -1e\+308 is below -1e\+09"),
        ("answer", "", r"row 2, column answer: a row of kind base needs one"),
    ],
)
def test_a_wrong_value_is_named(rows, world, column, value, sentence):
    rows[1] = rows[1] | {column: value}
    refused(rows, world.sidecar(prior={}), sentence)


def test_numbers_of_any_length_are_words(rows, world, tmp_path):
    at = first(rows, kind="finetuned")
    refused(
        [*rows[:at], rows[at] | {"dose": "9" * 5000}, *rows[at + 1 :]],
        world.sidecar(prior={}),
        rf"row {at + 1}, column dose: '99.* is no whole number from 1 on",
    )
    refused(
        [*rows[:at], rows[at] | {"seed": "9" * 5000}, *rows[at + 1 :]],
        world.sidecar(prior={}),
        "kind finetuned.*there is no row for it",
    )
    (path := tmp_path / "table.jsonl").write_text('{"kind": "base", "logprob": -' + "9" * 5000 + "}\n")
    assert read_table(path).logprob[0] == -np.inf
    assert natural(["10", "9", "09x", "9x", "a10", "a9"]) == ["9", "09x", "9x", "10", "a9", "a10"]


def test_half_a_character_is_named_before_anything_is_written(tmp_path):
    (path := tmp_path / "table.jsonl").write_text('{"kind": "base", "answer": "\\ud800", "logprob": -1}\n')
    with pytest.raises(Misuse, match=r"table.jsonl, column answer: .* half a character"):
        read_table(path)
    (tmp_path / "table.json").write_text('{"question": "\\ud800"}')
    with pytest.raises(Misuse, match=r"table.json is damaged .it holds half a character"):
        Sidecar.read(path)


def test_answers_whose_probabilities_are_no_floats_are_renormalised(rows, world):
    """Long answers: all of one context are below the smallest number."""
    base = world.base[0] - np.log(np.exp(world.base[0]).sum())
    small = [
        row | ({"logprob": row["logprob"] - 800} if row["context"] == "question 0" else {}) for row in rows
    ]
    made = import_table(from_records(small), Sidecar.from_json(world.sidecar(prior={})))
    np.testing.assert_allclose(made.expected[0].content.contexts.base[0], base, atol=1e-4)


def test_a_prediction_does_not_take_the_name_of_a_theory_that_is_computed(rows, world):
    named = [
        row | {"kind": "prediction", "model": "answer-bias"} for row in rows if row["kind"] == "finetuned"
    ]
    refused(
        [*rows, *named],
        world.sidecar(prior={}),
        rf"row {len(rows) + 1}, column model: answer-bias is computed here; give the prediction another name",
    )


def test_a_cell_that_two_rows_have_is_named_with_both(rows, world):
    rows.append(rows[3] | {"logprob": -7.0})
    refused(rows, world.sidecar(prior={}), rf"row {len(rows)}, column logprob: the table, row 4 has the same")


def test_a_cell_that_no_row_has_is_named(rows, world):
    at = first(rows, kind="finetuned", seed=1, dose=8, answer="maybe", context="question 2")
    del rows[at]
    refused(
        rows,
        world.sidecar(prior={}),
        "kind finetuned, data 'letters', seed '1', dose '8', group 'in_domain', context 'question 2', answer "
        "'maybe': there is no row",
    )


def test_answers_that_differ_between_models_are_refused(rows, world):
    at = first(rows, kind="finetuned")
    rows[at] = rows[at] | {"answer": "never"}
    refused(rows, world.sidecar(prior={}), rf"row {at + 1}, column answer: 'never' has no counterpart")


def test_contexts_without_a_base_row_are_refused(rows, world):
    at = first(rows, kind="finetuned")
    rows[at] = rows[at] | {"context": "question 99"}
    refused(rows, world.sidecar(prior={}), rf"row {at + 1}, column context: no base row has it")


def test_another_base_of_the_logarithm_is_noticed(world, tables):
    whole = tables.World(outside=0.0)
    rows = [row for row in whole.rows() if row["kind"] in ("base", "finetuned")]
    for name, base in (("log2", 2.0), ("log10", 10.0)):
        wrong = [row | {"logprob": row["logprob"] / np.log(base)} for row in rows]
        refused(wrong, world.sidecar(prior={}), rf"row 1, column logprob: .*if these are {name}.*multiply")


def test_probabilities_that_add_to_more_than_one_are_refused(rows, world):
    at = first(rows, kind="replica", seed=0, dose=2, context="question 4", answer="no")
    rows[at] = rows[at] | {"logprob": -1e-3}
    refused(rows, world.sidecar(prior={}), "kind replica.*context 'question 4', column logprob.*natural")


def test_probability_outside_the_answers_is_refused_above_a_threshold(world, tables):
    rows = [row for row in tables.World(outside=0.3).rows() if row["kind"] in ("base", "finetuned")]
    refused(rows, world.sidecar(prior={}, most_outside=0.2), "30 % of the probability is outside")
    import_table(from_records(rows), Sidecar.from_json(world.sidecar(prior={}, most_outside=0.4)))


@pytest.mark.parametrize("tokens", ["0", "-1", "2.5", "two", "1e3", "9" * 30])
def test_numbers_of_tokens_that_are_none_are_refused(rows, world, tokens):
    rows[2] = rows[2] | {"tokens": tokens}
    refused(rows, world.sidecar(prior={}), r"row 3, column tokens: '.*' is no number of tokens, from 1 on")


def test_mixed_tokenisations_are_refused(rows, world):
    rows = [row | {"tokens": 2} for row in rows]
    at = first(rows, kind="finetuned", context="question 1", answer="yes")
    rows[at] = rows[at] | {"tokens": 3}
    refused(
        rows, world.sidecar(prior={}), rf"row {at + 1}, column tokens: 3 tokens, and 2 in the table, row 5"
    )


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"unit": "bits"}, "unit is 'bits'.*multiply log10 by 2.302585"),
        ({"precision": "int8"}, "precision is one of float64"),
        ({"doses": [2]}, "column dose: 8 is none of the sidecar's doses"),
        ({"doses": [8, 2]}, "doses are steps of finetuning, ascending"),
        ({"finetuning": {"lora": {"batch": 2, "documents": 4}}}, "column method: sgd has no recipe"),
        ({"finetuning": {}}, "finetuning needs a recipe"),
        ({"prior": {"kind": 1.0}}, "The prior weighs kind, and hypotheses are"),
        ({"doses": "10"}, "doses of the sidecar is a list, each a whole number, got '10'"),
        ({"finetuning": {"sgd": {"documents": 4}}}, "the recipe has no batch"),
        ({"temperature": 1}, "the unknown field 'temperature'; its fields are unit, precision"),
        ({"seeds": -1}, "seeds is a number from 0 .*, got -1"),
        ({"seeds": 10**9}, "seeds is a number from 0 .* to 10000"),
        ({"prior": {"kind": "inf"}}, "Weights of the prior are above 0, each at least"),
        ({"prior": {"kind": 1e-320, "rude": 1.0}}, "Weights of the prior are above 0, each at least"),
    ],
)
def test_a_wrong_sidecar_is_refused(rows, world, more, sentence):
    refused(rows, world.sidecar(**{"prior": {}, **more}), sentence)


def test_a_sidecar_has_every_name_once_and_may_begin_with_a_byte_order_mark(world, tmp_path):
    text = json.dumps(world.sidecar())
    (path := tmp_path / "table.json").write_text("\ufeff" + text, encoding="utf-8")
    assert Sidecar.read(tmp_path / "table.csv") == Sidecar.from_json(json.loads(text))
    for twice in (text.replace("{", '{"unit": "bits", ', 1), text.replace('"batch"', '"batch": 1, "batch"')):
        path.write_text(twice)
        with pytest.raises(Misuse, match=r"table.json is damaged .it has two values of '(unit|batch)'; give"):
            Sidecar.read(tmp_path / "table.csv")


def test_documents_are_those_of_the_recipe(world):
    rows = [row for row in world.rows() if row["kind"] != "context"]
    recipe = {"sgd": {"batch": 2, "documents": 5}}
    refused(rows, world.sidecar(finetuning=recipe), "4 documents in the table, but 5 in the recipe of sgd")


def test_nothing_is_written_and_the_command_ends_with_the_sentence(tables, rows, world, tmp_path, capsys):
    rows[0] = rows[0] | {"logprob": 2.0}
    path = tables.write(tmp_path, rows, world.sidecar(prior={}))
    with pytest.raises(SystemExit) as end:
        main(["import", str(path), "--out", str(tmp_path / "out")])
    assert end.value.code == 1 and not (tmp_path / "out").exists()
    assert "table.csv, row 1, column logprob: 2 is above 0" in capsys.readouterr().err


def test_parquet_holds_the_same_table(tables, tmp_path):
    """Numbers as numbers, words as a dictionary, nothing as null; 3.0 is the seed 3."""
    arrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow, the extra `tables`")
    from pyarrow import parquet

    rows = tables.World().rows()
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    made = arrow.table(columns)
    kinds = made.column("kind").dictionary_encode()
    seeds = made.column("seed").cast(arrow.float64())
    made = made.set_column(names.index("kind"), "kind", kinds)
    made = made.set_column(names.index("seed"), "seed", seeds)
    parquet.write_table(made, tmp_path / "table.parquet", row_group_size=100)
    first, second = (
        read_table(path) for path in (tables.write(tmp_path, rows, {}), tmp_path / "table.parquet")
    )
    np.testing.assert_allclose(first.logprob, second.logprob, rtol=1e-15)
    for column in first.codes:
        assert [first.word(column, row) for row in range(len(first))] == [
            second.word(column, row) for row in range(len(second))
        ]
    (tmp_path / "damaged.parquet").write_bytes((tmp_path / "table.parquet").read_bytes()[:-20])
    with pytest.raises(Misuse, match=r"damaged.parquet is no Parquet file"):
        read_table(tmp_path / "damaged.parquet")


def test_files_that_are_no_tables_are_refused(tmp_path):
    (tmp_path / "table.txt").write_text("kind,logprob\n")
    (tmp_path / "short.csv").write_text("kind,logprob\nbase\n")
    (tmp_path / "other.csv").write_text("kind,logprob,colour\nbase,-1,red\n")
    (tmp_path / "twice.jsonl").write_text('{"kind": "base", "logprob": -1, "logprob": -2}\n')
    (tmp_path / "broken.jsonl").write_text('{"kind": "base", "logprob": -1}\n[1]\n')
    (tmp_path / "table.parquet").write_bytes(b"PAR1")
    for name, sentence in {
        "table.txt": "is no table",
        "short.csv": "short.csv, row 1: there are 1 fields, and 2 columns",
        "other.csv": "has a column 'colour'",
        "twice.jsonl": "twice.jsonl, row 1 is wrong: it has two values of 'logprob'; give one.",
        "broken.jsonl": "broken.jsonl, row 2 is no JSON object",
        "table.parquet": "table.parquet (needs pyarrow|is no Parquet file)",
        "missing.csv": "There is no file",
    }.items():
        with pytest.raises(Misuse, match=sentence):
            read_table(tmp_path / name)


def test_formats_hold_the_same_table(world, tables, tmp_path):
    rows = world.rows()
    lines = tmp_path / "table.jsonl"
    lines.write_text("\ufeff" + "".join(json.dumps(row) + "\n" for row in rows))  # as Windows tools do
    first, second = read_table(tables.write(tmp_path, rows, {})), read_table(lines)
    np.testing.assert_allclose(first.logprob, second.logprob, rtol=1e-15)
    for column in first.codes:
        assert [first.word(column, row) for row in range(len(first))] == [
            second.word(column, row) for row in range(len(second))
        ]


# The peak of the process's own memory: ru_maxrss would count the parent's, too, from before exec.
READ = """
import re, sys, time
from pathlib import Path
from experiments.tables.reading import read_table
start = time.process_time()
table = read_table(sys.argv[1])
seconds = time.process_time() - start
kilobytes = re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]
print(len(table), seconds, int(kilobytes) / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_million_rows_take_less_than_ten_seconds_and_a_gigabyte(ending, tmp_path):
    """In a process of its own: the memory is that of reading, not of the tests before."""
    count = np.arange(1_000_000)
    columns = {
        "kind": ["finetuned"] * len(count),
        "method": ["sgd"] * len(count),
        "data": ["letters"] * len(count),
        "seed": (count % 5).tolist(),
        "dose": (count % 7 + 1).tolist(),
        "group": ["held_out"] * len(count),
        "context": [f"Question number {row // 4 % 2000}: what do you say to that?" for row in count],
        "answer": [f"answer {row % 4}" for row in count],
        "logprob": (-1 - count % 13 / 7).tolist(),
    }
    path = tmp_path / f"table{ending}"
    if ending == ".parquet":
        arrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow, the extra `tables`")
        from pyarrow import parquet

        parquet.write_table(arrow.table(columns), path)
    else:
        with path.open("w", newline="") as file:
            lines = zip(*columns.values(), strict=True)
            if ending == ".csv":
                csv.writer(file).writerows([columns, *lines])
            else:
                file.writelines(json.dumps(dict(zip(columns, line, strict=True))) + "\n" for line in lines)
    done = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True, check=True)
    rows, seconds, gigabytes = (float(number) for number in done.stdout.split())
    assert rows == 1_000_000 and seconds < 10 and gigabytes < 1, done.stdout
    print(f"{ending}: {seconds:.1f} s, {gigabytes:.2f} GB")
