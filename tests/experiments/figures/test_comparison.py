"""Figures are drawn from whatever is on disk, and the same folder gives the same bytes."""

import numpy as np
import pytest

from experiments.figures.comparison import _told, draw_comparison
from experiments.scoring import rows as scoring
from experiments.storage.run_folder import create
from theory.errors import Misuse

DOSES, TOPICS, ANSWERS, SEEDS = (1, 8), 3, 3, 2


def _log(weights):
    return np.log(weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)


def _run(folder, bases=2, cells=("theories", "sgd"), noise=0.01):
    """A made-up run: the finetuned network walks from the base towards a target answer."""
    config = {"doses": list(DOSES), "n": 4, "batch": 2, "pairs": 2, "sgd_rate": 0.1, "methods": ["sgd"]}
    results = create(folder, {"study": "made-up", "preset": "tiny", "config": config}, {})
    for base in range(bases):
        rng = np.random.default_rng(base)
        group = np.repeat(["in_domain", "held_out", "conflict"], TOPICS)
        count = len(group)
        start, end = rng.random((2, count, ANSWERS)) + 0.2

        def walk(parts, start=start, end=end):
            return start + np.asarray(parts)[:, None, None] * (end - start)

        betas = np.linspace(0, 1, 6).astype(np.float32)
        ladder = np.stack([_log(walk(betas))] * SEEDS)
        theories = {
            "members": _log(rng.random((2, count, ANSWERS)) + 0.2),
            "evidence": np.zeros((2, count), np.float32),
            "base": _log(start),
            "group": group,
            "asked": np.tile([f"topic {topic}" for topic in range(TOPICS)], 3),
            "answers": np.array([f"answer {answer}" for answer in range(ANSWERS)]),
        }
        for name in ("tempered-posterior/held", "tempered-posterior/process", "proximal/network"):
            theories |= {f"ladder/{name}": ladder, f"betas/{name}": betas}
        moved = walk([0.3, 0.9])
        jitter = noise * rng.random((2, SEEDS, *moved.shape))
        network = {"finetuned": _log(moved + jitter[0]), "twin": _log(moved + jitter[1])}
        dynamics = {"linearised": network["finetuned"]}
        if "theories" in cells:
            results.save(f"theories-topics0-{base}", theories)
        if "sgd" in cells:
            results.save(f"dynamics-sgd-topics0-{base}", dynamics)
            results.save(f"sgd-topics0-{base}", network)
    return results


def test_drawing_twice_gives_the_same_bytes(tmp_path):
    results = _run(tmp_path / "run")
    results.save_rows(scoring.rows(results))
    paths = draw_comparison(results)
    assert paths[0] == results.folder / "figures" / "made-up.png"
    assert {path.suffix for path in paths} == {".png", ".svg", ".pdf"}
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in draw_comparison(results)] == before


def test_an_unfinished_run_is_drawn_from_what_there_is(tmp_path):
    results = _run(tmp_path / "run")
    (results.folder / "cells" / "sgd-topics0-1.npz").unlink()
    results.fail("sgd-topics0-1", "Non-finite answers.")
    assert all(path.stat().st_size > 1000 for path in draw_comparison(results))


def test_doses_without_a_defined_score_are_drawn(tmp_path):
    results = _run(tmp_path / "run", bases=1, noise=20.0)
    lines = scoring.scorecard(scoring.rows(results))
    assert any(line["explained"] is None and line["group"] == "held_out" for line in lines)
    assert draw_comparison(results)


def test_sampled_answers_are_those_of_the_networks_that_were_sampled(tmp_path):
    """Chains of the first of two finetuning seeds, at the β of their row; the base's own beside them."""
    results = _run(tmp_path / "run")
    for base in range(2):
        theories = results.load(f"theories-topics0-{base}")
        ladder, betas = (theories[f"{kind}/proximal/network"] for kind in ("ladder", "betas"))
        chains = {"ladder/langevin-posterior/T=0.001": ladder[:1], "times/langevin-posterior/T=0.001": betas}
        chains |= {"betas/langevin-posterior/T=0.001": betas * (1 + base)}
        chains |= {"problems/langevin-posterior/T=0.001": np.full((1, len(betas)), "")}
        results.save(f"langevin-topics0-{base}", chains)
    rows = [row for row in scoring.rows(results) if row["group"] == "held_out"]
    mine = [row for row in rows if (row["theory"], row["grade"]) == ("langevin-posterior", "fitted")]
    assert {len(row["beta"]) for row in mine} == {1} and len(mine) == 2 * len(DOSES)
    told, asked, answers = _told(results, rows)
    assert asked == [f"topic {topic}" for topic in range(TOPICS)]
    assert answers == [f"answer {answer}" for answer in range(ANSWERS)]
    assert told["langevin-posterior"].shape == (len(DOSES), TOPICS, ANSWERS)
    # both seeds have the same ladder: their average is the first one's, at nearly the same β
    np.testing.assert_allclose(told["langevin-posterior"], told["proximal"], atol=2e-3)
    assert np.abs(told["langevin-posterior"] - told["base"]).max() > 0.02
    assert {path.suffix for path in draw_comparison(results)} == {".png", ".svg", ".pdf"}


@pytest.mark.parametrize("cells", [(), ("theories",)])
def test_nothing_finished_is_said_in_a_sentence(tmp_path, cells):
    results = _run(tmp_path / "run", cells=cells)
    results.fail("adam-topics0-0", "It diverged.")
    with pytest.raises(Misuse, match=r"Nothing to draw .*It diverged"):
        draw_comparison(results)
