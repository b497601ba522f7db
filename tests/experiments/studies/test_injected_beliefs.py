"""The study of injected beliefs: what it measures, and what is refused."""

import pytest

from experiments.design.options import with_options
from experiments.design.shared_plans import InjectionPlan
from experiments.studies import injected_beliefs as study
from theory.errors import Misuse


def test_small_has_eight_base_networks_of_a_process_in_which_every_answer_is_possible():
    config = study.PRESETS["small"]
    made = study.experiment(config)
    assert config.pretraining.seeds >= 8 and made.process.slip > 0
    assert isinstance(made.inside, InjectionPlan) and {cell.kind for cell in made.cells()} == {"inside"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"nats": (1.0, 2.0)}, "0 and more than 0"), ({"documents": 4}, "at least 20 documents")],
)
def test_what_cannot_be_measured_is_refused(changes, words):
    with pytest.raises(Misuse, match=words):
        with_options(study.Config(), changes)
