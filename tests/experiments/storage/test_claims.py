"""Claims: one holder at a time; what is stale, and what a process that died leaves."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from experiments.storage import claims as module
from experiments.storage.claims import Claims

DYING = """
import os, signal, sys
from pathlib import Path
from experiments.storage.claims import Claims
assert Claims(Path(sys.argv[1])).take("cell")
print("held", flush=True)
signal.pause()
"""


@pytest.fixture
def elsewhere(monkeypatch):
    """Claims are those of a machine of which nothing is known here."""

    def take(claims, name):
        with monkeypatch.context() as changed:
            changed.setattr(module, "_machine", lambda: "node-7 another")
            return claims.take(name)

    return take


def test_the_second_claimant_gets_nothing_until_the_first_ends(tmp_path):
    first, second = Claims(tmp_path / "new"), Claims(tmp_path / "new")
    with first.take("cell") as held:
        assert second.take("cell") is None and first.take("cell") is None
        assert second.names() == {"cell"} and list(second.living()) == ["cell"]
        with second.take("other"):
            assert second.names() == {"cell", "other"}
    assert not held.path.exists() and second.names() == set()
    assert second.take("cell") is not None


def test_many_threads_and_one_holder(tmp_path):
    holders = [Claims(tmp_path) for _ in range(16)]
    barrier, taken = threading.Barrier(16), []

    def take(claims):
        barrier.wait()
        taken.append(claims.take("cell"))

    threads = [threading.Thread(target=take, args=(claims,)) for claims in holders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(claim is not None for claim in taken) == 1


def test_a_claim_of_a_killed_process_is_taken_at_once(tmp_path):
    dying = subprocess.Popen([sys.executable, "-c", DYING, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert dying.stdout.readline() == "held\n"
    claims = Claims(tmp_path)
    assert claims.take("cell") is None and f"process {dying.pid} on" in claims.living()["cell"]
    dying.kill()  # and nobody waits for it: it is a zombie
    deadline = time.monotonic() + 100
    while claims.take("cell") is None:
        assert time.monotonic() < deadline
    dying.wait()
    dying.stdout.close()
    assert json.loads((tmp_path / "cell.claim").read_text())["process"] == os.getpid()


def test_a_process_number_that_is_used_again_is_another_process(tmp_path):
    claim = Claims(tmp_path).take("cell")
    claim.path.write_text(json.dumps(json.loads(claim.text) | {"begun": "1"}))
    assert Claims(tmp_path).living() == {} and Claims(tmp_path).take("cell") is not None


def test_only_a_claim_of_a_holder_that_has_ended_is_tidied_away(tmp_path):
    claim = Claims(tmp_path).take("cell")
    Claims(tmp_path).tidy("cell")
    assert claim.path.exists()
    claim.path.write_text(json.dumps(json.loads(claim.text) | {"begun": "1"}))
    Claims(tmp_path).tidy("cell")
    Claims(tmp_path).tidy("cell")
    assert not list(tmp_path.iterdir())


def test_a_claim_from_elsewhere_is_stale_when_it_does_not_change_for_long(tmp_path, elsewhere, monkeypatch):
    now = [1000.0]
    claim = elsewhere(Claims(tmp_path), "cell")
    looking = Claims(tmp_path, stale=90)
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    os.utime(claim.path, (0, 0))  # its clock is decades off, which means nothing
    assert looking.take("cell") is None
    now[0] += 89
    assert looking.take("cell") is None and looking.living() == {"cell": f"process {os.getpid()} on node-7"}
    os.utime(claim.path, (4e9, 4e9))  # it beats
    assert looking.take("cell") is None
    now[0] += 89
    assert looking.take("cell") is None
    now[0] += 1
    ours = looking.take("cell")
    assert ours is not None
    with claim:  # it was not dead: its end leaves the claim of its successor alone
        pass
    assert ours.path.read_text() == ours.text


def test_a_holder_beats(tmp_path):
    claims = Claims(tmp_path, beat=0.01)
    with claims.take("cell") as claim:
        os.utime(claim.path, (0, 0))
        deadline = time.monotonic() + 100
        while claim.path.stat().st_mtime < 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_claim_whose_writer_was_killed_in_between_goes_stale_by_age_alone(tmp_path):
    (tmp_path / "cell.claim").touch()
    claims = Claims(tmp_path, stale=0.0)
    assert claims.living() == {"cell": "a process that left no name"}
    assert Claims(tmp_path).take("cell") is None
    assert claims.take("cell") is not None


def test_a_full_disk_leaves_no_claim(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    claims = Claims(tmp_path)
    monkeypatch.setattr(module.os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        claims.take("cell")
    assert claims.names() == set()
