"""Ways in which programs change IDs, to say in a message what keeps the IDs of two files apart.

IDs are never matched in a changed form: two samples may differ by that form alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal
from itertools import combinations

from lfmm2._words import shortened

Respell = Callable[[str], str]

# IDs that are compared in other spellings for the hint of a message; so many take about a second.
_MOST_RESPELLED = 200_000
# IDs up to which two changes at a time are tried, which takes 50 times as long as one.
_MOST_RESPELLED_TWICE = 10_000
# Share of the IDs that must match once a part is cut off: s010 begins like s001, but is not row 10 because of that.
_LEAST_EXPLAINED = 0.8
# Marks that programs put between the FID and the IID, or between other parts of an ID.
_MARKS = "_-:.|/ "
# Endings of the names of files of reads, alignments and calls, with the words that pipelines put before them.
_FILE_ENDING = re.compile(
    r"(([._](sort|sorted|dedup|dedupped|markdup|mkdup|rmdup|realigned|recal|filtered|merged|aln|aligned|trimmed|g))*"
    r"\.(bam|cram|sam|vcf|bcf|fastq|fq|fasta|fa|bed|txt|csv|tsv|gz|bz2))+$",
    re.IGNORECASE,
)
# What Illumina's software adds to the name of a sample: its number, the lane and the read.
_READ_FILE = re.compile(r"(_S\d+)?(_L\d{3})?_R[12](_001)?$")
_INVISIBLE = ("Cf", "Cc", "Zs", "Zl", "Zp")


def _without_file_name(key: str) -> str:
    """Return a path without its folders and the endings of its file."""
    return _READ_FILE.sub("", _FILE_ENDING.sub("", re.split(r"[/\\]", key)[-1]))


def _as_whole_number(key: str) -> str:
    """Return 101.0 as 101 and 1e+05 as 100000; any other text as it is."""
    if not re.fullmatch(r"\d{1,15}\.0+|\d(\.\d{1,14})?[eE]\+?\d{1,2}", key):
        return key
    number = Decimal(key)
    return str(int(number)) if number == number.to_integral_value() else key


def _is_decimal(key: str) -> bool:
    """Return True for 3.0, whose point is no mark between parts."""
    return re.fullmatch(r"\d+\.\d+", key) is not None


def _visible(key: str) -> str:
    """Return a text without blanks, byte-order marks and other characters that leave no ink."""
    return "".join(mark for mark in key if unicodedata.category(mark) not in _INVISIBLE)


# Changes of IDs, each with a function that undoes it.
_SPELLINGS: dict[str, Respell] = {
    "upper and lower case": str.casefold,
    "leading zeros": lambda key: re.sub(r"(?<![0-9])0+(?=\d)", "", key),
    "Unicode form (NFC)": lambda key: unicodedata.normalize("NFC", key),
    "a file name around the ID": _without_file_name,
    "the X that R puts before a number": lambda key: re.sub(r"^X(?=\d)", "", key),
    "the form of numbers": _as_whole_number,
    "blanks or characters that cannot be seen": _visible,
    "quotes": lambda key: key.strip("\"'`´‘’“”«»"),
    "the marks between parts of the ID": lambda key: key if _is_decimal(key) else re.sub(r"[-_.:/|\s]+", "", key),
}


def spelling_hints(
    lacking: Collection[str], extra: Collection[str], fid_of: Mapping[str, str] | None = None
) -> list[str]:
    """Say how many of the IDs not found are there in another spelling: ``1 would match but for leading zeros``.

    `fid_of` gives the FID of an IID, on whichever side it is, for IDs that join both. Beyond 200 000 IDs nothing is
    said.
    """
    if not lacking or not extra or len(lacking) + len(extra) > _MOST_RESPELLED:
        return []
    hints = [hint for what, respell in _SPELLINGS.items() if (hint := _hint(_pairs(lacking, extra, respell), what))]
    if len(hints) == 0:
        hints = _hints_of_parts(list(lacking), list(extra), fid_of or {})
    if len(hints) == 0 and len(lacking) + len(extra) <= _MOST_RESPELLED_TWICE:
        hints = _hints_of_two_changes(lacking, extra)
    return hints


def _hint(pairs: list[tuple[str, str]], what: str) -> str:
    """Return the hint for pairs of IDs of both sides; an empty text if there are none."""
    if not pairs:
        return ""
    ours, theirs = map(shortened, pairs[0])
    return f"{len(pairs)} would match but for {what} ({theirs} and {ours})"


def _pairs(lacking: Collection[str], extra: Collection[str], respell: Respell) -> list[tuple[str, str]]:
    """Return the IDs that are alike once they are spelled alike, as pairs of both sides."""
    respelled = {respell(key): key for key in extra}
    return [(key, respelled[alike]) for key in lacking if (alike := respell(key)) in respelled]


def _hints_of_parts(lacking: list[str], extra: list[str], fid_of: Mapping[str, str]) -> list[str]:
    """Return the hint for IDs of one side that hold those of the other side and more: the first that explains most."""
    found: list[tuple[list[tuple[str, str]], str]] = []
    for short, long, swapped in ((lacking, extra, False), (extra, lacking, True)):
        for what, form_of in _joined_forms(short, fid_of):
            longer = set(long)
            found.append(_oriented([(key, form) for key in short if (form := form_of(key)) in longer], swapped, what))
        if len(short) > 1:
            for what, cut in _cuts(short, long):
                found.append(_oriented(_unique_pairs(short, long, cut), swapped, what))
    pairs, what = max(found, key=lambda item: len(item[0]), default=([], ""))
    return [hint] if (hint := _hint(pairs, what)) else []


def _oriented(pairs: list[tuple[str, str]], swapped: bool, what: str) -> tuple[list[tuple[str, str]], str]:
    """Return pairs with the ID that is lacking first."""
    return ([(b, a) for a, b in pairs] if swapped else pairs), what


def _joined_forms(short: list[str], fid_of: Mapping[str, str]) -> Iterator[tuple[str, Respell]]:
    """Yield the ways to make one ID of an FID and an IID."""
    for mark in _MARKS:
        if fid_of.keys() & set(short):
            yield f"the FID put before the IID with {mark!r}", lambda key, m=mark: f"{fid_of.get(key)}{m}{key}"  # type: ignore[misc]
        yield f"the ID written twice with {mark!r}", lambda key, m=mark: f"{key}{m}{key}"  # type: ignore[misc]


def _cuts(short: list[str], long: list[str]) -> Iterator[tuple[str, Respell]]:
    """Yield the ways to cut from an ID what all have in common, or a part at either end."""
    first, last = _common_start(long), _common_start([key[::-1] for key in long])[::-1]
    # All IDs of a side may begin alike, as i01 and i02 do; what was added is what the others do not begin with.
    first = first.removesuffix(_common_start(short))
    last = last.removeprefix(_common_start([key[::-1] for key in short])[::-1])
    if first:
        yield f"{shortened(first)!r} at the beginning", lambda key: key.removeprefix(first)
    if last:
        yield f"{shortened(last)!r} at the end", lambda key: key.removesuffix(last)
    if first and last:
        yield (
            f"{shortened(first)!r} at the beginning and {shortened(last)!r} at the end",
            lambda key: key.removeprefix(first).removesuffix(last),
        )
    for mark in _MARKS:
        yield f"the part before the first {mark!r}", lambda key, m=mark: key.partition(m)[2]  # type: ignore[misc]
        yield f"the part after the last {mark!r}", lambda key, m=mark: key.rpartition(m)[0]  # type: ignore[misc]


def _common_start(keys: list[str]) -> str:
    """Return the longest text with which all IDs begin."""
    low, high = min(keys), max(keys)
    length = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    return low[:length]


def _unique_pairs(short: list[str], long: list[str], cut: Respell) -> list[tuple[str, str]]:
    """Return pairs of IDs and the longer IDs that hold them; none if a cut makes different IDs one."""
    cut_keys = list(map(cut, long))
    whole = dict(zip(cut_keys, long, strict=True))
    pairs = [(key, whole[key]) for key in short if key in whole]
    known = set(short)
    n_made = sum(key in known for key in cut_keys)
    is_likely = len(pairs) >= _LEAST_EXPLAINED * min(len(short), len(long))
    return pairs if is_likely and n_made == len(pairs) else []


def _hints_of_two_changes(lacking: Collection[str], extra: Collection[str]) -> list[str]:
    """Return the hint for two changes at a time that explain most, or for all changes together."""
    found: list[tuple[list[tuple[str, str]], str]] = []
    for (one, undo_one), (two, undo_two) in combinations(_SPELLINGS.items(), 2):
        pairs = _pairs(lacking, extra, lambda key, f=undo_one, g=undo_two: g(f(key)))  # type: ignore[misc]
        found.append((pairs, f"{one}, and {two}"))

    def respell(key: str) -> str:
        for undo in _SPELLINGS.values():
            key = undo(key)
        return key

    found.append((_pairs(lacking, extra, respell), "several of case, zeros, marks and file names"))
    pairs, what = max(found, key=lambda item: len(item[0]))
    return [hint] if (hint := _hint(pairs, what)) else []
