"""The study of curves: its process, its cells, and what is refused."""

import pytest

from experiments.design.options import with_options
from experiments.studies import linebreak_manifold as study
from theory.errors import Misuse


def test_small_is_the_larger_process_with_eight_networks_that_infer():
    config = study.PRESETS["small"]
    process = config.process.build()
    assert len(process.widths) == 16 and process.length == 64
    assert config.pretraining.seeds >= 8 and config.pretraining.until_learnt == 0.9
    cells = study.experiment(config).cells()
    assert {cell.kind for cell in cells} == {"inside"} and len(cells) == 8
    assert not any(cell.is_forecast for cell in cells)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"documents": 4}, "documents must be at least 20, got 4"),
        ({"least": 0}, "least must be"),
        ({"random": 2}, "random must be"),
    ],
)
def test_what_cannot_be_measured_is_refused(changes, words):
    with pytest.raises(Misuse, match=words):
        with_options(study.Config(), changes)
