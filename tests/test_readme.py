"""The README and its pages say what is there: names, paths, commands, options, links, running examples."""

import ast
import functools
import importlib
import inspect
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.cli import COMMANDS
from experiments.design.options import from_json, options, to_json
from experiments.design.study import Study
from experiments.discovery import Catalogue
from experiments.runs.base_networks import describe

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGES = ("theory", "models", "experiments")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
EXTENDING = sorted((ROOT / "docs" / "extending").glob("*.md"))


def blocks(text, language):
    """The fenced blocks of a language ("" for those that name none)."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.M | re.S)
    return [block for name, block in fenced if name == language]


def folder_map():
    """Paths of the README's tree, and the phrase beside each."""
    (tree,) = [block for block in blocks(README, "") if block.startswith("finebayes/\n")]
    parents, found = [], {}
    for line in tree.splitlines()[1:]:
        drawn, name, phrase = re.fullmatch(r"([│├└─ ]+)(\S+)\s+(\S.*)", line).groups()
        parents = [*parents[: len(drawn) // 4 - 1], name]
        found["".join(parents)] = phrase
    return found


def named(text):
    """What stands in code spans and code blocks."""
    plain = [line for block in blocks(text, "") for line in block.splitlines()]
    return "\n".join([*plain, *re.findall(r"`([^`\n]+)`", text)])


@pytest.mark.parametrize("path", folder_map())
def test_what_the_map_shows_exists(path):
    assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file()


@pytest.mark.parametrize("package", PACKAGES)
def test_the_map_shows_every_folder_of_a_package(package):
    there = {f"{path.parent.relative_to(ROOT).as_posix()}/" for path in (ROOT / package).glob("*/*.py")}
    missing = there - set(folder_map())
    assert not missing, f"README.md's folder map lacks {sorted(missing)}."


def test_the_map_shows_every_tracked_folder_and_file_at_the_top():
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    top = {path.split("/")[0] + "/" * ("/" in path) for path in listed.stdout.splitlines()}
    missing = top - set(folder_map()) - {".gitignore"}
    assert not missing, f"README.md's folder map lacks {sorted(missing)}."


def test_the_example_of_the_api_uses_what_there_is():
    """Names exist, and arguments fit; what it prints is in docs/notebooks, which another test executes."""
    import finebayes

    (code,) = blocks(README, "python")
    tree = ast.parse(code)
    resolved = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("fb."):
            resolved[ast.unparse(node)] = functools.reduce(
                getattr, ast.unparse(node).split(".")[1:], finebayes
            )
    assert {"fb.pretrain", "fb.finetune", "fb.compare", "fb.run"} <= set(resolved)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        called = resolved.get(ast.unparse(call.func))
        if called is not None:
            keywords = {keyword.arg: None for keyword in call.keywords}
            inspect.signature(called).bind(*call.args, **keywords)
    returned = {"network": finebayes.Pretrained, "result": finebayes.Scores, "run": finebayes.StudyResult}
    for name, attribute in re.findall(r"\b(network|result|run)\.(\w+)", code):
        assert hasattr(returned[name], attribute), f"{name}.{attribute}"


def test_the_exact_example_prints_what_the_page_shows(capsys):
    page = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
    (code,), (shown,) = blocks(page, "python"), blocks(page, "text")
    exec(compile(code, "theory.md", "exec"), {})
    numbers, expected = (
        np.array(re.findall(r"[\d.]+", text), float) for text in (capsys.readouterr().out, shown)
    )
    np.testing.assert_allclose(numbers, expected)


def test_the_table_of_theories_is_that_of_the_catalogue():
    """Their names, the laws that they break, and which of them are optional."""
    page = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
    section = page[page.index("| name | prior it needs") :]
    rows = [line.strip("| ").split(" | ") for line in section[: section.index("\n\n")].splitlines()[2:]]
    breaks = {
        name: set(re.findall(r"prior|exchangeable|additive", laws.split("(")[0]))
        for name, _, _, laws, _ in rows
    }
    forms = {entry.name: entry.example() for entry in Catalogue().entries("theories")}
    assert breaks == {name: set(form.breaks) for name, form in forms.items()}
    optional = re.search(r"or for all: ([^.]*)\.", section).group(1)
    assert set(re.findall(r"[a-z-]+", optional)) == {name for name, form in forms.items() if form.optional}


def name_of_page(page):
    return page.relative_to(ROOT).as_posix()


each_page = pytest.mark.parametrize("page", PAGES, ids=name_of_page)


@functools.cache
def sources():
    """The text of all Python files and of what configures them, and the members of every class."""
    folders = (*PACKAGES, "tests", "benchmarks")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in [*files, ROOT / "finebayes.py"])
    text += "\n".join(path.stem for path in files)
    text += "".join((ROOT / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "Makefile"))
    members = {}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                inside = members.setdefault(node.name, set())
                inside.update(base.id for base in node.bases if isinstance(base, ast.Name))
                for part in node.body:
                    if isinstance(part, ast.FunctionDef):
                        inside.add(part.name)
                    elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                        inside.add(part.target.id)
    return text, members


def examples(text):
    """What a page's own examples define: their source."""
    return "\n".join(blocks(text, "python"))


def resolve(name):
    """A dotted name as a module, or as something in one; raises where there is none."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        return functools.reduce(getattr, parts[end:], module)
    raise ModuleNotFoundError(name)


def spans(text):
    """The code spans of a page, without those of its blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))


@each_page
def test_dotted_names_exist(page):
    text = page.read_text(encoding="utf-8")
    for span in spans(text):
        for name in re.findall(r"(?<![\w./-])(?:fb|theory|models|experiments)(?:\.\w+)+", span):
            package, member, *_ = name.split(".")
            if package == "fb":
                name = name.replace("fb", "finebayes", 1)
            if package == "theory" and member in sources()[1]["Theory"]:
                continue  # a method of some theory
            resolve(name)


@each_page
def test_members_and_identifiers_exist(page):
    """`Class.member` is a member of that class; names_with_underscores and CamelCase stand in the sources."""
    text = page.read_text(encoding="utf-8")
    source, members = sources()
    source += examples(text)
    for span in spans(text):
        for kind, member in re.findall(r"^([A-Z]\w*)\.(\w+)", span):
            known = members.get(kind, set())
            inherited = {name for base in known for name in members.get(base, set())}
            assert member in known | inherited, f"{page.name}: {span}"
        if re.fullmatch(r"[\w.]+(\(.*\))?", span):
            for name in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b|\b[A-Z][a-z]+[A-Z]\w+\b", span):
                assert re.search(rf"\b{name}\b", source), f"{page.name}: {name}"


@each_page
def test_paths_exist(page):
    """Paths in code spans that begin with a folder of the repository; capitals stand for a name."""
    tops = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"results", "build", "dist"}  # made
    for span in spans(page.read_text(encoding="utf-8")):
        top, *parts = span.rstrip("/").split("/")
        if top in tops and parts and re.fullmatch(r"[\w./-]+", span) and not re.search(r"[A-Z]{3,}", span):
            assert (ROOT / span).exists() or (ROOT / f"{span}.py").exists(), f"{page.name}: {span}"
        elif re.fullmatch(r"test_\w+\.py", span):
            assert list((ROOT / "tests").rglob(span)), f"{page.name}: {span}"


@functools.cache
def known_options(study):
    """The options of a study by the names of the command line, and the command line's own."""
    source = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "experiments/commands").glob("*.py")
    )
    fields = set(re.findall(r"^ {4,8}(\w+): \w", source, flags=re.M))
    config = {name for name, _ in options(Study.find(study).preset("small"))} if study else set()
    return {name.replace("_", "-") for name in fields | config} | {
        "with",
        "config",
        "help",
        "json",
        "everything",
    }


@each_page
def test_commands_and_studies_exist(page):
    text = page.read_text(encoding="utf-8")
    commands = re.findall(r"^finebayes ([a-z-]+)", named(text), flags=re.M)
    assert set(commands) <= set(COMMANDS)
    studies = {*Catalogue().names("studies"), "all"}
    given = re.findall(r"^finebayes (?:run|forecast|sweep) ([a-z][\w.-]*)(?![\w/])", named(text), flags=re.M)
    assert {name for name in given if not name.endswith(".py")} <= studies


@each_page
def test_options_exist(page):
    """Those of a command, of the study it names; those that stand alone, of any study."""
    studies = Catalogue().names("studies")
    example = re.findall(r"^    (\w+): ", examples(page.read_text(encoding="utf-8")), flags=re.M)
    every = set(example).union(*map(known_options, studies))
    for line in re.sub(r"\\\n *", " ", named(page.read_text(encoding="utf-8"))).splitlines():
        command = re.match(r"finebayes (?:run|forecast|sweep) ([a-z][\w-]*)", line)
        study = command.group(1) if command and command.group(1) in studies else None
        if not (line.startswith(("finebayes ", "--"))):
            continue
        for word in re.findall(r"(?:^|[\s\[])--([a-z][\w.-]*)", line):
            section, dot, last = word.rpartition(".")
            option = f"{section}{dot}{last.removeprefix('no-')}"
            allowed = known_options(study) if study else every
            assert {word, option} & allowed or option in NOT_OF_RUNS, f"{page.name}: {line}"


NOT_OF_RUNS = {"only", "rescore"}  # of python -m benchmarks and of its table


def test_benchmarks_exist():
    page = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    names = set(re.findall(r"--only ([a-z_]+)", page))
    assert names and all((ROOT / "benchmarks" / f"{name}.py").exists() for name in names)


def test_the_readme_names_every_command():
    assert set(re.findall(r"^\| `finebayes ([a-z-]+)", README, flags=re.M)) == set(COMMANDS)


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([a-z-]+)", named(README), flags=re.M):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target


@each_page
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert "://" not in target, f"{page.name} links outside: {target}"
        assert (page.parent / target).resolve().exists(), f"{page.name}: {target} is not there."


@pytest.mark.parametrize("page", EXTENDING, ids=lambda page: page.stem)
def test_the_example_of_an_extension_is_complete(page):
    """It runs as a module of its own, opens with a sentence, and makes what discovery asks for."""
    code = blocks(page.read_text(encoding="utf-8"), "python")[0]
    module = {"__name__": f"docs_{page.stem}"}
    exec(compile(code, page.name, "exec"), module)
    assert re.match(r"[A-Z].*[.?]$", module["__doc__"].splitlines()[0])
    if page.stem != "study":
        assert module["example"]() is not None


def example_study(folder):
    """The example study as a file of one's own."""
    page = (ROOT / "docs" / "extending" / "study.md").read_text(encoding="utf-8")
    file = folder / "my_study.py"
    file.write_text(blocks(page, "python")[0], encoding="utf-8")
    return file


def test_the_example_study_is_one(tmp_path):
    study = Study.find(str(example_study(tmp_path)))
    assert callable(study.module.draw)
    for name in study.module.PRESETS:
        config = study.preset(name)
        assert isinstance(config, study.module.Config)
        assert from_json(study.preset("small"), to_json(config)) == config
    experiment = study.module.experiment(study.preset("smoke"))
    assert len(experiment.arms) > 1 and experiment.cells()


def test_the_example_study_shares_the_base_networks_that_the_page_names(tmp_path):
    mine, ours = Study.find(str(example_study(tmp_path))), Study.find("weird-generalisation")
    small = [describe(study.module.experiment(study.preset("small"))) for study in (mine, ours)]
    assert small[0] == small[1]


@pytest.mark.slow
def test_the_example_study_runs(tmp_path):
    words = ["run", str(example_study(tmp_path)), "--preset", "smoke", "--out", str(tmp_path / "run")]
    subprocess.run([sys.executable, "-m", "experiments.cli", *words], check=True, cwd=ROOT, timeout=180)
    assert (tmp_path / "run" / "DONE").exists() and (tmp_path / "run" / "figures" / "my-study.png").exists()


def test_shell_words_of_commands_can_be_parsed():
    """A command on a page can be copied into a shell."""
    for page in PAGES:
        for line in named(page.read_text(encoding="utf-8")).splitlines():
            if line.startswith("finebayes ") and "..." not in line:
                shlex.split(line)
