"""Workers: every cell once, whoever takes it; what dies, fails or is of other code. Stand-ins compute."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.design.options import with_options
from experiments.design.study import Study, StudyRun
from experiments.runs import work
from experiments.runs.cell_by_cell import Finished
from experiments.runs.job import Job
from experiments.runs.progress import Silent
from experiments.runs.work import Worker, jobs_of
from experiments.storage.archive import DamagedCell
from experiments.storage.records import Cell
from experiments.storage.run_folder import DONE, RunFolder, create
from experiments.storage.sweep_folder import create_sweep
from experiments.storage.workplace import join, note_networks, refuse_workers
from theory.errors import Misuse

CELLS = [Cell(kind, "arm", base, "sgd" * (kind != "theories")) for base in range(8) for kind in
         ("theories", "replays", "finetuned")]  # fmt: skip
PROGRESS = Silent()


class StandIn(Worker):
    """A worker whose cells are files; `made` are their names and those of finished runs, in order."""

    def __init__(self, jobs, made, seconds=0.0):
        super().__init__(jobs, PROGRESS)
        self.made, self.seconds = made, seconds

    def _opened(self, job, experiment):
        return self, None

    def _settle(self):
        pass


class Spoken(Silent):
    """Progress whose lines are kept."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def stand_in_cells(worker, bases, run, cells, kept):
    for cell in cells:
        time.sleep(worker.seconds)
        run.path(cell).parent.mkdir(exist_ok=True)
        np.savez(run.path(cell), arm=cell.arm)
        worker.made.append(cell.name)
        yield Finished(cell, "", [])


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    """Nothing is compiled, and a run is finished by its last two files."""

    def finish(made, experiments, kept, draw, progress):
        assert made.results() == {cell.name for cell in CELLS}
        for name in ("report.html", DONE):
            (made.folder / name).touch()

    monkeypatch.setattr(work, "one_by_one", stand_in_cells)
    monkeypatch.setattr(work, "finish", finish)
    monkeypatch.setattr(work, "compile_fast", lambda: None)
    monkeypatch.setattr(work.InThisProcess, "drop", lambda *_: None)
    monkeypatch.setattr(work, "FIRST", 0.01)


def job(folder, sweep=None, point=None, heads=4, **more):
    """A job whose experiment has the cells above."""
    made = Job(RunFolder(folder), folder / "networks", PROGRESS, sweep, point, **more)
    study = Study.find("weird-generalisation")
    run = StudyRun.make(study, "smoke", with_options(study.preset("smoke"), {"network.heads": heads}))
    if not (folder / "config.json").exists():
        create(folder, run.record, {})
    made.__dict__["study_run"] = run
    made.__dict__["experiments"] = [SimpleNamespace(first_base=0, cells=lambda: CELLS)]
    return made


def test_every_cell_is_made_once_by_whoever_takes_it(tmp_path):
    made = [[], [], []]
    workers = [StandIn([job(tmp_path)], names, 0.003) for names in made]
    for rank, worker in enumerate(workers):
        worker.rank = rank
    threads = [threading.Thread(target=worker.work) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for names in made for name in names) == sorted(cell.name for cell in CELLS)
    assert min(map(len, made)) > 0 and (tmp_path / DONE).exists()
    first = {names[0].partition("--")[0] for names in made}
    assert len(first) == 3  # nothing is compiled twice in the beginning
    assert not list((tmp_path / "claims").glob("*")) and (tmp_path / "finetuning.json").exists()


def test_a_worker_goes_on_with_what_it_has_compiled(tmp_path):
    worker = StandIn([job(tmp_path)], [])
    worker.work()
    kinds = [name.partition("--")[0] for name in worker.made]
    assert sum(kind != before for kind, before in zip(kinds[1:], kinds, strict=False)) == 2


def test_workers_part_by_the_programs_that_they_compile(tmp_path):
    heads = [1, 1, 1, 2, 2, 4]
    jobs = [job(tmp_path / str(number), heads=count) for number, count in enumerate(heads)]

    def order(rank, shapes=(), held=()):
        worker = StandIn(jobs, [])
        worker.rank, worker._programs.shapes = rank, shapes
        claims = [jobs[number].claims.take("finish") for number in held]
        made = [int(made.made.folder.name) for made in worker._in_order(worker._parted())]
        for claim in claims:
            claim.__exit__(None, None, None)
        return made

    assert [order(rank)[0] for rank in range(5)] == [0, 3, 5, 1, 4]
    assert order(0, held=[0]) == [3, 4, 5, 1, 2, 0]  # others compile what the second run needs
    assert order(1, jobs[0].shapes, held=[0, 3]) == [1, 2, 5, 4, 0, 3]  # what it has compiled comes first
    jobs[5].__dict__["_trained"] = {"networks"}
    with jobs[5].kept._claims.take("networks"):
        assert order(2) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("figures", "drawn"), [(True, 1), (False, 0)])
def test_runs_of_a_sweep_are_drawn_where_that_is_wanted(tmp_path, sweeps, monkeypatch, figures, drawn):
    sweep, seen = create_sweep(tmp_path / "sweep", sweeps.plan("process.style=1").record), []

    def finish(made, experiments, kept, draw, progress):
        seen.append(draw is not None)
        for name in (DONE, *["report.html"] * seen[-1]):
            (made.folder / name).touch()

    monkeypatch.setattr(work, "finish", finish)
    (point,) = sweep.record.points
    StandIn([job(sweep.run(point).folder, sweep, point, figures=figures)], []).work()
    assert seen == [figures] and len(list(tmp_path.glob("**/report.html"))) == drawn


def test_a_deleted_cell_is_made_again_and_a_failed_one_is_not(tmp_path):
    StandIn([job(tmp_path)], []).work()
    run = RunFolder(tmp_path)
    run.path(CELLS[0]).unlink()
    run.path(CELLS[5]).unlink()
    run.fail(CELLS[5], "not finite")
    again = StandIn([job(tmp_path)], [])
    again.work()
    assert again.made == [CELLS[0].name] and (tmp_path / DONE).exists()


def cut(path):
    """Cut a file short, as a full disk or a lost connection does."""
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize("finished", [True, False])
def test_a_cell_that_was_cut_short_is_kept_aside_and_made_again(tmp_path, finished):
    StandIn([job(tmp_path)], []).work()
    run = RunFolder(tmp_path)
    cut(run.path(CELLS[4]))
    if not finished:
        run.path(CELLS[7]).unlink()
        (tmp_path / DONE).unlink()
    again = StandIn([job(tmp_path)], [])
    again.progress = Spoken()
    again.work()
    assert again.made == [CELLS[4].name] + [CELLS[7].name] * (not finished)
    assert (tmp_path / DONE).exists() and not run.cut_short() and not list((tmp_path / "claims").glob("*"))
    name = f"{CELLS[4].name}.npz"
    assert f"{name} is damaged; it is kept as {name}.damaged, and made again" in again.progress.lines[0]
    assert (tmp_path / "cells" / f"{name}.damaged").exists() and not run.strays()  # it was named above


def test_a_cell_that_scoring_finds_damaged_is_made_again(tmp_path, monkeypatch):
    """Its end is as it should be: only the digest of what is in it tells."""
    scored = []

    def finish(made, *rest):
        scored.append(made)
        if len(scored) == 1:
            raise DamagedCell("cells/x is damaged", CELLS[2])
        for name in ("report.html", DONE):
            (made.folder / name).touch()

    monkeypatch.setattr(work, "finish", finish)
    worker = StandIn([job(tmp_path)], [])
    worker.work()
    assert worker.made.count(CELLS[2].name) == 2 and len(worker.made) == len(CELLS) + 1
    assert len(scored) == 2 and (tmp_path / DONE).exists()


def test_an_error_releases_the_cell_and_keeps_what_is_finished(tmp_path, monkeypatch):
    def failing(worker, *rest):
        for index, finished in enumerate(stand_in_cells(worker, *rest)):
            if index == 3:
                raise OSError(122, "Disk quota exceeded", "cell")
            yield finished

    with monkeypatch.context() as changed:
        changed.setattr(work, "one_by_one", failing)
        with pytest.raises(OSError, match="quota"):
            StandIn([job(tmp_path)], []).work()
    assert len(RunFolder(tmp_path).results()) == 4 and not list((tmp_path / "claims").glob("*"))
    rest = StandIn([job(tmp_path)], [])
    rest.work()
    assert len(rest.made) == len(CELLS) - 4 and (tmp_path / DONE).exists()


def test_points_of_a_sweep_fail_alone(tmp_path, sweeps, monkeypatch):
    plan = sweeps.plan("process.style=0.5,1,2")
    sweep = create_sweep(tmp_path / "sweep", plan.record)
    jobs = [job(sweep.run(point).folder, sweep, point) for point in sweep.record.points]

    def refused(worker, bases, run, cells, kept):
        if run.folder == jobs[1].made.folder:
            raise Misuse("Pretraining diverged.")
        yield from stand_in_cells(worker, bases, run, cells, kept)

    monkeypatch.setattr(work, "one_by_one", refused)
    StandIn(jobs, []).work()
    points = sweep.record.points
    assert [sweep.status(point) for point in points] == ["finished", "failed", "finished"]
    assert sweep.reason(points[1]) == "Pretraining diverged."


@pytest.mark.parametrize("scores", [True, False])
def test_scores_of_a_sweep_are_left_to_a_command_that_follows_its_workers(
    tmp_path, sweeps, monkeypatch, scores
):
    made = sweeps.make(tmp_path / "s", sweeps.plan("style=0.5,1"), lambda values: {"linearised": 0.9})
    monkeypatch.setattr(Worker, "work", lambda worker: None)
    work.work([str(made.folder)], str(tmp_path), scores=scores)
    assert (made.folder / "scores.csv").exists() == scores


def test_folders_that_no_worker_can_use_are_refused(tmp_path, sweeps):
    with pytest.raises(Misuse, match="There is no folder"):
        jobs_of([str(tmp_path / "none")], "", PROGRESS)
    made = job(tmp_path / "run").made
    with pytest.raises(Misuse, match="does not say where its base networks are; give --networks"):
        jobs_of([str(made.folder)], "", PROGRESS)
    note_networks(made, tmp_path / "networks")
    assert jobs_of([str(made.folder)], "", PROGRESS)[0].networks.samefile(tmp_path / "networks")
    (made.folder / "cells").mkdir(exist_ok=True)
    (made.folder / "cells" / "notes[b].txt").touch()
    lines = []
    jobs_of([str(made.folder)], "", SimpleNamespace(say=lines.append))  # no warning, which would be an error
    assert len(lines) == 1 and "notes\\[b].txt is ignored" in lines[0]
    (tmp_path / "networks").rmdir()
    with pytest.raises(Misuse, match=r"where the base networks of .* are kept, is not there on this machine"):
        jobs_of([str(made.folder)], "", PROGRESS)
    create_sweep(tmp_path / "sweep", sweeps.plan("process.style=0.5,1").record)
    with pytest.raises(Misuse, match=r"2 of 2 runs of .*sweep have no folder yet \(first style=0.5\)"):
        jobs_of([str(tmp_path / "sweep")], "", PROGRESS)


def test_a_worker_of_other_code_is_refused(tmp_path):
    record = {"study": "mixtures", "preset": "smoke", "config": {}}
    run = create(tmp_path, record, {"commit": "0123456789abcdef"}, {"theory.a": "1", "theory.b": "1"})
    join(run, record, {"theory.a": "1", "theory.b": "1"})
    with pytest.raises(Misuse, match=r"other code .*: theory\.b changed; .* \(commit 0123456789ab\)"):
        join(run, record, {"theory.a": "1", "theory.b": "2"})
    with pytest.raises(Misuse, match="its files changed"):
        join(run, record | {"config": {"seed": 1}}, {"theory.a": "1", "theory.b": "1"})


def test_a_run_in_a_single_process_keeps_away_from_workers(tmp_path):
    made = job(tmp_path)
    refuse_workers(made.made)
    refused = pytest.raises(Misuse, match=rf"Workers are at .* \(process \d+ on .* holds {CELLS[0].name}\)")
    with made.claims.take(CELLS[0].name), refused:
        refuse_workers(made.made)
    refuse_workers(made.made)
