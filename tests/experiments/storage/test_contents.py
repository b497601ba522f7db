"""Contents of cells come back from a file as they were; what does not fit is refused in a sentence."""

import dataclasses

import numpy as np
import pytest

from experiments.storage.contents import (
    CONTENTS,
    AlphabetsCell,
    AxiomCell,
    Contexts,
    CurrenciesCell,
    CurveCell,
    FactorsCell,
    FinetunedCell,
    InjectionCell,
    InsideCell,
    MotorCell,
    PosteriorCell,
    ReplayCell,
    RetrainedCell,
    TheoryCell,
    content_of,
)
from experiments.storage.records import Cell, Ladder
from experiments.storage.run_folder import create
from theory.errors import Misuse

S, B, D, C, A, K, M = 2, 3, 4, 5, 6, 7, 8
RANDOM = np.random.default_rng(0)


def numbers(*shape):
    return RANDOM.normal(size=shape)


CONTEXTS = Contexts(
    np.array(["in_domain", "held_out", "in_domain", "conflict", "held_out"]),
    np.array(list("abcde")),
    np.array(list("uvwxyz")),
    numbers(K, C, A),
    numbers(K, C),
    numbers(C, A),
    numbers(C, A),
    np.arange(C),
    np.arange(C) < 1,
)
LADDERS = (
    Ladder("proximal", "network", np.arange(3.0), numbers(S, B, C, A), extra={"residual": numbers(S, B)}),
    Ladder(
        "tempered-posterior",
        "implied",
        np.arange(3.0),
        numbers(S, B, C, A),
        "mixture",
        reference=numbers(C, A),
        note="It shows little.",
    ),
)
LAYERS = {"blocks.0.up.kernel": numbers(D, 2, 3), "read.kernel": numbers(D, 3)}


def filled(content):
    """A content of measures with made-up numbers on every axis."""
    texts = {"methods": np.array(["sgd"]), "events": np.array(["1 next", "1 within 2", "1 within 3"])}
    sizes = {"m": 1, "s": S, "d": 2}
    return content(
        **{
            name: texts.get(name, np.array(numbers(*(sizes.get(axis, 3) for axis in axes))))
            for name, axes in {**content.axes, **content.optional}.items()
        }
    )


CELLS = {
    Cell("theories", "arm", 0): TheoryCell(CONTEXTS, LADDERS, numbers(K), numbers(M), LAYERS),
    Cell("theories", "taught", 0): TheoryCell(
        *(CONTEXTS, (), numbers(K), numbers(0), {}, numbers(C, A), LAYERS),
        {"ranks": numbers(1, 1, C)},
        numbers(S, 3),
    ),
    Cell("posteriors", "arm", 0): PosteriorCell(
        (dataclasses.replace(LADDERS[0], extra={"samples": numbers(S, B, 9, C, A)}),)
    ),
    Cell("replays", "arm", 0, "sgd"): ReplayCell(
        {"linearised": numbers(S, D, C, A)}, {"proximal/network": numbers(D)}, {"adam": numbers(D)}, LAYERS
    ),
    Cell("finetuned", "arm", 0, "kl-lifted"): FinetunedCell(
        numbers(S, D, C, A),
        numbers(S, D, C, A),
        numbers(S, 9),
        numbers(S, D),
        LAYERS,
        {"state": numbers(S, D, C, 2)},
        *(numbers(S, D), numbers(S, D, C), numbers(S, D, C)),
    ),
    Cell("finetuned", "arm", 0, "older"): FinetunedCell(
        numbers(S, D, C, A), numbers(S, D, C, A), numbers(S, 9), numbers(S, D)
    ),
    Cell("axioms", "arm", 0, "sgd"): AxiomCell(
        *(CONTEXTS, *(numbers(S, C, A) for _ in range(7)), numbers(M, C, A), numbers(M, C)),
        *(numbers(S, 2, A), numbers(S, D, 2, A), np.arange(2), np.arange(D), np.array(3)),
    ),
    Cell("axioms", "plain", 0, "sgd"): AxiomCell(
        CONTEXTS, *(numbers(S, C, A) for _ in range(7)), numbers(M, C, A), numbers(M, C)
    ),
    Cell("inside", "arm", 0): filled(InsideCell),
    Cell("inside", "currencies", 0): filled(CurrenciesCell),
    Cell("inside", "curves", 0): filled(CurveCell),
    Cell("inside", "alphabets", 0): filled(AlphabetsCell),
    Cell("inside", "factors", 0): filled(FactorsCell),
    Cell("inside", "injection", 0): filled(InjectionCell),
    Cell("inside", "events", 0): filled(MotorCell),
    Cell("retrained", "arm", 0): RetrainedCell(
        Ladder("retrained", "network", np.arange(3.0), numbers(1, 3, C, A))
    ),
}


@pytest.fixture
def run(tmp_path):
    return create(tmp_path / "run", {"study": "s", "preset": "p", "config": {"doses": [1]}}, {})


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_contents_come_back_from_their_file(run, cell):
    content = CELLS[cell]
    run.save(cell, content)
    back = run.load(cell)
    assert type(back) is type(content) in CONTENTS[cell.kind]
    ours, theirs = content.to_arrays(), back.to_arrays()
    assert list(ours) == list(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])
        assert ours[name].dtype == theirs[name].dtype


def test_what_is_optional_stays_absent(run):
    for cell, content in CELLS.items():
        run.save(cell, content)
    plain, taught = run.theories(Cell("theories", "arm", 0)), run.theories(Cell("theories", "taught", 0))
    assert plain.teacher_answers is None and plain.teacher_update is None and plain.observed == {}
    assert taught.teacher_update.keys() == LAYERS.keys() and taught.ladders == () and taught.modes == {}
    assert [ladder.bound for ladder in plain.ladders] == ["path", "mixture"]
    older = run.finetuned(Cell("finetuned", "arm", 0, "older"))
    assert older.data_loss is older.base_read_out is older.base_blocks is None


def test_a_group_has_its_contexts_alone():
    assert CONTEXTS.groups == ["in_domain", "held_out", "conflict"]
    inside = CONTEXTS.inside("held_out")
    assert inside.tolist() == [False, True, False, False, True]
    part = CONTEXTS.of("held_out")
    assert part.questions.tolist() == ["b", "e"] and part.groups == ["held_out"]
    np.testing.assert_array_equal(part.answers, CONTEXTS.answers)
    np.testing.assert_array_equal(part.components, CONTEXTS.components[:, inside])
    np.testing.assert_array_equal(part.evidence, CONTEXTS.evidence[:, inside])
    np.testing.assert_array_equal(part.exact, CONTEXTS.exact[inside])
    np.testing.assert_array_equal(part.base, CONTEXTS.base[inside])


@pytest.mark.parametrize(
    ("kind", "name", "shape"),
    [
        ("theories", "base", None),
        ("theories", "implied_weights", None),
        ("theories", "base", (C, A + 1)),
        ("theories", "questions", (C + 1,)),
        ("theories", "implied_weights", (K + 1,)),
        ("theories", "ladder/proximal/network", (S, B, C, A + 1)),
        ("finetuned", "replica", None),
        ("finetuned", "replica", (S, D, C)),
        ("finetuned", "loss", (S + 1, D)),
        ("finetuned", "distance", (S, D + 1)),
        ("finetuned", "base_blocks", (S, D, C + 1)),
        ("replays", "replay/linearised", (D, C, A)),
        ("replays", "strength/proximal/network", (D + 1,)),
        ("replays", "time/adam", (D + 1,)),
    ],
)
def test_what_is_missing_or_does_not_fit_is_one_sentence(kind, name, shape):
    cell = next(cell for cell in CELLS if cell.kind == kind)
    arrays = CELLS[cell].to_arrays()
    assert name in arrays
    if shape is None:
        del arrays[name]
    else:
        arrays[name] = np.zeros(shape)
    with pytest.raises(Misuse, match=r"are missing|has not the axes|has answers") as refused:
        content_of(kind, arrays)
    assert name.removeprefix("ladder/").split("/")[-1] in str(refused.value)
    assert "\n" not in str(refused.value)


def test_sequences_that_do_not_fit_are_refused():
    arrays = CELLS[Cell("axioms", "arm", 0, "sgd")].to_arrays()
    with pytest.raises(Misuse, match="forward are missing"):
        AxiomCell.from_arrays({name: array for name, array in arrays.items() if name != "forward"})
    with pytest.raises(Misuse, match="backward of shape"):
        AxiomCell.from_arrays(arrays | {"backward": numbers(S, C, A + 1)})
    with pytest.raises(Misuse, match="A ladder of shares is needed, got 0"):
        RetrainedCell.from_arrays({})
