"""A package of somebody else: a source of genotypes that is decoded by the kernels of lfmm2."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from lfmm2.files import Samples
from lfmm2.genotypes import VARIANT_SCHEMA, NumberSource
from lfmm2_guest._rows import decode_centred, decode_counts

__all__ = ["PackedRows", "decode_centred", "decode_counts"]


class PackedRows(NumberSource):
    """Genotypes in memory, packed as in a .bed: an array (n_snps, ceil(n_samples / 4)) of uint8."""

    name = "packed rows"
    ploidy = 2

    def __init__(self, packed, n_samples):
        self.packed, self.n_samples, self.n_snps = packed, n_samples, len(packed)
        self.samples = Samples(("0",) * n_samples, tuple(f"s{row}" for row in range(n_samples)))

    def read(self, samples, snps):
        dosage = np.empty((len(snps), self.n_samples))
        decode_counts(np.ascontiguousarray(self.packed[snps]), self.n_samples, dosage)
        return dosage[:, samples]

    def iter_variants(self):
        numbers = range(1, self.n_snps + 1)
        columns = [["1"] * self.n_snps, list(numbers), [f"v{number}" for number in numbers]]
        letters = [["A"] * self.n_snps, ["C"] * self.n_snps]
        yield pa.table([pa.array(column) for column in (*columns, *letters)], schema=VARIANT_SCHEMA)

    def identity(self):
        return {"(packed rows)": f"{self.n_samples} × {self.n_snps}"}
