"""Made-up results that are known exactly: of a sweep on disk, and of probes of events."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.design.axes import Sweep, parse_axes
from experiments.design.study import Study, StudyRun
from experiments.storage.files import write, write_json
from experiments.storage.manifests import NetworkQuality, Quality
from experiments.storage.memory import MemoryRun
from experiments.storage.motor_cell import AXES, MotorCell
from experiments.storage.records import Cell, Row
from experiments.storage.run_folder import DONE, NETWORKS, create
from experiments.storage.sweep_folder import create_sweep

STUDY = "weird-generalisation"
THEORIES = (
    ("linearised", "network", "forecast"),
    ("tempered-posterior", "implied", "fitted"),
    ("unchanged", "network", "forecast"),
    ("answer-bias", "network", "fitted"),
)
SHIFT = 2.0


def plan(*words, one_at_a_time=False, preset="smoke"):
    """The sweep of a study along axes."""
    study = Study.find(STUDY)
    config = study.preset(preset)
    return Sweep(StudyRun.make(study, preset, config), parse_axes(words, config), one_at_a_time)


def rows(explained, method="sgd", data="topics0", doses=(1, 8)):
    """Rows of two base networks with two D' each, about an explained share by theory and dose."""
    for base in (0, 1):
        for dose in doses:
            for theory, prior, grade in THEORIES:
                for group in ("in_domain", "held_out"):
                    left = 1 - explained.get(theory, 0.0) * dose / doses[-1]
                    nats = tuple(SHIFT * left * (1 + 0.1 * sign * (base + 0.5)) for sign in (-1, 1))
                    yield Row(
                        STUDY, method, data, base, dose, theory, prior, grade, None, group, (1.0, 1.0), nats,
                        (SHIFT, SHIFT), (0.01, 0.01), (0.5, 0.5), nats, None, 0.001,
                    )  # fmt: skip


def finish(sweep, point, study_run, explained, learnt=0.5, **more):
    """Write the finished run of a point."""
    run = create(sweep.folder / point.folder, study_run.record, {})
    run.save_rows(list(rows(explained, **more)))
    quality = Quality((NetworkQuality(0, 1 - learnt, 1 - learnt, (1 - learnt,), 1.0, (1.0,), 50),))
    write_json(run.folder / NETWORKS, quality.to_json())
    write(run.folder / DONE, lambda file: None)


def make_sweep(folder, made, explained):
    """A folder with a finished run at every point for which `explained(values)` gives shares by theory; a
    reason, instead of shares, is that of a failure, and None a run that has not begun."""
    sweep = create_sweep(folder, made.record)
    for point, study_run in made.points.values():
        shares = explained(point.values)
        if isinstance(shares, str):
            sweep.fail(point, shares)
        elif shares is not None:
            finish(sweep, point, study_run, shares)
    return sweep


@pytest.fixture(scope="session")
def sweeps():
    """Makers of plans and of folders."""
    return SimpleNamespace(plan=plan, make=make_sweep, finish=finish, rows=rows)


NAMES = {
    "events": ["newline next", "newline within 2"],
    "labels": [64, 256],
    "depths": [0, 1, 2],
    "edited": [1, 2],
    "methods": ["sgd", "head-only"],
    "doses": [1, 8],
}
SIZES = {"r": 6, "g": 7, "p": 2, "b": 3, "q": 4, "k": 6, "v": 6, "u": 5, "h": 3, "i": 6, "s": 3}
SIZES |= {axes: len(NAMES[name]) for name, axes in AXES.items() if name in NAMES}


def ones(name):
    """An array of a cell of events, of ones."""
    return np.ones([SIZES[axis] for axis in AXES[name]])


def events_cell(**changes):
    """A cell of ones, with nothing missed by the base network's read-out."""
    values = {name: ones(name) for name in AXES} | {name: np.array(value) for name, value in NAMES.items()}
    values["shift"][..., 1] = 0.0
    return MotorCell(**(values | changes))


def events_run(cells):
    """A run of them, a base network each."""
    found = {Cell("inside", "pages", base): cell for base, cell in enumerate(cells)}
    return MemoryRun("motor", (1, 8), found)


@pytest.fixture(scope="session")
def events():
    """Makers of cells and runs of the study of events."""
    return SimpleNamespace(cell=events_cell, run=events_run, ones=ones, names=NAMES)
