"""The files that an earlier run with the same prefix has left, as far as its record vouches for them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from lfmm2.errors import LfmmError
from lfmm2.files import TEXT_FORMATS, OwnFiles, Stamp, stamp_of
from lfmm2.results.file_names import FIXED_ENDINGS, earlier_record_of, own_names, record_of
from lfmm2.results.stored_record import open_record


def find_former_files(prefix: Path, more_records: Iterable[Path] = ()) -> OwnFiles:
    """Return the files of earlier runs with this prefix: those in their records, and the records themselves.

    A record that is damaged, or of a run with another prefix, vouches for nothing, nor does any record for a name that
    a run with this prefix does not give.

    Parameters
    ----------
    prefix : Path
    more_records : iterable of Path
        Records of runs with this prefix that lie elsewhere.
    """
    stamps: dict[Path, list[Stamp]] = {}
    for path in (record_of(prefix), earlier_record_of(prefix), *more_records):
        try:
            record = open_record(path)
            of_record = stamp_of(path)
        except (LfmmError, OSError):
            continue
        if prefix.name + FIXED_ENDINGS["factors"] not in record.files:
            continue
        names = own_names(prefix, (*record.variables, "joint", "loadings"), ("parquet", *TEXT_FORMATS))
        for name, stamp in record.files.items():
            if name in names:
                stamps.setdefault(prefix.with_name(name), []).append(asdict(stamp))
        if path.parent == prefix.parent:
            stamps.setdefault(path, []).append(of_record)
    return OwnFiles(stamps)


def find_inputs(paths: Iterable[Path], inputs: Iterable[Path]) -> list[Path]:
    """Return those of some paths under which one of the inputs lies."""
    taken = set()
    for path in inputs:
        with contextlib.suppress(ValueError):  # a text that can be no path, which whoever reads it will refuse
            taken.add(os.path.realpath(path))
    return [path for path in paths if os.path.realpath(path) in taken]
