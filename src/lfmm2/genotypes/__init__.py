"""Genotypes: a source (.bed, array) gives samples, variants and a matrix with three verbs; the engine streams it."""

from lfmm2.genotypes import plink_writer
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.bed_matrix import ACCUMULATOR_BYTES, GRAM_PANEL_SNPS, MOST_ACCUMULATORS, BedMatrix
from lfmm2.genotypes.engine import BLOCK_BYTES, Engine, PassRecord, plan_tiling
from lfmm2.genotypes.imputation import N_COLUMNS, FactorFill, HeldOutError, fill_bytes
from lfmm2.genotypes.matrix import RESTART_SNPS, CrossProducts, GenotypeMatrix
from lfmm2.genotypes.packed_bed import PackedBed
from lfmm2.genotypes.plink import BedFile, find_snps, open_bed
from lfmm2.genotypes.segments import ALL_SNPS, NO_KEEPER, PassKeeper, SegmentSums, SnpRange, n_segments
from lfmm2.genotypes.source import (
    Genotypes,
    GenotypeSource,
    Matrix,
    estimation_matrix,
    n_snps_of,
    open_genotypes,
    samples_of,
    tested_matrix,
    variant_tables,
)
from lfmm2.genotypes.thinning import ThinOptions, kept_ids, parse_thinning, thin_snps, thinning_bytes

__all__ = [
    "ACCUMULATOR_BYTES",
    "ALL_SNPS",
    "BLOCK_BYTES",
    "GRAM_PANEL_SNPS",
    "MOST_ACCUMULATORS",
    "NO_KEEPER",
    "N_COLUMNS",
    "RESTART_SNPS",
    "ArrayMatrix",
    "BedFile",
    "BedMatrix",
    "CrossProducts",
    "Engine",
    "FactorFill",
    "GenotypeMatrix",
    "GenotypeSource",
    "Genotypes",
    "HeldOutError",
    "Matrix",
    "PackedBed",
    "PassKeeper",
    "PassRecord",
    "SegmentSums",
    "SnpRange",
    "ThinOptions",
    "estimation_matrix",
    "fill_bytes",
    "find_snps",
    "kept_ids",
    "n_segments",
    "n_snps_of",
    "open_bed",
    "open_genotypes",
    "parse_thinning",
    "plan_tiling",
    "plink_writer",
    "samples_of",
    "tested_matrix",
    "thin_snps",
    "thinning_bytes",
    "variant_tables",
]
