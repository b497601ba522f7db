"""The house keeps its shape: packages come from this checkout, every extension has a test, pages exist."""

import importlib
from pathlib import Path

import pytest

from experiments.discovery import FOLDERS, Catalogue

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("package", ["theory", "models", "experiments"])
def test_packages_are_imported_from_this_checkout(package):
    module = importlib.import_module(package)
    assert Path(module.__file__).parent == ROOT / package


@pytest.mark.parametrize("kind", FOLDERS)
def test_every_extension_has_a_test_file_and_a_docstring(kind):
    for entry in Catalogue().entries(kind):
        stem = entry.name.replace("-", "_")
        assert (ROOT / "tests" / FOLDERS[kind] / f"test_{stem}.py").exists(), stem
        assert entry.summary, stem


def test_no_file_is_longer_than_one_can_read():
    for package in ("theory", "models", "experiments"):
        for path in (ROOT / package).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 350, path


@pytest.mark.parametrize("package, most", [("theory", 4), ("models", 6), ("experiments", 6)])
def test_the_top_of_a_package_is_a_table_of_contents(package, most):
    assert len(list((ROOT / package).glob("[!_]*.py"))) <= most
