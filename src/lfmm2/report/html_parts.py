"""Pieces of the HTML of a report: its style sheet, escaped text, tables, lists, and pictures as data: URIs."""

from __future__ import annotations

import base64
import html
import struct
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from lfmm2._words import visible

# Pixels of the page (CSS px) for an inch of a picture. With this value the text of pictures is about as large as that
# of the page; a larger value makes it larger.
_PIXELS = 108

#: Style sheet of the page, for light and dark screens and for paper.
STYLE = """
:root { color-scheme: light dark; --ink: #1d2530; --soft: #5a6675; --line: #d5dbe2; --card: #f5f7f9; --link: #005a9c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #dfe5ec; --soft: #9aa7b5; --line: #3a4450; --card: #1b222a; --link: #7cb8ea; }
  body { background: #12171d; }
}
body { color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  max-width: 68rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.3rem; margin: 2.75rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.75rem 0 .25rem; }
a { color: var(--link); }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: 0; margin: 1rem 0; }
.soft, figcaption, caption { color: var(--soft); font-size: .9rem; }
figure { margin: 1rem 0; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption { margin-top: .35rem; max-width: 60rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); gap: 0 1.25rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; margin: .75rem 0; }
caption { text-align: left; padding-bottom: .35rem; }
th, td { padding: .2rem .7rem .2rem 0; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top;
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { white-space: nowrap; }
th { font-weight: 600; }
.text { text-align: left; }
td.text { white-space: normal; overflow-wrap: break-word; max-width: 30rem; }
sup, sub { line-height: 0; }
tr.found td { font-weight: 600; }
.warning { border-left: 4px solid #d55e00; background: var(--card); padding: .5rem .9rem; margin: .75rem 0; }
.warning ul { margin: .25rem 0; padding-left: 1.2rem; }
summary { cursor: pointer; font-weight: 600; margin: .5rem 0; }
pre { background: var(--card); padding: .75rem; overflow: auto; max-height: 32rem; font-size: .8rem;
  white-space: pre-wrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; }
@media print {
  body { max-width: none; font-size: 11pt; }
  nav { display: none; }
  h2 { break-after: avoid; } figure, tr { break-inside: avoid; }
  pre { max-height: none; }
}
"""


@dataclass(frozen=True)
class Picture:
    """A picture of the report.

    Attributes
    ----------
    kind : str
        Name of the function of `lfmm2.plots` that draws it, with - for _.
    of : str
        Name of the table or variable; empty if the picture is of the whole run.
    png : bytes
        The PNG file.
    alt, caption : str
        Plain text for readers who do not see the picture, and text below it.
    dpi : float
        Pixels per inch.
    """

    kind: str
    of: str
    png: bytes
    alt: str
    caption: str
    dpi: float


def escaped(value: object) -> str:
    """Escape a text for the body or an attribute, and characters that cannot be seen."""
    return html.escape(visible(str(value), in_lines=True), quote=True)


def figure(picture: Picture) -> str:
    """Return a picture with its caption as HTML."""
    width, height = struct.unpack(">II", picture.png[16:24])
    data = base64.b64encode(picture.png).decode()
    caption = f"<figcaption>{escaped(picture.caption)}</figcaption>" if picture.caption else ""
    # The PNG has more pixels than the page shows, so that it is sharp on screens of high resolution.
    scale = _PIXELS / picture.dpi
    size = f'width="{round(scale * width)}" height="{round(scale * height)}"'
    return f'<figure><img src="data:image/png;base64,{data}" alt="{escaped(picture.alt)}" {size}>{caption}</figure>\n'


def figures(pictures: Sequence[Picture]) -> str:
    """Return pictures as HTML, side by side where there is room."""
    inside = "".join(map(figure, pictures))
    return f'<div class="grid">{inside}</div>\n' if len(pictures) > 1 else inside


def html_table(
    caption: str, columns: Sequence[str], rows: Iterable[tuple[Sequence[str], bool]], text: Collection[int] = (0,)
) -> str:
    """Return a table of cells of HTML; the columns `text` are aligned to the left, and rows with True are bold."""

    def cells(tag: str, values: Sequence[str]) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        lefts = (' class="text"' if i in text else "" for i in range(len(values)))
        return "".join(f"<{tag}{left}{scope}>{value}</{tag}>" for left, value in zip(lefts, values, strict=True))

    marks = {True: ' class="found"', False: ""}
    body = "".join(f"<tr{marks[found]}>{cells('td', values)}</tr>\n" for values, found in rows)
    head = f"<caption>{caption}</caption><thead><tr>{cells('th', columns)}</tr></thead>"
    return f'<div class="wide"><table>{head}\n<tbody>\n{body}</tbody></table></div>\n'


def listed(items: dict[str, object]) -> str:
    """Return names and their values as a list of HTML."""
    rows = "".join(f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>" for name, value in items.items())
    return f"<dl>{rows}</dl>\n"
