"""Settings of Sphinx for the documentation site: `make docs` builds it into .venv/site, without the network."""

from __future__ import annotations

import os
import re
from pathlib import Path

import lfmm2

ROOT = Path(__file__).resolve().parents[1]

project = "lfmm2"
author = "The lfmm2 developers"
copyright = "the lfmm2 developers"
version = release = lfmm2.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_design"]
root_doc = "index"
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["colon_fence"]
# Headings down to this level can be linked to, by the names that GitHub gives them.
myst_heading_anchors = 4
autodoc_typehints = "none"  # The docstrings have the types.
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
# Types of parameters are words for people, and no names to be linked.
napoleon_use_param = False
strip_signature_backslash = True
smartquotes = False  # Two hyphens begin an option.
html_theme = "furo"
html_title = f"lfmm2 {version}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
# Blocks of the command line in which a program prints need no colours.
highlight_language = "none"
# Links to other sites are not looked up, because the build must not need the network.
suppress_warnings = ["misc.highlighting_failure"]

# Pages of the site whose text is a file beside docs/, which people look for there: page, and file in the repository.
OUTSIDE = {
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "benchmarks": "bench/README.md",
}
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#:\s]+)(#[^)]*)?\)")


def place_links(text: str, folder: Path) -> str:
    """Return a page with links that lead to pages of the site; links to other files of the repository become text.

    Parameters
    ----------
    text : str
    folder : Path
        Folder of the file that the text is in.
    """
    pages = {ROOT / path: f"{page}.md" for page, path in OUTSIDE.items()}

    def place(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / found[2]))
        if target in pages:
            return f"[{found[1]}]({pages[target]}{found[3] or ''})"
        if target.is_relative_to(ROOT / "docs"):
            return f"[{found[1]}]({target.relative_to(ROOT / 'docs')}{found[3] or ''})"
        return found[1]

    return _LINK.sub(place, text)


def read_page(app: object, page: str, source: list[str]) -> None:
    """Replace the text of a page that stands for a file outside of docs/, and place the links of every page."""
    path = ROOT / OUTSIDE[page] if page in OUTSIDE else ROOT / "docs" / f"{page}.md"
    text = path.read_text(encoding="utf-8") if page in OUTSIDE else source[0]
    source[0] = place_links(text, path.parent)


def setup(app: object) -> None:
    """Let Sphinx read pages by `read_page`."""
    app.connect("source-read", read_page)  # type: ignore[attr-defined]
