"""Files of figures: fonts and places that cost no time and change nothing that is seen."""

import re
import zlib

import pytest
from matplotlib import axis
from matplotlib.figure import Figure

from experiments.figures.style import save_figure, style


def _figure():
    figure = Figure(figsize=(2, 2))
    axes = figure.add_subplot()
    axes.set_title("title")
    axes.set_xlabel("below")
    return figure, axes


def test_a_pdf_has_its_font_without_tables_of_layout(tmp_path):
    with style():
        save_figure(tmp_path / "figure.pdf", _figure()[0])
    streams = re.findall(
        rb"stream\r?\n(.*?)\r?\nendstream", (tmp_path / "figure.pdf").read_bytes(), re.DOTALL
    )
    opened = [zlib.decompress(stream) for stream in streams]
    (font,) = [stream for stream in opened if stream.startswith(b"\0\1\0\0")]
    tables = {font[12 + 16 * row : 16 + 16 * row] for row in range(int.from_bytes(font[4:6]))}
    assert {b"glyf", b"cmap", b"hmtx"} <= tables and not {b"GSUB", b"GPOS", b"GDEF"} & tables


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_no_room_is_sought_for_titles_and_labels_that_need_none(kind, tmp_path, monkeypatch):
    with style():
        figure, _ = _figure()
        figure.savefig(tmp_path / f"plain.{kind}", metadata={"Date": None} if kind == "svg" else {})
        measured = []
        monkeypatch.setattr(axis.Axis, "get_tightbbox", lambda *_, **__: measured.append(0))
        figure, axes = _figure()
        save_figure(tmp_path / f"saved.{kind}", figure)
    assert not measured
    assert axes.yaxis.label.get_position() == (0, 0) and axes.xaxis.label.get_position() != (0, 0)
    assert (tmp_path / f"saved.{kind}").read_bytes() == (tmp_path / f"plain.{kind}").read_bytes()
