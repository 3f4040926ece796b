"""Links between the documents lead somewhere, and the site has every page and every public name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lfmm2

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("bench/*.md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_lead_to_files(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_of_the_repository_that_are_named_are_there(document: Path) -> None:
    named = re.findall(
        r"`(?:python |pytest )?((?:src|tests|bench|docs)/[\w/.]+\.(?:py|pyx|md))", document.read_text(encoding="utf-8")
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_page_stands_once_in_the_contents_of_the_site() -> None:
    contents = re.findall(r"^```\{toctree\}\n(.*?)^```", (ROOT / "docs/index.md").read_text("utf-8"), re.M | re.S)
    listed = [line for part in contents for line in part.split("\n") if line and not line.startswith(":")]
    assert sorted(listed) == sorted(path.stem for path in (ROOT / "docs").glob("*.md") if path.stem != "index")


def test_page_of_the_python_interface_has_every_public_name() -> None:
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)", page, re.M))
    pictures = {f"plots.{name}" for name in lfmm2.plots.__all__}
    assert {name.removeprefix("lfmm2.") for name in named} == set(lfmm2.__all__) - {"__version__", "plots"} | pictures


def test_links_to_headings_lead_to_headings() -> None:
    for document in DOCUMENTS:
        for name, heading in re.findall(r"\]\(([^)#:]*\.md)?#([^)]+)\)", document.read_text(encoding="utf-8")):
            text = (document.parent / name if name else document).read_text(encoding="utf-8")
            titles = re.findall(r"^#+ (.*)$", text, re.M)
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in anchors, f"{document.name}: {name}#{heading}"


def test_pictures_are_small() -> None:
    large = {path.name: path.stat().st_size for path in (ROOT / "docs").rglob("*.png") if path.stat().st_size > 125_000}
    assert large == {}
