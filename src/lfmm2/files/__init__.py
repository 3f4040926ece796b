"""One kind of file each, without genetics: text tables, tables of IDs, Parquet and TSV, whole files, locks, seals."""

from lfmm2.files.folder_lock import LOCK, FolderLock, check_free
from lfmm2.files.id_tables import as_floats, take_apart
from lfmm2.files.row_store import RowStore, checksum
from lfmm2.files.samples import SAMPLE_BYTES, Samples, first_two_columns, joined_ids, read_id_list, read_sample_list
from lfmm2.files.seals import matches, read_note, sealed_note
from lfmm2.files.table_files import (
    GROUP_ROWS,
    JOINT_SCHEMA,
    RESULT_SCHEMA,
    open_table,
    read_columns,
    recut,
    writing_bytes,
)
from lfmm2.files.text_tables import (
    CHUNK,
    open_regular,
    refuse_other_format,
    repeated,
    spelling_hints,
    stream_bytes,
    stream_tables,
)
from lfmm2.files.variable_tables import MISSING, Variables, check_variables, read_variables
from lfmm2.files.verification import damaged_files, read_record, sealed_json
from lfmm2.files.whole_files import (
    OutputFile,
    OutputSet,
    WholeFile,
    check_free_space,
    check_outputs,
    check_prefix_name,
    sync_folder,
    translated,
)

__all__ = [
    "CHUNK",
    "GROUP_ROWS",
    "JOINT_SCHEMA",
    "LOCK",
    "MISSING",
    "RESULT_SCHEMA",
    "SAMPLE_BYTES",
    "FolderLock",
    "OutputFile",
    "OutputSet",
    "RowStore",
    "Samples",
    "Variables",
    "WholeFile",
    "as_floats",
    "check_free",
    "check_free_space",
    "check_outputs",
    "check_prefix_name",
    "check_variables",
    "checksum",
    "damaged_files",
    "first_two_columns",
    "joined_ids",
    "matches",
    "open_regular",
    "open_table",
    "read_columns",
    "read_id_list",
    "read_note",
    "read_record",
    "read_sample_list",
    "read_variables",
    "recut",
    "refuse_other_format",
    "repeated",
    "sealed_json",
    "sealed_note",
    "spelling_hints",
    "stream_bytes",
    "stream_tables",
    "sync_folder",
    "take_apart",
    "translated",
    "writing_bytes",
]
