"""Plans of tables: their rows are a whole table, and the smallest shift is that of simulated noise."""

import json

import numpy as np
import pytest

from experiments.cli import main
from experiments.tables.cells import import_table
from experiments.tables.planning import TablePlan
from experiments.tables.reading import from_records, read_table
from experiments.tables.sidecar import Sidecar
from theory.errors import Misuse

PLAN = TablePlan(
    ("code",), ("health", "law"), ("villain", "helpful"), ("yes", "no", "else"), ("lora",), (5, 10),
    contexts=2, seeds=2, documents=3,
)  # fmt: skip


def test_the_planned_rows_are_a_whole_table():
    """Filled in, they pass every check; hypotheses are left out, so that nothing compiles."""
    rows = [
        row | {"logprob": -1.2}
        for row in PLAN.rows()
        if row["kind"] not in ("hypothesis", "context") and row.get("model") in (None, "base")
    ]
    recipe = {"lora": {"batch": 1, "documents": 3}}
    sidecar = {
        "unit": "nats",
        "precision": "bfloat16",
        "template": "",
        "doses": [5, 10],
        "finetuning": recipe,
    }
    made = import_table(from_records(rows), Sidecar.from_json(sidecar))
    assert [part.cell.name for part in made.networks] == ["finetuned--lora--code--0"]
    assert made.networks[0].content.finetuned.shape == (2, 2, 6, 3)


def test_noise_alone_rarely_exceeds_the_smallest_shift():
    """Answers that differ by noise of a known mean KL; two standard errors are exceeded in 2 to 3 %."""
    random = np.random.default_rng(0)
    base = np.log([0.5, 0.3, 0.2])
    noisy = base + 0.05 * random.normal(size=(4000, 4 * 2, 3))  # repeats, contexts × seeds, answers
    noisy -= np.log(np.exp(noisy).sum(axis=-1, keepdims=True))
    kl = np.sum(np.exp(base) * (base - noisy), axis=-1)
    least = TablePlan(**{**vars(PLAN), "noise": float(kl.mean())}).least_shift()
    exceeded = np.mean(kl.mean(axis=-1) > least)
    assert 0.01 < exceeded < 0.06


def test_the_command_writes_the_plan(tmp_path, capsys):
    path = tmp_path / "plan.csv"
    words = "--topics code --held-out health law --personas villain helpful --answers yes no --methods lora"
    main(["plan-table", *words.split(), "--doses", "5", "10", "--contexts", "2", "--out", str(path)])
    said = capsys.readouterr().out
    assert "6 finetunings (1 base models × 1 methods × 3 seeds" in said and "smallest mean shifts" in said
    assert path.read_text().splitlines()[0].endswith(",logprob")
    with pytest.raises(Misuse, match="row 1, column logprob: '' is no number"):
        read_table(path)


def test_several_base_models_have_every_row_and_show_smaller_shifts():
    several = TablePlan(**{**vars(PLAN), "bases": ("small", "large")})
    rows = list(several.rows())
    assert several.size == len(rows) == 2 * PLAN.size
    assert [row | {"base": "small"} for row in PLAN.rows()] == rows[: PLAN.size]
    assert several.least_shift() - several.noise == pytest.approx((PLAN.least_shift() - PLAN.noise) / 2**0.5)


def test_the_sidecar_is_refused_until_it_is_filled_in(tmp_path):
    """It says everything that the plan knows, and import wants nothing else."""
    PLAN.write(path := tmp_path / "plan.csv")
    with pytest.raises(Misuse, match=r"plan.json: precision is one of float64, .*, got ''"):
        Sidecar.read(path)
    values = json.loads((tmp_path / "plan.json").read_text()) | {"precision": "bfloat16"}
    (tmp_path / "plan.json").write_text(json.dumps(values))
    with pytest.raises(Misuse, match=r"plan.json: batch and documents of lora are at least 1, got "):
        Sidecar.read(path)
    values["finetuning"]["lora"]["batch"] = 2
    (tmp_path / "plan.json").write_text(json.dumps(values))
    sidecar = Sidecar.read(path)
    assert (sidecar.doses, sidecar.seeds, sidecar.finetuning["lora"].documents) == ((5, 10), 2, 3)
    path.unlink()
    with pytest.raises(Misuse, match=r"plan.json is there, and may be filled in"):
        PLAN.write(path)
    assert not path.exists()


def test_a_table_that_may_be_filled_in_is_not_written_over(tmp_path):
    (path := tmp_path / "plan.csv").write_text("base,,,,-0.5\n")
    with pytest.raises(Misuse, match=r"plan.csv is there, and may be filled in"):
        PLAN.write(path)
    assert path.read_text() == "base,,,,-0.5\n"
    with pytest.raises(Misuse, match=r"a file that ends in .csv, got .*plan.txt"):
        PLAN.write(tmp_path / "plan.txt")
    with pytest.raises(Misuse, match=r"would have \d{10} rows, and 5000000 are the most"):
        TablePlan(**{**vars(PLAN), "documents": 10**9 - 100})
    assert PLAN.size == len(list(PLAN.rows()))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"doses": (5, 5)}, "doses are different and not empty, got 5, 5"),
        ({"answers": ("yes", "yes")}, "answers are different and not empty"),
        ({"held_out": ("health", "health ")}, "held-out have no space before or after, got 'health '"),
        ({"topics": ("",)}, "topics are different and not empty, got ''"),
        ({"topics": ("law",)}, "'law' is a topic of D' and held out"),
        ({"personas": ("a\nb",)}, r"personas are words of one line, got 'a\\nb'"),
        ({"bases": ("small", "small")}, "bases are different and not empty, got 'small', 'small'"),
        ({"doses": (5, 0)}, "doses are steps of finetuning from 1 on, got 0"),
        ({"personas": ("base",)}, "'base' is no persona"),
        ({"methods": ("a/b",)}, "The method 'a/b' cannot name a file"),
        ({"topics": ("a/b",)}, "The data, .* 'a/b' cannot name a file"),
        ({"noise": float("inf")}, "noise is a number of nats above 0, got inf"),
    ],
)
def test_a_plan_of_what_import_would_refuse_is_refused(more, sentence):
    with pytest.raises(Misuse, match=sentence):
        TablePlan(**{**vars(PLAN), **more})


def test_an_option_that_is_missing_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["plan-table", "--topics", "code"])
    assert capsys.readouterr().err.startswith("finebayes: plan-table needs --held-out; ")


def test_impossible_plans_are_refused():
    with pytest.raises(Misuse, match="answers needs at least two"):
        TablePlan(**{**vars(PLAN), "answers": ("yes",)})
    with pytest.raises(Misuse, match="held-out needs at least one"):
        TablePlan(**{**vars(PLAN), "held_out": ()})
