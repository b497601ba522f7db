"""Stored base networks are those that their description says, whole, and of today's process."""

import dataclasses
import json
import os
import shutil
from dataclasses import dataclass

import jax
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from experiments.design.experiment import Experiment
from experiments.runs import base_networks
from experiments.runs.base_networks import BaseNetworks
from experiments.runs.progress import Silent
from experiments.storage.archive import digest_arrays
from models.pretraining import Pretraining
from models.transformer import Architecture
from theory.errors import Misuse
from theory.processes.persona_topics import PersonaTopics

PROGRESS = Silent()


@dataclass(frozen=True)
class Corrected(PersonaTopics):
    """A process whose law changes while its name and fields stay."""

    def distribution(self):
        return PersonaTopics(**dataclasses.asdict(self) | LAW).distribution()


LAW = {}
SMALL = {"personas": 2, "topics": 2, "answers": 2, "pairs": 2}


def experiment(process=None, width=4, seeds=2, steps=4, recipe=None):
    return Experiment(
        process=process or Corrected(**SMALL),
        shape=Architecture(width, 1, 1),
        pretraining=recipe or Pretraining("adamw", 0.01, steps, 4, chunk=2),
        base_seeds=seeds,
        arms=(),
        methods={},
        doses=(1,),
        n=1,
        batch=1,
        seeds=1,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of networks, and its checkpoint after the first chunk."""
    folder, checkpoints = tmp_path_factory.mktemp("networks"), []
    save = base_networks._save

    def keep(path, *written, **options):
        save(path, *written, **options)
        checkpoints.append(path.read_bytes())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base_networks, "_save", keep)
        BaseNetworks(folder).pretrained(experiment(), PROGRESS)
    return folder, checkpoints[0]


@pytest.fixture
def kept(trained, tmp_path):
    shutil.copytree(trained[0], tmp_path / "networks")
    return BaseNetworks(tmp_path / "networks")


def test_networks_come_back_with_their_quality(kept):
    ours = experiment()
    leaves = jax.tree.leaves(kept.pretrained(ours, PROGRESS).params)
    assert all(leaf.dtype == np.float32 and len(leaf) == 2 for leaf in leaves)
    assert [network.seed for network in kept.quality(ours).networks] == [0, 1]


def test_a_changed_law_is_noticed_where_no_source_tells_it(kept, monkeypatch):
    """The law depends on what is no field and no source here: the stored excess does not fit it."""
    monkeypatch.setitem(LAW, "rarity", 0.05)
    with pytest.raises(Misuse, match=r"says that network 0 is 1\.\d+ nats .* but it is 1\.\d+: .* delete"):
        kept.pretrained(experiment(), PROGRESS)


def rewritten(kept, change, keep_digest=False):
    """The file of the networks with other tensors or another record."""
    path = kept.path(experiment())
    with safetensors.safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        record = json.loads(file.metadata()["json"])
    tensors, record = change(tensors, record)
    if not keep_digest and isinstance(record, dict):
        record |= {"weights": digest_arrays(tensors)}
    path.write_bytes(safetensors.numpy.save(tensors, {"json": json.dumps(record)}))


def wider(tensors, record):
    return {name: np.repeat(tensor, 2, axis=-1) for name, tensor in tensors.items()}, record


REWRITTEN = {
    "another width": wider,
    "another type": lambda t, r: ({name: tensor.astype(np.float16) for name, tensor in t.items()}, r),
    "another number": lambda t, r: ({name: tensor[:1] for name, tensor in t.items()}, r),
    "other names": lambda t, r: ({f"x{name}": tensor for name, tensor in t.items()}, r),
    "another description": lambda t, r: (t, r | {"description": {}}),
    "no quality": lambda t, r: (t, {name: r[name] for name in ("description", "weights")}),
    "a quality that is none": lambda t, r: (t, r | {"quality": [1]}),
    "a record that is none": lambda t, r: (t, [r]),
}


@pytest.mark.parametrize("change", REWRITTEN)
def test_networks_that_do_not_fit_are_refused(kept, change):
    rewritten(kept, REWRITTEN[change])
    with pytest.raises(Misuse, match=r"safetensors .*; delete it and run again"):
        kept.load(experiment())


def test_a_flipped_bit_in_a_weight_is_noticed(kept):
    path = kept.path(experiment())
    whole = path.read_bytes()
    start, sentence = 8 + int.from_bytes(whole[:8], "little"), "its weights are not those that were written"
    for index in range(start, len(whole), 97):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :])
        with pytest.raises(Misuse, match=rf"is damaged \({sentence}\); delete it and run again"):
            kept.load(experiment())


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff" * 200, (2).to_bytes(8, "little") + b"{}"])
def test_files_that_are_no_networks_are_refused(kept, content):
    kept.path(experiment()).write_bytes(content)
    with pytest.raises(Misuse, match=r"is damaged \(.*\); delete it and run again"):
        kept.load(experiment())


def test_a_pipe_in_place_of_networks_is_refused_at_once(kept):
    path = kept.path(experiment())
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(Misuse, match="no regular file"):
        kept.load(experiment())


def test_a_killed_training_goes_on_to_the_same_weights(trained, tmp_path):
    whole, checkpoint = trained
    kept = BaseNetworks(tmp_path)
    path = kept.path(experiment())
    (tmp_path / f".{path.stem}.safetensors.abcdefgh.part").write_bytes(b"half")
    path.with_name(f"{path.stem}.checkpoint.safetensors").write_bytes(checkpoint)
    kept.pretrained(experiment(), PROGRESS)
    assert path.read_bytes() == (whole / path.name).read_bytes()
    assert {entry.suffix for entry in tmp_path.iterdir()} == {".safetensors"}
    path.with_name(f"{path.stem}.checkpoint.safetensors").write_bytes(checkpoint)
    (tmp_path / f".{path.stem}.safetensors.abcdefgh.part").write_bytes(b"whole")
    kept.pretrained(experiment(), PROGRESS)  # killed between the last steps: checkpoint and other name go
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


class Lines(Silent):
    """Progress that keeps its lines."""

    def say(self, text):
        self.lines = [*getattr(self, "lines", []), str(text)]


@pytest.mark.slow
def test_pretraining_ends_where_every_network_has_learnt_enough(tmp_path, monkeypatch):
    """Killed on its way there, it ends with the same bytes."""
    recipe = Pretraining("muon", 0.03, 600, 16, chunk=20, until_learnt=0.5)
    shown = {"pairs": 3, "style": 3.0, "specific": 0.0, "common": 0.0, "rarity": 1.0, "seed": 1}
    ours = experiment(PersonaTopics(**SMALL | shown), 8, recipe=recipe)
    save, states = base_networks._save, []

    def keep(path, *written, **options):
        save(path, *written, **options)
        states.append(path.read_bytes())

    monkeypatch.setattr(base_networks, "_save", keep)
    kept, again = BaseNetworks(tmp_path / "whole"), BaseNetworks(tmp_path / "again")
    progress = Lines()
    kept.pretrained(ours, progress)
    networks, checkpoints = kept.quality(ours).networks, states[:-1]
    ends = networks[0].steps
    assert 20 < ends < 600 and min(network.learnt for network in networks) >= 0.5
    assert len(checkpoints) == ends / 20 - 1 and {network.steps for network in networks} == {ends}
    assert f"after {ends} steps base networks have learnt 0." in progress.lines[-1]
    again.folder.mkdir()
    path = again.path(ours)
    path.with_name(f"{path.stem}.checkpoint.safetensors").write_bytes(checkpoints[len(checkpoints) // 2])
    again.pretrained(ours, PROGRESS)
    assert path.read_bytes() == kept.path(ours).read_bytes()


SHOWN = PersonaTopics(
    **SMALL | {"pairs": 3, "style": 3.0, "specific": 0.0, "common": 0.0, "rarity": 1.0, "seed": 1}
)


def until(share, steps=600):
    return experiment(SHOWN, 8, recipe=Pretraining("muon", 0.03, steps, 16, chunk=20, until_learnt=share))


@pytest.mark.slow
def test_networks_of_a_larger_share_go_on_where_those_of_a_smaller_one_ended_to_the_same_bytes(tmp_path):
    """One share is had already where the smaller one ends, and one is not."""
    together, progress = BaseNetworks(tmp_path / "together"), Lines()
    together.pretrained(until(0.2), PROGRESS)
    _, end = together._earlier_end(until(0.2))
    had = min(*end.learnt, *(network.learnt for network in end.quality))
    assert 0.2 < had < 0.5 and end.step > 20
    for share, line in ((had, []), (0.5, [f"base networks go on from step {end.step}, where"])):
        alone = BaseNetworks(tmp_path / f"alone{share}")
        progress.lines = []
        for kept in (together, alone):
            kept.pretrained(until(share), progress)
        assert together.path(until(share)).read_bytes() == alone.path(until(share)).read_bytes()
        assert [said[: len(line[0])] for said in progress.lines if "go on" in said] == line
    assert together._earlier_end(until(0.5))[1].step == together.quality(until(0.5)).networks[0].steps
    assert together._earlier_end(until(0.4)) is None  # the longest training is that to 0.5
    assert together._earlier_end(until(0.5, steps=601)) is None  # of other steps


def test_an_end_that_is_of_another_training_or_of_a_network_that_may_have_stalled_is_refused(tmp_path):
    kept = BaseNetworks(tmp_path)
    description = base_networks._but_for_share(base_networks.describe(until(0.5)))
    for change in ({"step": 1000}, {"description": {}}, {"step": 600}):
        record = {"description": description, "until_learnt": 0.5, "step": 20, "learnt": [0.6], "quality": []}
        base_networks._save(kept.end_path(until(0.5)), {"w": np.zeros(2)}, record)
        assert kept._earlier_end(until(0.5))[1].step == 20 and kept._earlier_end(until(0.4)) is None
        base_networks._save(kept.end_path(until(0.5)), {"w": np.zeros(2)}, record | change)
        with pytest.raises(Misuse, match=r"end\.safetensors is of another training; delete it and run again"):
            kept._earlier_end(until(0.5))


def test_a_checkpoint_that_is_a_final_network_or_of_another_training_is_refused(trained, tmp_path):
    whole, checkpoint = trained
    kept = BaseNetworks(tmp_path)
    for ours, content in (
        (experiment(), (whole / kept.path(experiment()).name).read_bytes()),
        (experiment(steps=6), checkpoint),
    ):
        path = kept.path(ours)
        path.with_name(f"{path.stem}.checkpoint.safetensors").write_bytes(content)
        with pytest.raises(Misuse, match=r"checkpoint\.safetensors .*; delete it and run again"):
            kept.pretrained(ours, PROGRESS)


def test_another_code_makes_other_networks(kept, monkeypatch):
    before = kept.path(experiment())
    monkeypatch.setattr(base_networks, "network_code", lambda process: {"changed": "1"})
    assert kept.path(experiment()) != before
