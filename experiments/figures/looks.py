"""Colours and markers of theories: a table for the known, a stable hash of the name for all others.

A theory keeps its colour and its marker in every figure and table. Those of other theories come from lists
that no known theory takes from, so that none is taken for a known one. Ways of finetuning have colours of
their own, where a figure has a curve for each. No matplotlib, for the report.
"""

import hashlib
from collections.abc import Iterable
from typing import TypeAlias

Marker: TypeAlias = str | tuple[int, int, int]

INKS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")  # Okabe, Ito
KNOWN: dict[str, tuple[str, Marker]] = {
    "linearised": (INKS[5], "o"),
    "proximal": (INKS[6], "s"),
    "tempered-posterior": (INKS[3], "^"),
    "exchangeable-mixture": (INKS[7], "D"),
    "geometric-path": (INKS[1], "v"),
    "linear-mixture": (INKS[2], "P"),
    "langevin-posterior": ("#882255", "X"),
    "adam-gibbs": ("#999933", "p"),
    "complexity-prior": ("#332288", "h"),
    "exchangeable-product": ("#a0522d", "<"),
    "exchangeable-tilted": ("#6a3d9a", ">"),
    "two-looks": ("#117733", "H"),
}
METHOD_INKS = {  # ways of finetuning
    "sgd": INKS[5],
    "adam": INKS[6],
    "head-only": INKS[3],
    "lora": INKS[7],
    "momentum": INKS[2],
    "replay": INKS[1],
    "kl-regularised": "#882255",
    "muon": "#999933",
}
OVERVIEW = {  # the columns of the overview of many studies: theory, prior, grade
    "linearised (forecast)": ("linearised", "network", "forecast"),
    "tempered posterior (fitted)": ("tempered-posterior", "implied", "fitted"),
    "exchangeable mixture (fitted)": ("exchangeable-mixture", "implied", "fitted"),
}
OTHER_COLOURS = ("#b3001b", "#00a6a6", "#ff7f50", "#e6007e", "#1b5e20", "#8c6d31", "#5c7cfa", "#7fb800")
SIGNS: dict[Marker, str] = {  # of mathtext; one star among them all, and no black or grey: networks are
    **{r"$\spadesuit$": "♠", r"$\clubsuit$": "♣", r"$\heartsuit$": "♥"},
    **{r"$\Omega$": "Ω", r"$\Psi$": "Ψ"},
}
OTHER_MARKERS: tuple[Marker, ...] = ("*", "d", "8", *SIGNS)
GLYPHS: dict[Marker, str] = {
    **dict(zip("osD^vPXph<>H*d8", "●■◆▲▼✚✖⬟⬢◀▶⬡★♦⬣", strict=True)),
    **SIGNS,
}


def look(theory: str) -> tuple[str, Marker]:
    """Colour and marker of a theory, in all figures the same."""
    if theory in KNOWN:
        return KNOWN[theory]
    number = int.from_bytes(hashlib.sha256(theory.encode()).digest()[:8], "big")
    colour, marker = divmod(number % (len(OTHER_COLOURS) * len(OTHER_MARKERS)), len(OTHER_MARKERS))
    return OTHER_COLOURS[colour], OTHER_MARKERS[marker]


def method_colours(methods: Iterable[str]) -> dict[str, str]:
    """A colour for each way of finetuning; the known ones have the same in all figures."""
    every = list(dict.fromkeys(methods))
    others = [name for name in every if name not in METHOD_INKS]
    spare = {name: OTHER_COLOURS[index % len(OTHER_COLOURS)] for index, name in enumerate(others)}
    return {name: METHOD_INKS.get(name) or spare[name] for name in every}


def glyph(theory: str) -> str:
    """Its marker as a character, for text."""
    return GLYPHS[look(theory)[1]]


def rank(theory: str) -> tuple[int, str]:
    """The order of theories in legends: the known as in the table, the others by name."""
    return (list(KNOWN).index(theory) if theory in KNOWN else len(KNOWN), theory)
