"""Transfer and alignment, as computed from a made-up run."""

import numpy as np
import pytest

from experiments.scoring.rows import rows
from experiments.storage.contents import ReplayCell
from experiments.storage.records import Cell, Ladder
from experiments.storage.run_folder import create
from experiments.studies import subliminal as study
from experiments.studies.figures.subliminal import alignment, position, transfer

DOSES, BASES = [1, 4], 3
ARMS = ("same_start", "other_start", "exact")


def test_the_way_to_the_persona_is_read_from_the_others_to_its_own(make_contexts):
    components = np.random.default_rng(0).dirichlet(np.ones(4), size=(3, 2))  # (k, c, a)
    mean, persona = components[:2].mean(axis=0), components[2]
    contexts, read = make_contexts(["taught"] * 2, np.log(components)), position(2)
    for part in (0.0, 0.3, 1.0):
        probs = (mean + part * (persona - mean))[None, None]
        np.testing.assert_allclose(read(contexts, probs), [[part]], atol=1e-12)


@pytest.fixture
def run(tmp_path, make_contexts, make_theories, make_networks):
    """Base networks on the way to the persona at 0.1, 0.2 and 0.3, teachers 0.5 farther; students take a
    step of 0.1 and 0.2, in `exact` of none. Updates of students are teachers' with a known angle."""
    persona, mean = np.array([0.9, 0.1]), np.array([0.1, 0.9])

    def at(part):
        return np.log(mean + np.asarray(part, float)[..., None] * (persona - mean)).astype(np.float32)

    finetuning = {"doses": DOSES, "n": 4, "batch": 2, "sgd_rate": 0.1, "methods": ["sgd"]}
    config = {"finetuning": finetuning, "pretraining": {"seeds": BASES}, "persona": 1, "arms": list(ARMS)}
    made = create(tmp_path / "run", {"study": "made-up", "preset": "tiny", "config": config}, {})
    betas, direction = np.linspace(0, 1, 6).astype(np.float32), np.array([[3.0, 0.0]])  # of every teacher
    components = np.stack([at([0.0] * 3), at([1.0] * 3)])
    ladder = Ladder("tempered-posterior", "process", betas, at(np.full((2, 6, 3), 0.15)))
    for arm in ARMS:
        for base in range(BASES):
            start, source = 0.1 * (base + 1), (base + (arm == "other_start")) % BASES
            step = np.zeros((2, 2, 3)) + (0 if arm == "exact" else np.array([[0.1], [0.2]]))
            contexts = make_contexts(["in_domain", "held_out", "taught"], components, at([start] * 3))
            teacher = {}
            if arm != "exact":
                answers = at([0.1 * (source + 1) + 0.5] * 3)
                teacher = {"teacher_answers": answers, "teacher_update": {"up": direction}}
            made.save(Cell("theories", arm, base), make_theories(contexts, [ladder], **teacher))
            moved = at(start + step)
            update = {"up": np.array([[[2.0, 0.0]], [[0.0, 1.0]]])}
            made.save(Cell("replays", arm, base, "sgd"), ReplayCell({"linearised": moved}, update=update))
            update = {"up": np.array([[[1.0, 1.0]], [[-1.0, 0.0]]])}
            made.save(Cell("finetuned", arm, base, "sgd"), make_networks(moved, update=update))
    made.save_rows(rows(made))
    return made


def test_transfer_is_the_step_from_the_base_network(run):
    for group in ("taught", "held_out"):
        panels = transfer(run, study.OFFSETS, group)
        assert set(panels) == {("sgd", arm) for arm in ARMS}
        for arm, step in (("same_start", [0.1, 0.2]), ("other_start", [0.1, 0.2]), ("exact", [0.0, 0.0])):
            for name in ("finetuned", "linearised"):
                np.testing.assert_allclose(panels["sgd", arm][name], [[step] * 2] * BASES, atol=1e-5)
        for arm in ("same_start", "other_start"):  # each from the base network that it is made of
            np.testing.assert_allclose(panels["sgd", arm]["teacher"], [[[0.5]]] * BASES, atol=1e-5)
        assert len(panels["sgd", "exact"]["teacher"]) == 0


def test_alignment_is_the_angle_to_the_teacher_s_update(run):
    panels = alignment(run, study.OFFSETS)
    for arm in ARMS:
        np.testing.assert_allclose(panels["sgd", arm]["finetuned"], [[[0.5**0.5, -1]]] * BASES, atol=1e-12)
        np.testing.assert_allclose(panels["sgd", arm]["linearised"], [[[1, 0]]] * BASES, atol=1e-12)


@pytest.mark.slow
def test_a_run_that_is_not_finished_can_be_drawn(run):
    unfinished = Cell("theories", "other_start", 0), Cell("theories", "exact", 2)
    for cell in (*unfinished, Cell("finetuned", "same_start", 1, "sgd")):
        run.path(cell).unlink()
    (run.folder / "rows.jsonl").unlink()
    paths = study.draw(run)
    assert {path.stem for path in paths} == {
        f"made-up{end}" for end in ("", "-groups", "-summary", "-transfer")
    }
    assert all(path.exists() for path in paths)
