"""Memory at hand, and the refusal of what would not fit."""

import pytest

from theory.compute import memory
from theory.compute.memory import at_hand, check_fits, in_words
from theory.errors import Misuse


def test_the_memory_at_hand_is_that_of_a_computer():
    assert 2**26 < at_hand() < 2**50


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (21 * 10**9, "21 GB"), (10**60, "more than 1000 PB")],
)
def test_bytes_in_words(count, words):
    assert in_words(count) == words


def test_what_does_not_fit_is_refused_with_its_numbers(monkeypatch):
    monkeypatch.setattr(memory, "at_hand", lambda: 1000)
    check_fits("The table", rows=5, columns=25)
    with pytest.raises(Misuse) as refused:
        check_fits("The table", 4, rows=10, columns=26)
    assert str(refused.value) == (
        "The table (rows = 10, columns = 26) would take 1.04 kB of memory, and 1 kB are at hand; make one "
        "of them smaller."
    )


def test_a_container_has_less(monkeypatch, tmp_path):
    limits = tmp_path / "memory.max", tmp_path / "other"
    limits[0].write_text("4096\n")
    limits[1].write_text("max\n")
    monkeypatch.setattr(memory, "LIMITS", (*map(str, limits), str(tmp_path / "none")))
    assert at_hand() == 4096
