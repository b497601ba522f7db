"""Every numeric field of every method, kernel and theory refuses what cannot be meant, in a sentence."""

import copy
import dataclasses
import importlib
import math
import pkgutil

import pytest

import models.finetuning
import theory.samplers
import theory.theories
from theory.errors import Misuse

BAD = [math.nan, math.inf, -math.inf, -7, True, "3", [1.0]]


def extensions():
    for package in (models.finetuning, theory.samplers, theory.theories):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            example = getattr(importlib.import_module(module.name), "example", None)
            if example is not None:
                yield example()


def numeric_fields():
    """(example, name, whether it is a whole number) of the fields that hold a number, or None for one."""
    for example in extensions():
        for field in dataclasses.fields(example):
            value, kind = getattr(example, field.name), str(field.type)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if field.init and (is_number or (value is None and kind.startswith(("int |", "float |")))):
                yield pytest.param(
                    example,
                    field.name,
                    (isinstance(value, int) and "int" in kind) or kind.startswith("int"),
                    id=f"{type(example).__name__}.{field.name}",
                )


FIELDS = list(numeric_fields())


def test_there_are_many():
    assert len(FIELDS) > 40


@pytest.mark.parametrize(("example", "name", "whole"), FIELDS)
def test_a_field_refuses_what_is_no_number_of_its_kind(example, name, whole):
    for value in [*BAD, *([2.5, 2.0] if whole else [])]:
        made = copy.copy(example)
        object.__setattr__(made, name, value)  # past the checks of types, which tests alone have
        with pytest.raises(Misuse, match="got"):
            getattr(made, "__post_init__", lambda: None)()
            pytest.fail(f"{name} = {value!r} was accepted")
