"""Fonts of PDF files without their tables of layout (ligatures, kerning, classes of glyphs).

matplotlib places every glyph itself, so no reader of a PDF needs these tables; to parse them takes more time
than all else of a font.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

LAYOUT = ["GDEF", "GPOS", "GSUB"]


@contextlib.contextmanager
def plain_fonts() -> Iterator[None]:
    """Let matplotlib embed fonts without tables of layout."""
    from fontTools import subset  # loaded with the backend of PDF files, which a PNG does without

    class Plain(subset.Options):
        def __init__(self, **options: Any):
            super().__init__(**options)
            self.drop_tables += LAYOUT

    whole, subset.Options = subset.Options, Plain
    try:
        yield
    finally:
        subset.Options = whole
