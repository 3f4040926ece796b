"""The registry of foreign formats: the only module that knows which there are, and how each is recognised.

A format is recognised by its content. Only where the content fits two formats does the name of the file decide: a .ped
whose alleles are numbers may look like an .lfmm.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from lfmm2.errors import LfmmError, MalformedInputError
from lfmm2.formats import bcf_file, npy_file, ped_file, raw_file, traw_file
from lfmm2.formats.bcf_file import BcfReader
from lfmm2.formats.calls import CallReader, ReadingOptions
from lfmm2.formats.geno_file import GenoReader
from lfmm2.formats.lfmm_file import LfmmReader
from lfmm2.formats.npy_file import NpyReader
from lfmm2.formats.ped_file import PedReader
from lfmm2.formats.raw_file import RawReader
from lfmm2.formats.text_lines import LineFile, read_head
from lfmm2.formats.traw_file import TrawReader
from lfmm2.formats.vcf_file import VcfReader
from lfmm2.formats.vcftools_file import VcftoolsReader
from lfmm2.formats.zarr_file import ZarrReader
from lfmm2.formats.zarr_store import ZIP_MAGIC, is_store

# Bytes by which a format is recognised.
_HEAD_BYTES = 1 << 16
# Lines that are looked at: the number 3 in front of the fourth is no genotype.
_LINES = 4
_NUMBER = re.compile(rb"-?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
# First bytes of files that are recognised, but not read.
_OTHERS = {
    b"\x6c\x1b\x01": "is a .bed already; give it to lfmm2 run --bed",
    b"\x6c\x1b\x00": "is a sample-major .bed; convert it with plink2 --bfile … --make-bed",
    b"\x6c\x1b": "is a .pgen of PLINK 2; convert it with plink2 --pfile … --make-bed, or give it to lfmm2 run --pfile",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; decompress it with zstd -d first",
    b"BZh91AY": "is compressed with bzip2; decompress it first",
    b"\xfd7zXZ": "is compressed with xz; decompress it first",
    b"bgen": "is a BGEN; give it to lfmm2 run --bgen",
    b"#CHROM": "has no line ##fileformat=VCF before #CHROM; give the whole VCF",
}


class FileHead:
    """The beginning of a file, by which its format is recognised.

    Attributes
    ----------
    path : Path
    head : bytes
        First bytes, decompressed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head = read_head(path, _HEAD_BYTES)

    @cached_property
    def line(self) -> bytes:
        """The first line, or what the head has of it."""
        return self.head.partition(b"\n")[0].rstrip(b"\r")

    @cached_property
    def cells(self) -> list[bytes]:
        """The cells of the first line as far as they are complete."""
        cells = self.line.split()
        return cells if len(self.line) < len(self.head) or len(self.head) < _HEAD_BYTES else cells[:-1]

    @cached_property
    def first_cells(self) -> list[bytes]:
        """The first cell of each of the first four lines."""
        with LineFile(self.path) as file:
            return [(line[:64].split() or [b""])[0] for line in islice(file, _LINES)]

    def is_called(self, ending: str) -> bool:
        """Return True if the name of the file has this ending."""
        return self.path.name.casefold().removesuffix(".gz").endswith(ending)


@dataclass(frozen=True)
class FileKind:
    """A foreign format.

    Attributes
    ----------
    name : str
        Name as messages have it, with its article.
    recognise : callable
        Function that tells whether the beginning of a file is of this format.
    open : callable
        Function that opens the file.
    has_dosages : bool
        True if dosages can be read in place of hard calls.
    """

    name: str
    recognise: Callable[[FileHead], bool]
    open: Callable[[Path, ReadingOptions], CallReader]
    has_dosages: bool = False


def _is_012(file: FileHead) -> bool:
    counts = [b"%d" % k for k in range(_LINES)]
    if len(file.cells) < 2 or not _is_numeric(file) or file.first_cells[0] != b"0":
        return False
    if file.first_cells == counts:
        return True
    is_short = 0 < len(file.first_cells) < _LINES and file.first_cells == counts[: len(file.first_cells)]
    return is_short and file.is_called(".012")


def _is_numeric(file: FileHead) -> bool:
    return bool(file.cells) and all(map(_NUMBER.fullmatch, file.cells))


def _is_ped(file: FileHead) -> bool:
    if len(file.cells) < ped_file.N_COLUMNS + 2:
        return False
    alleles = file.cells[ped_file.N_COLUMNS :]
    return file.is_called(".ped") or (
        not _is_numeric(file) and all(cell.isalpha() or cell in (b"0", b".") for cell in alleles)
    )


def _is_geno(file: FileHead) -> bool:
    return bool(re.fullmatch(rb"[0129]+", file.line)) and (len(file.line) > 1 or file.is_called(".geno"))


#: Usual ends of the names of such files.
ENDINGS = (".vcf", ".vcf.gz", ".bcf", ".vcz", ".zarr", ".ped", ".raw", ".traw", ".lfmm", ".geno", ".012", ".npy")
#: All formats, in the order in which they are tried.
KINDS: tuple[FileKind, ...] = (
    FileKind("a VCF", lambda file: file.head.startswith(b"##fileformat=VCF"), VcfReader, True),
    FileKind("a BCF", lambda file: file.head.startswith(bcf_file.MAGIC), BcfReader, True),
    FileKind("a .npy of NumPy", lambda file: file.head.startswith(npy_file.MAGIC), NpyReader),
    FileKind("a .raw of PLINK", lambda file: file.line.split()[:6] == raw_file.HEADER_CELLS, RawReader),
    FileKind("a .traw of PLINK", lambda file: file.line.split(b"\t")[:6] == traw_file.HEADER_CELLS, TrawReader),
    FileKind("a .ped of PLINK", _is_ped, PedReader),
    FileKind("a .012 of vcftools", _is_012, VcftoolsReader),
    FileKind("a .geno of LEA", _is_geno, GenoReader),
    FileKind("an .lfmm of LEA", _is_numeric, LfmmReader),
    FileKind("a VCF Zarr", lambda file: file.head.startswith(ZIP_MAGIC) and is_store(file.path), ZarrReader, True),
)


def find_kind(path: Path) -> FileKind:
    """Return the format of a file.

    Raises
    ------
    ReadError
        If the file cannot be read.
    MalformedInputError
        If it is of no format that is read.
    """
    if not path.is_file() and is_store(path):
        return next(kind for kind in KINDS if kind.open is ZarrReader)
    file = FileHead(path)
    for magic, fault in _OTHERS.items():
        if file.head.startswith(magic):
            raise MalformedInputError(f"{path}: {fault}")
    if not file.head.strip():
        raise MalformedInputError(f"{path}: is empty or damaged; check the file")
    for kind in KINDS:
        if kind.recognise(file):
            return kind
    names = ", ".join(kind.name.split(maxsplit=1)[1] for kind in KINDS)
    raise MalformedInputError(f"{path}: is of no format that is converted ({names}); make one of these, or a .bed")


def name_kind(path: Path) -> str:
    """Return the name of the format of a file; empty if it is none of the foreign ones or cannot be read."""
    try:
        return find_kind(path).name if path.exists() else ""  # A URL tells nothing of its format.
    except (LfmmError, OSError, ValueError):
        return ""
