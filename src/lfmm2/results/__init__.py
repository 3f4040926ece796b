"""A finished run, on disk and in memory: tables, record, factors file, and the results that are given back."""

from lfmm2.results.association_result import AssociationResult, read_results
from lfmm2.results.factors_file import (
    factors_table,
    pack_factors,
    pack_spectrum,
    read_arrays,
    read_factors,
    unpack_factors,
    unpack_spectrum,
    write_factors,
)
from lfmm2.results.file_names import FIXED_ENDINGS, SMALL_ENDINGS
from lfmm2.results.former_files import find_former_files, find_inputs
from lfmm2.results.record import (
    CalibrationFacts,
    CarrierFacts,
    CollinearityFacts,
    ComparisonFacts,
    FactorFacts,
    FilterFacts,
    GenotypesUsed,
    ImputationFacts,
    InputFile,
    JointFacts,
    MissingCallFacts,
    RunRecord,
    SampleFilterFacts,
    ScreeFacts,
    StructureFacts,
    SurrogateFacts,
    SweepFacts,
    ThinningFacts,
    WrittenFile,
    from_json,
)
from lfmm2.results.result_sources import MemorySource
from lfmm2.results.run_log import (
    answer_facts,
    answer_lines,
    as_log,
    carrier_lines,
    describe_axes,
    describe_flat,
    pass_lines,
    result_lines,
    sample_lines,
    software_line,
)
from lfmm2.results.stored_record import open_record, verify
from lfmm2.results.stored_run import BLOCK_ROWS, AnyRun, StoredRun, open_run
from lfmm2.results.tables import (
    JOINT_LAYOUT,
    JointScores,
    loadings_schema,
    loadings_table,
    statistics_table,
    table_schema,
)

__all__ = [
    "BLOCK_ROWS", "FIXED_ENDINGS", "JOINT_LAYOUT", "SMALL_ENDINGS", "AnyRun", "AssociationResult",
    "CalibrationFacts", "CarrierFacts", "CollinearityFacts", "ComparisonFacts", "FactorFacts", "FilterFacts",
    "GenotypesUsed", "ImputationFacts", "InputFile", "JointFacts", "JointScores", "MemorySource",
    "MissingCallFacts", "RunRecord", "SampleFilterFacts", "ScreeFacts", "StoredRun", "StructureFacts",
    "SurrogateFacts", "SweepFacts", "ThinningFacts", "WrittenFile", "answer_facts", "answer_lines", "as_log",
    "carrier_lines", "describe_axes", "describe_flat", "factors_table", "find_former_files", "find_inputs",
    "from_json", "loadings_schema", "loadings_table", "open_record", "open_run", "pack_factors", "pack_spectrum",
    "pass_lines", "read_arrays", "read_factors", "read_results", "result_lines", "sample_lines", "software_line",
    "statistics_table", "table_schema", "unpack_factors", "unpack_spectrum", "verify", "write_factors",
]  # fmt: skip
