"""Mutation testing of the scores: python tests/mutants.py [--every N] [--offset K] [FILE.py ...]

Every comparison, operator, number, condition and call of a file is changed, one at a time, in a copy of the
checkout, and the tests of the file run against it; what would be the same program is not (types, the -1 of a
reshape as -2, a condition whose test has its opposite among the mutants). A mutant that no test catches is
printed: either it computes the same (a tolerance, a guard that nothing reaches), or a test is missing. Exit
status 1 where less than `LEAST` of them are caught. --every 5 --offset 2 tries a fifth: the third, the eighth
and so on of each file. What was tried is kept in build/mutants, by a digest of the mutant, of all packages
and of the tests that ran: a run that was ended goes on where it was, and what a change of code or tests may
change is tried again.
"""

import argparse
import ast
import contextlib
import hashlib
import importlib
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOG = ROOT / "build/mutants"
PACKAGES = "experiments", "models", "theory"
SCORING, DIVERGENCE = "tests/experiments/scoring", "tests/theory/divergence"
OF_ROWS = {  # names of tests, those first that catch most for their time
    "fits": ("fits", "wrong_scores", "rows"),
    "dose_law": ("dose_law", "rows"),
    "rows": ("wrong_scores", "swap", "predicted_noise", "networks", "rows"),
    "scorecard": ("paired", "wrong_scores", "swap", "predicted_noise", "rows"),
    "networks": ("networks", "wrong_scores", "rows"),
    "paired": ("paired",),
}
OF_DIVERGENCES = "calibration", "convex_hull", "kl", "mixture_fit", "residual"
TESTS = {
    **{
        f"experiments/scoring/{name}.py": [f"{SCORING}/test_{test}.py" for test in tests]
        for name, tests in OF_ROWS.items()
    },
    **{f"theory/divergence/{name}.py": [f"{DIVERGENCE}/test_{name}.py"] for name in OF_DIVERGENCES},
}
LEAST = 0.85
LONGEST, LATEST = 60, 900  # seconds of a core, and of a clock: a mutant that does not end is caught
SKIPPED = {"annotation", "returns", "decorator_list", "bases"}
COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


def is_type(node: ast.AST) -> bool:
    """Whether a statement names a type, which computes nothing."""
    return isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias"


def is_rest(call: ast.AST, node: ast.AST) -> bool:
    """Whether a number is the length that a reshape finds out: -2 says the same as -1."""
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "reshape"
        and isinstance(node, ast.UnaryOp)
    )


def has_opposite(test: ast.expr) -> bool:
    """Whether another change makes the opposite of a test: turned round, it would be the same program."""
    match test:
        case ast.UnaryOp(op=ast.Not()):
            return True
        case ast.Compare(ops=[operator]):
            return not isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE)
    return False


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in place of an expression."""
    match node:
        case ast.Compare(ops=[operator]):
            yield ast.Compare(node.left, [COMPARISONS[type(operator)]()], node.comparators)
        case ast.BinOp(op=operator) if type(operator) in OPERATORS:
            yield ast.BinOp(node.left, OPERATORS[type(operator)](), node.right)
        case ast.BoolOp(op=operator):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), node.values)
        case ast.UnaryOp():
            yield node.operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1 if isinstance(value, int) else 2 * value + 1)
        case ast.IfExp(test=test) if not has_opposite(test):
            yield ast.IfExp(ast.UnaryOp(ast.Not(), test), node.body, node.orelse)
        case ast.If(test=test) if not has_opposite(test):
            yield ast.If(ast.UnaryOp(ast.Not(), test), node.body, node.orelse)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="np")), args=[first, *_]):
            yield first
        case ast.Call(func=ast.Attribute(value=owner)) if not isinstance(owner, ast.Name):
            yield owner
        case ast.Call(func=ast.Attribute(value=ast.Name() as owner), args=[]):
            yield owner


def mutants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What was changed, and the source with that change."""

    def below(parent: ast.AST) -> Iterator[tuple[str, str]]:
        for field, value in ast.iter_fields(parent):
            if field in SKIPPED or (field == "func" and isinstance(value, ast.Name)):
                continue
            children = value if isinstance(value, list) else [value]
            for index, child in enumerate(children):
                if not isinstance(child, ast.AST) or is_type(child):
                    continue
                for other in changed(child):
                    put(parent, field, index, other)
                    text = " -> ".join(ast.unparse(node).split("\n")[0][:60] for node in (child, other))
                    yield f"{child.lineno}: {text}", ast.unparse(ast.fix_missing_locations(tree))
                    put(parent, field, index, child)
                if not is_rest(parent, child):
                    yield from below(child)

    def put(parent: ast.AST, field: str, index: int, node: ast.AST) -> None:
        old = getattr(parent, field)
        if isinstance(old, list):
            old[index] = node
        else:
            setattr(parent, field, node)

    return below(tree)


def passes(tests: list[str], keep: bool = False) -> bool:
    """Whether the tests pass on the copy, in a process of its own that has loaded the libraries already.

    `keep` what is compiled, but for a file that will change.
    """
    child = os.fork()
    if not child:
        sys.dont_write_bytecode = not keep
        resource.setrlimit(resource.RLIMIT_CPU, (LONGEST, LONGEST))
        signal.alarm(LATEST)
        status = 1
        try:
            status = next((failed for test in tests if (failed := quiet(["-x", test]))), 0)
        finally:
            os._exit(int(status))
    return os.waitpid(child, 0)[1] == 0


def quiet(arguments: list[str]) -> int:
    """Exit status of pytest, which prints nothing."""
    sink = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(sink, stream)
    return pytest.main(["-q", "-p", "no:cacheprovider", *arguments])


def load_libraries(tests: list[str]) -> None:
    """Import all that the tests do which is not of the checkout: once, and not for each mutant."""
    source, sink = os.pipe()
    child = os.fork()
    if not child:
        os.close(source)
        quiet(["--collect-only", *tests])
        with os.fdopen(sink, "w") as file:
            file.write("\n".join(sys.modules))
        os._exit(0)
    os.close(sink)
    with os.fdopen(source) as file:
        names = file.read().splitlines()
    os.waitpid(child, 0)
    for name in names:
        if name.split(".")[0] not in (*PACKAGES, "tests"):
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def digest(texts: list[str]) -> str:
    """A short name of texts."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]


def surroundings(copy: Path, tests: list[str]) -> str:
    """A digest of all that the fate of a file's mutants hangs on."""
    packages = [path for package in PACKAGES for path in copy.glob(f"{package}/**/*.py")]
    files = sorted([*packages, *copy.glob("tests/**/conftest.py"), *map(copy.joinpath, tests)])
    return digest([path.read_text(encoding="utf-8") for path in files])


def tried_before() -> dict[str, bool]:
    """Of mutants by their digests, whether they were caught."""
    lines = LOG.read_text().splitlines() if LOG.exists() else []
    return {line[:24]: line[25] == "1" for line in lines if len(line) == 26}


def try_file(copy: Path, file: str, every: int, offset: int) -> tuple[int, int]:
    """The numbers of mutants caught and tried; those that survive are printed."""
    source, before = (copy / file).read_text(encoding="utf-8"), tried_before()
    name = surroundings(copy, TESTS[file])
    found = [(what, text, digest([name, text])) for what, text in mutants(ast.parse(source))][offset::every]
    new = [key for _, _, key in found if key not in before]
    if new and not passes(TESTS[file], keep=True):
        sys.exit(f"The tests of {file} fail as it is.")
    for compiled in (copy / file).parent.glob(f"__pycache__/{Path(file).stem}.*"):
        compiled.unlink()
    caught = 0
    for what, text, key in found:
        if key not in before:
            (copy / file).write_text(text, encoding="utf-8")
            before[key] = not passes(TESTS[file])
            with LOG.open("a") as log:
                log.write(f"{key} {before[key]:d}\n")
        caught += before[key]
        if not before[key]:
            print(f"survived  {file}:{what}", flush=True)
    (copy / file).write_text(source, encoding="utf-8")
    print(f"{file}: {caught} of {len(found)} mutants caught", flush=True)
    return caught, len(found)


def main() -> None:
    """Try the mutants of the files that are named, or of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE.py", help="alone: rows.py, say; all if none is")
    parser.add_argument("--every", type=int, default=1, help="try every Nth mutant alone")
    parser.add_argument("--offset", type=int, default=0, help="begin with this one, from 0")
    options = parser.parse_args()
    files = [
        file for file in TESTS if not options.files or Path(file).name in map(os.path.basename, options.files)
    ]
    unknown = {os.path.basename(file) for file in options.files} - {Path(file).name for file in TESTS}
    if unknown or not 0 <= options.offset < options.every:
        parser.error(f"FILE.py is of {', '.join(Path(file).name for file in TESTS)}; 0 <= offset < every.")
    LOG.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        copy, ignored = Path(folder) / "checkout", shutil.ignore_patterns("__pycache__")
        for name in (*PACKAGES, "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", copy)
        os.chdir(copy)
        sys.path.insert(0, str(copy))
        load_libraries(sorted({test for file in files for test in TESTS[file]}))
        counts = [try_file(copy, file, options.every, options.offset) for file in files]
        caught, tried = (sum(part) for part in zip(*counts, strict=True))
        print(f"all: {caught} of {tried} mutants caught, {caught / max(tried, 1):.1%}")
        sys.exit(caught < LEAST * tried)


if __name__ == "__main__":
    main()
