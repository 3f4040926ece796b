"""What a notebook shows of results, factors and filesets: a few lines and a table, in HTML without scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from lfmm2._words import visible


def as_text(value: object) -> str:
    """Return a value as HTML text: numbers with four digits, names from files without control characters."""
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return "" if value is None else escape(visible(str(value)))


def html_table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of HTML."""
    head = "".join(f"<th>{as_text(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{as_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html_facts(title: str, facts: dict[str, object]) -> str:
    """Return a title and facts by name."""
    left = 'style="text-align:left"'
    cells = ((as_text(name), as_text(fact)) for name, fact in facts.items())
    lines = "".join(f"<tr><th {left}>{name}</th><td {left}>{fact}</td></tr>" for name, fact in cells)
    return f"<div><b>{as_text(title)}</b><table><tbody>{lines}</tbody></table></div>"
