"""The study of the inside: worlds with a filter of no use, and what is refused."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.design.axiom_plan import AxiomPlan
from experiments.design.inside_plan import InsidePlan
from experiments.design.options import with_options
from experiments.design.study import Study, StudyRun
from experiments.studies import inside_beliefs as study
from theory.errors import Misuse

ALL = {"worlds": tuple(name for name in study.WORLDS if name != "persona-domain")}


def test_every_world_is_a_draw_with_cells_of_its_own():
    config = with_options(study.PRESETS["small"], ALL)
    experiments = StudyRun.make(Study.find("inside-beliefs"), "small", config).experiments()
    cells = [cell for made in experiments for cell in made.cells()]
    assert {cell.kind for cell in cells} == {"inside"} and len(cells) == 3 * config.pretraining.seeds >= 24
    assert [made.arms[0].name for made in experiments] == ["persona-domain", "rrxor", "linebreak"]


@pytest.mark.slow
@pytest.mark.parametrize("index", range(3))
def test_the_foreign_filter_reads_the_same_documents_otherwise(index):
    made = study.experiment(with_options(study.PRESETS["small"], ALL).draws()[index])
    assert isinstance(made.inside, InsidePlan)
    process, foreign = made.process.distribution(), made.inside.foreign
    tokens = process.sample(jax.random.key(0), 8)
    chances = [np.asarray(mixture.log_prob(tokens)) for mixture in (process, foreign)]
    assert np.isfinite(chances).all() and not np.allclose(*chances, atol=0.1)


def test_small_has_eight_base_networks_and_persona_and_domain_that_depend():
    config = study.PRESETS["small"]
    assert config.pretraining.seeds >= 8 and config.process.build().correlation > 0


def test_axioms_beside_the_inside_are_refused():
    made = study.experiment(study.PRESETS["smoke"])
    with pytest.raises(Misuse, match="one of them"):
        replace(made, axioms=AxiomPlan())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nats": (1.0, 2.0)}, "0 and more than 0"),
        ({"documents": 4}, "at least 20 documents"),
        ({"worlds": ("persona-domain",)}, "must differ"),
        ({"worlds": ("nowhere",)}, "nowhere"),
    ],
)
def test_what_cannot_be_measured_is_refused(changes, words):
    with pytest.raises(Misuse, match=words):
        with_options(study.Config(), changes)
