"""The outside check of regression in context, and what it costs."""

import numpy as np
import pytest

from experiments.storage.run_folder import create
from experiments.studies.figures import task_diversity as figures


@pytest.mark.slow
def test_the_outside_check_is_drawn_from_what_it_computes(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "CHECKED", np.array([2, 64]))
    made = create(tmp_path / "run", {"study": "task-diversity", "preset": "small", "config": {}}, {})
    paths = figures.draw_published(made)
    assert [path.name for path in paths] == [
        f"task-diversity-published.{kind}" for kind in ("png", "svg", "pdf")
    ]
    before = paths[0].read_bytes()
    assert figures.draw_published(made)[0].read_bytes() == before


def test_every_number_of_tasks_gets_rows_and_pools_within_the_budget():
    for count in figures.CHECKED:
        rows, pools = figures.cost(int(count))
        assert rows >= 24 and pools >= 2
        assert rows * pools * count <= 2 * figures.BUDGET
