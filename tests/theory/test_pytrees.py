"""A program runs for the class that it was compiled for: jax tells classes apart by more than a hash."""

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import theory.base  # noqa: F401 (where jax is made to tell classes apart)
from theory._pytrees import register_by_functions

ROOT = Path(__file__).resolve().parents[2]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("theory", "models", "experiments")
    for path in sorted((ROOT / package).rglob("[!_]*.py"))
    if "@jax.tree_util.register_dataclass" in path.read_text(encoding="utf-8")
]


def alike(name, **members):
    """A class with one field, like all others but for its members."""
    kind = dataclasses.make_dataclass(name, [("value", Any)], frozen=True, namespace=members)
    return jax.tree_util.register_dataclass(kind)


def structure(kind):
    """That of an object with 0 in every field, made without the checks of its class."""
    made = object.__new__(kind)
    for field in dataclasses.fields(kind):
        object.__setattr__(made, field.name, 0)
    return jax.tree.structure(made)


def test_structures_of_two_classes_differ():
    assert structure(alike("Left")) != structure(alike("Right"))


def test_a_program_is_that_of_its_class():
    """In jax 0.10 by itself about one of these 66 pairs is mixed up."""
    kinds = [alike(f"Kind{size}", size=size) for size in range(12)]
    program = jax.jit(lambda kind: jnp.zeros(kind.size))
    sizes = [jax.eval_shape(program, kind(jnp.zeros(()))).shape[0] for kind in kinds]
    assert sizes == list(range(12))


def test_every_class_of_ours_differs_from_a_twin_that_jax_itself_registers():
    register = importlib.import_module("jax._src.tree_util").register_dataclass
    for name in MODULES:
        kinds = [kind for kind in vars(importlib.import_module(name)).values() if isinstance(kind, type)]
        ours = [kind for kind in kinds if kind.__module__ == name and dataclasses.is_dataclass(kind)]
        nodes = [kind for kind in ours if not jax.tree_util.treedef_is_leaf(structure(kind))]
        assert nodes, name
        for kind in nodes:
            fields = [(f.name, Any, dataclasses.field(metadata=f.metadata)) for f in dataclasses.fields(kind)]
            twin = register(dataclasses.make_dataclass("Twin", fields))
            assert structure(kind) != structure(twin), kind


def test_static_fields_are_compared_and_come_back():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True)
    class Coin:
        bias: Any
        name: str = dataclasses.field(metadata={"static": True})

    penny = Coin(0.25, "penny")
    assert jax.jit(lambda coin: jax.tree.map(lambda leaf: 2 * leaf, coin))(penny) == Coin(0.5, "penny")
    assert jax.tree.structure(penny) != jax.tree.structure(Coin(0.25, "dime"))
    ((path, leaf),) = jax.tree.leaves_with_path(penny)
    assert (jax.tree_util.keystr(path), leaf) == (".bias", 0.25)


def test_a_field_that_is_left_out_is_refused():
    kind = dataclasses.make_dataclass("Two", ["left", "right"])
    with pytest.raises(ValueError, match=r"of Two must be all .*, \['left', 'right'\], got \['left'\]"):
        register_by_functions(kind, ["left"], [])
    assert jax.tree.leaves(register_by_functions(kind, ["left"], [], ["right"])(1, 2)) == [1]
