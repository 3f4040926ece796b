"""One kind of file each, without genetics: text tables, tables of IDs, Parquet and TSV, whole files, locks, seals."""

from lfmm2.files.arrow_files import read_arrow_file
from lfmm2.files.categories import as_levels, expand_categories
from lfmm2.files.cell_numbers import as_floats
from lfmm2.files.file_stamps import FileStamp
from lfmm2.files.fill_values import check_numbers, is_fill_value
from lfmm2.files.folder_lock import LOCK, FolderLock, check_free
from lfmm2.files.id_columns import (
    Column,
    find_ids_beside_numbers,
    id_texts,
    is_called_as_ids,
    is_row_numbers,
    refuse_numbered_rows,
)
from lfmm2.files.id_spelling import spelling_hints
from lfmm2.files.id_tables import IdTable, as_tables, is_absent
from lfmm2.files.input_files import COMPRESSED_ENDS, open_regular, open_text
from lfmm2.files.input_memory import InputMemory, input_budget, note_input_memory
from lfmm2.files.missing_codes import MissingCodes
from lfmm2.files.output_sets import OutputSet, OwnFiles, Stamp, check_outputs, manifest_of
from lfmm2.files.place_tables import matched_table, pair_tables
from lfmm2.files.population_tables import Populations
from lfmm2.files.position_cells import LAST_POSITION, OddPositions, whole_position
from lfmm2.files.private_folders import check_private, warn_of_others
from lfmm2.files.raw_tables import id_name, read_raw_table
from lfmm2.files.row_archives import RowArchive, RowTable, write_row_archive
from lfmm2.files.row_store import RowStore, RowWriter, checksum, join_checksums
from lfmm2.files.samples import (
    LIST_CHUNK,
    SAMPLE_BYTES,
    Samples,
    as_paths,
    first_two_columns,
    id_files,
    iter_id_lists,
    joined_ids,
    read_id_list,
    read_sample_list,
)
from lfmm2.files.seals import find_damaged_files, matches, read_note, read_record, seal_json, stamp_of, unseal_json
from lfmm2.files.stored_bytes import StoredBytes
from lfmm2.files.table_files import (
    GROUP_ROWS,
    TEXT_FORMATS,
    USUAL_COLUMNS,
    open_table,
    read_columns,
    recut,
    text_options,
    writing_bytes,
)
from lfmm2.files.table_text import find_delimiter, has_no_names, split_line
from lfmm2.files.text_tables import (
    CHUNK,
    clean_text,
    read_lines,
    refuse_other_format,
    repeated,
    single_tabs,
    stream_bytes,
    stream_tables,
)
from lfmm2.files.variable_checks import check_variables, warn_of_classes, warn_of_few_apart, warn_of_no_environment
from lfmm2.files.variable_tables import TableMatch, Variables, check_output_name, join_variables, read_variables
from lfmm2.files.whole_files import WholeFile, check_free_space, check_prefix_name, find_link, sync_folder, translated
from lfmm2.files.zstd_frames import open_stored
from lfmm2.files.zstd_writer import LEVELS as ZSTD_LEVELS
from lfmm2.files.zstd_writer import load_zstandard, write_frames

__all__ = [
    "CHUNK", "COMPRESSED_ENDS", "GROUP_ROWS", "LAST_POSITION", "LIST_CHUNK", "LOCK", "SAMPLE_BYTES", "TEXT_FORMATS",
    "USUAL_COLUMNS", "ZSTD_LEVELS", "Column", "FileStamp", "FolderLock", "IdTable", "InputMemory", "MissingCodes",
    "OddPositions", "OutputSet", "OwnFiles", "Populations", "RowArchive", "RowStore", "RowTable", "RowWriter",
    "Samples", "Stamp", "StoredBytes", "TableMatch", "Variables", "WholeFile", "as_floats", "as_levels", "as_paths",
    "as_tables", "check_free", "check_free_space", "check_numbers", "check_output_name", "check_outputs",
    "check_prefix_name", "check_private", "check_variables", "checksum", "clean_text", "expand_categories",
    "find_damaged_files", "find_delimiter", "find_ids_beside_numbers", "find_link", "first_two_columns", "has_no_names",
    "id_files", "id_name", "id_texts", "input_budget", "is_absent", "is_called_as_ids", "is_fill_value",
    "is_row_numbers", "iter_id_lists", "join_checksums", "join_variables", "joined_ids", "load_zstandard",
    "manifest_of", "matched_table", "matches", "note_input_memory", "open_regular", "open_stored", "open_table",
    "open_text", "pair_tables", "read_arrow_file", "read_columns", "read_id_list", "read_lines", "read_note",
    "read_raw_table", "read_record", "read_sample_list", "read_variables", "recut", "refuse_numbered_rows",
    "refuse_other_format", "repeated", "seal_json", "single_tabs", "spelling_hints", "split_line", "stamp_of",
    "stream_bytes", "stream_tables", "sync_folder", "text_options", "translated", "unseal_json", "warn_of_classes",
    "warn_of_few_apart", "warn_of_no_environment", "warn_of_others", "whole_position", "write_frames",
    "write_row_archive", "writing_bytes",
]  # fmt: skip
