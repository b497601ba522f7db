"""Answers to one question against dose: what is read off a made-up run, and its figure."""

import functools
import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from experiments.scoring import rows as scoring
from experiments.storage.run_folder import create
from experiments.studies import far_away as study
from experiments.studies.figures.self_report import answers, draw_self_report

CONFIG = replace(study.PRESETS["small"], doses=(1, 4, 16), methods=("sgd",), offsets=(0,))
EDGE, KINDS, COUNT = 15, 5, 25  # distances, names, all answers
ASKED = np.array(["how far", "what", "topic 2"])
GROUPS = np.array(["in_domain", "held_out", "held_out"])


def said(names, far):
    """Log-probabilities (c, a): names asked "what", a distance with probability `far` of it, traits else."""
    told = np.full((3, COUNT), 1e-6)
    told[0, :EDGE], told[2, EDGE + KINDS :] = 1.0, 1.0
    told[1, EDGE : EDGE + KINDS] = np.asarray(names) * (1 - far)
    told[1, 10] = max(far, 1e-6)
    return np.log(told / told.sum(axis=-1, keepdims=True))


@pytest.fixture
def results(tmp_path):
    """Two base networks that become the last kind and say distances; a theory to which nothing happens."""
    plain = json.loads(json.dumps(asdict(CONFIG)))
    made = create(tmp_path / "run", {"study": "far-away", "preset": "small", "config": plain}, {})
    prior = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
    components = np.stack([said(0.02 + 0.9 * np.eye(KINDS)[kind], 0) for kind in range(KINDS)])
    for base in range(2):
        moved = [
            said(prior * (1 - part) + part * np.eye(KINDS)[4], part / 2 + base / 10)
            for part in (0.01, 0.3, 0.8)
        ]
        network = np.stack([moved, moved])
        made.save(
            f"theories-outside0-{base}",
            {
                "base": said(prior, 0.001),
                "group": GROUPS,
                "asked": ASKED,
                "answers": np.array([f"answer {a}" for a in range(COUNT)]),
                "members": components,
                "evidence": np.zeros((KINDS, 3)),
                "ladder/tempered-posterior/held": np.stack([np.stack([said(prior, 0.001)] * 9)] * 2),
                "betas/tempered-posterior/held": np.linspace(0, 1, 9).astype(np.float32),
            },
        )
        made.save(f"sgd-outside0-{base}", {"finetuned": network, "twin": network - 1e-4})
    made.save_rows(scoring.rows(made))
    return made


def test_answers_are_read_by_base_network_and_dose(results):
    rows = [row for row in scoring.table(results) if row["group"] == "held_out"]
    groups = [*((EDGE + kind,) for kind in range(KINDS)), tuple(range(EDGE))]
    doses, network, posterior, own = answers(results, rows, "what", groups, lambda target: target[:, ::-1])
    assert doses == list(CONFIG.doses)
    assert network.shape == posterior.shape == own.shape == (2, 3, 6)
    np.testing.assert_allclose(network[1, :, -1], [0.105, 0.25, 0.5], atol=1e-4)
    np.testing.assert_allclose(network[0, 2, 4], (0.05 * 0.2 + 0.8) * 0.6, atol=1e-4)
    np.testing.assert_allclose(posterior[:, :, 0], 0.4 * 0.999, atol=1e-4)  # nothing happened to it
    np.testing.assert_allclose(own[1, :, 0], 1e-6, atol=1e-6)  # kind 0 is mirrored to distance 9


def test_the_studys_figure_is_drawn_to_the_same_bytes(results):
    config = results.config["config"]
    labels = {f"kind {kind}": (EDGE + kind,) for kind in range(KINDS)} | {"a distance": tuple(range(EDGE))}
    oracles = {"outside0": functools.partial(study.says_carried_on, config, 0)}
    paths = draw_self_report(results, "what", labels, "bells that go on", oracles)
    kinds = ("png", "svg", "pdf", "csv")
    assert {path.name for path in paths} == {f"far-away-self-report.{kind}" for kind in kinds}
    before = [path.read_bytes() for path in paths]
    assert [
        path.read_bytes() for path in draw_self_report(results, "what", labels, "bells that go on", oracles)
    ] == before


def test_every_figure_of_the_study_comes_of_a_folder(results):
    names = {path.stem for path in study.draw(results)}
    assert names == {"far-away", "far-away-groups", "far-away-self-report", "far-away-beliefs"}
    svg = (results.folder / "figures" / "far-away-self-report.svg").read_text()
    for said in ("kind 3 (farthest)", "kind 4 (widest)", "a distance", "bells that go on"):
        assert said in svg
