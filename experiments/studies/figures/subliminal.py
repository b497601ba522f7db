"""Transfer from teacher to student: steps towards the persona, and alignment of updates. No jax.

    step to persona   how far answers p go from the mean answers m of the other personas (0) to the persona's
                      own q (1), Σ (p - m)(q - m) / Σ (q - m)² over contexts and answers, less the base's
    alignment         cosine between the update of a student's weights and that of its teacher's

Axes: b base networks, s finetuning seeds, d doses, c contexts, a answers, w weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from experiments.figures.curves import Curves, draw_grid
from experiments.figures.readouts import Read, readings
from experiments.scoring.labels import METHODS
from experiments.scoring.predictions import BASE, NETWORK
from experiments.storage.contents import Contexts
from experiments.storage.records import Cell, CellKind
from experiments.storage.run_folder import RunFolder

LINEARISED, TEACHER = "linearised", "teacher"
LEARNERS: tuple[tuple[str, CellKind], ...] = ((NETWORK, "finetuned"), (LINEARISED, "replays"))
SHIFTED = "same_start"  # the arm whose teachers' updates stand in where a teacher is not shifted
Panels = dict[tuple[str, str], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Options:
    """The options that are read."""

    persona: int
    base_seeds: int
    methods: list[str]
    arms: list[str]


def options(run: RunFolder) -> Options:
    """The options of a run."""
    values = run.options
    bases, methods = values["pretraining"]["seeds"], values["finetuning"]["methods"]
    return Options(values["persona"], bases, methods, values["arms"])


def position(persona: int) -> Read:
    """The readout of where answers lie on the line from the other personas' to the persona's own."""

    def read(contexts: Contexts, probs: np.ndarray) -> np.ndarray:
        components = np.exp(contexts.components.astype(float))
        mean = np.delete(components, persona, axis=0).mean(axis=0)
        direction = components[persona] - mean
        return np.sum((probs - mean) * direction, axis=(-1, -2)) / np.sum(direction**2)

    return read


def transfer(run: RunFolder, apart: Mapping[str, int], group: str = "taught") -> Panels:
    """By (method, arm), steps (b, s, d) from the base network's answers to the persona's, of networks and
    theories by name. Theories of the process start from there, not from the base network: what they do not
    move lies flat beside 0. `teacher`, (b, 1, 1), is the step of a shifted teacher from its own base network,
    `apart` of the student's by arm."""
    read, panels = position(options(run).persona), {}
    for reading in readings(run, group, read):
        base = reading.values[BASE]
        steps = {name: values - base for name, values in reading.values.items() if name != BASE}
        cells = sorted(run.cells(kind="theories", arm=reading.data))
        taught = [_teacher_step(run, cell, apart, group, read) for cell in cells]
        steps[TEACHER] = np.array([[[step]] for step in taught if step is not None])
        panels[reading.method, reading.data] = steps
    return panels


def _teacher_step(
    run: RunFolder, cell: Cell, apart: Mapping[str, int], group: str, read: Read
) -> float | None:
    """The step that the teacher of a student takes; None where it takes none, or its base is not finished."""
    if cell.arm not in apart:
        return None
    count = options(run).base_seeds
    row = (cell.base + apart[cell.arm]) % count  # among the networks of its draw of the process
    origin = run.theories(replace(cell, base=run.draw(cell.base) * count + row))
    student = run.theories(cell)
    if origin is None or student is None or student.teacher_answers is None:
        return None
    contexts, inside = student.contexts.of(group), student.contexts.inside(group)
    after, before = (
        read(contexts, np.exp(answers[inside].astype(float)))
        for answers in (student.teacher_answers, origin.contexts.base)
    )
    return float(after - before)


def alignment(run: RunFolder, apart: Mapping[str, int]) -> Panels:
    """By (method, arm), the cosine (b, 1, d) between the first seed's update and that of its teacher, of
    finetuned networks and of the linearised theory; where the teacher is not shifted, the update of the
    teacher of `same_start` stands in."""
    panels: Panels = {}
    for method in options(run).methods:
        for arm in options(run).arms:
            for learner, kind in LEARNERS:
                cells = sorted(run.cells(kind=kind, arm=arm, method=method))
                cosines = [cosine for cell in cells if (cosine := _cosine(run, cell, apart)) is not None]
                if cosines:
                    panels.setdefault((method, arm), {})[learner] = np.array(cosines)[:, None]
    return panels


def _cosine(run: RunFolder, cell: Cell, apart: Mapping[str, int]) -> np.ndarray | None:
    """The cosine (d,) of an update with the teacher's; None where either is not on disk."""
    origin = run.theories(cell if cell.arm in apart else replace(cell, arm=SHIFTED))
    student = run.finetuned(cell) if cell.kind == "finetuned" else run.replays(cell)
    if origin is None or origin.teacher_update is None or student is None:
        return None
    update, target = _flat(student.update, len(run.doses)), _flat(origin.teacher_update, 1)[0]
    lengths = np.linalg.norm(update, axis=-1) * np.linalg.norm(target)
    return update @ target / np.maximum(lengths, 1e-30)


def _flat(update: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
    """The weights of all layers (rows, w), by name."""
    return np.concatenate([update[name].astype(float).reshape(rows, -1) for name in sorted(update)], axis=1)


def draw_transfer(run: RunFolder, apart: Mapping[str, int]) -> list[Path]:
    """Steps towards the persona on topics that the teacher was taught and on others, and alignment, for every
    method (rows) and arm (columns)."""
    rows = {
        "taught:\nstep to persona": transfer(run, apart, "taught"),
        "held out:\nstep to persona": transfer(run, apart, "held_out"),
        "cosine with\nteacher's update": alignment(run, apart),
    }
    grid = {
        (f"{METHODS.get(method, method)}, {title}", arm.replace("_", " ")): panels[method, arm]
        for method in options(run).methods
        for title, panels in rows.items()
        for arm in options(run).arms
        if (method, arm) in panels
    }

    def annotate(axes: Axes, curves: Curves, panel: tuple[str, str]) -> None:
        axes.axhline(0, color="0.45", lw=0.6)
        axes.margins(y=0.25)
        axes.locator_params(axis="y", nbins=4, steps=[1, 2, 5, 10])
        steps = grid[panel].get(TEACHER)
        if steps is not None and len(steps):
            (mean,), _ = curves.note(panel, "its teacher", run.doses[-1:], steps)
            axes.text(0.04, 0.96, f"its teacher: {mean:+.2f}", transform=axes.transAxes, va="top", fontsize=6)

    return draw_grid(run, "transfer", grid, 1.2, None, annotate)
