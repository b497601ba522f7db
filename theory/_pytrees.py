"""Dataclasses as pytrees that jax tells apart by their class.

Where `jax.tree_util.register_dataclass` registers two classes with as many fields and equal static values,
their structures compare equal (jax 0.10.1 and 0.12.0.1); only their hashes differ. In jax 0.10.1 jit finds a
program by a part of the hash and this comparison: in about one pair of such classes in seventy, others in
every process, the second runs the program of the first (jax-ml/jax issue 37389 looks like it). Structures of
classes that are registered by functions compare by class. A class registered before `theory.base` is
imported, or by a name bound before, keeps jax's way.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

import jax

Class = TypeVar("Class", bound=type)


def tell_classes_apart() -> None:
    """Let jax register every dataclass by functions from now on, if it takes two classes for one."""
    classes = [dataclasses.make_dataclass(name, ["value"]) for name in ("First", "Second")]
    first, second = (jax.tree.structure(jax.tree_util.register_dataclass(kind)(0)) for kind in classes)
    if first == second:
        jax.tree_util.register_dataclass = register_by_functions


def register_by_functions(
    nodetype: Class,
    data_fields: Sequence[str] | None = None,
    meta_fields: Sequence[str] | None = None,
    drop_fields: Sequence[str] = (),
) -> Class:
    """`jax.tree_util.register_dataclass` in Python, some microseconds slower for an object."""
    kind: Any = nodetype
    fields = dataclasses.fields(nodetype) if dataclasses.is_dataclass(nodetype) else ()
    if data_fields is None or meta_fields is None:
        data_fields = [field.name for field in fields if not field.metadata.get("static")]
        meta_fields = [field.name for field in fields if field.metadata.get("static")]
    needed = {field.name for field in fields if field.init} - {*drop_fields}
    if fields and {*data_fields, *meta_fields} != needed:
        raise ValueError(
            f"data_fields and meta_fields of {kind.__name__} must be all fields with init=True and only "
            f"them, {sorted(needed)}, got {sorted({*data_fields, *meta_fields})}."
        )
    children, static = tuple(data_fields), tuple(meta_fields)
    names = [jax.tree_util.GetAttrKey(name) for name in children]
    # no `def`: where annotations are checked at run time, every call of a function is
    flatten = lambda node: (  # noqa: E731
        tuple(getattr(node, name) for name in children),
        tuple(getattr(node, name) for name in static),
    )
    jax.tree_util.register_pytree_with_keys(
        kind,
        lambda node: (tuple(zip(names, flatten(node)[0], strict=True)), flatten(node)[1]),
        lambda aux, leaves: kind(
            **dict(zip(children, leaves, strict=True)), **dict(zip(static, aux, strict=True))
        ),
        flatten,
    )
    return kind
