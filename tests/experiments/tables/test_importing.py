"""An imported table is an ordinary run's folder: sealed, scored, reported and compared like any other."""

import json

import pytest

from experiments.cli import main
from experiments.design.study import Study, StudyRun
from experiments.scoring.rows import table as rows_of
from experiments.scoring.scorecard import scorecard
from experiments.storage import seal
from experiments.storage.run_folder import DONE, find
from experiments.tables.importing import import_tables
from theory.errors import Misuse


@pytest.fixture(scope="module")
def world(tables):
    return tables.World()


def expectations(world):
    """What is known before finetuning, without hypotheses: nothing has to be compiled."""
    rows = [row | {"data": "letters"} for row in world.expectations() if row["kind"] == "base"]
    for seed in range(2):
        for dose in (2, 8):
            of = {"method": "sgd", "data": "letters", "seed": seed, "dose": dose, "model": "my-theory"}
            rows += list(world.answers(world.after(seed, dose / 2), kind="prediction", **of))
    return rows


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr(Study, "draw", lambda self, run: [])


def test_forecasts_are_sealed_before_the_networks_and_cannot_change(tables, world, tmp_path, no_figures):
    sidecar, out = world.sidecar(prior={}, question="Does the model turn rude?"), str(tmp_path / "out")
    before = tables.write(tmp_path, expectations(world), sidecar, "before")
    assert "Sealed 2 cells" in import_tables([before], out)
    run = find(out)
    sealed = seal.check(run)
    assert sealed.cells == 2 and not (run.folder / DONE).exists()

    bytes_before = {path.name: path.read_bytes() for path in (run.folder / "cells").iterdir()}
    after = tables.write(tmp_path, list(world.networks()), sidecar, "after")
    said = import_tables([before, after], out)
    assert "There are no replica rows" in said and (run.folder / DONE).exists()
    assert seal.check(run).began > sealed.made
    for name, content in bytes_before.items():
        assert (run.folder / "cells" / name).read_bytes() == content
    (line,) = [line for line in scorecard(rows_of(run)) if line.theory == "my-theory" and line.dose == 8
               and line.group == "held_out"]  # fmt: skip
    assert line.grade == "forecast" and line.explained == pytest.approx(1, abs=1e-5)
    report = (run.folder / "report.html").read_text()
    for text in ("Does the model turn rude?", "sealed on", "the finetuned rows were imported on",
                 "There are no hypothesis rows", "finebayes import TABLE"):  # fmt: skip
        assert text in report
    with pytest.raises(Misuse, match="holds an imported table"):
        StudyRun.of(run)

    kept = {path.name: path.read_bytes() for path in (run.folder / "cells").iterdir()}
    with pytest.raises(Misuse, match="holds finetuned networks, and the table has no finetuned rows"):
        import_tables([before], out)
    assert kept == {path.name: path.read_bytes() for path in (run.folder / "cells").iterdir()}

    other = [
        row | ({"logprob": row["logprob"] - 0.1} if row["kind"] == "prediction" else {})
        for row in expectations(world)
    ]
    changed = tables.write(tmp_path, other, sidecar, "changed")
    with pytest.raises(Misuse, match="another config"):
        import_tables([changed, after], out)


def test_forecasts_without_seeds_are_not_sealed_as_no_network_could_be_scored_by_them(
    tables, world, tmp_path
):
    rows = [row for row in expectations(world) if row["kind"] == "base"]
    before = tables.write(tmp_path, rows, world.sidecar(prior={}), "before")
    with pytest.raises(Misuse, match='"seeds": 3 in the sidecar'):
        import_tables([before], str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    before = tables.write(tmp_path, rows, world.sidecar(prior={}, seeds=2), "before")
    assert "Sealed 2 cells" in import_tables([before], str(tmp_path / "out"))


def test_networks_that_were_corrected_replace_the_others(tables, world, tmp_path, no_figures):
    sidecar, out = world.sidecar(prior={}), str(tmp_path / "out")
    every = [*expectations(world), *world.networks(), *world.networks(noise=0.1)]
    first = tables.write(tmp_path, every[: -len(list(world.networks()))], sidecar, "first")
    import_tables([first], out)
    shifts = [row.shift for row in rows_of(find(out))]
    second = tables.write(tmp_path, [*expectations(world), *world.networks(noise=0.1)], sidecar, "second")
    import_tables([second], out)
    assert shifts != [row.shift for row in rows_of(find(out))]


def test_a_damaged_cell_of_a_table_is_imported_again_to_the_same_bytes(tables, world, tmp_path, no_figures):
    sidecar, out = world.sidecar(prior={}), str(tmp_path / "out")
    before = tables.write(tmp_path, expectations(world), sidecar, "before")
    import_tables([before], out)
    after = tables.write(tmp_path, list(world.networks()), sidecar, "after")
    import_tables([before, after], out)
    run = find(out)
    kept = {path.name: path.read_bytes() for path in (run.folder / "cells").iterdir()}
    for cell in (run.cells("theories")[0], run.cells("finetuned")[0]):
        path = run.path(cell)
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(Misuse, match=r"is damaged .*; delete it and import the table again: no"):
            run.load(cell)
        path.unlink()
        with pytest.raises(Misuse, match=r"is missing: the cell is not finished; import the table again"):
            run.load(cell)
    import_tables([before, after], out)
    assert kept == {path.name: path.read_bytes() for path in (run.folder / "cells").iterdir()}
    (run.folder / "finetuning.json").write_text("{")
    with pytest.raises(Misuse, match="put it back, or import the table again in another folder"):
        seal.check(run)


@pytest.mark.slow
def test_the_whole_way_on_the_command_line(tables, world, tmp_path, capsys):
    path, out = tables.write(tmp_path, world.rows(noise=0.01), world.sidecar()), tmp_path / "out"
    main(["import", str(path), "--out", str(out)])
    assert "tempered posterior    forecast  1 − 0.0001" in capsys.readouterr().out
    assert (out / "figures" / "imported-table.png").exists()
    main(["score", str(out), "--json"])
    lines = json.loads(capsys.readouterr().out)
    assert {line["theory"] for line in lines} >= {"tempered-posterior", "geometric-path", "narrow-or-broad"}
    main(["score", str(out)])
    assert "outside the convex hull" in capsys.readouterr().out
    main(["report", str(out)])
    main(["compare", str(out), "--out", str(tmp_path / "compared")])
    assert "tempered-posterior" in (tmp_path / "compared" / "scorecard.csv").read_text()
