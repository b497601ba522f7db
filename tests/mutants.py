"""Mutation testing of the scores: python tests/mutants.py [--every N] [FILE.py ...]

Every comparison, operator, number, condition and call of a file is changed, one at a time, in a copy of the
checkout, and the tests of the file run against it. A mutant that no test catches is printed: either it
computes the same (a tolerance, a guard that nothing reaches), or a test is missing. Exit status 1 where less
than `LEAST` of them are caught. A mutant costs a second or two: --every 5 tries a fifth of them.
"""

import argparse
import ast
import importlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCORING, DIVERGENCE = "tests/experiments/scoring", "tests/theory/divergence"
SCORES = "wrong_scores", "fits", "dose_law", "rows"
OF_ROWS = {  # names of tests
    "fits": SCORES,
    "dose_law": SCORES,
    "rows": (*SCORES, "networks", "swap", "predicted_noise"),
    "scorecard": (*SCORES, "paired", "swap", "predicted_noise"),
    "networks": (*SCORES, "networks"),
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
LONGEST = 60  # seconds: a mutant that does not end is caught
SKIPPED = {"annotation", "returns", "decorator_list", "bases"}
COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


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
        case ast.IfExp():
            yield ast.IfExp(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
        case ast.If():
            yield ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
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
                if not isinstance(child, ast.AST):
                    continue
                for other in changed(child):
                    put(parent, field, index, other)
                    text = " -> ".join(ast.unparse(node).split("\n")[0][:60] for node in (child, other))
                    yield f"{child.lineno}: {text}", ast.unparse(ast.fix_missing_locations(tree))
                    put(parent, field, index, child)
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
        signal.alarm(LONGEST)
        sink = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(sink, stream)
        status = 1
        try:
            status = pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests])
        finally:
            os._exit(int(status))
    return os.waitpid(child, 0)[1] == 0


def main() -> None:
    """Try the mutants of the files that are named, or of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="*", default=list(TESTS))
    parser.add_argument("--every", type=int, default=1, help="try every Nth mutant alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy, ignored = Path(folder) / "checkout", shutil.ignore_patterns("__pycache__")
        for name in ("experiments", "models", "theory", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", copy)
        os.chdir(copy)
        sys.path.insert(0, str(copy))
        tried = caught = 0
        for file in options.files:
            source = (ROOT / file).read_text(encoding="utf-8")
            if not passes(TESTS[file], keep=True):
                sys.exit(f"The tests of {file} fail as it is.")
            for compiled in (copy / file).parent.glob(f"__pycache__/{Path(file).stem}.*"):
                compiled.unlink()
            found = list(mutants(ast.parse(source)))[:: options.every]
            survived = []
            for what, text in found:
                (copy / file).write_text(text, encoding="utf-8")
                if passes(TESTS[file]):
                    survived.append(what)
                    print(f"survived  {file}:{what}", flush=True)
            (copy / file).write_text(source, encoding="utf-8")
            tried, caught = tried + len(found), caught + len(found) - len(survived)
            print(f"{file}: {len(found) - len(survived)} of {len(found)} mutants caught", flush=True)
        print(f"all: {caught} of {tried} mutants caught, {caught / max(tried, 1):.1%}")
        sys.exit(caught < LEAST * tried)


if __name__ == "__main__":
    import pytest

    for library in ("beartype.typing", "hypothesis.extra.numpy", "jax", "jaxtyping", "scipy.optimize"):
        importlib.import_module(library)  # once, for all mutants
    main()
