"""VCF as text, plain or compressed: hard calls (GT) of biallelic SNPs as plink2 --make-bed takes them, or dosages.

A1 is ALT and A2 is REF, so a dosage counts REF. A haploid call is homozygous, a half call such as ``./1`` is missing,
and a SNP whose ID is "." is called ``CHROM:POS``. Contigs keep their names. FILTER is not looked at.

Dosages are DS, or P(0/1) + 2 P(1/1) of GP, and where a sample has none of these its GT, as plink2 takes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from lfmm2._checks import quoted
from lfmm2._words import counted, some_of
from lfmm2.errors import InconsistentInputError, MalformedInputError
from lfmm2.files import Samples, repeated
from lfmm2.formats.calls import BlockBuilder, CallBlock, CallReader, ReadingOptions, checked_samples, read_position
from lfmm2.formats.nameless import refuse_sample_list
from lfmm2.formats.text_lines import LineFile, as_text
from lfmm2.kernels import _vcf

COUNTED = "A1 is ALT and A2 is REF, as plink2 --make-bed has them; lfmm2 counts REF, and ALT with --count-allele a1"
#: Columns of a line before those of the samples.
COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT")
#: Reasons for which a variant is left out, as the summary names them.
MULTIALLELIC, LONG, SYMBOLIC, NO_ALT, NO_GT = (
    "multiallelic", "indels and other longer alleles", "symbolic alleles", "no ALT", "no GT",
)  # fmt: skip
# Most texts that are remembered, so that a file of thousands of scaffolds cannot fill the memory.
_MOST_KEPT = 1000
_FAULTS = {
    _vcf.FEW_COLUMNS: "has fewer columns than samples; the file looks truncated, copy it again",
    _vcf.MANY_COLUMNS: "has more columns than samples; correct it",
    _vcf.BAD_CALL: "is no genotype; a GT has 0, 1 or a dot with / or | between them",
    _vcf.HIGH_ALLELE: "has an allele above 1, but there is one ALT; correct it, as bcftools norm does",
    _vcf.POLYPLOID: "has more than two alleles, and a .bed holds diploids; give an array of dosages with ploidy to "
    "lfmm2.run in Python",
    _vcf.BAD_NUMBER: "has no number where a dosage (DS), or probabilities of genotypes (GP), must be; correct it",
    _vcf.OUT_OF_RANGE: "has no dosage of a diploid, between 0 and 2, or probabilities that do not add up to 1 "
    "(are they on a phred scale?); correct it",
}


def leave_out_reason(ref: str, alt: str) -> str:
    """Return why a variant with these alleles is no biallelic SNP; empty if it is one.

    Examples
    --------
    >>> leave_out_reason("A", "C"), leave_out_reason("A", "C,G"), leave_out_reason("A", "<DEL>")
    ('', 'multiallelic', 'symbolic alleles')
    """
    if len(ref) == 1 and len(alt) == 1 and ref.isalpha() and alt.isalpha():
        return ""
    if "," in alt:
        return MULTIALLELIC
    if alt in (".", ""):
        return NO_ALT
    return LONG if ref.isalpha() and alt.isalpha() else SYMBOLIC


def read_header(lines: Iterable[bytes], path: Path) -> Samples:
    """Read the header of a VCF up to the line that begins with #CHROM, and return the samples.

    Raises
    ------
    MalformedInputError
        If the header ends too soon, or has no samples or other columns than a VCF.
    InconsistentInputError
        If a sample is repeated.
    """
    for number, line in enumerate(lines, 1):
        if line.startswith(b"##"):
            continue
        where = f"{path}, line {number} of the header"
        if not line.startswith(b"#CHROM\t"):
            shown = quoted(line[:40].decode("utf-8", "replace"))
            raise MalformedInputError(f"{where}: is {shown}, but the line with #CHROM comes first; check the file")
        names = as_text(line, where).split("\t")
        if tuple(names[:8]) != COLUMNS[:8]:
            raise MalformedInputError(f"{where}: has columns {some_of(names[:8])}, but a VCF {' '.join(COLUMNS[:8])}")
        if len(names) < 10:
            raise MalformedInputError(f"{path}: has sites but no samples; give the VCF with the genotypes")
        if twins := repeated(names[9:]):
            fact = f"{path}: the samples {some_of(twins)} have several columns"
            raise InconsistentInputError(f"{fact}; rename or remove them, as bcftools reheader and view -s do")
        return checked_samples(path, names[9:])
    raise MalformedInputError(f"{path}: ends before the line with #CHROM; the file looks truncated, copy it again")


def refuse_without_calls(path: Path, left_out: dict[str, int], n_snps: int) -> None:
    """Raise MalformedInputError if no SNP had a GT."""
    if not n_snps and left_out.get(NO_GT):
        fact = f"{path}: no SNP has GT, the hard calls"
        raise MalformedInputError(
            f"{fact}; DS, GP and PL alone are not read: name DS or GP with --vcf-dosage, or call genotypes first"
        )


def refuse_without_dosages(path: Path, field: str | None, n_found: int) -> None:
    """Raise MalformedInputError if dosages are asked for, but no SNP had any."""
    if field is not None and not n_found:
        fact = f"{path}: no SNP has {field}, which --vcf-dosage names"
        raise MalformedInputError(f"{fact}; leave --vcf-dosage out to read the hard calls, or name another field")


def note_calls_taken(reader: CallReader, field: str | None, n_called: int) -> None:
    """Add a note on how many dosages are those of GT, if there are any."""
    if n_called:
        reader.notes.append(f"{counted(n_called, 'dosage')} taken from GT, where {field} is missing, as plink2 does")


class VcfReader(CallReader):
    """A VCF as text."""

    def __init__(self, path: Path, options: ReadingOptions) -> None:
        super().__init__(path)
        self.counted_allele = COUNTED
        refuse_sample_list(self, options.sample_ids)
        # What many lines share is taken apart once.
        self._kept_alleles: dict[tuple[bytes, bytes], tuple[tuple[str, str], str]] = {}
        self._kept_fields: dict[bytes, tuple[int, int]] = {}
        self._kept_names: dict[bytes, str] = {}
        self._dosage = options.dosage
        self._n_called = self._n_found = 0
        self._file = LineFile(path)
        try:
            self._lines = iter(self._file)
            self.samples = read_header(self._lines, path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()

    def blocks(self) -> Iterator[CallBlock]:
        kind = np.int8 if self._dosage is None else np.float32
        file, builder, n_snps = self._file, BlockBuilder(len(self.samples), kind), 0
        for line in self._lines:
            if not file.is_ended:
                fact = f"{file.where()}: has no line end, so the file may be truncated there"
                raise MalformedInputError(f"{fact}; copy it again, or add the line end if it is complete")
            columns = line.split(b"\t", 9)
            if len(columns) < 10:
                self._raise_short(line)
            chromosome, position, snp_id, ref, alt, _, _, _, form, calls = columns
            alleles, reason = self._kept_alleles.get((ref, alt)) or self._judge_alleles(ref, alt)
            fields = self._kept_fields.get(form) or self._find_fields(form)
            if reason or max(fields) < 0:
                self.leave_out(reason or (NO_GT if self._dosage is None else f"no {self._dosage} and {NO_GT}"))
                continue
            if self._dosage is None:
                answer, sample = _vcf.read_genotypes(calls, fields[0], builder.row)
            else:
                answer, sample, n_called = _vcf.read_dosages(calls, *fields, self._dosage == "GP", builder.row)
                self._n_called += n_called
                self._n_found += fields[1] >= 0
            if answer != _vcf.READ:
                self._raise_bad_call(calls, answer, sample)
            name = self._kept_names.get(chromosome) or self._name_chromosome(chromosome)
            # Nine digits are within the range of positions, and other texts are judged with the line in the message.
            is_plain = len(position) < 10 and position.isdigit()
            at = int(position) if is_plain else read_position(as_text(position, file.where()), file.where())
            if snp_id == b".":
                builder.add(name, at, f"{name}:{at}", alleles)
            else:
                text = snp_id.decode() if snp_id.isascii() else as_text(snp_id, file.where())
                builder.add(name, at, text, alleles)
            if builder.is_full:
                n_snps += len(builder)
                yield builder.take(f"{self.path}, up to line {file.number}")
        n_snps += len(builder)
        if len(builder):
            yield builder.take(f"{self.path}, up to line {file.number}")
        refuse_without_calls(self.path, self.left_out, n_snps)
        refuse_without_dosages(self.path, self._dosage, self._n_found)
        note_calls_taken(self, self._dosage, self._n_called)

    def _judge_alleles(self, ref: bytes, alt: bytes) -> tuple[tuple[str, str], str]:
        """Return A1 and A2 of these alleles, and why such a variant is left out; remember those of SNPs."""
        alleles = alt.decode("latin-1"), ref.decode("latin-1")
        reason = leave_out_reason(alleles[1], alleles[0])
        if not reason and alt.isascii() and ref.isascii():
            self._kept_alleles[ref, alt] = alleles, reason
        return alleles, reason

    def _find_fields(self, form: bytes) -> tuple[int, int]:
        """Return the places of GT, and of the dosage if it is asked for, among the fields of FORMAT; remember them.

        −1 stands for none.
        """
        fields = form.split(b":")
        if len(self._kept_fields) == _MOST_KEPT:
            self._kept_fields.clear()
        names = b"GT", (self._dosage or "").encode()
        gt, number = (fields.index(name) if name and name in fields else -1 for name in names)
        self._kept_fields[form] = gt, number
        return gt, number

    def _name_chromosome(self, chromosome: bytes) -> str:
        """Return the name of a chromosome as text; remember it."""
        if len(self._kept_names) == _MOST_KEPT:
            self._kept_names.clear()
        return self._kept_names.setdefault(chromosome, as_text(chromosome, self._file.where()))

    def _raise_short(self, line: bytes) -> None:
        """Raise MalformedInputError for a line that has no columns of samples."""
        where = self._file.where()
        if line.startswith(b"#"):
            fact = f"{where}: is a line of a header amid the variants; were VCFs joined by cat"
            raise MalformedInputError(f"{fact}? use bcftools concat")
        if not line.strip():
            raise MalformedInputError(f"{where}: is blank; remove it")
        n_columns = line.count(b"\t") + 1
        fact = f"{where}: {n_columns} column(s), but there are {9 + len(self.samples)} in the header"
        raise MalformedInputError(f"{fact}; the file looks truncated or has blanks in place of tabs, copy it again")

    def _raise_bad_call(self, calls: bytes, answer: int, sample: int) -> None:
        """Raise MalformedInputError for a line with a wrong column."""
        if answer in (_vcf.FEW_COLUMNS, _vcf.MANY_COLUMNS):
            n_columns, n_samples = calls.count(b"\t") + 1, len(self.samples)
            fact = f"{self._file.where()}: {n_columns} column(s) of {n_samples} samples"
            raise MalformedInputError(f"{fact}, the line {_FAULTS[answer]}")
        call = quoted(calls.split(b"\t", sample + 1)[sample].decode("utf-8", "replace"))
        raise MalformedInputError(
            f"{self._file.where()}: {call} of sample {self.samples.iid[sample]} {_FAULTS[answer]}"
        )
