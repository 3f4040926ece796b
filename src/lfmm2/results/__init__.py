"""A finished run, on disk and in memory: tables, record, factors file, and the results that are given back."""

from lfmm2.results.association_result import AssociationResult, MemorySource, read_results
from lfmm2.results.factors_file import read_factors, write_factors
from lfmm2.results.record import as_json, as_log, result_lines
from lfmm2.results.stored_facts import gif_of, method_of
from lfmm2.results.stored_record import verify
from lfmm2.results.stored_run import BLOCK_ROWS, FIXED_ENDINGS, SMALL_ENDINGS, AnyRun, StoredRun, open_run
from lfmm2.results.tables import loadings_schema, loadings_table, statistics_table, table_schema

__all__ = [
    "BLOCK_ROWS",
    "FIXED_ENDINGS",
    "SMALL_ENDINGS",
    "AnyRun",
    "AssociationResult",
    "MemorySource",
    "StoredRun",
    "as_json",
    "as_log",
    "gif_of",
    "loadings_schema",
    "loadings_table",
    "method_of",
    "open_run",
    "read_factors",
    "read_results",
    "result_lines",
    "statistics_table",
    "table_schema",
    "verify",
    "write_factors",
]
