"""Records come back as they were, and no name can be read as another's."""

import dataclasses
import json
import math

import numpy as np
import pytest

from experiments.storage.records import INTERVALS, Cell, Ladder, Row, ScoreLine, check_name
from theory.errors import Misuse

CELLS = [
    Cell("theories", "topics0_1", 0),
    Cell("theories", "same-start", 2),
    Cell("posteriors", "blob2", 11),
    Cell("replays", "topics0b4", 1, "kl-lifted"),
    Cell("finetuned", "a-b-c", 0, "adam"),
    Cell("finetuned", "p=0.5,q", 10, "self-distillation"),
    Cell("axioms", "persona-topics", 1, "sgd"),
    Cell("inside", "persona-topics", 1),
]
ROW = Row(
    study="made-up",
    method="sgd",
    data="topics0",
    base=0,
    dose=4,
    theory="proximal",
    prior="network",
    grade="fitted",
    split=None,
    group="held_out",
    beta=(0.1, 0.2),
    nats=(0.01, 0.02),
    shift=(1.0, 2.0),
    replica=(0.1, 0.1),
    other_base=None,
    best_in_class=(0.01, 0.01),
    converged=(True, False),
)


@pytest.mark.parametrize("cell", CELLS)
def test_the_name_of_a_cell_reads_back(cell):
    assert Cell.parse(cell.name) == cell


def test_cells_have_names_of_their_own():
    assert len({cell.name for cell in CELLS}) == len(CELLS)
    assert Cell("finetuned", "b-c", 0, "a").name != Cell("finetuned", "c", 0, "a-b").name


@pytest.mark.parametrize("name", ["", "a--b", "a-", "-a", "a/b", "a b", ".a", "ä", "a--", "_a"])
def test_names_that_would_not_read_back_are_refused(name):
    with pytest.raises(Misuse, match="cannot name a file"):
        check_name("The arm", name)
    with pytest.raises(Misuse, match="The arm"):
        Cell("theories", name, 0)
    if name:
        with pytest.raises(Misuse, match="The method"):
            Cell("finetuned", "arm", 0, name)


@pytest.mark.parametrize(
    "values", [("theories", "a", 0, "sgd"), ("finetuned", "a", 0), ("theories", "a", -1), ("x", "a", 0)]
)
def test_cells_that_cannot_be_are_refused(values):
    with pytest.raises(Misuse, match="A cell has a kind"):
        Cell(*values)


@pytest.mark.parametrize(
    "name",
    [
        *("", "notes", "theories--a", "theories--a--b--0", "theories--a--x", "theories--a--00"),
        *(
            "theories--a---1",
            "finetuned--a--0",
            "replays--a--b--c--0",
            "langevin--a--0",
            "theories-topics0-0",
        ),
        "theories--a b--0",
    ],
)
def test_other_files_are_no_cells(name):
    assert Cell.parse(name) is None


def test_cells_of_theories_hold_no_finetuned_network():
    assert [cell.is_forecast for cell in CELLS] == [True] * 4 + [False] * 4
    assert CELLS[5].other("theories") == Cell("theories", "p=0.5,q", 10)
    assert CELLS[5].other("replays", "adam") == Cell("replays", "p=0.5,q", 10, "adam")


def ladder(**changes):
    values = {"theory": "proximal", "prior": "T=0.001", "betas": np.arange(3.0)}
    return Ladder(**(values | {"log_probs": np.zeros((2, 3, 5, 4))} | changes))


def alike(left, right):
    """Whether two ladders have the same names and arrays."""
    ours, theirs = left.to_arrays(), right.to_arrays()
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])
    names = [(ladder.name, ladder.bound, ladder.metric, ladder.extra is None) for ladder in (left, right)]
    return names[0] == names[1]


def test_ladders_come_back_from_their_arrays():
    problems, diagnostics = np.full((2, 3), ""), np.ones((2, 3, 8))
    samples = {"samples": np.ones((2, 3, 7, 5, 4)), "gamma": np.ones(2)}
    ladders = [
        ladder(),
        ladder(prior="v of 3 steps, T=0", bound="mixture"),
        ladder(
            theory="z",
            problems=problems,
            diagnostics=diagnostics,
            times=np.arange(3.0),
            metric="adam",
            extra=samples,
        ),
    ]
    arrays = {name: array for rungs in ladders for name, array in rungs.to_arrays().items()}
    back = list(Ladder.from_arrays(arrays | {"base": np.zeros(3), "mode/betas/deep": np.zeros(3)}))
    assert all(map(alike, back, ladders)) and len(back) == 3
    assert back[2].problems is not None and back[0].problems is None
    np.testing.assert_array_equal(back[2].extra["samples"], samples["samples"])


@pytest.mark.parametrize(
    "changes",
    [
        {"betas": np.zeros(4)},
        {"log_probs": np.zeros((3, 5, 4))},
        {"problems": np.full((1, 3), "")},
        {"diagnostics": np.zeros((2, 4, 8))},
        {"times": np.zeros(2)},
        {"bound": "free"},
        {"prior": "a/b"},
    ],
)
def test_ladders_that_do_not_fit_are_refused(changes):
    with pytest.raises(Misuse, match="The ladder proximal"):
        ladder(**changes)


def test_a_ladder_without_its_strengths_is_refused():
    arrays = ladder().to_arrays()
    del arrays["betas/proximal/T=0.001"]
    with pytest.raises(Misuse, match=r"proximal/T=0\.001 needs"):
        list(Ladder.from_arrays(arrays))


def test_rows_come_back_from_json():
    swapped = dataclasses.replace(ROW, base_read_out=(0.1, 0.2), base_blocks=(0.3, math.inf))
    for row in (ROW, dataclasses.replace(ROW, beta=None, converged=None, other_base=(1.0, 2.0)), swapped):
        assert Row.from_json(json.loads(json.dumps(row.to_json()))) == row
    assert swapped.to_json().keys() - ROW.to_json().keys() == {"base_read_out", "base_blocks"}


def test_rows_of_another_version_are_refused():
    values = ROW.to_json()
    with pytest.raises(Misuse, match="the row has the unknown field 'order'; its fields are study, method"):
        Row.from_json(values | {"order": [0.1]})
    del values["replica"]
    with pytest.raises(Misuse, match="the row has no replica"):
        Row.from_json(values)


def test_lines_keep_the_names_of_one_version_ago():
    numbers = dict.fromkeys((field.name for field in dataclasses.fields(ScoreLine)), 0.5)
    ends = dict.fromkeys(INTERVALS) | {"interval": (0.1, 0.9)}
    line = ScoreLine(**(numbers | ends | {"noise_ceiling": 0.9, "best_in_class": None}))
    values = line.to_json()
    assert (
        (values["floor"], values["ceiling"])
        == (values["noise_ceiling"], values["best_in_class"])
        == (0.9, None)
    )
