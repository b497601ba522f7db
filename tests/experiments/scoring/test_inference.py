"""Shares of inference learnt, from answers and excesses made by hand."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from experiments.scoring import inference
from experiments.storage.manifests import NetworkQuality, Quality
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell
from theory.errors import Misuse

EXACT, NEVER = np.log([0.9, 0.1]), np.log([0.5, 0.5])
HALF = math.log(2) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1)  # nats: what there is to infer
QUALITY = Quality(
    (
        NetworkQuality(0, 0.01, 0.0, (0.0, 0.02), 0.1, (0.0, 0.2), 50),
        NetworkQuality(1, 0.03, 0.0, (0.0, 0.06), 0.1, (0.0, 0.2), 100),
    )
)


def contexts(make, base):
    """An exact process that infers in the first two contexts, and has nothing to infer in the last."""
    made = make.contexts([EXACT, EXACT, NEVER], ["in_domain", "held_out", "first"])
    return replace(made, base=np.array(base), uninformed=np.array([NEVER] * 3))


@pytest.fixture
def run(make):
    """Two base networks: one infers all and one nothing in domain, both nothing elsewhere."""
    made = MemoryRun("study", (1,))
    for index, inside in enumerate((EXACT, NEVER)):
        content = make.theories(contexts(make, [inside, NEVER, NEVER]))
        made = made.with_content(Cell("theories", "arm", index), content)
    return made


def test_shares_by_group_are_of_sums_over_networks(run):
    found = inference.by_group(run)
    assert list(found) == ["in_domain", "held_out", "first"]
    assert found["in_domain"] == pytest.approx(0.5) and found["held_out"] == pytest.approx(0)
    assert math.isnan(found["first"])
    assert inference.by_group(MemoryRun("study", (1,))) == {}


def test_a_network_may_be_farther_off_than_one_that_never_infers(make):
    base = [NEVER[::-1], np.log([0.1, 0.9]), NEVER]
    run = MemoryRun("study", (1,)).with_content(
        Cell("theories", "arm", 0), make.theories(contexts(make, base))
    )
    assert inference.by_group(run)["held_out"] == pytest.approx(1 - 0.8 * math.log(9) / HALF)


def test_shares_of_networks_and_positions():
    assert QUALITY.learnt == pytest.approx(0.8) and QUALITY.uninformed == 0.1
    assert [network.learnt for network in QUALITY.networks] == pytest.approx([0.9, 0.7])
    first, second = QUALITY.learnt_by_position
    assert math.isnan(first) and second == pytest.approx(0.8)
    assert math.isnan(Quality((replace(QUALITY.networks[0], uninformed=0.0),)).learnt)


def test_positions_are_means_over_the_networks_whose_documents_have_them():
    short = replace(QUALITY.networks[0], by_position=(0.3,), uninformed_by_position=(0.6,))
    both = Quality((*QUALITY.networks, short))
    (excess, uninformed), last = both.by_position
    firsts = [network.by_position[0] for network in both.networks]
    assert excess == pytest.approx(np.mean(firsts)) and uninformed == pytest.approx(0.2)
    assert last == QUALITY.by_position[1] and len(inference.positions(both)) == 3
    assert Quality.from_json(json.loads(json.dumps(both.to_json(), allow_nan=False))) == both


def test_what_is_written_can_be_read_back():
    written = json.loads(json.dumps(QUALITY.to_json({"held_out": 0.4, "first": math.nan}), allow_nan=False))
    assert Quality.from_json(written) == QUALITY
    assert written["learnt_by_group"] == {"held_out": 0.4, "first": None}
    assert written["learnt_by_position"] == [None, QUALITY.learnt_by_position[1]]
    assert written["learnt"] == QUALITY.learnt and written["learnt_by_network"] == pytest.approx([0.9, 0.7])
    written["networks"][0]["by_position"] = [0.1]
    with pytest.raises(Misuse, match="differ in length"):
        Quality.from_json(written)


def test_the_sentence_says_what_was_wanted_and_not_reached():
    groups = {"in_domain": 0.75, "first": math.nan}
    text = "Of inference the base networks have learnt 0.800 (0.700 to 0.900); in-domain 0.750."
    assert inference.sentence(QUALITY, groups) == text == inference.sentence(QUALITY, groups, 0.7)
    missed = inference.sentence(QUALITY, {}, 0.95)
    assert missed.endswith("(0.700 to 0.900). 0.95 was wanted, and not reached in 100 steps.")
    assert inference.sentence(None, groups) == ""


def test_a_network_that_was_shrunk_is_told():
    quality = Quality((QUALITY.networks[0], replace(QUALITY.networks[1], shrunk=60)))
    assert inference.sentence(quality, {}).endswith("1 of 2 had stalled and went on from smaller weights.")
    assert [row[-1] for row in inference.table(quality)] == ["shrunk at step", "–", "60"]
    assert Quality.from_json(json.loads(json.dumps(quality.to_json()))) == quality
    assert "stalled" not in inference.sentence(QUALITY, {})


def test_tables():
    head, first, _ = inference.table(QUALITY)
    assert dict(zip(head, first, strict=True)) == {
        "seed": "0",
        "steps": "50",
        "excess (nats)": "0.01000",
        "at the first answer": "0.00000",
        "never inferring": "0.10000",
        "learnt": "0.900",
    }
    assert inference.positions(QUALITY)[1:] == [["0", "0.00000", "–"], ["1", "0.04000", "0.800"]]
