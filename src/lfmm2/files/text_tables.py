"""Text tables as users bring them: opened, cleaned, checked and streamed, and the words that messages share.

A table has columns separated by tabs or runs of blanks and the same number of them in every line. It may have
1e9 lines and is only ever streamed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from lfmm2._typing import AnyPath
from lfmm2._words import shortened, with_spaces
from lfmm2.errors import MalformedInputError, ReadError
from lfmm2.files.input_files import open_text
from lfmm2.files.position_cells import LAST_POSITION, OddPositions, parse_positions, whole_position

#: Function from the number of columns to the names of all of them; None where no such table has so many.
Layout = Callable[[int], Sequence[str] | None]
#: Function from the cells of a header line, which begins with #, to the names of all columns; it raises for wrong ones.
Header = Callable[[list[str]], Sequence[str]]
#: Bytes of text that are parsed at once. More takes more memory; much less would spend the time on calls of the parser.
CHUNK = 1 << 22
#: Bytes held at the peak per byte of a piece of text: the text as read, its cleaned copies, and its columns. With a
# smaller number the memory plan of a run would promise too little.
CHUNK_COPIES = 8
#: Bytes of a line from which on a file is refused, so that one without line ends does not fill the memory.
LONGEST_LINE = 1 << 24
#: Bytes of a line from which on it is no name of a file; Linux takes paths of up to 4096.
LONGEST_NAME = 1 << 13
_OTHER_FORMATS = {
    b"\x6c\x1b\x00": "a sample-major .bed; convert it with plink2 --make-bed",
    b"\x6c\x1b\x01": "a .bed; give a text file",
    b"##fileformat=VCF": "a VCF; convert it with plink2 --vcf … --make-bed, or with lfmm2 convert",
    b"\x1f\x8b": "compressed with gzip; decompress it first",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; decompress it first",
}
# The third byte of a .pgen is one of the storage modes of its specification.
_OTHER_FORMATS |= {
    b"\x6c\x1b" + bytes([mode]): "a .pgen; convert it with plink2 --pfile … --make-bed, or give it with --pfile PREFIX"
    for mode in (0x02, 0x03, 0x04, 0x10, 0x11, 0x20, 0x21, 0x30, 0x31)
}
# First bytes of files that are no text, as people give them in place of a table.
_NOT_TEXT = {
    b"PK\x03\x04": "an Excel workbook or a zip file; save the table as CSV, or unpack it",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save the table as CSV",
    b"PAR1\x15": "a Parquet file, and only tables of variables may be one; save it as text",
    b"ARROW1\0": "a Feather file, and only tables of variables may be one; save it as text",
    b"\x89HDF": "an HDF5 or netCDF file; save the values of the samples as CSV",
    b"CDF\x01": "a netCDF file; save the values of the samples as CSV",
    b"CDF\x02": "a netCDF file; save the values of the samples as CSV",
    b"CDF\x05": "a netCDF file; save the values of the samples as CSV",
    b"II*\0": "a TIFF image; take the values at the samples and save them as CSV",
    b"MM\0*": "a TIFF image; take the values at the samples and save them as CSV",
    b"\x89PNG": "a picture; give a table",
    b"SQLite format 3": "a database; save the table as CSV",
    b"%PDF": "a PDF; save the table as CSV",
    b"{\\rtf": "a document of a word processor; save the table as CSV",
    b"<!DOCTYPE": "a web page; download the table itself",
    b"<!doctype": "a web page; download the table itself",
    b"<html": "a web page; download the table itself",
    b"\x93NUMPY": "a NumPy array; load it in Python and give the array, or save it as CSV",
    b"BZh91AY": "compressed with bzip2; decompress it first",
    b"\xfd7zXZ": "compressed with xz; decompress it, or compress it with gzip or zstd",
}
_STRAY_BYTES = {
    b"\0": "a NUL byte: UTF-16, binary or damaged; save it as UTF-8 text",
    b"\r": "a carriage return without line feed; save it with Unix line ends",
}
_TYPES = dict.fromkeys(("CHROM", "POS", "ID", "A1", "A2", "0", "1"), pa.string()) | {"POS": pa.int64()}


def repeated(items: Sequence[str]) -> list[str]:
    """Return the items that occur more than once, in order."""
    return [item for item, times in Counter(items).items() if times > 1]


def refuse_other_format(head: bytes, path: AnyPath) -> None:
    """Raise MalformedInputError if the name of a file or its first bytes are those of another known format."""
    if Path(path).name.casefold().endswith((".vcf.gz", ".bcf", ".vcf.zst")):
        raise MalformedInputError(f"{path}: is a VCF; convert it with plink2 --vcf … --make-bed, or with lfmm2 convert")
    if kind := next((kind for magic, kind in _OTHER_FORMATS.items() if head.startswith(magic)), None):
        raise MalformedInputError(f"{path}: is {kind}")


def single_tabs(text: bytes) -> bytes:
    """Turn every run of blanks into one tab and drop blanks at the ends of lines, as PLINK reads tables."""
    text = text.replace(b" ", b"\t")
    while b"\t\t" in text:
        text = text.replace(b"\t\t", b"\t")
    return text.replace(b"\n\t", b"\n").replace(b"\t\n", b"\n").strip(b"\t")


def clean_text(text: bytes, path: AnyPath, line: int = 1, is_known: bool = False) -> bytes:
    """Return text, which begins at `line` of the file, with Unix line ends and without a byte-order mark.

    The beginning of a file `is_known` if it is one that the format has, so that it is not compared with other formats.
    """
    if line == 1 and not is_known:
        refuse_other_format(text, path)
        if kind := next((kind for magic, kind in _NOT_TEXT.items() if text.startswith(magic)), None):
            raise MalformedInputError(f"{path}: is {kind}")
        if text[257:262] == b"ustar":
            raise MalformedInputError(f"{path}: is a tar archive; unpack it")
        text = text.removeprefix(b"\xef\xbb\xbf")
    # A search for one byte is much faster than for two.
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    for stray, fault in _STRAY_BYTES.items():
        if stray in text:
            at = line + text.count(b"\n", 0, text.index(stray))
            raise MalformedInputError(f"{path}, line {at}: {fault}")
    return text


def _text_chunks(path: AnyPath, chunk_bytes: int, has_header: bool) -> Iterator[tuple[int, bytes]]:
    """Yield the number of the first line and the text of pieces: whole lines, single tabs, no newline at the end.

    With `has_header` the file may begin with any line of a header, also that of a VCF.
    """
    line = 1
    blank = b""  # newlines after the last line so far: harmless, unless more text follows
    with open_text(path) as file:
        while True:
            try:
                chunk = file.read(chunk_bytes)
                rest = file.readline(LONGEST_LINE)
            except OSError as error:
                raise ReadError(f"{path}, after line {line}: {error.strerror}; check the disk") from error
            if not chunk:
                return
            is_known = has_header and chunk.startswith(b"#")
            text = blank + single_tabs(clean_text(chunk + rest, path, line + len(blank), is_known))
            if len(rest) == LONGEST_LINE:
                raise MalformedInputError(f"{path}, after line {line}: over 16 MB in a line; give a table")
            lines = text.rstrip(b"\n")
            blank = text if not lines else text[len(lines) + 1 :]
            if lines:
                at = (b"\n" + lines).find(b"\n\n")
                if at >= 0:
                    line += lines.count(b"\n", 0, at)
                    raise MalformedInputError(f"{path}, line {line}: is blank amid the table; remove it")
                yield line, lines
                line += lines.count(b"\n") + 1


def stream_bytes(text_bytes: int) -> int:
    """Return the bytes that `stream_tables` holds at its peak, of a file of `text_bytes`."""
    return CHUNK_COPIES * min(text_bytes, CHUNK)


def _without_header(text: bytes) -> tuple[list[str], int, bytes]:
    """Take the lines that begin with # off the beginning of a text.

    Return the cells of the last of them, how many there are, and the rest of the text.
    """
    at, number, last = 0, 0, b""
    while text.startswith(b"#", at):
        end = text.find(b"\n", at)
        end = len(text) if end < 0 else end
        last, at, number = text[at:end], end + 1, number + 1
    return last.decode("utf-8", "backslashreplace").split("\t"), number, text[at:]


def stream_tables(
    path: AnyPath,
    rule: str,
    layout: Layout,
    chunk: int = CHUNK,
    odd: OddPositions | None = None,
    header: Header | None = None,
) -> Iterator[pa.Table]:
    """Yield a text table in pieces of about `chunk` bytes: its columns CHROM, POS, ID, A1, A2, or those called 0 and 1.

    `layout` gives the names of the columns, or None for a wrong number of them, and then the message holds `rule`.
    Positions that are not written as whole numbers are counted in `odd`.
    With `header`, lines at the beginning that start with # are no rows, and it gives the names by the last of them.
    Raises ReadError (unreadable) or MalformedInputError (empty, ragged, a blank line, not UTF-8, a faulty POS).
    """
    names: Sequence[str] | None = None
    odd = OddPositions() if odd is None else odd
    title: list[str] | None = None
    for line, text in _text_chunks(path, chunk, header is not None):
        if names is None and header is not None:
            cells, n_lines, text = _without_header(text)
            title, line = (cells if n_lines else title), line + n_lines
            if not text:
                continue
            names = None if title is None else header(title)
        if names is None:
            width = text.split(b"\n", 1)[0].count(b"\t") + 1
            if (names := layout(width)) is None:
                has_commas = width == 1 and b"," in text.split(b"\n", 1)[0]
                remedy = "write tabs or blanks in place of its commas" if has_commas else "check the file"
                raise MalformedInputError(f"{path}, line 1: {width} column(s), but {rule}; {remedy}")
        try:
            table = _parse_text(text, names, line, odd)
        except pa.ArrowInvalid as error:
            _raise_fault(path, text, line, names)
            raise MalformedInputError(f"{path}, line {line} or after: {error}; correct it") from error
        if "POS" in table.column_names and (pc.max(table["POS"]).as_py() > LAST_POSITION or _may_be_hexadecimal(text)):
            _raise_fault(path, text, line, names)
        yield table
    if names is None:
        raise MalformedInputError(f"{path}: is empty, but {rule}; check the file")


def _parse_text(text: bytes, names: Sequence[str], line: int, odd: OddPositions) -> pa.Table:
    """Return the columns of some lines; positions are parsed from text only if they are not all plain numbers."""
    kept = [name for name in _TYPES if name in names]

    def parse(types: dict[str, pa.DataType]) -> pa.Table:
        return csv.read_csv(
            pa.BufferReader(text),
            csv.ReadOptions(column_names=names, use_threads=False, block_size=len(text) + 1),
            csv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
            csv.ConvertOptions(column_types=types, include_columns=kept, null_values=[]),
        )

    try:
        return parse(_TYPES)
    except pa.ArrowInvalid:
        if "POS" not in kept:
            raise
        table = parse(_TYPES | {"POS": pa.string()})
        if (positions := parse_positions(table["POS"], line, odd)) is None:
            raise
        return table.set_column(table.column_names.index("POS"), "POS", positions)


def _may_be_hexadecimal(text: bytes) -> bool:
    """Return True if a position may be hexadecimal, which Arrow takes for a number.

    An ID or allele that looks so costs the time of `_raise_fault`, and nothing else.
    """
    return (b"x" in text and b"\t0x" in text) or (b"X" in text and b"\t0X" in text)


def _raise_fault(path: AnyPath, text: bytes, line: int, names: Sequence[str]) -> None:
    """Raise MalformedInputError at the first faulty line, if there is one; slow, so called only on suspicion."""
    for number, row in enumerate(text.split(b"\n"), line):
        where = f"{path}, line {number}"
        shown = row.decode("utf-8", "backslashreplace")
        fields = shown.split("\t")
        if len(fields) != len(names):
            remedy = "check it" if len(fields) < len(names) else "if an ID has blanks, put _ in their place"
            raise MalformedInputError(f"{where}: {len(fields)} column(s), line 1 has {len(names)}; {remedy}")
        if shown.encode() != row:
            raise MalformedInputError(f"{where}: {shortened(shown)!r} is not UTF-8; convert the file to UTF-8")
        position = fields[names.index("POS")] if "POS" in names else "0"
        if whole_position(position) is None:
            fact = f"position {shortened(position)} is no integer from 0 to {with_spaces(LAST_POSITION)}"
            remedy = _position_remedy(text, names) if number == 1 else "correct it"
            raise MalformedInputError(f"{where}: {fact}; {remedy}")


def _position_remedy(text: bytes, names: Sequence[str]) -> str:
    """Return the remedy for a first line whose position is none: it is a header, or the columns are in another order.

    Columns are those of a .pvar, which has CHROM POS ID, where the second one has positions.
    """
    rows = [row.decode("utf-8", "replace").split("\t") for row in text.split(b"\n", 2)[:2]]
    if all(len(row) > 1 and whole_position(row[1]) is not None for row in rows):
        return f"columns are {' '.join(names)}, convert a .pvar with plink2 --pfile … --make-bed, or give --pfile"
    at = names.index("POS")
    is_name = re.match("[A-Za-z#]", rows[0][at]) is not None and rows[0][at] not in ("NA", "nan")
    return "remove the header line" if is_name else "correct it"


def read_lines(path: AnyPath) -> Iterator[str]:
    """Yield the lines of a text, without blanks at their ends; a line is no longer than the name of a file may be.

    Raises
    ------
    ReadError
        If the file cannot be read.
    MalformedInputError
        If it is no text in UTF-8, or has a longer line.
    """
    with open_text(path) as file:
        number = 0
        while True:
            try:
                row = file.readline(LONGEST_NAME)
            except OSError as error:
                raise ReadError(f"{path}, after line {number}: {error.strerror}; check the disk") from error
            if not row:
                return
            number += 1
            text = clean_text(row, path, number).strip()
            if len(row) == LONGEST_NAME:
                raise MalformedInputError(f"{path}, line {number}: is too long for a name; give a name a line")
            try:
                yield text.decode()
            except UnicodeDecodeError:
                shown = shortened(text.decode("utf-8", "backslashreplace"))
                fact = f"{path}, line {number}: {shown!r} is not UTF-8"
                raise MalformedInputError(f"{fact}; convert the file to UTF-8") from None
