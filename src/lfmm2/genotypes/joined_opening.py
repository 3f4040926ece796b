"""Filesets that are opened to be read as one, and what keeps them from it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lfmm2._typing import AnyPath
from lfmm2._words import shortened
from lfmm2.errors import InconsistentInputError, UsageError
from lfmm2.genotypes.array_source import NumberSource
from lfmm2.genotypes.fileset_names import ListedFileset
from lfmm2.genotypes.joined_filesets import JoinedCalls, JoinedNumbers, JoinedSource, name_of, short_name
from lfmm2.genotypes.joined_samples import join_samples
from lfmm2.genotypes.packed_bed import PackedReader
from lfmm2.genotypes.plink import BedFile, OpenedTogether, find_bed
from lfmm2.genotypes.source import GenotypeSource

# Opens a file of any kind; a .bed shares with the others what it is given.
FileOpener = Callable[[AnyPath, OpenedTogether], GenotypeSource]


def open_joined(filesets: Sequence[ListedFileset], open_file: FileOpener, intersect: bool) -> JoinedSource:
    """Open filesets, and join them to one source.

    Parameters
    ----------
    filesets : sequence of ListedFileset
    open_file : callable
    intersect : bool
        True to leave out the samples that are not in all filesets.

    Raises
    ------
    UsageError
        If a fileset is given twice, some give calls and others numbers, or a pattern is understood in two ways.
    LfmmError
        Another of its children, if a fileset cannot be used, or if the samples are not the same.

    Warns
    -----
    InputWarning
        If the SNPs of all filesets together are not sorted or repeat IDs, see `BedFile`, or as `join_samples`.
    """
    paths = [item.fileset for item in filesets if isinstance(item.fileset, str | os.PathLike)]
    together = OpenedTogether([find_bed(path) for path in paths])
    sources: list[GenotypeSource] = []
    opened: list[GenotypeSource] = []
    chromosomes: dict[str, dict[str, tuple[str, set[str]]]] = {}
    seen: dict[Any, str] = {}
    try:
        for item in filesets:
            if isinstance(item.fileset, str | os.PathLike):
                source = open_file(item.fileset, together)
                opened.append(source)
                if not isinstance(source, BedFile):
                    _survey(source, together)
            else:
                source = item.fileset
                _survey(source, together)
            _refuse_twice(source, seen)
            sources.append(source)
            if item.pattern:
                of_value = chromosomes.setdefault(item.pattern, {})
                of_value[item.value] = name_of(source), together.survey.chromosomes
        for pattern, of_value in chromosomes.items():
            _refuse_other_versions(pattern, of_value)
        kind = _choose_kind(sources)
        names = [name_of(source) for source in sources]
        joined = kind(sources, join_samples(names, [source.samples for source in sources], intersect), opened)
        together.warn_of_faults(joined.name)
    except BaseException:
        for source in opened:
            source.close()
        raise
    return joined


def _survey(source: GenotypeSource, together: OpenedTogether) -> None:
    """Add the SNPs of an open source to the survey."""
    together.survey.begin_file(short_name(source.name))
    are_held = isinstance(source, BedFile) and source.held_bytes > 0
    for table in source.iter_variants():
        if len(table):
            together.add_tables([table.combine_chunks()], are_held)


def _refuse_twice(source: GenotypeSource, seen: dict[Any, str]) -> None:
    """Raise UsageError if a source, or the first of its files, is among those seen before; else add it to them."""
    stamps, name = source.stamps, name_of(source)
    key: object = id(source)
    if stamps:
        # Some file systems have no inodes; there a link goes unnoticed, but its SNPs are warned of as repeated.
        key = stamps[0].place if stamps[0].place[1] else str(stamps[0].path.resolve())
    if (before := seen.get(key)) is not None:
        fact = f"{name}: is given twice" if before == name else f"{before} and {name}: are one file"
        raise UsageError(f"{fact}; give each fileset once")
    seen[key] = name


def _refuse_other_versions(pattern: str, of_value: Mapping[str, tuple[str, set[str]]]) -> None:
    """Raise UsageError if a pattern fits two versions of a fileset, such as chr1.bed and chr1.pruned.bed.

    They are versions of one fileset if one name goes on where the other ends, and both have a chromosome.
    """
    for value, (name, chromosomes) in of_value.items():
        for end in range(1, len(value)):
            if value[end].isalnum() or value[:end] not in of_value:
                continue
            other, theirs = of_value[value[:end]]
            if common := sorted(chromosomes & theirs):
                fact = f"{pattern}: fits {other} and {name}, which both have chromosome {shortened(common[0])}"
                raise UsageError(f"{fact}; list the filesets in a file for --bed-list, or move one version away")


def _choose_kind(sources: Sequence[GenotypeSource]) -> type[JoinedCalls] | type[JoinedNumbers]:
    """Return the class that joins these sources; raise an error if none does."""
    calls = [source for source in sources if isinstance(source, PackedReader)]
    numbers = [source for source in sources if isinstance(source, NumberSource)]
    others = [source for source in sources if not isinstance(source, PackedReader | NumberSource)]
    if others:
        raise UsageError(f"{name_of(others[0])}: cannot be read as one with others; merge the files before the run")
    if calls and numbers:
        fact = f"{name_of(calls[0])} has calls, and {name_of(numbers[0])} has numbers such as dosages"
        raise InconsistentInputError(f"{fact}; give filesets of one kind")
    with_ids = [source for source in sources if source.has_ids]
    if 0 < len(with_ids) < len(sources):
        numbered = next(source for source in sources if not source.has_ids)
        fact = f"{name_of(with_ids[0])} has IDs of samples, and {name_of(numbered)} only counts them"
        raise InconsistentInputError(f"{fact}; give IDs to all")
    ploidies = {source.ploidy: source for source in sources}
    if len(ploidies) > 1:
        (a, one), (b, other), *_ = ploidies.items()
        fact = f"the ploidy is {a} in {name_of(one)} and {b} in {name_of(other)}"
        raise InconsistentInputError(f"{fact}; give genotypes of one ploidy")
    return JoinedNumbers if numbers else JoinedCalls
