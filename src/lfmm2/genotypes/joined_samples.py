"""The samples of several filesets that are read as one: matched by ID, since their order may differ."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lfmm2._typing import Ints
from lfmm2._words import counted, some_of, with_spaces
from lfmm2.errors import InconsistentInputError, InputWarning
from lfmm2.files import Samples, joined_ids, repeated, spelling_hints

# FID of a sample without a family, as PLINK writes it.
_NO_FAMILY = "0"


@dataclass(frozen=True, eq=False)
class JoinedSamples:
    """The samples that all filesets have, in the order of the first one.

    Attributes
    ----------
    samples : Samples
    rows : list of ndarray of shape (n_samples,), int64, or None
        For each fileset the row that holds each sample; None if its samples are these in this order.
    n_left_out : int
        Number of the samples that some filesets have and others lack.
    """

    samples: Samples
    rows: list[Ints | None]
    n_left_out: int


def join_samples(names: Sequence[str], tables: Sequence[Samples], intersect: bool) -> JoinedSamples:
    """Match the samples of filesets by IID, or by FID and IID where an IID is repeated in one of them.

    Parameters
    ----------
    names : sequence of str
        Names of the filesets in messages.
    tables : sequence of Samples
        Their samples; filesets with one and the same object are compared once.
    intersect : bool
        True to leave out the samples that are not in all of them.

    Raises
    ------
    InconsistentInputError
        If the filesets have not the same samples and `intersect` is off, if no sample is in all of them, or if one IID
        has several FIDs.

    Warns
    -----
    InputWarning
        If samples are left out, stand in different orders, or have other FIDs.
    """
    number_of: dict[int, int] = {}
    firsts: list[int] = []
    for number, table in enumerate(tables):
        if id(table) not in number_of:
            number_of[id(table)] = len(firsts)
            firsts.append(number)
    numbers = [number_of[id(table)] for table in tables]
    distinct = [tables[first] for first in firsts]
    labels = [names[first] for first in firsts]
    by_pairs = any(repeated(table.iid) for table in distinct)
    keys = [joined_ids(table.fid, table.iid) if by_pairs else list(table.iid) for table in distinct]
    common = set(keys[0]).intersection(*keys[1:])
    n_left_out = len(set().union(*keys)) - len(common)
    if n_left_out and not intersect:
        _refuse_other_samples(labels, distinct, keys, numbers)
    if not common:
        raise InconsistentInputError(f"no sample is in all of {counted(len(tables), 'fileset')}; check their IDs")
    if n_left_out:
        left_out = sorted(set().union(*keys) - common)
        fact = f"{counted(n_left_out, 'sample')} {'is' if n_left_out == 1 else 'are'} not in all of the filesets"
        warnings.warn(f"{fact} ({some_of(left_out)}), left out by --intersect", InputWarning, stacklevel=5)
    kept = [key for key in keys[0] if key in common]
    rows = [_find_rows(kept, theirs) for theirs in keys]
    samples = _take(distinct[0], rows[0])
    for table, of_table, label in zip(distinct[1:], rows[1:], labels[1:], strict=True):
        _compare_families(samples, _take(table, of_table), label, labels[0])
    # Samples that stand in their order with gaps between them are not in another order.
    is_moved = [of is not None and bool(np.any(np.diff(of) < 0)) for of in rows]
    if n_moved := sum(is_moved[number] for number in numbers):
        verb = "fileset has its" if n_moved == 1 else "filesets have their"
        fact = f"{with_spaces(n_moved)} {verb} samples in another order than {labels[0]}"
        example = labels[is_moved.index(True)]
        how = "FID and IID" if by_pairs else "IID"
        warnings.warn(f"{fact}, such as {example}; they are matched by {how}", InputWarning, stacklevel=5)
    return JoinedSamples(samples, [rows[number] for number in numbers], n_left_out)


def _find_rows(kept: list[str], keys: list[str]) -> Ints | None:
    """Return the place of each kept key among some keys; None if these are the kept ones in their order."""
    if keys == kept:
        return None
    row_of = {key: row for row, key in enumerate(keys)}
    return np.array([row_of[key] for key in kept], np.int64)


def _take(samples: Samples, rows: Ints | None) -> Samples:
    """Return some samples."""
    if rows is None:
        return samples
    chosen = rows.tolist()
    return Samples(tuple(samples.fid[row] for row in chosen), tuple(samples.iid[row] for row in chosen))


def _refuse_other_samples(labels: list[str], tables: list[Samples], keys: list[list[str]], numbers: list[int]) -> None:
    """Raise InconsistentInputError with the first fileset whose samples are not those of the first one."""
    ours = set(keys[0])
    differ = [number for number, of in enumerate(keys) if set(of) != ours]
    number = differ[0]
    theirs = set(keys[number])
    lacking = [key for key in keys[0] if key not in theirs]
    others = [key for key in keys[number] if key not in ours]
    facts = []
    if lacking:
        facts.append(f"{with_spaces(len(lacking))} of {counted(len(ours), 'sample')} of {labels[0]} not in it")
        facts[-1] += f" ({some_of(lacking)})"
    if others:
        facts.append(f"{counted(len(others), 'sample')} that {labels[0]} lacks ({some_of(others)})")
    if n_more := sum(n in differ for n in numbers) - 1:
        facts.append(f"{counted(n_more, 'more fileset')} with other samples than {labels[0]}")
    fid_of = {iid: fid for table in (tables[0], tables[number]) for fid, iid in zip(table.fid, table.iid, strict=True)}
    hints = "".join(f"; {hint}" for hint in spelling_hints(lacking, others, fid_of))
    remedy = "give filesets of the same samples, or --intersect to use those that all of them have"
    raise InconsistentInputError(f"{labels[number]}: {', '.join(facts)}{hints}; {remedy}")


def _compare_families(ours: Samples, theirs: Samples, label: str, first: str) -> None:
    """Warn of samples that have another FID in another fileset, or raise if both may be families.

    A FID that is 0 or the IID stands for no family.
    """
    if ours.fid == theirs.fid:
        return
    differ = [(iid, a, b) for iid, a, b in zip(ours.iid, ours.fid, theirs.fid, strict=True) if a != b]
    doubtful = [(iid, a, b) for iid, a, b in differ if not {a, b} & {_NO_FAMILY, iid}]
    if doubtful:
        iid, a, b = doubtful[0]
        fact = f"{label}: {counted(len(doubtful), 'sample')} with another FID than in {first} ({iid}: {b} and {a})"
        raise InconsistentInputError(f"{fact}; give the same FIDs, or 0, if they are the same samples")
    fact = f"{label}: {counted(len(differ), 'sample')} with another FID than in {first} ({some_of([differ[0][0]])}"
    fact += f": {differ[0][2]} and {differ[0][1]})"
    warnings.warn(f"{fact}; they are matched by IID, and those of {first} are used", InputWarning, stacklevel=6)
