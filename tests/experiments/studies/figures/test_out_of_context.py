"""Expected biases: the formula of the process, and both readouts of a made-up run."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.design.options import to_json, with_options
from experiments.scoring.predictions import NETWORK
from experiments.scoring.rows import rows
from experiments.storage.contents import ReplayCell
from experiments.storage.records import Cell
from experiments.storage.run_folder import create
from experiments.studies import out_of_context as study
from experiments.studies.figures.out_of_context import draw_report, expected_bias, report_and_behaviour

CONFIG = with_options(study.PRESETS["small"], {"finetuning.doses": (1, 8), "finetuning.methods": ("sgd",)})
BIASES = np.array(CONFIG.process.biases)


@pytest.fixture(scope="module")
def process():
    return CONFIG.process.build()


def test_the_expected_bias_is_the_process_s(process, make_contexts):
    bias = expected_bias(SimpleNamespace(options=to_json(CONFIG)))
    names = process.token_names()
    answers = list(names[process.answer_tokens])
    probs = np.random.default_rng(0).dirichlet(np.ones(len(answers)), size=(2, 3, 1))
    for cue, question in enumerate(names[: process.report + 1]):
        contexts = make_contexts(
            ["held_out"], np.zeros((1, 1, len(answers))), questions=[question], answers=answers
        )
        np.testing.assert_array_equal(bias(contexts, probs), process.expected_bias(probs[..., 0, :], cue))


def answers(process, weights, cue):
    """The answers of a belief after a cue."""
    return np.log(np.asarray(weights) @ process.answer_table()[:, cue]).astype(np.float32)


@pytest.fixture
def run(tmp_path, process, make_contexts, make_theories, make_networks):
    """Networks that do as coin 4 (bias 0.9) and say so half the way: (0.34 + 0.9) / 2 = 0.62."""
    config = json.loads(json.dumps(to_json(CONFIG)))
    made = create(tmp_path / "run", {"study": "made-up", "preset": "tiny", "config": config}, {})
    before, sure = np.exp(process.log_belief(0, 0)), np.eye(len(BIASES))[-1]
    cues, names = [0, 3, 1, 2], process.token_names()
    base = np.stack([answers(process, before, cue) for cue in cues])
    after = np.stack([answers(process, (before + sure) / 2 if cue == 3 else sure, cue) for cue in cues])
    moved = np.broadcast_to(after, (2, 2, *after.shape))
    contexts = make_contexts(
        ["in_domain", "held_out", "other_format", "other_format"],
        np.log(process.answer_table()[:, cues]).astype(np.float32),
        base,
        questions=[names[cue] for cue in cues],
        answers=list(names[process.answer_tokens]),
    )
    for network in range(2):
        made.save(Cell("theories", "coin4", network), make_theories(contexts))
        made.save(Cell("replays", "coin4", network, "sgd"), ReplayCell({"linearised": moved}))
        made.save(Cell("finetuned", "coin4", network, "sgd"), make_networks(moved))
    made.save_rows(rows(made))
    return made


def test_both_readouts_of_a_made_up_run(run):
    ((report, behaviour),) = report_and_behaviour(run)
    np.testing.assert_allclose(behaviour.mean(NETWORK), [0.9, 0.9], rtol=1e-4)
    np.testing.assert_allclose(report.mean(NETWORK), [0.62, 0.62], rtol=1e-4)
    paths = draw_report(run)
    assert [path.name for path in paths] == [f"made-up-said.{kind}" for kind in ("png", "svg", "pdf", "csv")]
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in draw_report(run)] == before
