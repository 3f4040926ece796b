"""The names of the files of a run: what follows the prefix, and which record belongs to a prefix."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

#: Endings of the files that every run writes beside its tables. The program stands in the names of log and record,
#: because other programs write <prefix>.log and <prefix>.json too.
FIXED_ENDINGS = {"factors": ".factors.npz", "log": ".lfmm2.log", "record": ".lfmm2.json"}
#: Endings of log and record in earlier versions, whose results are still read.
EARLIER_ENDINGS = {"log": ".log", "record": ".json"}
#: Endings of the files that only some runs write.
SMALL_ENDINGS = {
    "scree": ".scree.tsv", "sweep": ".sweep.tsv", "sweep-histograms": ".sweep-histograms.tsv", "prune": ".prune.in",
    "samples": ".samples.tsv", "factors-table": ".factors.tsv",
}  # fmt: skip


def own_names(prefix: Path, tables: Iterable[str], formats: Iterable[str]) -> set[str]:
    """Return every name that a file of a run with this prefix and these tables can have."""
    endings = {*FIXED_ENDINGS.values(), *EARLIER_ENDINGS.values(), *SMALL_ENDINGS.values()}
    return {prefix.name + ending for ending in endings} | {
        f"{prefix.name}.{table}.{form}" for table in tables for form in formats
    }


def record_of(prefix: Path) -> Path:
    """Return the path of the record of a run with this prefix."""
    return prefix.with_name(prefix.name + FIXED_ENDINGS["record"])


def earlier_record_of(prefix: Path) -> Path:
    """Return the path of the record that an earlier version wrote for this prefix."""
    return prefix.with_name(prefix.name + EARLIER_ENDINGS["record"])


def prefix_of(record: Path) -> Path:
    """Return the prefix of the run to which a record of this name belongs."""
    for ending in (FIXED_ENDINGS["record"], EARLIER_ENDINGS["record"]):
        if record.name.endswith(ending):
            return record.with_name(record.name.removesuffix(ending))
    return record
