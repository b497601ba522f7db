"""What is to be known before numbers are read: a smoke run is no verdict, and missing cells are named."""

import pytest

from experiments.reports.state import caveats
from experiments.storage.run_folder import create


@pytest.fixture
def made(tmp_path):
    """A run with so many base networks in each world, and empty files of cells of some of them."""

    def make(preset, bases, worlds=(), seeds=3):
        config = {"pretraining": {"seeds": seeds}, "worlds": list(worlds)}
        run = create(tmp_path, {"study": "motor", "preset": preset, "config": config}, {})
        (run.folder / "cells").mkdir(exist_ok=True)
        for base in bases:
            (run.folder / "cells" / f"inside--pages--{base}.npz").touch()
        return run

    return make


def test_a_smoke_run_is_no_verdict(made):
    (sentence,) = caveats(made("smoke", range(3)))
    assert sentence.startswith("Smoke: ") and "no verdict" in sentence


def test_a_whole_run_has_nothing_to_be_said(made):
    assert caveats(made("small", range(3))) == []


def test_base_networks_without_a_cell_are_named(made):
    (sentence,) = caveats(made("small", (0, 1, 3, 4), worlds=["mess3"]))
    assert sentence.startswith("Cells of 2 of 6 base networks are missing (2, 5): what follows")


def test_a_failed_cell_is_not_missing(made):
    run = made("small", (0, 1))
    (run.folder / "cells" / "inside--pages--2.failed.json").write_text('{"reason": "diverged"}')
    assert caveats(run) == []


def test_networks_without_cells_that_only_the_first_ones_have_are_whole(made):
    run = made("small", range(3))
    (run.folder / "cells" / "retrained--pages--0.npz").touch()
    (run.folder / "cells" / "posteriors--pages--0.npz").touch()
    assert caveats(run) == []
