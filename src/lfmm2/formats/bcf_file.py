"""BCF, the binary form of VCF (version 2): the same SNPs and calls as of the text.

The file is compressed with bgzip. It has the header of the VCF, and then records:

    l_shared, l_indiv                    bytes of the two parts of the record, uint32
    CHROM, POS, rlen, QUAL               number of the contig, position from 0, int32; float
    n_info, n_allele, n_sample, n_fmt    uint16, uint16; 24 bits, 8 bits
    ID, REF, ALT, …                      typed text; FILTER and INFO behind them are skipped
    FORMAT fields                        for each its number in the header, a type, and the values of all samples

A type is a byte: the kind of value in the lower four bits, how many in the upper ones (15: a number follows). An
allele a of a GT is 2 (a + 1), with 1 added if it is phased; 0 is a missing one, and −127 in place of the second marks a
haploid.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfmm2._words import with_spaces
from lfmm2.errors import MalformedInputError
from lfmm2.files import LAST_POSITION
from lfmm2.formats.calls import (
    BlockBuilder,
    CallBlock,
    CallReader,
    Dosages,
    ExpectedCopies,
    ReadingOptions,
    read_position,
)
from lfmm2.formats.dosages import join_dosages
from lfmm2.formats.nameless import refuse_sample_list
from lfmm2.formats.text_lines import LineFile
from lfmm2.formats.vcf_file import (
    COUNTED,
    NO_ALT,
    NO_GT,
    leave_out_reason,
    note_calls_taken,
    read_header,
    refuse_without_calls,
    refuse_without_dosages,
)
from lfmm2.kernels import _calls

MAGIC = b"BCF\x02"
# Bytes of a header, or of a record, from which on a file is refused, so that a damaged length cannot fill the memory.
_LONGEST_PART = 1 << 30
_LENGTHS = struct.Struct("<II")
_FIXED = struct.Struct("<iiifHHI")
# Numbers that the kernel tells of a record.
_N_FACTS = 6
# Kinds of values: bytes of one, and the type of NumPy of integers.
_BYTES_OF_KIND = {0: 0, 1: 1, 2: 2, 3: 4, 5: 4, 7: 1}
_INTEGERS = {1: "<i1", 2: "<i2", 3: "<i4"}
_FLOAT, _TEXT = 5, 7
# Codes of alleles: no allele (of a haploid), missing, REF, ALT, another one.
_ABSENT, _MISSING, _REF, _ALT, _HIGH = range(5)
_CODE_OF_BYTE = np.full(256, _HIGH, np.uint8)
_CODE_OF_BYTE[[0x81]] = _ABSENT
_CODE_OF_BYTE[[0x80, 0, 1]] = _MISSING
_CODE_OF_BYTE[[2, 3]] = _REF
_CODE_OF_BYTE[[4, 5]] = _ALT
# Dosages, copies of REF, by 5 times the code of the first allele, plus that of the second.
_WRONG = -2
_OF_PAIRS = np.full((5, 5), -1, np.int8)
_OF_PAIRS[_HIGH], _OF_PAIRS[:, _HIGH] = _WRONG, _WRONG
_OF_PAIRS[_REF, [_ABSENT, _REF, _ALT]] = [2, 2, 1]
_OF_PAIRS[_ALT, [_ABSENT, _REF, _ALT]] = [0, 1, 0]
_DOSAGE = _OF_PAIRS.ravel()
# The same by the two bytes of a call of two alleles, the first in the lower bits.
_DOSAGE_OF_BYTES = _OF_PAIRS[_CODE_OF_BYTE[None, :], _CODE_OF_BYTE[:, None]].ravel()


class BcfReader(CallReader):
    """A BCF."""

    def __init__(self, path: Path, options: ReadingOptions) -> None:
        super().__init__(path)
        self.counted_allele = COUNTED
        refuse_sample_list(self, options.sample_ids)
        self._number = 0
        self._dosage = options.dosage
        self._n_called = self._n_found = 0
        self._file = LineFile(path)
        try:
            self._bytes = _ByteStream(self._file)
            try:
                head = self._bytes.take(9)
                text = self._bytes.take(int.from_bytes(head[5:9], "little"))
            except _EndedError as error:
                raise MalformedInputError(f"{path}, the header: {error}") from None
            lines = text.rstrip(b"\0\n").split(b"\n")
            self.samples = read_header(lines, path)
            self._contigs, keys = _read_dictionaries(lines)
            self._gt_key, self._dosage_key = keys.get("GT", -1), keys.get(options.dosage or "", -1)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()

    def blocks(self) -> Iterator[CallBlock]:
        kind = np.int8 if self._dosage is None else np.float32
        builder, n_snps = BlockBuilder(len(self.samples), kind), 0
        take = self._bytes.take
        while True:
            try:
                if self._dosage is None:
                    self._read_plain_records(builder)
                # What follows is a record of another kind, or one whose end is not held yet.
                if not builder.is_full:
                    if not (lengths := take(_LENGTHS.size, may_end=True)):
                        break
                    self._number += 1
                    n_shared, n_calls = _LENGTHS.unpack(lengths)
                    self._read_record(take(n_shared), take(n_calls), builder)
            except _EndedError as error:
                raise MalformedInputError(f"{self._where}: {error}") from None
            except (struct.error, IndexError, KeyError, ValueError) as error:
                if isinstance(error, MalformedInputError):
                    raise
                raise MalformedInputError(f"{self._where}: is damaged; copy the file again") from error
            if builder.is_full:
                n_snps += len(builder)
                yield builder.take(f"{self.path}, up to record {self._number}")
        n_snps += len(builder)
        if len(builder):
            yield builder.take(f"{self.path}, up to record {self._number}")
        refuse_without_calls(self.path, self.left_out, n_snps)
        refuse_without_dosages(self.path, self._dosage, self._n_found)
        note_calls_taken(self, self._dosage, self._n_called)

    @property
    def _where(self) -> str:
        return f"{self.path}, record {self._number}"

    def _read_plain_records(self, builder: BlockBuilder) -> None:
        """Add the SNPs of the next records that are held, up to one that is not a biallelic SNP with GT first."""
        data, rows = self._bytes.held, builder.free_rows
        facts = np.empty((len(rows), _N_FACTS), np.int64)
        n_read, end = _calls.read_bcf_records(
            data, self._bytes.at, self._gt_key, _DOSAGE_OF_BYTES, rows, facts
        )  # fmt: skip
        self._bytes.at = end
        for contig, position, first, length, ref, alt in facts[:n_read].tolist():
            self._number += 1
            snp_id = data[first : first + length].decode()
            self._add(builder, contig, position, snp_id, (chr(alt), chr(ref)))

    def _add(
        self, builder: BlockBuilder, contig: int, position: int, snp_id: str, alleles: tuple[str, str]
    ) -> None:  # fmt: skip
        """Add a SNP whose dosages stand in the block; `position` counts from 0, as that of a BCF does."""
        name = self._contigs[contig]
        at = position + 1 if 0 <= position < LAST_POSITION else read_position(str(position + 1), self._where)
        builder.add(name, at, f"{name}:{at}" if snp_id in ("", ".") else snp_id, alleles)

    def _read_record(self, shared: bytes, calls: bytes, builder: BlockBuilder) -> None:
        """Add the SNP of a record to the block, unless it is left out."""
        contig, position, _, _, _, n_alleles, sizes = _FIXED.unpack_from(shared)
        n_samples, n_fields = sizes & 0xFFFFFF, sizes >> 24
        if n_samples != len(self.samples):
            fact = f"{self._where}: {n_samples} samples, but {len(self.samples)} in the header"
            raise MalformedInputError(f"{fact}; copy the file again")
        texts, at = [], _FIXED.size
        for _ in range(1 + n_alleles):
            kind, number = shared[at] & 15, shared[at] >> 4
            at += 1
            if number == 15:
                number, at = _read_integer(shared, at)
            end = at + number if kind else at
            if kind not in (0, _TEXT) or number < 0 or end > len(shared):
                raise ValueError
            texts.append(shared[at:end].decode())
            at = end
        snp_id, ref, *alts = texts
        reason = leave_out_reason(ref, ",".join(alts)) if alts else NO_ALT
        found = {} if reason else self._find_fields(calls, n_fields, n_samples)
        if reason or not found:
            self.leave_out(reason or (NO_GT if self._dosage is None else f"no {self._dosage} and {NO_GT}"))
            return
        if self._dosage is None:
            builder.row[:] = self._dosages(self._alleles(*found[self._gt_key], n_samples))
        else:
            builder.row[:] = self._expected_copies(found, n_samples)
        self._add(builder, contig, position, snp_id, (alts[0], ref))

    def _find_fields(self, calls: bytes, n_fields: int, n_samples: int) -> dict[int, tuple[bytes, int, int]]:
        """Return the bytes, the kind and the number of values of GT and of the dosage, by their numbers in the header.

        Those that the record lacks are left out.
        """
        found, at = {}, 0
        for _ in range(n_fields):
            key, at = _read_integer(calls, at)
            kind, number, at = _read_type(calls, at)
            end = at + n_samples * number * _BYTES_OF_KIND[kind]
            if end > len(calls):
                raise ValueError
            if key in (self._gt_key, self._dosage_key) and key >= 0:
                found[key] = calls[at:end], kind, number
            at = end
        return found

    def _expected_copies(self, found: dict[int, tuple[bytes, int, int]], n_samples: int) -> ExpectedCopies:
        """Return expected copies of ALT from the fields of a record."""
        of_ref, is_haploid = np.full(n_samples, -1, np.int8), np.zeros(n_samples, bool)
        if self._gt_key in found:
            codes = self._alleles(*found[self._gt_key], n_samples)
            of_ref = self._dosages(codes)
            is_haploid = (codes[:, 0] != _ABSENT) & (codes[:, 1:] == _ABSENT).all(1)
        numbers = np.full((n_samples, 3), np.nan, "<f4")
        if self._dosage_key in found:
            data, kind, n_numbers = found[self._dosage_key]
            if kind != _FLOAT or n_numbers not in ((1,) if self._dosage == "DS" else (1, 2, 3)):
                raise MalformedInputError(f"{self._where}: {self._dosage} is no list of numbers; correct it")
            numbers[:, :n_numbers] = np.frombuffer(data, "<f4").reshape(n_samples, n_numbers)
            self._n_found += 1
        assert self._dosage is not None
        copies, is_wrong, n_called = join_dosages(numbers, self._dosage, of_ref, is_haploid)
        if is_wrong.any():
            sample = self.samples.iid[int(np.argmax(is_wrong))]
            fact = f"{self._where}: {self._dosage} of sample {sample} is no dosage of a diploid, from 0 to 2"
            raise MalformedInputError(f"{fact}; correct it")
        self._n_called += n_called
        return copies

    def _alleles(self, gt: bytes, kind: int, n_alleles: int, n_samples: int) -> NDArray[np.uint8]:
        """Return the codes of the alleles of all samples, (n_samples, n_alleles)."""
        if not n_alleles:
            return np.full((n_samples, 1), _MISSING, np.uint8)
        if kind == 1:
            codes = _CODE_OF_BYTE[np.frombuffer(gt, np.uint8)]
        else:
            values = np.frombuffer(gt, _INTEGERS[kind]).astype(np.int64)
            # The marks of wider integers are the smallest ones too: missing, and the one above it.
            lowest = np.iinfo(_INTEGERS[kind]).min
            small = np.where(values == lowest, 0x80, np.where(values == lowest + 1, 0x81, np.clip(values, 0, 6)))
            codes = _CODE_OF_BYTE[small]
        return codes.reshape(n_samples, n_alleles)

    def _dosages(self, codes: NDArray[np.uint8]) -> Dosages:
        """Return copies of REF from the codes of the alleles of all samples."""
        n_alleles = codes.shape[1]
        if n_alleles > 2 and (codes[:, 2:] != _ABSENT).any():
            fact = f"{self._where}: a call has more than two alleles, and a .bed holds diploids"
            raise MalformedInputError(f"{fact}; give an array of dosages with ploidy to lfmm2.run in Python")
        second: NDArray[np.uint8] | int = codes[:, 1] if n_alleles > 1 else _ABSENT
        return self._checked(_DOSAGE[5 * codes[:, 0] + second])

    def _checked(self, dosages: Dosages) -> Dosages:
        """Return dosages, or raise MalformedInputError if one is `_WRONG`."""
        if dosages.min() == _WRONG:
            sample = self.samples.iid[int(np.argmax(dosages == _WRONG))]
            fact = f"{self._where}: the call of sample {sample} has an allele above 1, but there is one ALT"
            raise MalformedInputError(f"{fact}; correct it, as bcftools norm does")
        return dosages


class _EndedError(Exception):
    """The bytes of a file end too soon, or a length is too large; the argument is the fault in words."""


class _ByteStream:
    """The decompressed bytes of a file, taken in order.

    Attributes
    ----------
    held : bytes
        Bytes in memory, of which those before `at` have been taken.
    at : int
    """

    def __init__(self, file: LineFile) -> None:
        self._file = file
        self.held = b""
        self.at = 0

    def take(self, n_bytes: int, may_end: bool = False) -> bytes:
        """Return the next bytes; none at the end with `may_end`; raise `_EndedError` if it ends before."""
        end = self.at + n_bytes
        if end > len(self.held):
            self._fill(n_bytes, may_end)
            end = n_bytes
        taken = self.held[self.at : end]
        self.at = end
        return taken

    def _fill(self, n_bytes: int, may_end: bool) -> None:
        """Hold at least `n_bytes` from the present place on, which becomes the beginning of what is held."""
        if n_bytes > _LONGEST_PART:
            raise _EndedError(f"a length of {with_spaces(n_bytes)} bytes; the file looks damaged, copy it again")
        parts = [self.held[self.at :]]
        n_held = len(parts[0])
        while n_held < n_bytes and (more := self._file.read()):
            parts.append(more)
            n_held += len(more)
        self.held, self.at = b"".join(parts), 0
        if n_held < n_bytes and not (may_end and n_held == 0):
            raise _EndedError("ends too soon; the file looks truncated, copy it again")


def _read_type(data: bytes, at: int) -> tuple[int, int, int]:
    """Return kind, number of values, and the place behind the type that stands at `at`."""
    kind, number = data[at] & 15, data[at] >> 4
    at += 1
    if number == 15:
        number, at = _read_integer(data, at)
    if kind not in _BYTES_OF_KIND or number < 0:
        raise ValueError
    return kind, number, at


def _read_integer(data: bytes, at: int) -> tuple[int, int]:
    """Return the integer that stands with its type at `at`, and the place behind it."""
    kind = data[at] & 15
    if data[at] >> 4 != 1 or kind not in _INTEGERS:
        raise ValueError
    end = at + 1 + _BYTES_OF_KIND[kind]
    if end > len(data):
        raise ValueError
    return int.from_bytes(data[at + 1 : end], "little", signed=True), end


def _read_dictionaries(lines: list[bytes]) -> tuple[dict[int, str], dict[str, int]]:
    """Return the names of contigs by their numbers, and the numbers of filters and fields by their names.

    Names have the numbers of their lines, or those that IDX gives; PASS is number 0 of filters, INFO and FORMAT.
    """
    contigs: dict[int, str] = {}
    fields = {"PASS": 0}
    for line in lines:
        text = line.decode("utf-8", "replace")
        match = re.match(r"##(contig|FILTER|INFO|FORMAT)=<ID=([^,>]+)", text)
        if match is None:
            continue
        stated = re.search(r",IDX=([0-9]+)", text)
        if match[1] == "contig":
            contigs[int(stated[1]) if stated else len(contigs)] = match[2]
        elif match[2] not in fields:
            fields[match[2]] = int(stated[1]) if stated else max(fields.values()) + 1
    return contigs, fields
