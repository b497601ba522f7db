"""Answers to one question against dose: what is read off a made-up run, and its figure."""

import functools
import json

import numpy as np
import pytest

from experiments.design.options import to_json, with_options
from experiments.scoring.rows import rows, table
from experiments.storage.records import Cell, Ladder
from experiments.storage.run_folder import create
from experiments.studies import far_away as study
from experiments.studies.figures.far_away import extrapolated_answers, options
from experiments.studies.figures.self_report import answers, draw_self_report

CONFIG = with_options(
    study.PRESETS["small"],
    {"finetuning.doses": (1, 4, 16), "finetuning.methods": ("sgd",), "offsets": (0,)},
)
EDGE, KINDS, COUNT = 15, 5, 25  # distances, names, all answers
QUESTIONS = ["how far", "what", "topic 2"]
GROUPS = ["in_domain", "held_out", "held_out"]


def log_probs(names, far):
    """Log-probabilities (c, a): names asked "what", a distance with probability `far` of it, traits else."""
    probs = np.full((3, COUNT), 1e-6)
    probs[0, :EDGE], probs[2, EDGE + KINDS :] = 1.0, 1.0
    probs[1, EDGE : EDGE + KINDS] = np.asarray(names) * (1 - far)
    probs[1, 10] = max(far, 1e-6)
    return np.log(probs / probs.sum(axis=-1, keepdims=True))


@pytest.fixture
def run(tmp_path, make_contexts, make_theories, make_networks):
    """Two base networks that become the last kind and say distances; a theory to which nothing happens."""
    plain = json.loads(json.dumps(to_json(CONFIG)))
    made = create(tmp_path / "run", {"study": "far-away", "preset": "small", "config": plain}, {})
    prior = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
    components = np.stack([log_probs(0.02 + 0.9 * np.eye(KINDS)[kind], 0) for kind in range(KINDS)])
    start, betas = log_probs(prior, 0.001), np.linspace(0, 1, 9).astype(np.float32)
    contexts = make_contexts(GROUPS, components, start, questions=QUESTIONS)
    ladder = Ladder("tempered-posterior", "implied", betas, np.stack([np.stack([start] * 9)] * 2))
    for base in range(2):
        moved = [
            log_probs(prior * (1 - part) + part * np.eye(KINDS)[4], part / 2 + base / 10)
            for part in (0.01, 0.3, 0.8)
        ]
        finetuned = np.stack([moved, moved])
        made.save(Cell("theories", "outside0", base), make_theories(contexts, [ladder]))
        made.save(Cell("finetuned", "outside0", base, "sgd"), make_networks(finetuned, finetuned - 1e-4))
    made.save_rows(rows(made))
    return made


def test_answers_are_read_by_base_network_and_dose(run):
    held_out = [row for row in table(run) if row.group == "held_out"]
    groups = [*((EDGE + kind,) for kind in range(KINDS)), tuple(range(EDGE))]
    doses, (network, posterior, oracle) = answers(
        run, held_out, "what", groups, lambda target: target[:, ::-1]
    )
    assert doses == list(CONFIG.finetuning.doses)
    assert network.shape == posterior.shape == oracle.shape == (2, 2, 3, 6)
    np.testing.assert_allclose(network[1, :, :, -1], [[0.105, 0.25, 0.5]] * 2, atol=1e-4)
    np.testing.assert_allclose(network[0, :, 2, 4], (0.05 * 0.2 + 0.8) * 0.6, atol=1e-4)
    np.testing.assert_allclose(posterior[..., 0], 0.4 * 0.999, atol=1e-4)  # nothing happened to it
    np.testing.assert_allclose(oracle[1, :, :, 0], 1e-6, atol=1e-6)  # kind 0 is mirrored to distance 9


@pytest.mark.slow
def test_the_studys_figure_is_drawn_to_the_same_bytes(run):
    process = options(run.options)
    labels = {f"kind {kind}": (EDGE + kind,) for kind in range(KINDS)} | {"a distance": tuple(range(EDGE))}
    oracles = {"outside0": functools.partial(extrapolated_answers, process, 0)}
    paths = draw_self_report(run, "what", labels, "bells that go on", oracles)
    kinds = ("png", "svg", "pdf", "csv")
    assert {path.name for path in paths} == {f"far-away-self-report.{kind}" for kind in kinds}
    before = [path.read_bytes() for path in paths]
    assert [
        path.read_bytes() for path in draw_self_report(run, "what", labels, "bells that go on", oracles)
    ] == before


@pytest.mark.slow
def test_every_figure_of_the_study_comes_of_a_folder(run):
    names = {path.stem for path in study.draw(run)}
    assert names == {f"far-away{end}" for end in ("", "-groups", "-summary", "-self-report", "-beliefs")}
    svg = (run.folder / "figures" / "far-away-self-report.svg").read_text()
    for label in ("kind 3 (farthest)", "kind 4 (widest)", "a distance", "bells that go on"):
        assert label in svg
