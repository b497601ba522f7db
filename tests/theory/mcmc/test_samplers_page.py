"""docs/samplers.md: its blocks run in order, and their numbers are those that the page promises."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).resolve().parents[3] / "docs" / "samplers.md"
pytestmark = pytest.mark.slow
CODE = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.M | re.S)


@pytest.fixture(scope="module")
def page():
    names = {}
    for block in CODE:
        if "import arviz" in block and importlib.util.find_spec("arviz") is None:
            continue  # an optional dependency
        exec(compile(block, PAGE.name, "exec"), names)
    return names


def test_the_page_keeps_its_promises(page):
    """The influences of all documents add to β times the susceptibility."""
    means, wanted = np.asarray(page["posterior"], float), float(page["values"].sum()) / 65
    assert means.mean() == pytest.approx(wanted, abs=0.15 * 65**-0.5)
    assert means.var() == pytest.approx(1 / 65 / (1 - 65e-3 / 2), rel=0.12)  # 1300 effective samples
    assert page["diagnose"](page["mcmc"]).problems() == []
    if "inference" in page:
        assert page["inference"].posterior["mean"].shape == (2, 20000)
    assert page["losses"].shape == (2, 200, 10)
    assert page["problems"] == []
    np.testing.assert_allclose(page["influences"].value.sum(axis=1), page["response"].value, rtol=1e-6)
    assert 0 < page["coefficient"].error < 1
    assert 0 < page["evidence"].error < page["evidence"].value
