"""Genotypes: a source (.bed, array) gives samples, variants and a matrix with three verbs; the engine streams it."""

from lfmm2.genotypes import plink_writer
from lfmm2.genotypes.array_source import NumberSource, digest_of
from lfmm2.genotypes.bed_matrix import ACCUMULATOR_BYTES, GRAM_PANEL_SNPS, MOST_ACCUMULATORS
from lfmm2.genotypes.engine import BLOCK_BYTES, Engine, PassRecord, plan_tiling
from lfmm2.genotypes.imputation import N_COLUMNS, FactorFill, HeldOutError, fill_bytes
from lfmm2.genotypes.matrix import NO_PARTIAL, RESTART_SNPS, CrossProducts, GenotypeMatrix, PartialSum
from lfmm2.genotypes.packed_bed import PackedBed
from lfmm2.genotypes.plink import BedFile, open_bed
from lfmm2.genotypes.source import (
    VARIANT_SCHEMA,
    GenotypeSource,
    PackedMatrix,
    SourceMemory,
    packed_matrix,
    refuse,
    variant_tables,
)
from lfmm2.genotypes.source_kinds import GenotypesLike, open_source
from lfmm2.genotypes.thinning import THRESHOLD_MARGIN, ThinOptions, kept_ids, parse_thinning, thin_snps, thinning_bytes

__all__ = [
    "ACCUMULATOR_BYTES",
    "BLOCK_BYTES",
    "GRAM_PANEL_SNPS",
    "MOST_ACCUMULATORS",
    "NO_PARTIAL",
    "N_COLUMNS",
    "RESTART_SNPS",
    "THRESHOLD_MARGIN",
    "VARIANT_SCHEMA",
    "BedFile",
    "CrossProducts",
    "Engine",
    "FactorFill",
    "GenotypeMatrix",
    "GenotypeSource",
    "GenotypesLike",
    "HeldOutError",
    "NumberSource",
    "PackedBed",
    "PackedMatrix",
    "PartialSum",
    "PassRecord",
    "SourceMemory",
    "ThinOptions",
    "digest_of",
    "fill_bytes",
    "kept_ids",
    "open_bed",
    "open_source",
    "packed_matrix",
    "parse_thinning",
    "plan_tiling",
    "plink_writer",
    "refuse",
    "thin_snps",
    "thinning_bytes",
    "variant_tables",
]
