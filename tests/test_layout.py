"""The house keeps its shape: packages come from this checkout, every extension has a test, pages exist."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXTENSIONS = (
    "theory/distributions",
    "theory/theories",
    "theory/samplers",
    "models/finetuning",
    "experiments/studies",
)


@pytest.mark.parametrize("package", ["theory", "models", "experiments"])
def test_packages_are_imported_from_this_checkout(package):
    module = importlib.import_module(package)
    assert Path(module.__file__).parent == ROOT / package


@pytest.mark.parametrize("folder", EXTENSIONS)
def test_every_extension_has_a_test_file_and_a_docstring(folder):
    for path in (ROOT / folder).glob("[!_]*.py"):
        assert (ROOT / "tests" / folder / f"test_{path.name}").exists(), path
        module = importlib.import_module(f"{folder.replace('/', '.')}.{path.stem}")
        assert module.__doc__


def test_no_file_is_longer_than_one_can_read():
    for package in ("theory", "models", "experiments"):
        for path in (ROOT / package).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 350, path
