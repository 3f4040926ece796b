"""Numbers, sizes and lists as messages show them, and the order of names."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

# Characters that a message quotes from a file: enough to find the place, and no more than a line of a terminal.
_MOST_QUOTED = 60
# Categories of Unicode that a terminal or a browser obeys or hides instead of showing them: control characters, marks
# of format such as those that turn the direction of writing, halves of characters, line and paragraph separators.
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")

# Chromosomes that PLINK puts after those with numbers, in its order; all other names follow them.
_NAMED_CHROMOSOMES = ("X", "Y", "XY", "M", "MT")


def visible(text: str, in_lines: bool = False) -> str:
    r"""Write characters that would act on a terminal or a page instead of being seen as escapes, such as ``\x1b``.

    Names and cells of files may hold any character: commands for the terminal, ends of lines that make a false message
    of their own, marks that turn the direction of writing. With `in_lines` the ends of lines of `text` stay.
    """
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape", "surrogatepass").decode()
        if unicodedata.category(char) in _UNSEEN and not (in_lines and char == "\n")
        else char
        for char in text
    )


def with_spaces(number: int) -> str:
    """Write an integer with a space between thousands, as all messages do: ``1 250 003``."""
    return f"{number:,}".replace(",", " ")


def counted(number: int, noun: str) -> str:
    """Write a count with its noun: ``1 SNP``, ``1 250 SNPs``."""
    return f"{with_spaces(number)} {noun}{'' if number == 1 else 's'}"


def shortened(text: str) -> str:
    """Cut what a message quotes from a file to 60 characters; a damaged file may have a line of megabytes."""
    return text if len(text) <= _MOST_QUOTED else text[: _MOST_QUOTED - 1] + "…"


def with_error(value: float, error: float | None) -> str:
    """Write a number with as many digits as its standard error allows: ``1.31 ± 0.05``, ``1.312 ± 0.014``.

    Without a standard error it has three decimals.
    """
    if not math.isfinite(value):
        return "not defined"
    if error is None or not error > 0 or not math.isfinite(error):
        return f"{value:.3f}"
    exponent = math.floor(math.log10(error))
    # An error that begins with 1 has two digits, because its rounding to one would change it by up to a half.
    decimals = min((1 if error < 1.95 * 10.0**exponent else 0) - exponent, 6)
    if decimals <= 0:
        return f"{with_spaces(int(round(value, decimals)))} ± {with_spaces(int(round(error, decimals)))}"
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def some_of(items: Sequence[object]) -> str:
    """List up to five items for a message: ``I1, I2``."""
    return ", ".join(shortened(str(item)) for item in items[:5]) + (", …" if len(items) > 5 else "")


def some_cells(cells: Sequence[str]) -> str:
    """List up to three places of cells for a message: ``line 2, line 5, line 7 and 4 more``."""
    return ", ".join(cells[:3]) + (f" and {with_spaces(len(cells) - 3)} more" if len(cells) > 3 else "")


def name_of_snp(snp_id: str, chromosome: str, position: int | None) -> str:
    """Return the ID of a SNP, or ``CHROM:POS`` where its ID is ".", which means that it has none.

    Without a position the ID stays ".".
    """
    return f"{chromosome}:{position}" if snp_id == "." and position is not None and position > 0 else snp_id


def aligned(lines: dict[str, str]) -> str:
    """Write names and values in two columns, each on a line of its own."""
    lines = {visible(name): visible(value) for name, value in lines.items()}
    width = max(18, *(len(name) + 2 for name in lines)) if lines else 0
    return "\n".join(f"{name + ':':<{width}}{value}" for name, value in lines.items())


def mebibytes(n_bytes: int) -> str:
    """Write a size of memory in MiB, rounded up: ``1 250 MiB``."""
    return f"{with_spaces(-(-n_bytes // 2**20))} MiB"


def decimal_bytes(n_bytes: int) -> str:
    """Write the size of a file in the largest decimal unit that leaves a number of at least 1: ``6.3 GB``."""
    size, unit = float(n_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"


def natural_key(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Return a key that sorts chromosomes: 2 before 10, numbers before X, Y, XY and MT, and these before other names.

    The letters chr before a name count for nothing.
    """
    short = re.sub("^chr", "", name, flags=re.IGNORECASE)
    if short.upper() in _NAMED_CHROMOSOMES:
        return ((1, _NAMED_CHROMOSOMES.index(short.upper()), ""),), name
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+", short)
    return tuple((0, int(part), "") if part.isdecimal() else (2, 0, part.casefold()) for part in parts), name


def duration(seconds: float) -> str:
    """Write a time in the units that it needs: ``1.3 s``, ``42 s``, ``2 min 50 s``, ``1 h 39 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {whole:02d} s" if minutes else f"{whole} s"


def json_event(event: str, **facts: Any) -> str:
    """Write an event for programs that watch a run: an object of JSON on one line, with the time in UTC."""
    entries = {"event": event, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), **facts}
    return json.dumps(entries, ensure_ascii=True, default=str)
