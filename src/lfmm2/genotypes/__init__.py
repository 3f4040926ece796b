"""Genotypes: a source (.bed, array) gives samples, variants and a matrix with three verbs; the engine streams it."""

from lfmm2.genotypes import plink_writer
from lfmm2.genotypes.array_source import NumberSource, digest_of, named_array, number_blocks
from lfmm2.genotypes.bed_matrix import COUNTING_BYTES
from lfmm2.genotypes.bed_packing import PackedFileset, pack
from lfmm2.genotypes.dosage_file import DOSAGE_END, DOSAGE_MAGIC
from lfmm2.genotypes.engine import Engine, PassRecord, plan_block
from lfmm2.genotypes.fileset_names import names_filesets, read_fileset_list
from lfmm2.genotypes.footprint import NOTHING_HELD, Footprint, doubles, largest
from lfmm2.genotypes.imputation import N_COLUMNS, FactorFill, FillSize, HeldOutError
from lfmm2.genotypes.kernel_rates import measure_rates
from lfmm2.genotypes.matrix import (
    COUNTED_GRAM_SPEED,
    RESTART_SNPS,
    CrossProducts,
    Float32GramMatrix,
    Float32Matrix,
    GenotypeMatrix,
    Precision,
    float32_gram_matrix,
    float32_matrix,
    gram_speed,
    pad_columns,
    padded_columns,
    standard_moments,
    threads_of,
)
from lfmm2.genotypes.missing_calls import count_missing_calls, counting_footprint
from lfmm2.genotypes.number_checks import check_ploidy, parse_missing_calls
from lfmm2.genotypes.number_file import PIECE_BYTES, FeaturePlaces, NumberFile, NumberRows
from lfmm2.genotypes.packed_bed import PackedBed
from lfmm2.genotypes.plink import BedFile, open_bed
from lfmm2.genotypes.sample_pairs import (
    FEWEST_DIFFERENCES,
    MOST_COMPARED_SAMPLES,
    SamplePairs,
    can_compare,
    compare_samples,
    count_compared,
    pairs_footprint,
)
from lfmm2.genotypes.segments import (
    ALL_SNPS,
    NO_KEEPER,
    PassKeeper,
    SegmentSums,
    SnpRange,
    n_segments,
    names_of_sums,
    segment_snps,
)
from lfmm2.genotypes.source import (
    VARIANT_SCHEMA,
    GenotypeSource,
    OpenCalls,
    PackedMatrix,
    Reopening,
    SourceMemory,
    packed_matrix,
    refuse,
    variant_tables,
)
from lfmm2.genotypes.source_kinds import (
    ENDING_OF_OPTION,
    GenotypesLike,
    ending_of,
    endings_of,
    is_in_memory,
    open_source,
)
from lfmm2.genotypes.thinning import (
    THRESHOLD_MARGIN,
    ThinOptions,
    has_positions,
    kept_ids,
    parse_thinning,
    thin_snps,
    thinning_footprint,
)

__all__ = [
    "ALL_SNPS", "COUNTED_GRAM_SPEED", "COUNTING_BYTES", "DOSAGE_END", "DOSAGE_MAGIC", "ENDING_OF_OPTION",
    "FEWEST_DIFFERENCES", "MOST_COMPARED_SAMPLES", "NOTHING_HELD", "NO_KEEPER", "N_COLUMNS", "PIECE_BYTES",
    "RESTART_SNPS", "THRESHOLD_MARGIN", "VARIANT_SCHEMA", "BedFile", "CrossProducts", "Engine", "FactorFill",
    "FeaturePlaces", "FillSize", "Float32GramMatrix", "Float32Matrix", "Footprint", "GenotypeMatrix", "GenotypeSource",
    "GenotypesLike", "HeldOutError", "NumberFile", "NumberRows", "NumberSource", "OpenCalls", "PackedBed",
    "PackedFileset", "PackedMatrix", "PassKeeper", "PassRecord", "Precision", "Reopening", "SamplePairs", "SegmentSums",
    "SnpRange", "SourceMemory", "ThinOptions", "can_compare", "check_ploidy", "compare_samples", "count_compared",
    "count_missing_calls", "counting_footprint", "digest_of", "doubles", "ending_of", "endings_of",
    "float32_gram_matrix", "float32_matrix", "gram_speed", "has_positions", "is_in_memory", "kept_ids", "largest",
    "measure_rates", "n_segments", "named_array", "names_filesets", "names_of_sums", "number_blocks", "open_bed",
    "open_source", "pack", "packed_matrix", "pad_columns", "padded_columns", "pairs_footprint", "parse_missing_calls",
    "parse_thinning", "plan_block", "plink_writer", "read_fileset_list", "refuse", "segment_snps", "standard_moments",
    "thin_snps", "thinning_footprint", "threads_of", "variant_tables",
]  # fmt: skip
