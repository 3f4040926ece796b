"""The table of columns in docs/files.md, made from what the model of the tests declares.

python docs/columns.py            say whether the page is as declared
python docs/columns.py --write    write the table into the page
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from lfmm2.model import COLUMNS, MARGINAL_COLUMNS, Column, Columns, Tables

PAGE = Path(__file__).with_name("files.md")
BEGIN, END = "<!-- columns: made by docs/columns.py -->\n", "<!-- end of columns -->\n"


def column_lines(columns: Iterable[Column]) -> str:
    """Return the table of columns as Markdown: name, type, name in Python, files that have it, meaning."""
    lines = ["| column | type | in Python | files | meaning |", "|---|---|---|---|---|"]
    for column in columns:
        files = [] if column.tables is Tables.JOINT else ["variable"]
        files += [] if column.tables is Tables.VARIABLE else ["joint"]
        files += ["hits"] if column.in_hits else []
        cells = (column.name, column.dtype, _names_in_python(column), ", ".join(files), column.meaning)
        lines.append(f"| {' | '.join(cells)} |".replace("  ", " "))
    return "\n".join(lines) + "\n"


def _names_in_python(column: Column) -> str:
    names = dict.fromkeys((column.attribute, column.joint_attribute))
    return ", ".join(f"`{name}`" for name in names if name)


def renewed(page: str, columns: Columns) -> str:
    """Return the page with the table of these columns between its marks."""
    before, rest = page.split(BEGIN)
    optional = f"With `--marginal` also, before STATUS:\n\n{column_lines(MARGINAL_COLUMNS)}"
    return f"{before}{BEGIN}\n{column_lines(columns)}\n{optional}\n{END}{rest.split(END)[1]}"


def main(arguments: list[str]) -> int:
    """Write the page if asked to, else compare; return the exit code."""
    page = PAGE.read_text(encoding="utf-8")
    made = renewed(page, COLUMNS)
    if arguments == ["--write"]:
        PAGE.write_text(made, encoding="utf-8")
    elif made != page:
        print("docs/files.md: columns are not as declared; run python docs/columns.py --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
