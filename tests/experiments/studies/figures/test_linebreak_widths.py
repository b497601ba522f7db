"""Newlines after lines of another width, as computed from made-up predictions."""

from types import SimpleNamespace

import numpy as np

from experiments.studies.figures import linebreak_widths as figures


def test_newlines_are_read_by_the_lines_shown(monkeypatch, make_contexts):
    chances = {"first_line": 0.5, "lines_1": 0.25}

    def predictions(run, rows):
        newline, group = chances[rows[0].group], [rows[0].group] * 5
        answers = np.log(np.full((2, 3, 5, 2), [1 - newline, newline]))  # seeds, doses, contexts, answers
        components = np.log(np.full((2, 5, 2), [0.4, 0.6]))
        yield make_contexts(group, components, answers=["word", "newline"]), {"finetuned": answers}

    monkeypatch.setattr(figures, "predictions", predictions)
    computed = figures.newlines(None, [SimpleNamespace(group=name) for name in chances], 1, 1)
    np.testing.assert_allclose(computed["finetuned"], np.tile([[[[0.5]]], [[[0.25]]]], (1, 1, 2, 3)))
    np.testing.assert_allclose(computed[figures.ALONE], np.full((2, 1, 2, 3), 0.6))


def test_the_component_of_a_width_is_its_place_among_all_widths():
    run = SimpleNamespace(
        options={"process": {"widths": [7, 5, 9, 4]}, "finetuned_widths": [4, 9], "lines": 3}
    )
    assert figures.options(run) == figures.Options(3, {4: 3, 9: 2})
