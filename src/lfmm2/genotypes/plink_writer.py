"""PLINK filesets from arrays: packing of .bed bytes, text of .bim and .fam.

Dosages count A2, column 6 of the .bim: code 00 is dosage 0, 10 is 1, 11 is 2 and 01 is missing, the first
of four samples in the lowest bits of a byte.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfmm2._checks import check_flag, check_path, is_whole, quoted
from lfmm2._words import shortened, some_of, with_spaces
from lfmm2.errors import UsageError
from lfmm2.files import LAST_POSITION, OutputSet, check_outputs, joined_ids, repeated
from lfmm2.kernels import _calls

__all__ = ["encode_bed", "write_plink"]

UInt8 = NDArray[np.uint8]

# First bytes of a .bed whose genotypes are stored SNP by SNP.
BED_MAGIC = b"\x6c\x1b\x01"


def encode_bed(dosages: ArrayLike) -> UInt8:
    """Pack dosages into .bed bytes: 0 → 00, 1 → 10, 2 → 11, missing → 01.

    Parameters
    ----------
    dosages : array_like of shape (n_snps, n_samples), int8 or uint8
        Copies of A2: 0, 1 or 2; −1 or 255 where missing. Not modified.

    Returns
    -------
    ndarray of shape (n_snps, ceil(n_samples / 4)), uint8, C-contiguous
        The first of four samples in the lowest two bits, pad bits zero; without the three magic bytes.

    Raises
    ------
    UsageError
        If the array is not two-dimensional, not of one-byte integers, or holds another value.

    Examples
    --------
    >>> encode_bed(np.array([[0, 1, 2, -1, 1]], dtype=np.int8))
    array([[120,   2]], dtype=uint8)
    """
    given = np.asarray(dosages)
    if given.ndim != 2 or given.dtype not in (np.int8, np.uint8):
        raise UsageError(
            f"dosages have shape {given.shape} and dtype {given.dtype}; "
            "pass an int8 or uint8 array of shape (n_snps, n_samples)"
        )
    n_snps, n_samples = given.shape
    packed = np.empty((n_snps, -(-n_samples // 4)), dtype=np.uint8)
    snp, sample = _calls.pack_dosages(np.ascontiguousarray(given).view(np.uint8), packed)
    if snp >= 0:
        raise _wrong_dosage(given, snp, sample)
    return packed


def write_plink(
    out: str | os.PathLike[str],
    dosages: ArrayLike,
    *,
    iid: Sequence[str] | None = None,
    fid: Sequence[str] | None = None,
    snp_ids: Sequence[str] | None = None,
    chromosomes: Sequence[str | int] | None = None,
    positions: Sequence[int] | None = None,
    alleles: Sequence[tuple[str, str]] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a small fileset ``<out>.bed/.bim/.fam`` from an array in memory.

    Parameters
    ----------
    out : str or path
        Prefix of the three files; extensions are appended to it.
    dosages : array_like of shape (n_snps, n_samples)
        Copies of A2: 0, 1 or 2, of any numeric type; −1, 255, NaN or masked where missing. Not modified.
    iid, fid : sequence of str, optional
        Per sample; s0001, s0002, … and 0 by default.
    snp_ids, chromosomes, positions : sequence, optional
        Per SNP; snp0000001, …, chromosome 1, and 1000, 2000, … by default.
    alleles : sequence of (str, str), optional
        A1 and A2 (the counted allele) per SNP; A and G by default.
    overwrite : bool
        True to replace existing files.

    Returns
    -------
    Path
        The .bed file.

    Raises
    ------
    UsageError
        If dosages are not numbers in two dimensions or one has another value, if the length of a sequence is not the
        number of samples or SNPs, or if a name could not be read again: an empty one, or one with a blank.
    OutputExistsError
        If one of the three files exists and `overwrite` is not set.
    WriteError
        If a file cannot be written; none of the three is left behind.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     bed = write_plink(Path(folder) / "two", [[0, 1, 2], [2, np.nan, 0]], iid=["a", "b", "c"])
    ...     bed.read_bytes().hex(" ")
    '6c 1b 01 38 07'
    """
    check_path(out, "out")
    check_flag(overwrite, "overwrite")
    calls = _as_array(dosages)
    if calls.ndim != 2 or calls.dtype.kind not in "biuf":
        raise UsageError(
            f"dosages have shape {calls.shape} and dtype {calls.dtype}; "
            "pass numbers in an array of shape (n_snps, n_samples)"
        )
    missing = np.isin(calls, (-1, 255)) | (calls != calls)  # NaN alone differs from itself
    _check_dosages(calls, ~(missing | np.isin(calls, (0, 1, 2))))
    packed = encode_bed(np.where(missing, np.int8(-1), calls).astype(np.int8))
    n_snps, n_samples = calls.shape
    samples = {
        "fid": ["0"] * n_samples if fid is None else fid,
        "iid": default_sample_ids(n_samples) if iid is None else iid,
    }
    snps: dict[str, Sequence[Any]] = {
        "chromosomes": ["1"] * n_snps if chromosomes is None else chromosomes,
        "snp_ids": default_snp_ids(range(n_snps)) if snp_ids is None else snp_ids,
        "positions": range(1000, 1000 * (n_snps + 1), 1000) if positions is None else positions,
        "alleles": [("A", "G")] * n_snps if alleles is None else alleles,
    }
    for what, n, columns in (("samples", n_samples, samples), ("SNPs", n_snps, snps)):
        for name, column in columns.items():
            if len(column) != n:
                raise UsageError(f"{name} has {len(column)} values, but dosages have {n} {what}; pass one each")
    _check_names(samples, snps)
    paths = [Path(f"{os.fspath(out)}.{name}") for name in ("bim", "fam", "bed")]
    check_outputs(paths, overwrite)
    with OutputSet(overwrite) as outputs:
        bim, fam, bed = map(outputs.open, paths)
        bim.write(bim_text(**snps))
        fam.write(fam_text(**samples))
        bed.write(BED_MAGIC)
        bed.write(packed.data)
    return paths[2]


def _check_names(samples: dict[str, Sequence[Any]], snps: dict[str, Sequence[Any]]) -> None:
    """Raise UsageError for samples and SNPs that could be written, but not be read again as they are."""
    if not len(samples["iid"]) or not len(snps["snp_ids"]):
        raise UsageError("there are no samples or no SNPs, and no program reads such a fileset; give at least one each")
    pairs = list(map(_as_pair, snps["alleles"]))
    alleles = {"alleles (A1)": [pair[0] for pair in pairs], "alleles (A2)": [pair[1] for pair in pairs]}
    words = samples | alleles | {name: snps[name] for name in ("chromosomes", "snp_ids")}
    for name, column in words.items():
        for row, value in enumerate(column):
            if not (isinstance(value, str) or is_whole(value)) or not _is_word(str(value)):
                fact = f"{name}: number {row} (counted from 0) is {quoted(value)}"
                raise UsageError(f"{fact}; give at least one letter, and no blanks or control characters")
    for row, position in enumerate(snps["positions"]):
        if not is_whole(position) or not 0 <= position <= LAST_POSITION:
            fact = f"positions: number {row} (counted from 0) is {quoted(position)}"
            raise UsageError(f"{fact}; give a whole number from 0 to {with_spaces(LAST_POSITION)}")
    if str(samples["fid"][0]).lstrip("#").upper() in ("FID", "IID"):
        raise UsageError(
            f"the first fid is {quoted(samples['fid'][0])}, as in a header, which a .fam has not; rename it"
        )
    if twins := repeated(joined_ids(list(map(str, samples["fid"])), list(map(str, samples["iid"])))):
        raise UsageError(f"{some_of(twins)}: FID and IID stand for several samples; give each sample its own IID")


def _as_pair(alleles: object) -> tuple[Any, Any]:
    """Return the two alleles of a SNP, or raise UsageError."""
    if isinstance(alleles, bytes) or not isinstance(alleles, Sequence | np.ndarray) or len(alleles) != 2:
        raise UsageError(f"alleles has {quoted(alleles)}; give A1 and A2 of each SNP")
    return alleles[0], alleles[1]


def _is_word(text: str) -> bool:
    """Return True if a text is one word of a line: not empty, without blanks, and without what cannot be seen."""
    return bool(text) and text.isprintable() and not any(map(str.isspace, text))


def _as_array(dosages: ArrayLike) -> NDArray[Any]:
    """Return dosages as an array, with NaN where a masked array is masked."""
    try:
        if isinstance(dosages, np.ma.MaskedArray):
            return np.asarray(np.ma.filled(dosages.astype(np.float64), np.nan))
        return np.asarray(dosages)
    except (TypeError, ValueError) as error:
        fact = f"dosages of type {type(dosages).__name__} are no array ({shortened(str(error))})"
        raise UsageError(f"{fact}; pass numbers in an array of shape (n_snps, n_samples)") from error


def pack_codes(codes: UInt8) -> UInt8:
    """Pack 2-bit codes (n_snps, 4·n_bytes), one per byte, into (n_snps, n_bytes); pad codes are zero."""
    # Four codes are one 32-bit word. Shifts by 6, 12 and 18 bits move codes 2, 3 and 4 next to code 1 in the low byte.
    words = codes.view("<u4")
    packed = words >> 6
    packed |= words
    high = words >> 18
    packed |= high
    np.right_shift(words, 12, out=high)
    packed |= high
    return packed.astype(np.uint8)


def _check_dosages(dosages: NDArray[Any], is_wrong: NDArray[np.bool_]) -> None:
    """Raise UsageError with the place of the first wrong dosage."""
    if is_wrong.any():
        raise _wrong_dosage(dosages, *np.argwhere(is_wrong)[0].tolist())


def _wrong_dosage(dosages: NDArray[Any], snp: int, sample: int) -> UsageError:
    """Return the error about a wrong dosage."""
    return UsageError(
        f"dosage {dosages[snp, sample]} at SNP {snp}, sample {sample} (counted from 0); "
        "a dosage is 0, 1 or 2, and −1 or 255 where missing"
    )


def default_snp_ids(indices: Iterable[int]) -> list[str]:
    """Name SNPs after their 0-based indices: snp0000001, snp0000002, …"""
    return [f"snp{i + 1:07d}" for i in indices]


def default_sample_ids(n_samples: int) -> list[str]:
    """Name samples s0001, s0002, …"""
    return [f"s{i + 1:04d}" for i in range(n_samples)]


def fam_text(fid: Sequence[str], iid: Sequence[str]) -> bytes:
    """Return the lines of a .fam, with parents, sex and phenotype unknown."""
    return "".join(f"{family}\t{sample}\t0\t0\t0\t-9\n" for family, sample in zip(fid, iid, strict=True)).encode()


def bim_text(
    chromosomes: Sequence[str | int],
    snp_ids: Sequence[str],
    positions: Sequence[int],
    alleles: Sequence[tuple[str, str]],
) -> bytes:
    """Return the lines of a .bim; `alleles` are pairs of A1 and A2, and the genetic position is 0."""
    return "".join(
        f"{chromosome}\t{snp}\t0\t{position}\t{a1}\t{a2}\n"
        for chromosome, snp, position, (a1, a2) in zip(chromosomes, snp_ids, positions, alleles, strict=True)
    ).encode()


def table_text(header: Sequence[str], rows: Iterable[Sequence[object]], separator: str) -> bytes:
    """Return the lines of a table, with floats in the fewest digits that read back as the same numbers."""
    return "".join(separator.join(map(str, row)) + "\n" for row in (header, *rows)).encode()
