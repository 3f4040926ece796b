"""PLINK 1 binary filesets: open, check, read packed ranges, select samples and SNPs.

A .bed holds 3 magic bytes, then two bits per genotype, ceil(n_samples / 4) bytes per SNP. The .bim may have
1e9 lines and is only ever streamed. Bytes are read with pread and never mapped: a file that shrinks under a
map kills the process. Code 00 is two copies of A1, so a dosage counts A2.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from lfmm2.errors import InconsistentInputError, MalformedInputError, ReadError, UsageError

StrPath = str | os.PathLike[str]
Layout = Callable[[int], Sequence[str] | None]  # names of all columns by their number, if it is legal
_MAGIC = b"\x6c\x1b\x01"
_CHUNK = 1 << 22
_HELD_BIM = 1 << 24  # a .bim up to this size is parsed once and kept
_LONGEST_LINE = 1 << 24
_READ_THROUGH_BYTES = 1 << 16  # skipping less costs more than it saves: a system call, a lost read-ahead
_SCRATCH_BYTES = 1 << 22
_LAST_POSITION = 2**31 - 2  # PLINK's own limit
_OTHER_FORMATS = {
    b"\x6c\x1b\x00": "a sample-major .bed; convert it with plink2 --make-bed",
    b"\x6c\x1b": "a .pgen; convert it with plink2 --pfile … --make-bed",
    b"##fileformat=VCF": "a VCF; convert it with plink2 --vcf … --make-bed",
    b"\x1f\x8b": "compressed with gzip; decompress it first",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; decompress it first",
}
_STRAY_BYTES = {
    b"\0": "a NUL byte: UTF-16, binary or damaged; save it as UTF-8 text",
    b"\r": "a carriage return without line feed; save it with Unix line ends",
}
_BIM_COLUMNS = {6: ("CHROM", "ID", "CM", "POS", "A1", "A2"), 5: ("CHROM", "ID", "POS", "A1", "A2")}
_TYPES = dict.fromkeys(("CHROM", "POS", "ID", "A1", "A2", "0", "1"), pa.string()) | {"POS": pa.int64()}


def with_spaces(number: int) -> str:
    """Write an integer with a space between thousands, as all messages do: ``1 250 003``."""
    return f"{number:,}".replace(",", " ")


def some_of(items: Sequence[object]) -> str:
    """List up to five items for a message: ``I1, I2``."""
    return ", ".join(map(str, items[:5])) + (", …" if len(items) > 5 else "")


def repeated(items: Sequence[str]) -> list[str]:
    """Return the items that occur more than once, in order."""
    return [item for item, times in Counter(items).items() if times > 1]


def open_regular(path: StrPath) -> BinaryIO:
    """Open a regular file for reading; a FIFO is refused, not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise ReadError(f"{path}: cannot be opened ({error.strerror}); check the path") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ReadError(f"{path}: is a directory, a pipe or a device; give the path of a regular file")
    return os.fdopen(descriptor, "rb")


def single_tabs(text: bytes) -> bytes:
    """Turn every run of blanks into one tab and drop blanks at the ends of lines, as PLINK reads tables."""
    text = text.replace(b" ", b"\t")
    while b"\t\t" in text:
        text = text.replace(b"\t\t", b"\t")
    return text.replace(b"\n\t", b"\n").replace(b"\t\n", b"\n").strip(b"\t")


def refuse_other_format(head: bytes, path: StrPath) -> None:
    """Raise if a file that begins so is of a known other format."""
    if kind := next((kind for magic, kind in _OTHER_FORMATS.items() if head.startswith(magic)), None):
        raise MalformedInputError(f"{path}: is {kind}")


def clean_text(text: bytes, path: StrPath, line: int = 1) -> bytes:
    """Return text, which starts at this line of the file, with Unix line ends and no byte-order mark."""
    if line == 1:
        refuse_other_format(text, path)
        text = text.removeprefix(b"\xef\xbb\xbf")
    text = text.replace(b"\r\n", b"\n")
    for stray, fault in _STRAY_BYTES.items():
        if stray in text:
            at = line + text.count(b"\n", 0, text.index(stray))
            raise MalformedInputError(f"{path}, line {at}: {fault}")
    return text


def _text_chunks(path: StrPath, chunk_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Yield (number of the first line, whole lines less the last newline), separated by single tabs."""
    line = 1
    blank = b""  # newlines after the last line so far: harmless, unless more text follows
    with open_regular(path) as file:
        while True:
            try:
                chunk = file.read(chunk_bytes)
                rest = file.readline(_LONGEST_LINE)
            except OSError as error:
                raise ReadError(f"{path}, after line {line}: {error.strerror}; check the disk") from error
            if not chunk:
                return
            text = blank + single_tabs(clean_text(chunk + rest, path, line + len(blank)))
            if len(rest) == _LONGEST_LINE:
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


def _stream_tables(path: StrPath, rule: str, layout: Layout, chunk: int = _CHUNK) -> Iterator[pa.Table]:
    """Yield tables of the columns in `_TYPES`; each is of about that many bytes of text."""
    names: Sequence[str] | None = None
    for line, text in _text_chunks(path, chunk):
        if names is None:
            width = text.split(b"\n", 1)[0].count(b"\t") + 1
            if (names := layout(width)) is None:
                raise MalformedInputError(f"{path}, line 1: {width} column(s), but {rule}; check the file")
        kept = [name for name in _TYPES if name in names]
        try:
            table = csv.read_csv(
                pa.BufferReader(text),
                csv.ReadOptions(column_names=names, use_threads=False, block_size=len(text) + 1),
                csv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
                csv.ConvertOptions(column_types=_TYPES, include_columns=kept, null_values=[]),
            )
        except pa.ArrowInvalid as error:
            _raise_fault(path, text, line, names)
            raise MalformedInputError(f"{path}, line {line} or after: {error}; correct it") from error
        if "POS" in kept:
            least, most = pc.min_max(table["POS"]).as_py().values()
            # Arrow reads hexadecimal too; an allele or ID that looks so only costs the slow check.
            if least < 0 or most > _LAST_POSITION or b"\t0x" in text or b"\t0X" in text:
                _raise_fault(path, text, line, names)
        yield table
    if names is None:
        raise MalformedInputError(f"{path}: is empty, but {rule}; check the file")


def _raise_fault(path: StrPath, text: bytes, line: int, names: Sequence[str]) -> None:
    """Raise at the first line that cannot be parsed: the slow way, once it is known that there is one."""
    for number, row in enumerate(text.split(b"\n"), line):
        where = f"{path}, line {number}"
        shown = row.decode("utf-8", "backslashreplace")
        fields = shown.split("\t")
        if len(fields) != len(names):
            raise MalformedInputError(f"{where}: {len(fields)} column(s), line 1 has {len(names)}; check it")
        if shown.encode() != row:
            raise MalformedInputError(f"{where}: {shown!r} is not UTF-8; convert the file to UTF-8")
        position = fields[names.index("POS")] if "POS" in names else "0"
        if not re.fullmatch("-?[0-9]{1,18}", position) or not 0 <= int(position) <= _LAST_POSITION:
            remedy = "remove the header line" if number == 1 else "correct it"
            fact = f"position {position} is no integer from 0 to {with_spaces(_LAST_POSITION)}"
            raise MalformedInputError(f"{where}: {fact}; {remedy}")


@dataclass(frozen=True)
class Samples:
    """Family and individual IDs of the samples, in .fam order."""

    fid: tuple[str, ...]
    iid: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.iid)


def _first_two(path: StrPath, rule: str, least: int = 1) -> tuple[list[str], list[str]]:
    """Return the first and, if there is one, the second column of a file of at least so many."""
    columns: tuple[list[str], list[str]] = ([], [])
    for table in _stream_tables(path, rule, lambda n: [str(i) for i in range(n)] if n >= least else None):
        for values, column in zip(columns, table.columns, strict=False):
            values.extend(column.to_pylist())
    return columns


def joined_ids(fid: Sequence[str], iid: Sequence[str]) -> list[str]:
    """Return one key per sample; neither part has blanks in a .fam."""
    return list(map("{} {}".format, fid, iid))


def read_fam(path: StrPath) -> Samples:
    """Read FID and IID from a .fam; more than six columns pass, since GEMMA keeps phenotypes there.

    Raises ReadError, MalformedInputError (empty, ragged, one column, header or blank line, not UTF-8) or
    InconsistentInputError (the same FID and IID twice).
    """
    fid, iid = _first_two(path, "a .fam has 6 columns, FID and IID first", least=2)
    if fid[0].lstrip("#").upper() in ("FID", "IID"):
        raise MalformedInputError(f"{path}, line 1: is a header line, but a .fam has none; remove it")
    if twins := repeated(joined_ids(fid, iid)):
        raise InconsistentInputError(f"{path}: {len(twins)} repeated FID IID ({some_of(twins)}); rename them")
    return Samples(tuple(fid), tuple(iid))


@dataclass(frozen=True)
class SampleList:
    """Which samples a --keep or --remove file lists, and how many of its IDs are not among the samples."""

    mask: NDArray[np.bool_]
    n_unknown: int


def read_sample_list(path: StrPath, samples: Samples) -> SampleList:
    """Read a list of IIDs, or of FID and IID, with or without a PLINK header line; raises like `read_fam`."""
    first, second = _first_two(path, "a list of samples has an ID per line")
    start = int(first[0] in ("#FID", "#IID", "FID", "IID"))
    pairs = bool(second) and first[0] not in ("#IID", "IID")
    keys = joined_ids(samples.fid, samples.iid) if pairs else list(samples.iid)
    listed = set((joined_ids(first, second) if pairs else first)[start:])
    if twins := [iid for iid in repeated(keys) if iid in listed]:
        raise InconsistentInputError(f"{path}: {some_of(twins)}: several samples each; list FID and IID")
    mask = np.array([key in listed for key in keys], dtype=np.bool_)
    return SampleList(mask, len(listed) - int(mask.sum()))


def read_id_list(path: StrPath) -> list[str]:
    """Read SNP IDs, such as PLINK's prune.in: the first column of each line, without header."""
    return _first_two(path, "a list of SNPs has an ID per line")[0]


class BedFile:
    """An open fileset, checked in full; `path` is the .bed, or the prefix that .bed, .bim and .fam share.

    Attributes: `path`, `bim_path`, `fam_path`, `samples`, `n_samples`, `n_snps`, `bytes_per_snp`, which is
    ceil(n_samples / 4), and `n_bytes`, the size of the .bed. Threads may read at once.
    Raises ReadError (a file is absent, unreadable or no regular file), MalformedInputError (another format, a
    size that is no whole number of SNPs, a faulty .bim or .fam) or InconsistentInputError (a whole number of
    SNPs, but not that of the .bim; two samples with the same IDs).
    """

    def __init__(self, path: StrPath) -> None:
        self.path = Path(path)
        if (not self.path.exists() or self.path.is_dir()) and Path(f"{path}.bed").exists():
            self.path = Path(f"{path}.bed")
        self._file = open_regular(self.path)
        stem = self.path.name.removesuffix(".bed")  # no other suffix: beside x.chr1.bed lies x.chr1.bim
        self.bim_path, self.fam_path = (self.path.with_name(stem + end) for end in (".bim", ".fam"))
        try:
            status = os.fstat(self._file.fileno())
            self._stamp = (status.st_size, status.st_ino, status.st_mtime_ns)
            self.n_bytes = status.st_size
            self._check_first_bytes(os.pread(self._file.fileno(), 32, 0))
            self.samples = read_fam(self.fam_path)
            self.n_samples = len(self.samples)
            self.bytes_per_snp = (self.n_samples + 3) // 4
            self._held: list[pa.Table] | None = None
            if self.bim_path.exists() and self.bim_path.stat().st_size <= _HELD_BIM:
                self._held = list(self._stream_bim())
            self.n_snps = sum(table.num_rows for table in self._held or self._stream_bim())
            self._check_size()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> BedFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"BedFile({str(self.path)!r}, n_samples={self.n_samples}, n_snps={self.n_snps})"

    def close(self) -> None:
        """Close the .bed; the attributes stay."""
        self._file.close()

    def _check_first_bytes(self, head: bytes) -> None:
        if not head.startswith(_MAGIC):
            refuse_other_format(head, self.path)
            start = "text" if re.match(rb"[\s -~]{3}", head) else head[:3].hex(" ") or "nothing"
            raise MalformedInputError(f"{self.path}: begins with {start}, but a .bed with 6c 1b 01; give one")

    def _check_size(self) -> None:
        needed = len(_MAGIC) + self.n_snps * self.bytes_per_snp
        n_held, n_left = divmod(self.n_bytes - len(_MAGIC), self.bytes_per_snp)
        samples = f"{with_spaces(self.n_samples)} samples ({self.fam_path.name})"
        snps = f"{with_spaces(self.n_snps)} SNPs ({self.bim_path.name})"
        fact = f"{with_spaces(self.n_bytes)} bytes, but {samples} × {snps} need {with_spaces(needed)}"
        looks = "truncated, copy it again" if self.n_bytes < needed else "too long, find its .bim and .fam"
        if n_left:
            raise MalformedInputError(f"{self.path}: {fact}; the file looks {looks}")
        if n_held != self.n_snps:
            held = f"or it is another fileset's, with exactly {with_spaces(n_held)} SNPs"
            raise InconsistentInputError(f"{self.path}: {fact}; the file looks {looks}; {held}")

    def check_unchanged(self) -> None:
        """Raise ReadError if the .bed has another size, inode or time of change than when it was opened."""
        try:
            status = self.path.stat()
        except OSError as error:
            raise ReadError(f"{self.path}: is gone ({error.strerror}); put it back") from error
        if (status.st_size, status.st_ino, status.st_mtime_ns) != self._stamp:
            sizes = f"{with_spaces(self.n_bytes)} bytes then, {with_spaces(status.st_size)} now"
            raise ReadError(f"{self.path}: was changed since it was opened ({sizes}); start again")

    def read_packed(self, first_snp: int, packed_out: NDArray[np.uint8]) -> None:
        """Read consecutive SNPs from `first_snp` straight into the caller's array, pad bits included.

        `packed_out` has shape (n_snps_block, bytes_per_snp), uint8, C-contiguous. Raises UsageError (another
        array, a range beyond the file) or ReadError (the system's error, a file that shrank).
        """
        shape = (len(packed_out), self.bytes_per_snp)
        if packed_out.dtype != np.uint8 or packed_out.shape != shape or not packed_out.flags.carray:
            raise UsageError(f"packed_out must be a writeable C-contiguous uint8 array of shape {shape}")
        if not 0 <= first_snp <= self.n_snps - len(packed_out):
            raise UsageError(f"{len(packed_out)} SNPs from {first_snp} on are not among {self.n_snps}")
        out = packed_out.reshape(-1).data
        offset = len(_MAGIC) + first_snp * self.bytes_per_snp
        while len(out):
            try:
                n_read = os.preadv(self._file.fileno(), [out], offset)
            except OSError as error:
                raise ReadError(f"{self.path}, byte {offset}: {error.strerror}; check the disk") from error
            if n_read == 0:
                raise ReadError(f"{self.path}, byte {offset}: shrank while being read; copy it again")
            out = out[n_read:]
            offset += n_read

    def read_snps(self, snps: NDArray[np.int64], packed_out: NDArray[np.uint8]) -> None:
        """Like `read_packed` for strictly ascending indices; gaps under 64 kB are read through, by 4 MB."""
        self.read_packed(0, packed_out[:0])  # checks the array
        if snps.shape != packed_out.shape[:1] or bool(np.any(np.diff(snps) <= 0)):
            raise UsageError(f"snps must ascend, one per row of packed_out ({len(packed_out)})")
        gaps = (np.diff(snps) - 1) * self.bytes_per_snp
        bounds = [0, *(np.flatnonzero(gaps >= _READ_THROUGH_BYTES) + 1).tolist(), len(snps)]
        most_rows = max(1, _SCRATCH_BYTES // self.bytes_per_snp)
        for start, stop in pairwise(bounds):
            while start < stop:
                first = int(snps[start])
                end = start + int(np.searchsorted(snps[start:stop], first + most_rows))
                n_rows = int(snps[end - 1]) - first + 1
                if n_rows == end - start:
                    self.read_packed(first, packed_out[start:end])
                else:
                    scratch = np.empty((n_rows, self.bytes_per_snp), dtype=np.uint8)
                    self.read_packed(first, scratch)
                    packed_out[start:end] = scratch[snps[start:end] - first]
                start = end

    def _stream_bim(self, chunk_bytes: int = _CHUNK) -> Iterator[pa.Table]:
        rule = "a .bim has 6 columns, or 5 without the genetic position"
        return _stream_tables(self.bim_path, rule, _BIM_COLUMNS.get, chunk_bytes)

    def iter_variants(self, chunk_bytes: int = _CHUNK) -> Iterator[pa.Table]:
        """Stream the .bim as tables of CHROM, POS, ID, A1 and A2, of about that many bytes of text each."""
        if self._held is not None:
            yield from self._held
            return
        n_snps = 0
        for table in self._stream_bim(chunk_bytes):
            n_snps += table.num_rows
            yield table
        if n_snps != self.n_snps:
            raise ReadError(f"{self.bim_path}: {self.n_snps} SNPs when opened, {n_snps} now; start again")

    def variants(self) -> pa.Table:
        """Return the whole .bim as one table; mind its size, and see `iter_variants`."""
        return pa.concat_tables(self.iter_variants())


def open_bed(path: StrPath) -> BedFile:
    """Open a PLINK 1 fileset by its .bed or its prefix; see `BedFile`."""
    return BedFile(path)


def find_snps(bed: BedFile, ids: Collection[str]) -> tuple[NDArray[np.int64], int]:
    """Find SNPs by ID in one pass over the .bim: their ascending indices, and how many IDs were not found.

    Raises InconsistentInputError if several SNPs have one of these IDs.
    """
    wanted = pa.array(set(ids), pa.string())
    found: list[NDArray[np.int64]] = []
    found_ids: list[str] = []
    first_snp = 0
    # Each chunk hashes the IDs anew, so chunks grow with them; Arrow's limit is 2 GB.
    for table in bed.iter_variants(min(max(_CHUNK, 32 * len(wanted)), 1 << 28)):
        rows = np.flatnonzero(pc.is_in(table["ID"], value_set=wanted).to_numpy())
        found.append(first_snp + rows)
        found_ids += table["ID"].take(rows).to_pylist()
        first_snp += table.num_rows
    if twins := repeated(found_ids):
        raise InconsistentInputError(f"{bed.bim_path}: repeated SNP IDs {some_of(twins)}; rename them")
    return np.concatenate(found), len(wanted) - len(found_ids)
