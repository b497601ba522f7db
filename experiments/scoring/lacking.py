"""Arrays that finished cells lack and new ones have, in a sentence. Numpy only."""

from experiments.storage.measures import Measures
from experiments.storage.run import Run


def lacking(run: Run) -> tuple[str, ...]:
    """A sentence where cells were made before some of their arrays were measured; else none."""
    contents = [run.read(cell) for cell in run.cells("inside")]
    measures = [content for content in contents if isinstance(content, Measures)]
    old = [content for content in measures if content.missing]
    if not old:
        return ()
    names = ", ".join(dict.fromkeys(name for content in old for name in content.missing))
    return (
        f"{len(old)} of {len(measures)} cells were made before these were measured and lack them: {names}; "
        "run the study again with --again to measure them.",
    )
