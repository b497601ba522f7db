"""Controls of the axioms: a network that is Bayesian by construction passes, a method that is not fails.

That kept moments break additivity is in test_axioms.py.
"""

from dataclasses import replace

import pytest

from experiments.cells.programs import Executor
from experiments.design.axiom_plan import AxiomPlan
from experiments.design.experiment import Arm
from experiments.runs.pretraining import train
from experiments.runs.progress import Silent
from experiments.scoring.axioms import axiom_lines
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell
from models.finetuning.adam import Adam
from models.finetuning.distillation import Distillation
from models.finetuning.early_stopping import EarlyStopping
from models.finetuning.sgd import Sgd
from models.network import first
from models.pretraining import Pretraining
from models.transformer import Architecture
from theory.processes.persona_topics import PersonaTopics

pytestmark = pytest.mark.slow  # about half a minute of a core

PROCESS = PersonaTopics(personas=3, topics=3, answers=2, pairs=3, style=1.5)
METHODS = {
    "distillation": Distillation(rule=Adam(0.003)),
    "early-stopping": EarlyStopping(0.25, rule=Sgd(0.5)),
}


@pytest.fixture(scope="module")
def shares(tiny):
    """Violations in held-out contexts by method and axiom, of a network that was pretrained for a while."""
    tasks = PROCESS.task(2, (0,), 2, name="ours"), PROCESS.task(1, (0,), 2, name="theirs")
    experiment = replace(
        tiny(),
        process=PROCESS,
        shape=Architecture(16, 2, 2),
        pretraining=Pretraining("muon", 0.01, 500, 64),
        base_seeds=1,
        arms=(Arm(tasks[0], rival=tasks[1]),),
        methods=METHODS,
        doses=(1, 4, 16, 64, 128),
        n=16,
        batch=16,
        teacher_strength=0.15,
        axioms=AxiomPlan(4),
    )
    networks, _ = train(PROCESS, experiment.shape, experiment.pretraining, [0], Silent())
    network = first(networks)
    executor, run = Executor(experiment, network), MemoryRun("axioms", experiment.doses)
    for method in METHODS:
        content, _ = executor.run(Cell("axioms", "ours", 0, method), network)
        run = run.with_content(Cell("axioms", "ours", 0, method), content)
    lines = [line for line in axiom_lines(run) if line.group == "held_out"]
    return {(line.method, line.axiom): line for line in lines}


def test_a_network_distilled_from_the_tempered_posterior_passes(shares):
    """Of A then B its teacher is the posterior given both. Its strength is fixed, so that it cannot read as
    much as it learns (context), and the filter is learnt better while it is taught (filter)."""
    for axiom in ("exchangeable", "commutes", "pools", "additive"):
        line = shares["distillation", axiom]
        assert line.share.value < 0.02 and line.shift > 0.05, axiom
    martingale = shares["distillation", "martingale"]
    assert martingale.share.value < martingale.noise + 0.05


def test_early_stopping_forgets_what_came_first(shares):
    """The weights that suit a second D' best are chosen, whatever they are to the first: the two orders end
    about as far apart as networks move (0.98 of the shift), and far from where distillation ends them."""
    stopped, distilled = shares["early-stopping", "commutes"], shares["distillation", "commutes"]
    assert stopped.share.value > 0.5
    assert stopped.share.value > 50 * distilled.share.value
    assert stopped.share.value > 5 * stopped.noise
