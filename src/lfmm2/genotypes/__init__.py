"""Genotypes: a source (.bed, array) gives samples, variants and a matrix with three verbs; the engine streams it."""

from lfmm2.genotypes import plink_writer
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.bed_matrix import COUNTING_BYTES, BedMatrix
from lfmm2.genotypes.engine import Engine, PassRecord, plan_block
from lfmm2.genotypes.footprint import NOTHING_HELD, Footprint, doubles
from lfmm2.genotypes.imputation import N_COLUMNS, FactorFill, FillSize, HeldOutError
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
from lfmm2.genotypes.thinning import ThinOptions, kept_ids, parse_thinning, thin_snps, thinning_footprint

__all__ = [
    "ALL_SNPS",
    "COUNTING_BYTES",
    "NOTHING_HELD",
    "NO_KEEPER",
    "N_COLUMNS",
    "RESTART_SNPS",
    "ArrayMatrix",
    "BedFile",
    "BedMatrix",
    "CrossProducts",
    "Engine",
    "FactorFill",
    "FillSize",
    "Footprint",
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
    "doubles",
    "estimation_matrix",
    "find_snps",
    "kept_ids",
    "n_segments",
    "n_snps_of",
    "open_bed",
    "open_genotypes",
    "parse_thinning",
    "plan_block",
    "plink_writer",
    "samples_of",
    "tested_matrix",
    "thin_snps",
    "thinning_footprint",
    "variant_tables",
]
