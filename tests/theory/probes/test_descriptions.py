"""Descriptions: what they say of every continuation, and a sentence for what cannot be read."""

import itertools

import numpy as np
import pytest

from theory.errors import Misuse
from theory.probes.automata import within
from theory.probes.descriptions import event, read
from theory.processes.linebreak import LineBreak
from theory.processes.mess3 import example as geometry
from theory.processes.persona_domain import PersonaDomain

PAGES = LineBreak(widths=(3, 2), lengths=(1, 2), length=5, noise=0.1)
NEWLINE = 2  # words are 0 and 1


def holds(description, process=PAGES):
    automaton = event(description, process)
    every = np.array(list(itertools.product(range(process.vocabulary), repeat=automaton.horizon)))
    return every, automaton.holds(every)


def test_five_forms():
    every, got = holds("newline next")
    np.testing.assert_array_equal(got, every[:, 0] == NEWLINE)
    every, got = holds("Newline  within 3")
    np.testing.assert_array_equal(got, (every == NEWLINE).any(axis=1))
    every, got = holds("no word 1 (1) within 2")
    np.testing.assert_array_equal(got, (every != 0).all(axis=1))
    every, got = holds("at least 2 newline within 3")
    np.testing.assert_array_equal(got, (every == NEWLINE).sum(axis=1) >= 2)
    every, got = holds("newline before word 2 (2) within 2")
    np.testing.assert_array_equal(got, (every[:, 0] == 2) | ((every[:, 0] == 0) & (every[:, 1] == 2)))


def test_tokens_by_number_and_by_part_of_their_name():
    np.testing.assert_array_equal(holds("1 within 2")[1], holds("word 2 (2) within 2")[1])
    every, got = holds("word * next")
    np.testing.assert_array_equal(got, every[:, 0] != NEWLINE)
    process = PersonaDomain()
    every, got = holds("mark 1 | * next", process)
    marked = [name.startswith("mark 1 |") for name in process.token_names()]
    np.testing.assert_array_equal(got, np.array(marked)[every[:, 0]])
    assert sum(marked) > 1


def test_words_that_are_also_names():
    """Only what leaves a token is read as a form."""
    names = ("no", "at least", "before", "a before")
    assert read("no within 2", names, 4).holds(np.array([[1, 0], [1, 1]])).tolist() == [True, False]
    assert read("at least next", names, 4).holds(np.array([[1]])).tolist() == [True]
    assert read("no no next", names, 4).holds(np.array([[0], [1]])).tolist() == [False, True]


def test_predicates_and_automata_are_events():
    newline = lambda tokens: (tokens == NEWLINE).any(axis=-1)  # noqa: E731
    every, got = holds("newline within 2")
    np.testing.assert_array_equal(event(newline, PAGES, 2).holds(every), got)
    automaton = within([NEWLINE], 3, 2)
    assert event(automaton, PAGES) is automaton


@pytest.mark.parametrize(
    "description, sentence",
    [
        ("newlin within 3", r"'newlin' at character 1 is no token of the process; did you mean 'newline'\?"),
        ("no  newlin within 3", "'newlin' at character 5 is no token"),
        ("word 9 within 3", "Its tokens are 'word 1 (1)', 'word 2 (2)', 'newline'."),
        (
            "newline witin 3",
            "'witin' at character 9 stands where 'within' is expected; did you mean 'within'?",
        ),
        ("newline within three", "'three' at character 16 must be a whole number of tokens from 1 up."),
        ("newline within 0", "'0' at character 16 must be a whole number"),
        ("newline within -2", "'-2' at character 16 must be a whole number"),
        ("newline within", "'within' at character 9 needs a number of tokens after it"),
        ("newline nex", "'nex' at character 9 stands where a description ends.*; did you mean 'next'?"),
        ("newline 3", "'newline' at character 1 stands where 'within' is expected"),
        ("within 3", "'within' at character 1 is no token with a horizon. Write one of: TOKEN next"),
        ("next", "'next' at character 1 stands where a description ends"),
        ("at least two newline within 3", "'two' at character 10 must be a whole number from 1 up."),
        ("newline before word * before 2 within 3", "'word * before 2' at character 16 is no token"),
        ("newline before newline within 3", "'newline' at character 16 stands on both sides of 'before'."),
        ("  ", "The description is empty"),
        (
            "at least 3 newline within 2",
            "Whatever comes in 2 tokens, the event 'at least 3 newline within 2' is never true",
        ),
        ("* within 2", "'* within 2' is always true"),
        ("no * within 2", "'no * within 2' is never true"),
        ("newline within 999999999", "is 999999999 tokens, and a document has 5"),
        ("at least 999999999 newline within 2", "is never true"),
        ("newline within 6", "horizon of 'newline within 6' is 6 tokens, and a document has 5"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(description, sentence):
    with pytest.raises(Misuse) as refused:
        event(description, PAGES)
    for part in sentence.replace("\\?", "?").split(".*"):
        assert part in str(refused.value)


def test_a_horizon_is_said_once():
    with pytest.raises(Misuse, match="A description has its own horizon, got 3"):
        event("newline next", PAGES, 3)
    with pytest.raises(
        Misuse, match="A predicate needs a horizon, the number of tokens it is about, got None"
    ):
        event(lambda tokens: tokens[:, 0] == 0, PAGES)
    with pytest.raises(Misuse, match="An event is a description like"):
        event(3, geometry())
