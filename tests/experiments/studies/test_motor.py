"""The study of events: worlds whose descriptions can be read, and what is refused."""

import pytest

from experiments.design.motor_plan import MotorPlan
from experiments.design.options import with_options
from experiments.design.study import Study, StudyRun
from experiments.studies import motor as study
from theory.errors import Misuse
from theory.probes.descriptions import event

WORLDS = {"worlds": ("mess3", "persona-domain")}


def test_every_world_is_a_draw_with_cells_of_its_own():
    config = with_options(study.PRESETS["small"], WORLDS)
    experiments = StudyRun.make(Study.find("motor"), "small", config).experiments()
    cells = [cell for made in experiments for cell in made.cells()]
    assert {cell.kind for cell in cells} == {"inside"} and len(cells) == 3 * 8 == 3 * config.pretraining.seeds
    assert [made.arms[0].name for made in experiments] == ["linebreak", "rrxor", "persona-domain"]
    for made in experiments:
        plan = made.inside
        assert isinstance(plan, MotorPlan)
        horizons = [event(words, made.process).horizon for words in plan.events]
        assert horizons == sorted(horizons) and horizons[0] == 1 and len(horizons) > 1
        assert 0 < plan.writer < len(made.process.distribution().log_weights)


def test_small_has_two_to_the_six_to_fourteen_labels():
    assert study.PRESETS["small"].labels == tuple(2**power for power in (6, 8, 10, 12, 14))
    assert "head-only" in study.PRESETS["small"].finetuning.methods


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": (64, 32)}, "labels must ascend"),
        ({"labels": (4,)}, "from 8"),
        ({"soft": 8}, "soft must be at least the fewest labels, 64"),
        ({"judged": 1}, "judged must be at least 8"),
        ({"worlds": ("linebreak",)}, "must differ"),
        ({"worlds": ("nowhere",)}, "nowhere"),
    ],
)
def test_what_cannot_be_measured_is_refused(changes, words):
    with pytest.raises(Misuse, match=words):
        with_options(study.Config(), changes)
    if "worlds" not in changes:
        plan = {"labels": (64,), "soft": 64, "refitted": 64, "judged": 8} | changes
        with pytest.raises(Misuse, match=words):
            MotorPlan(("newline next",), 1, **plan)


def test_a_plan_without_events_is_refused():
    with pytest.raises(Misuse, match="no events"):
        MotorPlan((), 1)
