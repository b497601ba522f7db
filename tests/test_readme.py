"""The README and its pages say what is there: paths, commands, options, links, and examples that run."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from experiments.cli import COMMANDS
from experiments.discovery import names

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


def test_the_example_prints_what_the_readme_shows(capsys):
    (code,), (shown,) = blocks(README, "python"), blocks(README, "text")
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_and_studies_exist(page):
    text = page.read_text(encoding="utf-8")
    commands = re.findall(r"^finebayes ([a-z-]+)", named(text), flags=re.M)
    assert set(commands) <= set(COMMANDS)
    studies = {*names(), "all", "fresh-documents"}  # the page's example
    assert set(re.findall(r"^finebayes run ([a-z][a-z-]*)", named(text), flags=re.M)) <= studies


def test_the_readme_names_every_command():
    assert set(re.findall(r"^\| `finebayes ([a-z]+)", README, flags=re.M)) == set(COMMANDS)


def test_options_are_fields_of_the_command_line():
    source = (ROOT / "experiments" / "cli.py").read_text(encoding="utf-8")
    options = set(re.findall(r"`--([a-z-]+)", README))
    assert options >= {"out", "networks", "preset", "dry-run"}
    for option in options - {"help"}:
        assert re.search(rf"^ +{option.replace('-', '_')}: ", source, flags=re.M), option


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([a-z-]+)", named(README), flags=re.M):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
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
    if page.stem == "study":
        assert isinstance(module["PRESETS"]["small"], module["Config"])
    else:
        assert module["example"]() is not None
