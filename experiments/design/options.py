"""Options: a config as nested frozen dataclasses of plain fields. No jax, so that --help answers at once.

The fields of a process are read from its source, not copied: `process_options("persona-topics", pairs=5)` has
every field of the process, with its default and docstring, and `build()` makes the process.
"""

import ast
import dataclasses
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, ClassVar, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from experiments.design.checks import check_process
from experiments.discovery import Catalogue, Entry, choose
from experiments.storage.records import Json
from theory.errors import Misuse

ConfigT = TypeVar("ConfigT")


def _one_word(kind: type) -> PrimitiveConstructorSpec[Any]:
    """A tuple as one word, like 0,1,2, so that a tuple of tuples can be given as several words."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{kind.__name__.upper()},...",
        instance_from_str=lambda words: tuple(kind(part) for part in words[0].split(",") if part.strip()),
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [",".join(map(str, value))],
    )


Ints: TypeAlias = Annotated[tuple[int, ...], _one_word(int)]
Floats: TypeAlias = Annotated[tuple[float, ...], _one_word(float)]
TYPES = {
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "tuple[int, ...]": tuple[int, ...],
    "tuple[float, ...]": tuple[float, ...],
    "tuple[str, ...]": tuple[str, ...],
    "tuple[tuple[int, ...], ...]": tuple[Ints, ...],
    "tuple[tuple[float, ...], ...]": tuple[Floats, ...],
}


@dataclass(frozen=True)
class ProcessOptions:
    """The fields of a process; subclasses are made by `process_options`."""

    entry: ClassVar[Entry]
    class_name: ClassVar[str]

    def build(self) -> Any:
        """The process, which checks its fields; refuses one without what a comparison needs."""
        module = self.entry.load()
        with self.entry.guard():
            kind = getattr(module, self.class_name)
            process = kind(**{field.name: getattr(self, field.name) for field in dataclasses.fields(self)})
            check_process(process)
        return process


def process_options(name: str, catalogue: Catalogue | None = None, **defaults: object) -> ProcessOptions:
    """The options of a process by its name in the catalogue, with other defaults where they are given."""
    kind = _options_class((catalogue or Catalogue()).find("processes", name))
    known = [field.name for field in dataclasses.fields(kind)]
    for field in defaults:
        choose(f"field of {name}", field, known)
    return kind(**defaults)


@functools.cache
def _options_class(entry: Entry) -> type[ProcessOptions]:
    tree = ast.parse(entry.source)
    for node in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        if any(isinstance(part, ast.FunctionDef) and part.name == "distribution" for part in node.body):
            fields = list(_fields(entry, node))
            made = dataclasses.make_dataclass(
                f"{node.name}Options", fields, bases=(ProcessOptions,), frozen=True
            )
            made.entry, made.class_name = entry, node.name
            return made
    raise Misuse(f"{entry.path.name} defines no process: a dataclass with a method distribution().")


def _fields(entry: Entry, node: ast.ClassDef) -> Iterator[tuple[str, Any, Any]]:
    """Name, type and default of each field of a dataclass, from its source."""
    for part, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(part, ast.AnnAssign) or not isinstance(part.target, ast.Name):
            continue
        name, kind = part.target.id, TYPES.get(ast.unparse(part.annotation))
        try:
            default = ast.literal_eval(part.value) if part.value else None
        except ValueError:
            default = None
        if kind is None or default is None:
            raise Misuse(
                f"{entry.path.name}, line {part.lineno}: the field {name} of a process needs one of the "
                f"types {', '.join(TYPES)} and a plain default."
            )
        text = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            text = str(after.value.value)
        yield name, Annotated[kind, tyro.conf.arg(help=" ".join(text.split()))], default


def options(config: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every option of a config by its dotted name, with its value."""
    for field in dataclasses.fields(config):  # pyright: ignore[reportArgumentType]
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from options(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", value


def with_options(config: ConfigT, changes: Mapping[str, Any]) -> ConfigT:
    """A config with other values, by dotted names: {"pretraining.steps": 150}. All are set at once, so that
    what they say together is checked, not what each says beside the old values."""
    known, types = dict(options(config)), dict(kinds(config))
    for name in changes:
        choose("option", name, known)
    values = {name: fitting(name, types[name], value, known[name]) for name, value in changes.items()}
    return _replaced(config, values)


def fitting(name: str, kind: Any, value: Any, example: Any) -> Any:
    """The value of an option as its config holds it; refuses one of another type."""
    if not _fits(kind, value):
        like = kind if example in ((), None) else repr(example)
        raise Misuse(f"{name} must be like {like}, got {value!r}.")
    return _plain(kind, value)


def from_json(config: ConfigT, values: Json) -> ConfigT:
    """A config with the values of a stored one; refuses unknown options and values of another type."""
    return with_options(config, dict(flat(values)))


def to_json(config: object) -> Json:
    """Nested plain values; tuples become lists."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return [plain(part) for part in value] if isinstance(value, tuple) else value

    return plain(config)


def flat(values: Json, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested options by dotted name."""
    if not isinstance(values, dict):
        raise Misuse(f"Options must be a mapping by name, got {values!r}.")
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _replaced(config: Any, changes: Mapping[str, Any]) -> Any:
    direct = {name: value for name, value in changes.items() if "." not in name}
    nested: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        section, dot, inner = name.partition(".")
        if dot:
            nested.setdefault(section, {})[inner] = value
    parts = {section: _replaced(getattr(config, section), values) for section, values in nested.items()}
    return dataclasses.replace(config, **direct, **parts)


def kinds(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The type of every option by its dotted name."""
    hints = get_type_hints(type(config), include_extras=True)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from kinds(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", _bare(hints[field.name])


def _bare(kind: Any) -> Any:
    """A type without what tyro is told of it."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    return tuple[_bare(get_args(kind)[0]), ...] if get_origin(kind) is tuple else kind


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value has the type of an option; an int is a float, but a bool is no number."""
    if get_origin(kind) is tuple:
        return isinstance(value, (list, tuple)) and all(_fits(get_args(kind)[0], part) for part in value)
    if isinstance(kind, UnionType):
        return any(_fits(part, value) for part in get_args(kind))
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, kind) if isinstance(kind, type) else True


def _plain(kind: Any, value: Any) -> Any:
    """The value as its config holds it, so that 1 and 1.0, or a list and a tuple, make the same run."""
    if get_origin(kind) is tuple:
        return tuple(_plain(get_args(kind)[0], part) for part in value)
    return float(value) if kind in (float, float | None) and value is not None else value
