"""The manifest of a sweep, the states of its runs, and folders that hold something else."""

import json

import pytest

from experiments.storage.sweep_folder import (
    MANIFEST,
    SweepFolder,
    SweepRecord,
    create_sweep,
    find_sweep,
    runs_in,
)
from theory.errors import Misuse

WORDS = "finetuned_topics=0/0+1,0", "style=0.5,1"


def test_a_manifest_is_read_back(sweeps, tmp_path):
    record = sweeps.plan(*WORDS).record
    assert create_sweep(tmp_path / "s", record).record == record
    assert SweepRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    assert record.axes[0].values == (((0,), (0, 1)), ((0,),))
    assert record.points[0].values == {"finetuned_topics": ((0,), (0, 1)), "process.style": 0.5}
    assert record.centre("network.width") == 24 and record.centre("finetuned_topics") == ((0,),)


def test_the_same_sweep_goes_on_and_another_is_refused(sweeps, tmp_path):
    folder = tmp_path / "s"
    create_sweep(folder, sweeps.plan(*WORDS).record)
    content = (folder / MANIFEST).read_bytes()
    create_sweep(folder, sweeps.plan(*WORDS).record)
    assert (folder / MANIFEST).read_bytes() == content
    for other in (sweeps.plan("style=0.5,1"), sweeps.plan(*WORDS, one_at_a_time=True)):
        with pytest.raises(Misuse, match="holds another sweep; choose another --out"):
            create_sweep(folder, other.record)


def test_a_folder_of_something_else_is_refused(sweeps, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(Misuse, match=r"holds no sweep \(no sweep.json, but config.json\)"):
        create_sweep(tmp_path, sweeps.plan("style=1").record)


@pytest.mark.parametrize("change", [{"preset": "small"}, {"points": []}, {"study": 3}, {"colour": "red"}])
def test_a_manifest_that_was_changed_is_refused(sweeps, tmp_path, change):
    made = create_sweep(tmp_path / "s", sweeps.plan("style=1").record)
    path = made.folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(Misuse, match=r"sweep.json is no manifest of a sweep: .*put it back"):
        find_sweep(made.folder)


def test_a_sweep_is_found_in_or_below_a_folder(sweeps, tmp_path):
    first = create_sweep(tmp_path / "a" / "s", sweeps.plan("style=1").record)
    assert find_sweep(tmp_path).folder == find_sweep(first.folder).folder == first.folder
    create_sweep(tmp_path / "b", sweeps.plan("style=1").record)
    with pytest.raises(Misuse, match="holds 2 sweeps; give one of them"):
        find_sweep(tmp_path)
    with pytest.raises(Misuse, match="There is no folder"):
        find_sweep(tmp_path / "c")
    (tmp_path / "c").mkdir()
    with pytest.raises(Misuse, match="holds no sweep"):
        find_sweep(tmp_path / "c")


def test_every_run_has_a_state(sweeps, tmp_path):
    shares = {0.5: {"linearised": 0.9}, 1.0: "It diverged.", 2.0: None}
    made = sweeps.make(
        tmp_path / "s", sweeps.plan("style=0.5,1,2"), lambda values: shares[values["process.style"]]
    )
    finished, failed, missing = made.record.points
    assert [made.status(point) for point in made.record.points] == ["finished", "failed", "missing"]
    assert (made.reason(failed), made.reason(finished)) == ("It diverged.", "")
    (made.run(missing).folder).mkdir()
    (made.run(missing).folder / "config.json").write_text("{}")
    assert made.status(missing) == "unfinished"
    made.begin(failed)
    assert made.status(failed) == "missing"
    assert SweepFolder(tmp_path / "s").exists and not SweepFolder(tmp_path).exists


def test_the_finished_runs_of_a_sweep_stand_for_it(sweeps, tmp_path):
    shares = {0.5: {"linearised": 0.9}, 1.0: "It diverged."}
    plan = sweeps.plan("style=0.5,1")
    made = sweeps.make(tmp_path / "s", plan, lambda values: shares[values["process.style"]])
    assert runs_in(made.folder) == [made.folder / "style=0.5"]
    assert runs_in(str(tmp_path)) == [str(tmp_path)]  # it may be a run
    (made.folder / "style=0.5" / "DONE").unlink()
    with pytest.raises(Misuse, match=r"No run of the sweep in .* is finished yet"):
        runs_in(made.folder)
