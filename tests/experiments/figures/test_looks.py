"""Looks of theories: the known keep theirs, others are told apart from them and from one another."""

import subprocess
import sys

from matplotlib.colors import is_color_like, to_hex, to_rgb
from matplotlib.markers import MarkerStyle

from experiments.figures.looks import GLYPHS, KNOWN, OTHER_COLOURS, OTHER_MARKERS, glyph, look, rank
from experiments.figures.style import marker_line

NAMES = [f"{first}-{second}" for first in "abcdefgh" for second in ("posterior", "mixture", "path", "prior")]


def test_the_known_keep_their_looks():
    assert look("linearised") == ("#0072B2", "o") and look("proximal") == ("#D55E00", "s")
    assert marker_line("adam-gibbs") == {"color": "#999933", "marker": "p"}
    assert len({look(name) for name in KNOWN}) == len({look(name)[0] for name in KNOWN}) == len(KNOWN)


def test_others_never_look_like_the_known():
    colours, markers = (
        {to_hex(colour) for colour, _ in KNOWN.values()},
        {marker for _, marker in KNOWN.values()},
    )
    assert not colours & {to_hex(colour) for colour in OTHER_COLOURS} and not markers & set(OTHER_MARKERS)
    assert all(look(name)[0] in OTHER_COLOURS and look(name)[1] in OTHER_MARKERS for name in NAMES)


def test_others_are_spread_over_colours_and_markers():
    looks = [look(name) for name in NAMES]
    assert {colour for colour, _ in looks} == set(OTHER_COLOURS)
    assert {marker for _, marker in looks} == set(OTHER_MARKERS)
    assert len(set(looks)) > 0.75 * len(looks)  # of 64: some of 32 names share one
    assert look("quadratic") != look("relinearised") and look("my-theory") != look("your-theory")


def test_a_look_is_the_same_in_every_process():
    code = "from experiments.figures.looks import look; print(look('my-theory'))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str(look("my-theory"))


def test_every_look_can_be_drawn_and_has_a_character():
    for colour in OTHER_COLOURS:
        assert is_color_like(colour)
    for marker in [*OTHER_MARKERS, *(marker for _, marker in KNOWN.values())]:
        MarkerStyle(marker)
        assert len(GLYPHS[marker]) == 1
    assert len(set(GLYPHS.values())) == len(GLYPHS) and glyph("linearised") == "●"


def test_legends_have_the_known_first():
    assert sorted(["zeta", "alpha", "proximal", "linearised"], key=rank) == [
        *("linearised", "proximal"),
        *("alpha", "zeta"),
    ]


def test_no_theory_looks_like_a_network_and_there_is_one_star():
    """Networks are black and grey; two theories that both were dark stars could not be told apart."""
    for colour in (*OTHER_COLOURS, *(colour for colour, _ in KNOWN.values())):
        red, green, blue = to_rgb(colour)
        assert max(red, green, blue) - min(red, green, blue) > 0.2, colour
    stars = [marker for marker in OTHER_MARKERS if marker == "*" or isinstance(marker, tuple)]
    assert stars == ["*"]
