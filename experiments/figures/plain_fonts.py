"""Fonts of PDF files without their tables of layout (ligatures, kerning, classes of glyphs).

matplotlib places every glyph itself, so no reader of a PDF needs these tables; to parse them takes more time
than all else of a font. They are removed as a font is loaded: fontTools parses those that it will drop, too.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

LAYOUT = ["GDEF", "GPOS", "GSUB", "kern"]


@contextlib.contextmanager
def plain_fonts() -> Iterator[None]:
    """Let matplotlib embed fonts without tables of layout."""
    from fontTools import subset  # loaded with the backend of PDF files, which a PNG does without

    whole = subset.load_font

    def plain(*words: Any, **options: Any) -> Any:
        font = whole(*words, **options)
        for table in LAYOUT:
            if table in font:
                del font[table]
        return font

    subset.load_font = plain
    try:
        yield
    finally:
        subset.load_font = whole
