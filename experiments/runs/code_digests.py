"""Digests of the code that makes numbers: of a study, its process, theories, methods and networks.

A digest is of a module's syntax tree without strings that stand alone (docstrings, descriptions of fields):
comments, line breaks and docstrings cost no run, neither do a study's `draw` and `remark`. A module counts
with those that it imports of the folders in `FOLLOWED`, where people add and correct files. Code that all of
them share counts by `experiments.storage.files.GENERATION`.
"""

import ast
import functools
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Iterable, Sequence

from experiments import own_files
from experiments.cells.candidates import candidates
from experiments.design.experiment import Experiment
from experiments.discovery import FOLDERS, ROOT
from models.finetuning.method import Method

FOLLOWED = ("models", *(folder.replace("/", ".") for folder in FOLDERS.values()))
OURS = ("theory", "models", "experiments")
STUDIES = FOLDERS["studies"].replace("/", ".")
TRAINING = "models.pretraining"
READING = ("draw", "remark")  # of a study: they read what is on disk
IGNORED = ("type_comment", "kind", "ctx", "type_params")  # fields without meaning, or not in every Python


def network_code(process: object) -> dict[str, str]:
    """Digests by module of what makes base networks: the process, and the training of networks."""
    parts = process, getattr(process, "process", None)  # a blended one is of another
    return _digests([type(part) for part in parts if part is not None], [TRAINING])


def run_code(study: str, experiment: Experiment) -> dict[str, str]:
    """Digests by module of what makes the numbers of an experiment, of the study in the module `study`."""
    methods = [*experiment.methods.values()]
    methods += [part for method in methods for part in vars(method).values() if isinstance(part, Method)]
    scored = candidates(experiment)
    names = {candidate.theory for candidate in scored}
    if experiment.sampling:
        names |= {part.theory for part in experiment.sampling.sets()}
    entries = [entry for entry in experiment.catalogue.entries("theories") if entry.name in names]
    kinds = [type(part) for part in (experiment.process, *methods, *(form.form for form in scored))]
    return _digests(kinds, [study, TRAINING, *(entry.load().__name__ for entry in entries)])


def module_code(modules: Iterable[str]) -> dict[str, str]:
    """Digests by module of modules, and of what they import of the folders that are followed."""
    return _digests([], modules)


def digest_source(source: str | bytes, ignored: Sequence[str] = ()) -> str:
    """Twelve hexadecimal digits of a source's syntax; functions `ignored` at its top do not count."""
    return _digest(ast.parse(source), ignored)


def _digest(tree: ast.Module, ignored: Sequence[str]) -> str:
    tree.body = [node for node in tree.body if getattr(node, "name", None) not in ignored]
    words: list[str] = []
    _add_words(tree, words)
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


def _add_words(node: object, words: list[str]) -> None:
    """Add a syntax tree as words: the same in every version of Python, unlike `ast.dump`."""
    if not isinstance(node, ast.AST):
        words.append(repr(node))
        return
    if (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ):
        return
    words.append(type(node).__name__)
    for name in node._fields:
        value = getattr(node, name, None)
        if name in IGNORED or value is None:
            continue
        words.append(name)
        for part in value if isinstance(value, list) else (value,):
            _add_words(part, words)
    words.append(".")


def _digests(kinds: Iterable[type], modules: Iterable[str]) -> dict[str, str]:
    """Digests of modules, of those of classes, and of what they import, by name."""
    digests: dict[str, str] = {}
    bases = [base for kind in kinds for base in kind.__mro__]
    waiting = [*modules, *(base.__module__ for base in bases)]
    for base in bases:
        if _is_foreign(base.__module__):
            digests[base.__qualname__] = _class_digest(base)
    while waiting:
        name = waiting.pop()
        source, label = _source(name), own_files.label(name) or name
        if source is not None and label not in digests:
            digests[label], imported = _read(source, name.startswith(STUDIES) or label != name)
            waiting += imported
    return dict(sorted(digests.items()))


def _source(module: str) -> bytes | None:
    """The source of an own file, or of a module that is followed; None for any other."""
    path = ROOT / f"{module.replace('.', '/')}.py"
    if not module.startswith(tuple(f"{folder}." for folder in FOLLOWED)) or ".figures." in module:
        return own_files.source(module)
    return path.read_bytes() if path.is_file() else None


@functools.lru_cache(maxsize=512)
def _read(source: bytes, draws: bool) -> tuple[str, tuple[str, ...]]:
    """The digest of a module, and all that it might import."""
    imported, tree = [], ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return _digest(tree, READING if draws else ()), tuple(imported)


def _is_foreign(module: str) -> bool:
    """Whether a module is the user's, but no own file: a notebook or a script, whose classes count singly."""
    package = module.partition(".")[0]
    return package not in (*OURS, *sys.stdlib_module_names) and own_files.source(module) is None


def _class_digest(kind: type) -> str:
    """Of a class in a notebook or script of the user's, "" where Python has not kept its source."""
    try:
        return digest_source(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError, SyntaxError):
        return ""
