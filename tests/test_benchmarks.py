"""The benchmarks' own arithmetic, the one count among them that is a law (one compilation each), and the
rows that those of the samplers print, at sizes that take no time; no speed is asserted."""

import importlib.util
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import (
    _accelerator_report,
    accelerator,
    against_blackjax,
    against_torch_samplers,
    chain_memory,
    chain_scaling,
    compiler_level,
    curvature_products,
    effective_samples,
    inner_loops,
    langevin_step,
    many_cells,
    pretraining_rates,
    sweep_reading,
    time_to_inference,
    two_looks,
)
from benchmarks.__main__ import table
from benchmarks._posterior import posterior
from benchmarks._timing import interleaved, row
from benchmarks.compilations import count
from benchmarks.training_step import operations
from experiments.design.options import with_options
from experiments.studies import weird_generalisation as study
from models.transformer import Architecture


def test_finetuning_compiles_once():
    counts = count("sgd")
    assert counts.first and not counts.later


def test_rows():
    by_ratio = row("a", [1, 2, 9], "s", "b", [4, 0.4, 0.6], "≥ 0.5")
    assert (by_ratio["value"], by_ratio["low"], by_ratio["high"], by_ratio["ratio"]) == (2, 1, 9, 0.6)
    assert by_ratio["met"] and not row("a", 2, "s", goal="≤ 1")["met"]
    lines = table([{"benchmark": "x", **by_ratio}, {"benchmark": "x", **row("skipped", None, "")}])
    assert "2 (1 - 9)" in lines and lines.splitlines()[-1] == "skipped"


def test_operations():
    sizes = {"network.layers": 1, "network.width": 8, "process.pairs": 3, "pretraining.batch": 5}
    experiment = study.experiment(with_options(study.Config(), sizes))
    tokens, vocabulary = 5 * 6, 11
    products = 6 * tokens * (12 * 8**2 + 8 * vocabulary)
    assert operations(experiment, attention=False) == products
    assert operations(experiment) == products + 12 * 8 * 6 * tokens


def test_interleaved():
    order = []
    taken = interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 0.0)
    assert order == ["a", "b"] * 6 and np.shape(taken["a"]) == (5,)


def rows_of(module, **sizes):
    """The rows of a benchmark by name; all can be printed."""
    rows = module.measure(0.0, **sizes)
    assert all(row["name"] in table([{"benchmark": "x", **row}]) for row in rows)
    return {row["name"]: row for row in rows}


def test_an_accelerator_stands_beside_the_cpu(monkeypatch):
    fast = {"4 chains": [40.0, 50.0, 60.0], "a network learns 0.95 of inference": [2.0]}
    slow = {"4 chains": [10.0], "a network learns 0.95 of inference": [8.0]}
    asked = []
    monkeypatch.setattr(accelerator, "rates", lambda **options: asked.append(options) or fast)
    monkeypatch.setattr(accelerator, "_on_cpu", lambda options: slow)
    assert {row["against"] for row in accelerator.measure(1.0)} == {None}
    assert (asked[-1]["chains"], asked[-1]["networks"]) == (64, 16)
    monkeypatch.setattr(accelerator.jax, "default_backend", lambda: "gpu")
    rows = {row["name"]: row for row in accelerator.measure(1.0)}
    assert (asked[-1]["chains"], asked[-1]["networks"]) == (1024, 64)
    assert rows["4 chains"]["ratio"] == 5.0 and rows["4 chains: the CPU"]["value"] == 10.0
    assert rows["a network learns 0.95 of inference"]["ratio"] == 4.0


@pytest.mark.parametrize("failing", ["", "doctor", "run"])
def test_the_report_of_an_accelerator_is_one_file(tmp_path, monkeypatch, failing):
    def run(words, **_):
        command = next((word for word in ("doctor", "run", "score") if word in words), "benchmark")
        if command == failing:
            return SimpleNamespace(returncode=1, stdout="", stderr="more\nfinebayes: It differs.\n")
        if command == "run":
            Path(words[-1]).mkdir()
            (Path(words[-1]) / "DONE").touch()
        printed = {"doctor": '{"cores": 2}', "benchmark": 'x\n{"rows": [1]}', "score": '[{"a": 1}]'}
        return SimpleNamespace(returncode=0, stdout=printed.get(command, "words"), stderr="")

    monkeypatch.setattr(_accelerator_report.subprocess, "run", run)
    status = _accelerator_report.main(["--out", str(tmp_path / "made" / "report.json"), "--chains", "4"])
    values = json.loads((tmp_path / "made" / "report.json").read_text())
    assert status == bool(failing) and values["benchmark"]["rows"] == [1]
    assert values["study"]["scores"] == [{"a": 1}] * (failing != "run")
    if failing:
        assert values["study" if failing == "run" else failing]["failed"] == ["finebayes: It differs."]


@pytest.mark.slow
def test_accelerator():
    rows = rows_of(accelerator, chains=4, networks=1, steps=1, width=8, wanted=0.01)
    assert [*rows][:2] == ["1 chain", "4 chains"] and all(row["value"] > 0 for row in rows.values())


@pytest.mark.slow
def test_make_accelerator(tmp_path):
    sizes = ["--chains", "1", "--networks", "1", "--seconds", "0", "--wanted", "0.01"]
    assert _accelerator_report.main(["--out", str(tmp_path / "report.json"), *sizes]) == 0
    values = json.loads((tmp_path / "report.json").read_text())
    assert values["doctor"]["accelerator"].startswith("accelerator none") and values["study"]["scores"]
    assert values["benchmark"]["environment"]["settings"]["jax_default_matmul_precision"] == "highest"


def goals(rows):
    return {name for name, row in rows.items() if row["goal"]}


@pytest.mark.slow
def test_inner_loops():
    rows = rows_of(inner_loops, weights=8, positions=(4, 17), steps=2)
    ours = {"attention in sums, 4 positions", "attention in products, 17 positions", "8 normal numbers"}
    ours |= {"4096 categories", "rows of a minibatch of 16", "rows of a minibatch of 128"}
    assert goals(rows) == ours
    assert len(rows) == 12 and all(rows[name]["ratio"] > 0 for name in goals(rows))


@pytest.mark.slow
def test_compiler_level():
    rows = rows_of(compiler_level, width=4, layers=1, documents=2, steps=2)
    assert goals(rows) == {"compile, level as chosen", "step, level as chosen"} and len(rows) == 4
    assert all(rows[name]["ratio"] > 0 for name in goals(rows))


@pytest.mark.slow
def test_langevin_step():
    rows = rows_of(langevin_step, width=8, layers=1, batches=(2,), steps=2)
    assert list(rows) == [
        "bare gradient, 2 documents",
        "SGLD step, 2 documents",
        "HarmonicLangevin step, 2 documents",
        "of that 1144 normal numbers, 2 documents",
        "of that the rows of a minibatch, 2 documents",
    ]
    assert goals(rows) == {"SGLD step, 2 documents", "HarmonicLangevin step, 2 documents"}
    assert all(row["ratio"] > 0 for row in list(rows.values())[1:])


@pytest.mark.slow
def test_against_blackjax():
    pytest.importorskip("blackjax")
    rows = rows_of(
        against_blackjax, width=8, layers=1, batch=2, chains=3, steps=3
    )  # the chains agree, or raise
    assert goals(rows) == {"SGLD, one chain", "SGLD, 3 chains", "MALA, one chain"}
    assert all(rows[name]["against"].startswith("blackjax") for name in goals(rows))
    assert sum(name.startswith("blackjax") for name in rows) == 3


@pytest.mark.slow
def test_effective_samples(monkeypatch):
    plain, whole = effective_samples.PLAIN, effective_samples.WHOLE
    cases = effective_samples._cases
    chosen = lambda *sizes: {name: case for name, case in cases(*sizes).items() if name in (plain, whole)}  # noqa: E731
    model = posterior(8, 1, effective_samples.DOCUMENTS, effective_samples.BATCH)
    monkeypatch.setattr(effective_samples, "_problem", lambda training: (model.network, model, 0.1))
    monkeypatch.setattr(effective_samples, "TRIES", 2)
    monkeypatch.setattr(effective_samples, "_cases", chosen)
    rows = rows_of(effective_samples, evaluations=160, reference=40, chains=4)
    samplers = [name for name in rows if ", step" in name]
    assert [name.split(", step")[0] for name in samplers] == [plain, whole]
    assert rows[samplers[1]]["against"] == plain and rows[samplers[1]]["goal"] == "≥ 3"
    assert sum("bias" in name for name in rows) == 2
    assert 0 < rows["spread of the finetuning loss"]["value"] < 1


@pytest.mark.slow
def test_chain_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(chain_memory, "_apart", lambda function, *arguments: function(*arguments))
    rows = rows_of(chain_memory, samples=(10, 1000), weights=50, figure=tmp_path / "memory.png")
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")
    program = {
        name: [rows[f"{name}, program, {count} draws"]["value"] for count in (10, 1000)]
        for name in (chain_memory.OURS, chain_memory.THEIRS)
    }
    assert program[chain_memory.OURS][0] == program[chain_memory.OURS][1]
    assert program[chain_memory.THEIRS][1] > 10 * program[chain_memory.THEIRS][0]
    assert goals(rows) == {f"run_chains, {what}, 1000 draws" for what in ("process", "program")}


@pytest.mark.slow
def test_chain_scaling():
    rows = rows_of(chain_scaling, chains=5, steps=2, width=8, layers=1)
    assert list(rows) == ["1 chain", "4 chains", "fewest chains with 90% of the best rate"]
    assert rows["4 chains"]["ratio"] > 0 and list(rows.values())[-1]["value"] in (1, 4)


def test_against_torch_samplers():
    rows = rows_of(against_torch_samplers, shape=Architecture(width=16, layers=1), batch=2, steps=3)
    for name in ("devinterp", "posteriors"):
        lines = [line for line in rows if name in line]
        installed = importlib.util.find_spec(name) is not None
        assert (
            len(lines) == (len(against_torch_samplers.CASES) if installed else 1)
            and lines[0].startswith("skipped") != installed
        )
        assert all(math.isfinite(rows[line]["value"]) for line in lines if installed)


@pytest.mark.slow
def test_curvature_products():
    rows = rows_of(curvature_products, width=8, layers=1, documents=2, products=2)
    assert len(rows) == 11 and len(goals(rows)) == 10
    assert rows["kernel product, of a row of 2"]["against"] == "gradient"
    assert all(row["ratio"] > 0 for name, row in rows.items() if name != "gradient")


@pytest.mark.slow
def test_pretraining_rates():
    sizes = {"rates": (0.02,), "steps": (50, 100), "networks": 2, "batch": 4}
    assert len(rows_of(pretraining_rates, widths=(4, 6), **sizes)) == 2  # no time for more than the first
    rows = {row["name"]: row for row in pretraining_rates.measure(60.0, widths=(4,), **sizes)}
    assert list(rows) == [
        *(f"width 4, rate 0.015 (the rule), {steps} steps" for steps in (50, 100)),
        *(f"width 4, rate 0.02, {steps} steps" for steps in (50, 100)),
    ]
    early, late = list(rows.values())[:2]
    assert early["high"] < late["low"] < late["high"] < 1


@pytest.mark.slow
def test_time_to_inference(monkeypatch):
    """PyTorch's share of its steps, where it is installed; ours in any case."""
    monkeypatch.setattr(
        time_to_inference, "RECIPES", {"tokens": (0.003, 100, 0.0), "exact": (0.01, 100, 1.0)}
    )
    rows = rows_of(time_to_inference, wanted=0.05, rounds=1)
    assert rows["ours, 0.05 of inference"]["value"] > 0 and rows["ours, compilation"]["value"] > 0
    installed = importlib.util.find_spec("torch") is not None
    assert len(rows) == (8 if installed else 3) and len(goals(rows)) == (2 if installed else 0)


def test_cells_of_many_cells_are_made_and_scored(monkeypatch):
    monkeypatch.setattr(many_cells, "_memory", lambda count, bases: 1000.0 * count)
    measured = many_cells.measure(0.0, cells=4, takes=0.0, parts=(2, 4))
    assert [line["unit"] for line in measured] == ["ms a cell"] * 4 + ["kB a cell"] * 2
    assert measured[1]["value"] > 0 and measured[-1]["value"] == 1


@pytest.mark.slow
def test_a_folder_of_many_cells_is_scored_by_a_process_of_its_own(tmp_path, capsys):
    many_cells.one_folder(tmp_path, cells=16, bases=2, doses=(1, 8, 32))
    printed = json.loads(capsys.readouterr().out)
    assert (printed["cells"], printed["data"], printed["lines"]) == (16, 4, 4 * 36)
    assert printed["bytes"] >= printed["rows_bytes"] > 0 and (tmp_path / "run" / "rows.jsonl").exists()


@pytest.mark.slow
def test_sweep_reading():
    alone, together = sweep_reading.measure(0.0, points=2, cells=2)
    assert alone["value"] > 0 and together["against"] == "one process" and together["ratio"] > 0


@pytest.mark.slow
def test_two_looks():
    rows = rows_of(two_looks, width=8, layers=1, documents=4, batches=(2,), doses=(3, 6))
    assert goals(rows) == {"two-looks, 3 steps of 2", "two-looks, 6 steps of 2"}
    assert rows["two-looks, 3 steps of 2"]["ratio"] > 0 and "linearised, 6 steps of 2" not in rows
    assert rows["two-looks, one of its 8 gradients"]["value"] > 0
    assert rows["two-looks, one of its 4 Lanczos runs"]["value"] > 0


def test_a_forecast_is_cheap_from_where_a_tenth_of_the_finetuning_takes_as_long():
    """1 + s / 1000 against s / 10, in seconds; and one whose every step takes as long as a tenth."""
    assert two_looks.cheap_from((100, 200), [1.1, 1.2], [10.0, 20.0]) == pytest.approx(1 / 0.009)
    assert two_looks.cheap_from((100, 200), [2.0, 3.5], [10.0, 20.0]) is None
    assert two_looks.cheap_from((100, 200), [0.1, 0.2], [10.0, 20.0]) == pytest.approx(0, abs=1e-6)
