"""The documentation: links lead somewhere, the README is short, lines fit a screen."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = (".", "docs", "tests/fuzz")  # not where environments and reports may lie
PAGES = sorted(page for folder in FOLDERS for page in (ROOT / folder).glob("*.md"))
WRAPPED = [page for page in PAGES if page.name != "CHANGELOG.md"]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
LONGEST_LINE = 119  # characters, but for tables and code, which cannot be broken
README_LINES = 120


def prose(page: Path) -> list[str]:
    """The lines of a page outside its fenced blocks."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return text.splitlines()


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as repository hosts make them."""
    titles = [line.lstrip("#").strip() for line in prose(page) if re.match(r"#+ ", line)]
    plain = [re.sub(r"[^\w\- ]", "", title.lower()) for title in titles]
    return {title.replace(" ", "-") for title in plain}


def broken_links(page: Path) -> list[str]:
    """The relative links of a page that lead to no file, or to no heading of a page."""
    broken = []
    for link in LINK.findall("\n".join(prose(page))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One thing\n[a](#one-thing) [b](#another) [c](gone.md) [d](page.md#one-thing) [e](https://a.b)\n"
    )
    assert broken_links(page) == ["#another", "gone.md"]


@pytest.mark.parametrize("page", WRAPPED, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_fit_a_screen(page: Path) -> None:
    assert [line for line in prose(page) if len(line) > LONGEST_LINE and not line.startswith("|")] == []


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


def test_pages_are_linked_from_the_readme() -> None:
    linked = {
        (ROOT / link.partition("#")[0]).resolve() for link in LINK.findall((ROOT / "README.md").read_text())
    }
    assert set((ROOT / "docs").glob("*.md")) <= linked


def test_pages_name_files_that_exist() -> None:
    """Names of modules in backquotes, as `codec/entropy.py`, are those of today."""
    named = {
        (page.name, name)
        for page in WRAPPED
        for name in re.findall(
            r"`((?:codec|cli|benchmarks|tests|docs)/[\w./-]+)`", page.read_text(encoding="utf-8")
        )
    }
    assert sorted((page, name) for page, name in named if not (ROOT / name).exists()) == []


def test_every_folder_of_the_package_is_installed() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    tops = {"codec": "aecodec", "cli": "aecodec.cli", "benchmarks": "aecodec.benchmarks"}
    names = {
        ".".join([package, *path.parent.relative_to(ROOT / top).parts])
        for top, package in tops.items()
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert set(packages) == names


@pytest.mark.parametrize("folder", ["", "decoder", "encoder", "entropy", "model"])
def test_the_architecture_names_every_module(folder: str) -> None:
    named = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    modules = sorted((ROOT / "codec" / folder).glob("*.py"))
    names = [module.relative_to(ROOT).as_posix() for module in modules if module.stem != "__init__"]
    assert [name for name in names if f"`{name}`" not in named] == []
