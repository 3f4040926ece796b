"""A VCF Zarr (specification 0.4 and later, Zarr formats 2 and 3), by the library zarr, which is imported here only.

    call_genotype      (variants, samples, ploidy), −1 for a missing allele, −2 where a call has fewer alleles
    call_DS, call_GP   (variants, samples[, numbers]), expected copies of ALT and probabilities of genotypes
    variant_contig     number of the contig in contig_id;  variant_position, from 1
    variant_allele     REF and all ALT, "" behind them;  variant_id, "." for none

A chunk that the store lacks is read as the fill value of its array, without an error. Writers also leave out chunks of
nothing but the fill value, as bio2zarr does, so an absent chunk is either that or lost: here it is an error, unless the
store itself tells what was in it.
"""

from __future__ import annotations

import contextlib
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfmm2._words import shortened, with_spaces
from lfmm2.errors import InconsistentInputError, LfmmError, MalformedInputError, ReadError, UsageError
from lfmm2.files import LAST_POSITION

ZIP_MAGIC = b"PK\x03\x04"
# Files that a group has in format 2, in format 3, and in both.
_OF_GROUPS = (".zgroup", "zarr.json")
# Arrays with one entry for each variant that every store must have.
_OF_VARIANTS = ("variant_position", "variant_contig", "variant_allele")
_ALL = slice(None)
# Bytes of calls that are decoded at once. Several chunks are decompressed at the same time by threads of zarr.
READ_BYTES = 1 << 24


@dataclass(frozen=True)
class StoredVariants:
    """Consecutive variants of a store: names of their contigs, positions, IDs ("." for none), REF and all ALT."""

    chromosomes: list[str]
    positions: list[int]
    ids: list[str]
    alleles: list[list[str]]


def is_url(path: Path) -> bool:
    """Return True for the address of a remote store, such as s3://bucket/x.vcz; pathlib joins its slashes."""
    return bool(re.match(r"[a-z][a-z0-9+]+:/", str(path)))


def restore_url(path: Path) -> str:
    """Return the text of a path, with the slashes of a URL as they must be."""
    if not is_url(path):
        return str(path)
    scheme, _, rest = str(path).partition(":")
    return f"{scheme}:{'///' if scheme == 'file' else '//'}{rest.lstrip('/')}"


def is_store(path: Path) -> bool:
    """Return True for a folder or a .zip with a Zarr group, and for a URL."""
    with contextlib.suppress(OSError, ValueError, zipfile.BadZipFile):
        if path.is_dir():
            return any((path / name).is_file() for name in _OF_GROUPS)
        if path.is_file():
            with path.open("rb") as file:
                if file.read(4) != ZIP_MAGIC:
                    return False
            with zipfile.ZipFile(path) as archive:
                return any(name.rpartition("/")[2] in _OF_GROUPS for name in archive.namelist())
        return is_url(path)
    return False


class ZarrStore:
    """A VCF Zarr, open for reading.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    path : Path
    name : str
        The path, or the URL, as messages have it.
    sample_ids, contigs : list of str
    n_variants : int

    Raises
    ------
    UsageError
        If zarr, or the library for a URL, is not installed.
    ReadError, MalformedInputError, InconsistentInputError
        If the store cannot be read, is no VCF Zarr, or its arrays do not belong together.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, restore_url(path)
        self._zip: Any = None
        self._absent: dict[str, set[tuple[int, ...]]] = {}
        zarr = _import_zarr()
        with self._reading("the store"):
            place = self.name
            if path.is_file():
                self._zip = place = zarr.storage.ZipStore(path, mode="r")
            self._group = zarr.open_group(place, mode="r")
        try:
            self._check_arrays()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the store."""
        if self._zip is not None:
            self._zip.close()

    def __enter__(self) -> ZarrStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @contextlib.contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Turn every error of a library in the block into one that names the store, and drop warnings about it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                yield
            except (LfmmError, MemoryError):
                raise
            except ImportError as error:
                fact = f"{self.name}: opening it needs a library that is absent ({shortened(str(error))})"
                raise UsageError(f"{fact}; pip install fsspec and, for s3://, s3fs") from error
            except Exception as error:
                fact = f"{self.name}, {what}: cannot be read ({shortened(str(error) or type(error).__name__)})"
                if isinstance(error, OSError) or is_url(self.path):
                    raise ReadError(f"{fact}; check the path, and that it is a VCF Zarr") from error
                raise MalformedInputError(f"{fact}; it is no VCF Zarr, damaged or truncated, copy it again") from error

    def __contains__(self, name: str) -> bool:
        with self._reading(name):
            return name in self._group

    def array(self, name: str, n_dimensions: Sequence[int], kinds: str) -> Any:
        """Return an array of the store; raise MalformedInputError if it is absent, or has another shape or type."""
        with self._reading(name):
            found = self._group.get(name)
        if found is None or not hasattr(found, "dtype"):
            raise MalformedInputError(f"{self.name}: has no array {name}; give a VCF Zarr, as bio2zarr writes it")
        if found.ndim not in n_dimensions or found.dtype.kind not in kinds:
            fact = f"{self.name}, {name}: {found.ndim} dimensions of {found.dtype}"
            wanted = {"i": "whole numbers", "f": "numbers", "T": "texts", "b": "True or False"}[kinds[0]]
            raise MalformedInputError(f"{fact}, but a VCF Zarr has {n_dimensions[0]} of {wanted}; write it again")
        return found

    def _check_arrays(self) -> None:
        """Read samples and contigs, and check that the arrays of variants belong together."""
        self.sample_ids = self._texts("sample_id")
        self.contigs = self._texts("contig_id")
        position, contig, allele = (
            self.array(name, dimensions, kinds)
            for name, dimensions, kinds in zip(_OF_VARIANTS, ([1], [1], [2]), ("iu", "iu", "TOUS"), strict=True)
        )
        self.n_variants = int(position.shape[0])
        self._of_variants = {"variant_position": position, "variant_contig": contig, "variant_allele": allele}
        if "variant_id" in self:
            self._of_variants["variant_id"] = self.array("variant_id", [1], "TOUS")
        if "variant_id_mask" in self:
            self._of_variants["variant_id_mask"] = self.array("variant_id_mask", [1], "b")
        for name, array in self._of_variants.items():
            self.check_length(name, array)
            if self.absent_chunks(array) and name != "variant_id_mask":
                self._check_absent(name, array)

    def check_length(self, name: str, array: Any, n_samples: int | None = None) -> None:
        """Raise InconsistentInputError if an array has another number of variants, or of samples, than the store."""
        if array.shape[0] != self.n_variants:
            fact = f"{self.name}: {name} has {with_spaces(array.shape[0])} variants, but variant_position"
            raise InconsistentInputError(f"{fact} {with_spaces(self.n_variants)}; write the store again")
        if n_samples is not None and array.shape[1] != n_samples:
            fact = f"{self.name}: {name} has {with_spaces(array.shape[1])} samples, but sample_id"
            raise InconsistentInputError(f"{fact} {with_spaces(n_samples)}; write the store again")

    def _texts(self, name: str) -> list[str]:
        """Return a whole array of texts."""
        array = self.array(name, [1], "TOUS")
        if self.absent_chunks(array):
            self._refuse_absent(name, min(self.absent_chunks(array)), array)
        return self._decode(name, self.read(array, 0, array.shape[0]))

    def _decode(self, name: str, values: NDArray[Any]) -> list[Any]:
        """Return texts of any type of NumPy as lists of texts of Python; bytes are UTF-8."""
        with self._reading(name):
            if values.dtype.kind == "S":
                values = np.char.decode(values, "utf-8")
            texts: list[Any] = values.astype("T").tolist()
            return texts

    def absent_chunks(self, array: Any) -> set[tuple[int, ...]]:
        """Return the chunks, by their places, that the store does not have; shards where chunks lie in these."""
        if (found := self._absent.get(array.path)) is not None:
            return found
        with self._reading(array.path):
            edges = array.shards or array.chunks
            counts = [-(-n // edge) for n, edge in zip(array.shape, edges, strict=True)]
            keys, encode = _list_keys(array), array.metadata.encode_chunk_key
            absent = {at for at in np.ndindex(*counts) if f"{array.path}/{encode(at)}" not in keys}
        self._absent[array.path] = absent
        return absent

    def _check_absent(self, name: str, array: Any) -> None:
        """Raise MalformedInputError if an array of variants lacks a chunk, unless its contigs are known otherwise."""
        for at in sorted(self.absent_chunks(array)):
            if name != "variant_contig" or not self._is_on_first_contig(at[0], (array.shards or array.chunks)[0]):
                self._refuse_absent(name, at, array)

    def _is_on_first_contig(self, chunk: int, length: int) -> bool:
        """Return True if all variants of a chunk are on contig 0, as the only contig or region_index says."""
        if len(self.contigs) == 1:
            return True
        if "region_index" not in self:
            return False
        index = self.array("region_index", [2], "iu")
        with self._reading("region_index"):
            rows = np.asarray(index[:], np.int64)
        rows = rows[rows[:, 0] == chunk] if rows.shape[1:] == (6,) else rows[:0]
        n_there = min(length, self.n_variants - chunk * length)
        return len(rows) == 1 and rows[0, 1] == 0 and rows[0, 5] == n_there

    def _refuse_absent(self, name: str, at: tuple[int, ...], array: Any) -> None:
        """Raise MalformedInputError about a chunk that is absent."""
        fill = repr(np.asarray(0 if array.fill_value is None else array.fill_value).tolist())
        fact = f"{self.name}, {name}: lacks chunk {'.'.join(map(str, at))}, which reads as {fill}"
        ways = "copy the store again, or write it with all chunks (write_empty_chunks=True) if that is its content"
        raise MalformedInputError(f"{fact} everywhere, as if nothing else had been there; {ways}")

    def refuse_absent(self, name: str, array: Any, variants: NDArray[np.int64]) -> None:
        """Raise MalformedInputError if the store lacks a chunk with the numbers of one of these variants."""
        if absent := self.absent_chunks(array):
            needed = set((variants // (array.shards or array.chunks)[0]).tolist())
            for at in sorted(absent):
                if at[0] in needed:
                    self._refuse_absent(name, at, array)

    def variants(self, first: int, stop: int) -> StoredVariants:
        """Return names and places of consecutive variants.

        Raises
        ------
        MalformedInputError
            If one has no contig of the list, or a position that a .bim cannot have.
        """
        parts = {name: self.read(array, first, stop) for name, array in self._of_variants.items()}
        contigs = np.asarray(parts["variant_contig"], np.int64)
        positions = np.asarray(parts["variant_position"], np.int64)
        for what, values, least, most in (
            ("contig", contigs, 0, len(self.contigs) - 1), ("position", positions, 0, LAST_POSITION),
        ):  # fmt: skip
            wrong = np.flatnonzero((values < least) | (values > most))
            if len(wrong):
                fact = f"{self.name}, variant {with_spaces(first + int(wrong[0]) + 1)}: {what} {values[wrong[0]]}"
                raise MalformedInputError(f"{fact} is none from {least} to {with_spaces(most)}; write the store again")
        ids = self._decode("variant_id", parts["variant_id"]) if "variant_id" in parts else ["."] * (stop - first)
        for row in np.flatnonzero(parts.get("variant_id_mask", ())).tolist():
            ids[row] = "."
        alleles = []
        for row, texts in enumerate(self._decode("variant_allele", parts["variant_allele"])):
            if not texts or not texts[0]:
                fact = f"{self.name}, variant {with_spaces(first + row + 1)}: has no REF in variant_allele"
                raise MalformedInputError(f"{fact}; write the store again")
            alleles.append([text for text in texts if text])
        return StoredVariants([self.contigs[k] for k in contigs.tolist()], positions.tolist(), ids, alleles)

    def read(self, array: Any, first: int, stop: int, samples: slice = _ALL) -> NDArray[Any]:
        """Return what an array has of consecutive variants, and of some samples if it has any."""
        with self._reading(f"{array.path}, variants {with_spaces(first + 1)} to {with_spaces(stop)}"):
            self._check_sizes(array, first, stop, samples)
            return np.asarray(array[first:stop] if samples == _ALL else array[first:stop, samples])

    def _check_sizes(self, array: Any, first: int, stop: int, samples: slice) -> None:
        """Raise MalformedInputError if a chunk of Blosc has another size than its header says.

        The library decompresses such a chunk without an error, and takes what lies behind it in memory for its end. An
        archive has checksums, and behind a URL objects are whole.
        """
        outermost = type((*array.compressors, None)[-2 if array.compressors else 0]).__name__
        if not self.path.is_dir() or array.shards or "blosc" not in outermost.lower():
            return
        parts = [slice(first, stop), samples, *[_ALL] * array.ndim][: array.ndim]
        ranges = [part.indices(n)[:2] for part, n in zip(parts, array.shape, strict=True)]
        chunks = [range(a // edge, -(-b // edge)) for (a, b), edge in zip(ranges, array.chunks, strict=True)]
        for at in product(*chunks):
            file = self.path / array.path / array.metadata.encode_chunk_key(at)
            with contextlib.suppress(FileNotFoundError), file.open("rb") as chunk:
                head, n_bytes = chunk.read(16), os.fstat(chunk.fileno()).st_size
                if len(head) < 16 or int.from_bytes(head[12:], "little") != n_bytes:
                    name = ".".join(map(str, at))
                    fact = (
                        f"{self.name}, {array.path}: chunk {name} has {with_spaces(n_bytes)} bytes, not as many as its"
                    )
                    raise MalformedInputError(f"{fact} header says; it is truncated or damaged, copy the store again")


def read_at_once(array: Any) -> tuple[int, int]:
    """Return the numbers of variants and samples of an array that are read at once: whole chunks."""
    edges, n_samples = array.shards or array.chunks, array.shape[1]
    cell_bytes = int(np.prod(array.shape[2:], dtype=np.int64)) * array.dtype.itemsize
    chunk_bytes = max(1, edges[0] * min(edges[1], n_samples) * cell_bytes)
    n_chunks = max(1, READ_BYTES // chunk_bytes)
    n_across = max(1, min(n_chunks, -(-n_samples // edges[1])))
    return int(edges[0]) * max(1, n_chunks // n_across), int(edges[1]) * n_across


def _import_zarr() -> Any:
    """Return the module zarr, or raise UsageError."""
    try:
        import zarr
        import zarr.storage
    except ImportError as error:
        raise UsageError(f"reading a VCF Zarr needs zarr ({error}); pip install 'lfmm2[zarr]'") from error
    if int(zarr.__version__.partition(".")[0]) < 3:
        raise UsageError(f"zarr {zarr.__version__} is too old; pip install 'zarr>=3'")
    return zarr


def _list_keys(array: Any) -> set[str]:
    """Return the names of all objects of an array in its store."""
    from zarr.core.sync import sync

    async def collect() -> set[str]:
        return {key async for key in array.store.list_prefix(f"{array.path}/")}

    return set(sync(collect()))
