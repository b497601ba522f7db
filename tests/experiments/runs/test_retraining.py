"""Networks pretrained from scratch on D and D': named by both, kept like base networks, a ladder."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.cells.programs import Executor
from experiments.design.experiment import Arm, Experiment
from experiments.design.retraining import Retraining
from experiments.runs.base_networks import BaseNetworks, describe
from experiments.runs.progress import Silent
from experiments.runs.retraining import pretrain_again, retrained_experiments, retrained_weights
from experiments.storage.contents import RetrainedCell
from experiments.storage.records import Cell
from models.finetuning.sgd import Sgd
from models.pretraining import Pretraining
from models.transformer import Architecture
from theory.errors import Misuse
from theory.processes.persona_topics import PersonaTopics

PROCESS = PersonaTopics(personas=2, topics=3, answers=2, pairs=2)
ARM = Arm(PROCESS.task(1, (0,), 1))
EXPERIMENT = Experiment(
    process=PROCESS,
    shape=Architecture(4, 1, 1),
    pretraining=Pretraining("adamw", 0.01, 4, 4, chunk=2),
    base_seeds=3,
    arms=(ARM,),
    methods={"sgd": Sgd()},
    doses=(1,),
    n=3,
    batch=1,
    seeds=2,
    theories=("unchanged",),
    retraining=Retraining((0.1, 0.5), 2),
)


def test_every_share_has_networks_of_its_own_named_by_the_documents():
    made = [*retrained_experiments(EXPERIMENT, ARM)]
    described = [describe(part) for part in (EXPERIMENT, *made)]
    names = {json.dumps(part, sort_keys=True) for part in described}
    assert len(names) == 3
    assert described[1]["process"]["process"] == {"seed": 0} | described[1]["process"]["process"]
    assert described[1]["seeds"] == described[0]["seeds"][:2]
    assert described[0]["code"].items() <= described[1]["code"].items()
    (first, *_) = retrained_experiments(replace(EXPERIMENT, seed=1), ARM)
    assert first.process.documents != made[0].process.documents
    drawn = made[1].process.distribution().sample(jax.random.key(0), 400)
    of_data = (np.asarray(drawn)[:, None] == np.array(made[1].process.documents)).all(axis=-1).any(axis=1)
    assert 0.4 < of_data.mean() < 0.75  # half, and those that the process writes by chance


def test_the_cells_are_those_of_the_first_base_networks():
    cells = [cell for cell in EXPERIMENT.cells() if cell.kind == "retrained"]
    assert cells == [Cell("retrained", "topics0", 0), Cell("retrained", "topics0", 1)]
    assert all(cell.is_forecast for cell in cells)
    assert not [c for c in replace(EXPERIMENT, retraining=Retraining()).cells() if c.kind == "retrained"]


@pytest.mark.slow
def test_a_cell_holds_the_base_network_and_every_share(tmp_path):
    networks = BaseNetworks(tmp_path)
    bases = networks.pretrained(EXPERIMENT, Silent())
    pretrain_again(EXPERIMENT, ARM, networks, Silent())
    stored = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.safetensors")}
    assert len(stored) == 3
    pretrain_again(EXPERIMENT, ARM, networks, Silent())  # nothing is trained twice
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.safetensors")} == stored
    network = jax.tree.map(lambda leaf: leaf[1], bases)
    weights = retrained_weights(EXPERIMENT, ARM, networks, 1)
    content, problem = Executor(EXPERIMENT, network).run(
        Cell("retrained", "topics0", 1), network, None, weights
    )
    assert isinstance(content, RetrainedCell) and not problem
    ladder = content.ladder
    assert (ladder.theory, ladder.betas.tolist()) == ("retrained", [0.0, 0.1, 0.5])
    assert ladder.log_probs.shape[:2] == (1, 3)
    gaps = np.abs(np.diff(ladder.log_probs[0], axis=0)).max(axis=(1, 2))
    assert (gaps > 1e-4).all()  # each share has learnt something else
    assert RetrainedCell.from_arrays(content.to_arrays()).ladder.name == "retrained/network"


@pytest.mark.parametrize(
    "values, words",
    [
        ({"shares": (0.2, 0.1)}, "ascend"),
        ({"shares": (0.0,)}, "between 0 and 1"),
        ({"shares": (1.0,)}, "between 0 and 1"),
        ({"bases": 0}, "at least 1"),
    ],
)
def test_shares_that_cannot_be_are_refused(values, words):
    with pytest.raises(Misuse, match=words):
        Retraining(**values)


def test_a_teacher_cannot_be_retrained_on():
    taught = Arm(
        replace(ARM.task, data=lambda key, n, teacher: ARM.task.data(key, n)), teacher=lambda network: network
    )
    with pytest.raises(Misuse, match="written by a teacher"):
        replace(EXPERIMENT, arms=(taught,))
