"""Arrays with names: AnnData, xarray, and any array to which names and places are given.

The libraries are not imported: their objects are known by their members, so that lfmm2 needs none of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lfmm2._checks import quoted
from lfmm2._words import shortened, some_of, with_spaces
from lfmm2.errors import InconsistentInputError, InputWarning, UsageError
from lfmm2.files import Samples, repeated
from lfmm2.genotypes.array_input import (
    ArrayInput,
    as_block_array,
    check_real_numbers,
    is_range,
    nameless,
    names_of,
    only_counts,
    samples_of,
    take_apart_array,
)
from lfmm2.genotypes.feature_places import NO_CHROM, chromosome_texts, find_places, position_numbers
from lfmm2.genotypes.source import NO_ID

# Names of the dimensions of xarray that are samples, and features, without case.
_SAMPLE_DIMENSIONS = {"sample", "samples", "individual", "individuals", "iid", "obs", "subject", "subjects"}
_FEATURE_DIMENSIONS = {
    "variant", "variants", "snp", "snps", "feature", "features", "var", "probe", "probes", "cpg", "cpgs", "gene",
    "genes", "locus", "loci",
}  # fmt: skip


def take_apart_named(given: Any, layer: str | None = None) -> ArrayInput:
    """Take genotypes of any kind in memory apart, with the names and places that they bring.

    `layer` chooses one of the layers of an AnnData. Raises what `take_apart_array` raises, and UsageError for a layer
    of anything else.
    """
    if all(hasattr(given, member) for member in ("obs_names", "var_names", "X")):
        return _of_annotated(given, layer)
    if layer is not None:
        raise UsageError(f"layer is {quoted(layer)}, but {type(given).__name__} has no layers; leave it out")
    if all(hasattr(given, member) for member in ("dims", "coords", "data")) and not hasattr(given, "data_vars"):
        return _of_labelled(given)
    return take_apart_array(given)


def _of_annotated(given: Any, layer: str | None) -> ArrayInput:
    """Take an AnnData apart: obs are samples, var features with their places."""
    layers = getattr(given, "layers", {})
    if layer is not None and layer not in layers:
        raise UsageError(f"layer is {quoted(layer)}, but the layers are {some_of(list(layers)) or 'none'}; name one")
    values = given.X if layer is None else layers[layer]
    if values is None:
        fact = f"genotypes are an AnnData without X, with layers {some_of(list(layers))}"
        raise InconsistentInputError(f"{fact}; give lfmm2.named_array(adata, layer=...)")
    parts = take_apart_array(values)
    table = getattr(given, "var", None)
    columns = {} if table is None else {name: table[name] for name in getattr(table, "columns", ())}
    chrom, pos = find_places(columns, "the table var of the AnnData")
    parts = replace(parts, **_sample_names(given.obs_names, "obs_names"), chrom=chrom, pos=pos)
    return replace(parts, snp_ids=_feature_names(given.var_names))


def _of_labelled(given: Any) -> ArrayInput:
    """Take a DataArray of xarray apart: its dimensions tell what are samples, its coordinates their names."""
    dims = tuple(map(str, given.dims))
    if len(dims) != 2:
        check_real_numbers(np.broadcast_to(np.empty((), given.dtype), given.shape))
    kinds = [d.casefold() for d in dims]
    turned = (kinds[0] in _FEATURE_DIMENSIONS and kinds[1] not in _FEATURE_DIMENSIONS) or (
        kinds[1] in _SAMPLE_DIMENSIONS and kinds[0] not in _SAMPLE_DIMENSIONS
    )
    parts = nameless(as_block_array(given.data, turned))
    samples, features = reversed(given.dims) if turned else given.dims
    if samples in given.coords:
        parts = replace(parts, **_sample_names(given.coords[samples].values, f"the coordinate {samples}"))
    if features in given.coords:
        parts = replace(parts, snp_ids=_feature_names(given.coords[features].values))
    along = {str(name): given.coords[name] for name in given.coords if tuple(given.coords[name].dims) == (features,)}
    chrom, pos = find_places({name: values.values for name, values in along.items()}, "the coordinates of the array")
    return replace(parts, chrom=chrom, pos=pos)


def with_names(
    parts: ArrayInput, samples: Any = None, features: Any = None, chrom: Any = None, pos: Any = None
) -> ArrayInput:
    """Add names and places to an input, see `named_array`; those that are None stay as they are.

    Raises
    ------
    UsageError
        If there is another number of them than of samples or features, or positions without chromosomes.
    InconsistentInputError
        If a table of features has a name twice, or none of the names of the input.
    """
    n_samples, n_snps = parts.values.shape
    if samples is not None:
        iid = names_of(_of_length(samples, n_samples, "samples"), "sample", "row")
        parts = replace(parts, samples=samples_of(iid, iid, "samples"), has_ids=True)
    if hasattr(features, "columns") and hasattr(features, "index"):
        parts = _with_table(parts, features)
    elif features is not None:
        named = names_of(_of_length(features, n_snps, "features"), "SNP", "column", unnamed=NO_ID)
        parts = replace(parts, snp_ids=named)
    if pos is not None and chrom is None and parts.chrom is None:
        raise UsageError("pos gives positions, but no chromosome is known; give chrom too")
    if chrom is not None:
        parts = replace(parts, chrom=chromosome_texts(_of_length(chrom, n_snps, "chrom")))
    if pos is not None:
        parts = replace(parts, pos=position_numbers(_of_length(pos, n_snps, "pos"), "pos"))
    return parts


def _with_table(parts: ArrayInput, table: Any) -> ArrayInput:
    """Add the places of a table whose index has the names of features, such as the manifest of an array."""
    names = names_of(table.index, "feature", "row")
    columns: Mapping[str, Any] = {name: table[name] for name in table.columns if isinstance(name, str)}
    chrom, pos = find_places(columns, "the table of features")
    if chrom is None:
        fact = f"the table of features has no column CHR or CHROM among {some_of(list(map(str, table.columns)))}"
        raise InconsistentInputError(f"{fact}; rename the one with the chromosomes")
    if parts.snp_ids is None:
        return replace(parts, snp_ids=_of_length(names, parts.values.shape[1], "features"), chrom=chrom, pos=pos)
    if twins := repeated(names):
        raise InconsistentInputError(f"the table of features has names twice ({some_of(twins)}); keep one row of each")
    row_of = {name: row for row, name in enumerate(names)}
    rows = np.array([row_of.get(name, -1) for name in parts.snp_ids], np.int64)
    if len(rows) and (rows < 0).all():
        fact = f"none of {with_spaces(len(rows))} features is in the table of features"
        shown = f"{shortened(parts.snp_ids[0])!r} is not among {some_of(names)}"
        raise InconsistentInputError(f"{fact} ({shown}); set its index to the names, as in table.set_index('Name')")
    if n_absent := int((rows < 0).sum()):
        fact = f"{with_spaces(n_absent)} of {with_spaces(len(rows))} features are not in the table of features"
        first = shortened(parts.snp_ids[int(np.argmax(rows < 0))])
        remedy = "they have no position; check the names"
        warnings.warn(f"{fact} (first {first}): {remedy}", InputWarning, stacklevel=4)
    placed = [NO_CHROM if row < 0 else chrom[row] for row in rows]
    return replace(parts, chrom=placed, pos=None if pos is None else np.where(rows < 0, 0, pos[rows]))


def _sample_names(labels: Any, place: str) -> dict[str, Any]:
    """Return `samples` and `has_ids` of labels; a count of the rows is no name."""
    iid = names_of(labels, "sample", "row")
    if is_range(labels) or _are_numbers_from_0(iid):
        numbers = tuple(str(i + 1) for i in range(len(iid)))
        return {"samples": Samples(numbers, numbers), "has_ids": False}
    return {"samples": samples_of(iid, iid, place), "has_ids": True}


def _feature_names(labels: Any) -> list[str] | None:
    """Return labels of features as text; None for a count of the columns."""
    names = names_of(labels, "SNP", "column", unnamed=NO_ID)
    counts = hasattr(labels, "dtype") and only_counts(labels)
    return None if counts or _are_numbers_from_0(names) else names


def _are_numbers_from_0(names: Sequence[str]) -> bool:
    """Return True for "0", "1", "2", ..., which AnnData makes where there are no names."""
    return bool(names) and names[0] == "0" and all(name == str(i) for i, name in enumerate(names))


def _of_length(labels: Any, n: int, what: str) -> Any:
    """Return labels of samples or features; UsageError if they are no sequence or of another length."""
    if isinstance(labels, str | bytes) or not (hasattr(labels, "__iter__") and hasattr(labels, "__len__")):
        raise UsageError(f"{what} is {shortened(repr(labels))}; give a list, one for each")
    if len(labels) != n:
        of = "samples" if what == "samples" else "features"
        fact = f"{what} has {with_spaces(len(labels))} entries, but the array has {with_spaces(n)} {of}"
        raise UsageError(f"{fact}; give one for each")
    return labels
