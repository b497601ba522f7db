"""Whether networks come nearer to what a study asks about is told with its interval."""

import numpy as np
import pytest

from experiments.scoring.labels import UNCHANGED
from experiments.scoring.rows import rows
from experiments.scoring.scorecard import scorecard
from experiments.scoring.target import Target, approaches, sentence
from experiments.storage.records import Cell
from experiments.storage.run_folder import create

GROUPS = ["in_domain", "held_out", "held_out"]
AIM, OTHER = np.log([[[0.7, 0.2, 0.1]] * 3, [[0.1, 0.2, 0.7]] * 3])
TARGET = Target(0, "that persona")


@pytest.fixture
def run(tmp_path, make):
    """Three base networks, half of each persona, and two D': SGD goes to the target, Adam anywhere."""
    config = {"study": "s", "preset": "none", "config": {"finetuning": {"doses": [1, 4]}}}
    made = create(tmp_path / "run", config, {})
    base = np.logaddexp(AIM, OTHER) - np.log(2)
    random = np.random.default_rng(0)
    for index in range(3):
        contexts = make.contexts(base, GROUPS, np.stack([AIM, OTHER]))
        made.save(Cell("theories", "topics0", index), make.theories(contexts))
        for method, share in (("sgd", 0.9 + 0.01 * random.normal(size=2)), ("adam", [0.2 + 0.3 * index] * 2)):
            mixed = [np.logaddexp(AIM + np.log(w), OTHER + np.log(1 - w)) for w in share]
            tuned = np.stack([np.stack([base, answers]) for answers in mixed])
            made.save(Cell("finetuned", "topics0", index, method), make.finetuned(tuned))
    return made


def test_networks_that_become_the_target_are_closer(run):
    sgd, adam = found = approaches(run, scorecard(rows(run)), TARGET)
    mixture = np.exp(np.logaddexp(AIM, OTHER) - np.log(2))[0]
    before = np.sum(np.exp(AIM[0]) * (AIM[0] - np.log(mixture)))
    assert (sgd.group, sgd.dose) == ("held_out", 4) and sgd.before == pytest.approx(before)
    assert sgd.after < 0.05 and sgd.change.below and sgd.change.value == pytest.approx(sgd.after - before)
    assert not adam.change.below and not adam.change.above
    words = sentence(found, TARGET)
    assert words.startswith(
        "Does it become that persona? KL(that persona ‖ network) on held-out contexts falls after SGD on "
        "topic 0 ("
    )
    assert "; it is not shown to change after Adam on topic 0 (" in words and "[" in words
    farther = sentence(approaches(run, scorecard(rows(run)), Target(1, "the other")), TARGET)
    assert "rises after SGD on topic 0" in farther


def test_one_base_network_has_no_interval_and_nothing_no_sentence(run):
    lines = [line for line in scorecard(rows(run)) if line.theory == UNCHANGED]
    for base in (1, 2):
        for method in ("sgd", "adam"):
            run.path(Cell("finetuned", "topics0", base, method)).unlink()
    found = approaches(run, lines, TARGET)
    assert found[0].change.interval is None and "no interval" in sentence(found, TARGET)
    assert sentence([], TARGET) == ""
