"""VCF Zarr: the same SNPs and calls as of the VCF from which the store was made; see vcf_file.py.

Chunks are decoded once, in order. A record without GT cannot be told from one whose calls are all missing, and stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfmm2._words import with_spaces
from lfmm2.errors import InconsistentInputError, MalformedInputError
from lfmm2.formats.calls import CallBlock, CallReader, ReadingOptions, check_names, checked_samples
from lfmm2.formats.dosages import join_dosages
from lfmm2.formats.nameless import refuse_sample_list
from lfmm2.formats.vcf_file import COUNTED, leave_out_reason, note_calls_taken
from lfmm2.formats.zarr_store import StoredVariants, ZarrStore, read_at_once
from lfmm2.kernels import _calls

_FAULTS = {
    _calls.HIGH_ALLELE: "has an allele above 1, but there is one ALT; correct it, as bcftools norm does",
    _calls.POLYPLOID: "has more than two alleles, and a .bed holds diploids; give an array of dosages with ploidy to "
    "lfmm2.run in Python",
    _calls.BAD_CALL: "has a negative allele other than -1 and -2; write the store again",
}


class ZarrReader(CallReader):
    """A VCF Zarr."""

    def __init__(self, path: Path, options: ReadingOptions) -> None:
        super().__init__(path)
        self.counted_allele = COUNTED
        refuse_sample_list(self, options.sample_ids)
        self._field = options.dosage
        self._store = ZarrStore(path)
        try:
            self.samples = checked_samples(path, self._store.sample_ids)
            n_samples = len(self.samples)
            self._numbers = None
            if self._field is not None:
                self._numbers = self._store.array(f"call_{self._field}", [2, 3], "f")
                self._store.check_length(f"call_{self._field}", self._numbers, n_samples)
            self._calls = None
            if self._field is None or "call_genotype" in self._store:
                self._refuse_without_calls()
                self._calls = self._store.array("call_genotype", [3], "i")
                self._store.check_length("call_genotype", self._calls, n_samples)
        except BaseException:
            self.close()
            raise

    def _refuse_without_calls(self) -> None:
        """Raise MalformedInputError if the store has no hard calls."""
        if "call_genotype" not in self._store:
            others = [name for name in ("DS", "GP") if f"call_{name}" in self._store]
            remedy = f"give its dosages with --vcf-dosage {others[0]}" if others else "call genotypes first"
            raise MalformedInputError(f"{self.path}: has no call_genotype, the hard calls; {remedy}")

    def close(self) -> None:
        self._store.close()

    def blocks(self) -> Iterator[CallBlock]:
        store = self._store
        first_array = self._numbers if self._calls is None else self._calls
        (step, across), n_samples = read_at_once(first_array), len(self.samples)
        n_called, is_first = 0, True
        for first in range(0, store.n_variants, step):
            stop = min(first + step, store.n_variants)
            variants = store.variants(first, stop)
            rows = self._choose(variants)
            if not len(rows):
                continue
            for array in (self._calls, self._numbers):
                if array is not None:
                    store.refuse_absent(array.path, array, first + rows)
            if is_first:
                self._check_mask(first, stop)
                is_first = False
            values = np.empty((len(rows), n_samples), np.int8 if self._numbers is None else np.float32)
            for begin in range(0, n_samples, across):
                samples = slice(begin, min(begin + across, n_samples))
                values[:, samples], n_taken = self._read_block(first, stop, rows, samples)
                n_called += n_taken
            yield self._block(variants, rows, values, first)
        note_calls_taken(self, self._field, n_called)

    def _choose(self, variants: StoredVariants) -> NDArray[np.int64]:
        """Return the rows of the biallelic SNPs, and count the others."""
        rows = []
        for row, alleles in enumerate(variants.alleles):
            reason = leave_out_reason(alleles[0] if alleles else "", ",".join(alleles[1:]))
            if reason:
                self.leave_out(reason)
            else:
                rows.append(row)
        return np.array(rows, np.int64)

    def _read_block(self, first: int, stop: int, rows: NDArray[np.int64], samples: slice) -> tuple[NDArray[Any], int]:
        """Return the dosages of the SNPs in `rows` and of some samples, and how many come from GT in place of a number.

        They are copies of REF, int8, or expected copies of ALT, float32.
        """
        alleles = None if self._calls is None else self._read_calls(first, stop, samples)[rows]
        of_ref = np.full((len(rows), samples.stop - samples.start), -1, np.int8)
        if alleles is not None:
            answer, snp, sample = _calls.read_alleles(alleles, of_ref)
            if answer != _calls.READ:
                raise MalformedInputError(f"{self._where(first, rows, snp, samples.start + sample)} {_FAULTS[answer]}")
        if self._numbers is None:
            return of_ref, 0
        return self._join_numbers(first, stop, rows, samples, alleles, of_ref)

    def _read_calls(self, first: int, stop: int, samples: slice) -> NDArray[np.int8]:
        """Return the alleles of calls of consecutive variants, (n_snps, n_samples, ploidy)."""
        alleles = self._store.read(self._calls, first, stop, samples)
        if alleles.dtype != np.int8:
            alleles = np.clip(alleles, -3, 2).astype(np.int8)
        return np.ascontiguousarray(alleles)

    def _check_mask(self, first: int, stop: int) -> None:
        """Raise InconsistentInputError if call_genotype_mask marks other alleles than the negative ones.

        The chunks of some variants and of the first samples are looked at.
        """
        if self._calls is None or "call_genotype_mask" not in self._store:
            return
        array = self._store.array("call_genotype_mask", [3], "b")
        samples = slice(0, min(read_at_once(self._calls)[1], len(self.samples)))
        alleles = self._read_calls(first, stop, samples)
        mask = self._store.read(array, first, stop, samples)
        if mask.shape != alleles.shape or (mask != (alleles < 0)).any():
            fact = f"{self.path}: call_genotype_mask marks other alleles as missing than those below 0 in call_genotype"
            raise InconsistentInputError(f"{fact}; write the store again, as bio2zarr does")

    def _where(self, first: int, rows: NDArray[np.int64], snp: int, sample: int) -> str:
        variant = with_spaces(first + int(rows[snp]) + 1)
        return f"{self.path}, variant {variant}: the call of sample {self.samples.iid[sample]}"

    def _join_numbers(
        self,
        first: int,
        stop: int,
        rows: NDArray[np.int64],
        samples: slice,
        alleles: NDArray[np.int8] | None,
        of_ref: NDArray[np.int8],
    ) -> tuple[NDArray[np.float32], int]:
        """Return copies of ALT of the SNPs in `rows` and of some samples, and how many come from GT."""
        assert self._field is not None
        numbers = self._store.read(self._numbers, first, stop, samples)[rows]
        if numbers.ndim == 2:
            numbers = numbers[:, :, None]
        n_numbers = 1 if self._field == "DS" else 3
        if self._field == "GP" and numbers.shape[2] < 2:
            raise MalformedInputError(f"{self.path}: call_GP has {numbers.shape[2]} numbers a call; write it again")
        is_haploid = np.zeros(of_ref.shape, bool)
        if alleles is not None:
            is_haploid = (alleles[:, :, 0] != -2) & (alleles[:, :, 1:] == -2).all(2)
        dosages, is_wrong, n_taken = join_dosages(numbers[:, :, :n_numbers], self._field, of_ref, is_haploid)
        if is_wrong.any():
            snp, sample = np.argwhere(is_wrong)[0].tolist()
            where = self._where(first, rows, snp, samples.start + sample).replace("the call", self._field)
            raise MalformedInputError(f"{where} is no dosage of a diploid, from 0 to 2; correct it")
        return dosages, n_taken

    def _block(
        self, variants: StoredVariants, rows: NDArray[np.int64], values: NDArray[Any], first: int
    ) -> CallBlock:  # fmt: skip
        """Return the block of the SNPs in `rows`."""
        chosen = rows.tolist()
        chromosomes = [variants.chromosomes[row] for row in chosen]
        positions = [variants.positions[row] for row in chosen]
        ids = [variants.ids[row] for row in chosen]
        for k, name in enumerate(ids):
            if name in ("", "."):
                ids[k] = f"{chromosomes[k]}:{positions[k]}"
        pairs = [(variants.alleles[row][1], variants.alleles[row][0]) for row in chosen]
        where = f"{self.path}, up to variant {with_spaces(first + chosen[-1] + 1)}"
        check_names(where, [*chromosomes, *ids])
        return CallBlock(values, chromosomes, ids, positions, pairs)
