"""Checks for people who add a kind of genotypes, of the rules for a source and its matrix that runs rely on.

Each check raises AssertionError with a sentence that says which rule is broken.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lfmm2._typing import Floats, Ints
from lfmm2.errors import InsufficientMemoryError, UsageError
from lfmm2.genotypes import (
    NOTHING_HELD,
    RESTART_SNPS,
    VARIANT_SCHEMA,
    CrossProducts,
    Engine,
    FactorFill,
    GenotypeMatrix,
    GenotypeSource,
    SnpRange,
    packed_matrix,
)
from lfmm2.process import single_threaded_blas

__all__ = ["check_genotype_matrix", "check_genotype_source"]

# Largest difference that rounding may make, relative to the largest number of the answer. A wrong formula differs by
# more.
_TOLERANCE = 1e-9
# Most samples and SNPs of a source that are compared one by one. So many SNPs fill several groups, and more than one
# block of numbers.
_MOST_SAMPLES, _MOST_SNPS = 48, 3000
# Bytes with which no verb has to save memory at these sizes.
_PLENTY_OF_MEMORY = 1 << 30
# Options that a source may refuse.
_OPTIONS = ("scale", "count_allele", "maf", "geno", "est_thin", "extract", "exclude", "est_extract")


def check_genotype_matrix(matrix: GenotypeMatrix, dense: NDArray[np.floating] | None = None) -> None:
    """Check that the three verbs of a matrix answer as dense algebra on its imputed and centred values does.

    Parameters
    ----------
    matrix : GenotypeMatrix
    dense : ndarray of shape (n_samples, n_snps), optional
        The numbers that the matrix stands for, NaN where missing. Without them the verbs are compared with what the
        matrix itself decodes.

    Raises
    ------
    AssertionError
        With a sentence that says which rule is broken.

    Notes
    -----
    Memory: several dense matrices of that shape, so check a few thousand SNPs. Passes: about ten.

    Examples
    --------
    >>> import numpy as np
    >>> from lfmm2.genotypes import Engine, open_source
    >>> from lfmm2.testing import check_genotype_matrix
    >>> values = np.random.default_rng(0).integers(0, 3, (10, 200)).astype(float)
    >>> values[3, 7] = np.nan
    >>> matrix = open_source(values).matrix(Engine(n_threads=1, memory=1 << 30), np.arange(10), None)
    >>> check_genotype_matrix(matrix, values)
    """
    n, p = matrix.n_samples, matrix.n_snps
    rng = np.random.default_rng(0)
    W = rng.standard_normal((n, 6))  # six columns are no multiple of what kernels take at a time
    W.flags.writeable = False
    with single_threaded_blas():
        blocks = _read_blocks(matrix, W)
        Y = blocks.decoded.T
        if dense is not None:
            _require(dense.shape == (n, p), f"the matrix has shape {(n, p)}, but its values have {dense.shape}")
            _compare_moments(dense, blocks)
        _agree("products of cross_products", blocks.products, Y.T @ W)
        for n_columns in (1, 6):
            S = W[:, :n_columns]
            _agree("gram_product(S)", _gram_product(matrix, S), Y @ (Y.T @ S))
        C = matrix.gram()
        _agree("gram()", C, Y @ Y.T)
        _require(np.array_equal(C, C.T), "gram() is not symmetric to the bit")
        again = zip(blocks, _read_blocks(matrix, W), strict=True)
        same = all(np.array_equal(a, b, equal_nan=True) for a, b in again)
        _require(same, "cross_products gives other bits the second time that it is asked")
        same = np.array_equal(_gram_product(matrix, W), _gram_product(matrix, W))
        _require(same, "gram_product gives other bits the second time that it is asked")
        _check_ranges(matrix, W, blocks)
        _check_filling(matrix, W, blocks)


def _gram_product(matrix: GenotypeMatrix, S: Floats) -> Floats:
    """Return Y(YᵀS) over all SNPs."""
    return matrix.gram_product(S).total()


def _check_ranges(matrix: GenotypeMatrix, W: Floats, blocks: _Blocks) -> None:
    """Check that cross-products of the SNPs after the first `RESTART_SNPS` are those of the whole, to the bit."""
    if matrix.n_snps <= RESTART_SNPS:
        return
    later = list(matrix.cross_products(W, snps=SnpRange(RESTART_SNPS)))
    _require(later[0].first_snp == RESTART_SNPS, "cross_products of a range begins with another SNP than the range")
    products = np.concatenate([block.products for block in later])
    same = np.array_equal(products, blocks.products[RESTART_SNPS:])
    _require(same, "cross_products of a range has other bits than the same SNPs of the whole")


class _Blocks(NamedTuple):
    """All blocks of a matrix: decoded values (n_snps, n_samples), called samples, means, products (n_snps, m)."""

    decoded: Floats
    n_called: Ints
    mean: Floats
    products: Floats


def _read_blocks(matrix: GenotypeMatrix, W: Floats, fill: FactorFill | None = None) -> _Blocks:
    """Return all blocks of `cross_products`, each of which has been checked."""
    n, m = W.shape
    blocks = [_Blocks(np.empty((0, n)), np.empty(0, np.int64), np.empty(0), np.empty((0, m)))]
    next_snp = 0
    for block in matrix.cross_products(W, fill=fill):
        _require(
            block.first_snp == next_snp,
            f"cross_products gives a block that begins with SNP {block.first_snp}, but SNP {next_snp} is the next",
        )
        b = len(block.products)
        decoded = block.decode(np.arange(b))
        shapes = {
            "n_called": (block.n_called, (b,), np.int64),
            "mean": (block.mean, (b,), np.float64),
            "sum_squares": (block.sum_squares, (b,), np.float64),
            "products": (block.products, (b, m), np.float64),
            "decode(rows)": (decoded, (b, n), np.float64),
        }
        for name, (array, shape, dtype) in shapes.items():
            _require(
                array.shape == shape and array.dtype == dtype,
                f"{name} of a block has shape {array.shape} and type {array.dtype}, not {shape} and {np.dtype(dtype)}",
            )
        rows = np.arange(b)[::-3]
        same = np.array_equal(block.decode(rows), decoded[rows])
        _require(same, "decode(rows) gives other values for some rows of a block than for all of them")
        _check_block(block.n_called, block.mean, block.sum_squares, decoded)
        _check_missing(block, n)
        blocks.append(_Blocks(decoded, block.n_called.copy(), block.mean.copy(), block.products.copy()))
        next_snp += b
    _require(
        next_snp == matrix.n_snps, f"cross_products gives {next_snp} SNPs, but the matrix has {matrix.n_snps} of them"
    )
    return _Blocks(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def _check_block(n_called: Ints, mean: Floats, sum_squares: Floats, decoded: Floats) -> None:
    """Check what holds for the moments and values of any block."""
    n = decoded.shape[1]
    _require(((n_called >= 0) & (n_called <= n)).all(), f"n_called is not between 0 and {n}, the samples")
    _require(np.array_equal(np.isnan(mean), n_called == 0), "mean is not NaN at exactly those SNPs that have no value")
    _require(np.isfinite(decoded).all(), "decode gives values that are not finite: missing ones are to be the mean")
    size = np.abs(decoded).max(initial=0.0)
    sums = np.abs(decoded.sum(axis=1)).max(initial=0.0)
    _require(sums <= _TOLERANCE * n * size, "decode gives values that are not centred: their sum is not 0")
    _agree("sum_squares", sum_squares, (decoded**2).sum(axis=1))
    _require(
        np.array_equal(sum_squares == 0, ~decoded.any(axis=1)),
        "sum_squares is not 0 at exactly those SNPs whose decoded values are all 0",
    )


def _check_missing(block: CrossProducts, n_samples: int) -> None:
    """Check that a block which counts missing values by sample counts as many as are missing in its SNPs."""
    if block.count_missing is None:
        return
    b = len(block.n_called)
    for rows in (slice(0, b), slice(0, b // 2), slice(b // 2, b)):
        counts = block.count_missing(rows)
        shown = f"shape {counts.shape} and type {counts.dtype}, not {(n_samples,)} and int64"
        _require(counts.shape == (n_samples,) and counts.dtype == np.int64, f"count_missing(rows) has {shown}")
        same = counts.sum() == (n_samples - block.n_called[rows]).sum()
        _require(same, "count_missing counts other missing values by sample than n_called by SNP")


def _compare_moments(dense: NDArray[np.floating], blocks: _Blocks) -> None:
    """Compare what a matrix decodes with the numbers that it stands for."""
    called = ~np.isnan(dense)
    _require(np.array_equal(blocks.n_called, called.sum(axis=0)), "n_called does not count the values that are there")
    with np.errstate(invalid="ignore"):
        mean = np.where(called, dense, 0.0).sum(axis=0) / blocks.n_called
    known = blocks.n_called > 0
    _agree("mean", blocks.mean[known], mean[known])
    _agree("decode (imputed to the mean, centred)", blocks.decoded.T, np.where(called, dense - mean, 0.0))


def _check_filling(matrix: GenotypeMatrix, W: Floats, by_mean: _Blocks) -> None:
    """Check products whose missing values are filled from factors, and that no other bits change."""
    filled = _read_blocks(matrix, W, FactorFill(W[:, :1]))
    complete = by_mean.n_called == matrix.n_samples
    same = np.array_equal(filled.products[complete], by_mean.products[complete])
    _require(same, "cross_products with fill gives other bits at SNPs that lack no value")
    _agree("products of cross_products with fill", filled.products, filled.decoded @ W)


def check_genotype_source(source: GenotypeSource) -> None:
    """Check samples, variants, facts and matrices of a source.

    The values are read sample by sample. Matrices of several samples and SNPs, with few and many threads, with little
    and plenty of memory, must then agree with them.

    Parameters
    ----------
    source : GenotypeSource
        It stays open.

    Raises
    ------
    AssertionError
        With a sentence that says which rule is broken.

    Notes
    -----
    Up to 48 samples and 3 000 SNPs are compared one by one. All variants are streamed three times, and their IDs held.

    Examples
    --------
    A source of dosages that are computed when they are read, of 20 samples and 500 SNPs:

    >>> import numpy as np
    >>> import pyarrow as pa
    >>> from lfmm2.files import Samples
    >>> from lfmm2.genotypes import VARIANT_SCHEMA, NumberSource
    >>> from lfmm2.testing import check_genotype_source
    >>> class Waves(NumberSource):
    ...     name, n_samples, n_snps = "the waves", 20, 500
    ...     samples = Samples(("0",) * 20, tuple(f"s{row}" for row in range(20)))
    ...
    ...     def read(self, samples, snps):
    ...         return 1 + np.sin(np.outer(snps + 1, samples + 1))
    ...
    ...     def iter_variants(self):
    ...         n = self.n_snps
    ...         columns = [["1"] * n, range(n), [f"snp{i}" for i in range(n)], ["A"] * n, ["C"] * n]
    ...         yield pa.table([pa.array(column) for column in columns], schema=VARIANT_SCHEMA)
    ...
    ...     def identity(self):
    ...         return {"(waves)": "1 + sin"}
    >>> check_genotype_source(Waves())
    """
    _check_facts(source)
    ids = _check_variants(source)
    _check_find(source, ids)
    snps, samples = _chosen(source.n_snps, _MOST_SNPS), _chosen(source.n_samples, _MOST_SAMPLES)
    engine = Engine(1, _PLENTY_OF_MEMORY)
    facts = source.identity(), source.describe()
    with single_threaded_blas():
        dense = np.array([_values_of_sample(source, engine, row, snps) for row in samples])
        if (ploidy := source.ploidy) is not None:
            inside = np.isnan(dense) | ((dense >= -_TOLERANCE) & (dense <= ploidy * (1 + _TOLERANCE)))
            _require(inside.all(), f"ploidy is {ploidy}, but values are outside of 0 to {ploidy}")
        reordered = np.random.default_rng(1).permutation(len(samples))
        some = reordered[: max(2, len(samples) // 2)]
        for rows, columns in ((reordered, np.arange(len(snps))), (some, np.arange(0, len(snps), 3))):
            matrix = source.matrix(engine, samples[rows], snps[columns])
            _require(
                (matrix.n_samples, matrix.n_snps) == (len(rows), len(columns)),
                f"a matrix of {len(rows)} samples and {len(columns)} SNPs says that it has "
                f"{matrix.n_samples} and {matrix.n_snps}",
            )
            check_genotype_matrix(matrix, dense[np.ix_(rows, columns)])
        _check_all_snps(source, engine, samples, snps, dense)
        _check_engines(source, samples, snps)
        _check_options(source, engine, samples, snps, dense)
    _require(
        facts == (source.identity(), source.describe()), "identity() or describe() changes while matrices are read"
    )


def _check_facts(source: GenotypeSource) -> None:
    """Check names, sizes, sample IDs and what the record and the plan of a run take."""
    _require(isinstance(source, GenotypeSource), f"{type(source).__name__} lacks members of GenotypeSource; derive it")
    _require(isinstance(source.name, str) and source.name, "name is no text that messages could show")
    _require(source.n_samples >= 1 and source.n_snps >= 1, "n_samples and n_snps are not at least 1")
    pairs = list(zip(source.samples.fid, source.samples.iid, strict=True))
    _require(len(pairs) == source.n_samples, f"samples holds {len(pairs)} IDs, but n_samples is {source.n_samples}")
    _require(len(set(pairs)) == len(pairs), "two samples have the same FID and IID")
    _require(all(isinstance(part, str) for pair in pairs for part in pair), "an ID of a sample is no text")
    for name in ("identity", "describe"):
        facts = getattr(source, name)()
        try:
            json.dumps(facts)
        except TypeError as error:
            raise AssertionError(f"{name}() is not what JSON takes: {error}") from error
        _require(facts, f"{name}() is empty")
        _require(facts == getattr(source, name)(), f"{name}() says something else the second time that it is asked")
    for path in source.paths:
        _require(path.exists(), f"paths names {path}, which is absent")
    ploidy = source.ploidy
    _require(ploidy is None or (isinstance(ploidy, int) and ploidy >= 1), f"ploidy is {ploidy!r}, no number of alleles")
    memory = source.memory
    _require(min(memory.snp_bytes, memory.variant_bytes, memory.held_variant_bytes) >= 0, "memory has negative bytes")
    for option in _OPTIONS:
        _require(isinstance(source.refusal(option), str), f"refusal({option!r}) is no text")


def _check_variants(source: GenotypeSource) -> pa.ChunkedArray:
    """Check the stream of variants, and return all IDs."""
    ids = []
    n_rows = 0
    for table, again in zip_longest(source.iter_variants(), source.iter_variants()):
        _require(
            table is not None and again is not None and table.equals(again),
            "iter_variants gives other tables when it is called a second time; each call begins anew",
        )
        _require(
            table.schema.names == VARIANT_SCHEMA.names and table.schema.types == VARIANT_SCHEMA.types,
            f"iter_variants gives columns {table.schema.names} of {list(map(str, table.schema.types))}, not "
            f"{VARIANT_SCHEMA.names} of {list(map(str, VARIANT_SCHEMA.types))}",
        )
        for name in VARIANT_SCHEMA.names:
            _require(table[name].null_count == 0, f"iter_variants gives nulls in {name}")
        n_rows += len(table)
        ids.append(table["ID"])
    _require(n_rows == source.n_snps, f"iter_variants gives {n_rows} SNPs, but n_snps is {source.n_snps}")
    return pa.chunked_array([chunk for column in ids for chunk in column.chunks])


def _check_find(source: GenotypeSource, ids: pa.ChunkedArray) -> None:
    """Check that SNPs are found where their IDs are streamed."""
    if source.refusal("extract"):
        return
    counts = pc.value_counts(ids)
    unique = counts.field("values").filter(pc.equal(counts.field("counts"), 1))
    positions = _chosen(source.n_snps, 100)
    named = pc.and_(pc.is_in(ids.take(positions), value_set=unique), pc.not_equal(ids.take(positions), "."))
    positions = positions[named.to_numpy()]
    absent = "no SNP has this ID"
    found, n_absent = source.find({*ids.take(positions).to_pylist(), absent, "."})
    _require(
        found.dtype == np.int64 and np.array_equal(found, positions),
        "find gives other positions than those at which iter_variants has these IDs",
    )
    _require(n_absent == 2, f"find says that {n_absent} IDs are absent where 2 are, of which one is the '.' of no ID")


def _chosen(n: int, most: int) -> Ints:
    """Return all of n positions, or `most` of them: those at both ends, and others spread between them."""
    if n <= most:
        return np.arange(n)
    third = most // 3
    spread = np.linspace(third, n - third - 1, most - 2 * third).astype(np.int64)
    return np.unique(np.concatenate([np.arange(third), spread, np.arange(n - third, n)]))


def _values_of_sample(source: GenotypeSource, engine: Engine, row: int, snps: Ints) -> Floats:
    """Return the values of one sample, NaN where missing: a mean of one value is the value."""
    matrix = source.matrix(engine, np.array([row]), snps)
    return np.concatenate([block.mean for block in matrix.cross_products(np.ones((1, 1)))])


def _check_all_snps(source: GenotypeSource, engine: Engine, samples: Ints, snps: Ints, dense: Floats) -> None:
    """Check the first block of the matrix of all samples and SNPs."""
    everyone = np.arange(source.n_samples)
    matrix = source.matrix(engine, everyone, None)
    shape = (matrix.n_samples, matrix.n_snps)
    _require(shape == (source.n_samples, source.n_snps), f"the matrix of everything has shape {shape}")
    block = next(iter(matrix.cross_products(np.ones((source.n_samples, 1)))))
    known = np.flatnonzero(snps < len(block.mean))
    columns = dense[:, known]
    values = block.decode(snps[known])[:, samples].T + block.mean[snps[known]]
    called = ~np.isnan(columns)
    _agree("decode of the matrix of all samples", values[called], columns[called])


def _check_engines(source: GenotypeSource, samples: Ints, snps: Ints) -> None:
    """Check that neither threads nor memory change a bit."""
    expected = _answers(source.matrix(Engine(1, _PLENTY_OF_MEMORY), samples, snps))
    engines = {
        "the number of threads": Engine(3, _PLENTY_OF_MEMORY),
        "the memory budget": Engine(1, _least_memory(source, samples, snps)),
    }
    for what, engine in engines.items():
        for name, answer in _answers(source.matrix(engine, samples, snps)).items():
            _require(np.array_equal(answer, expected[name]), f"bits of {name} change with {what}")


def _answers(matrix: GenotypeMatrix) -> dict[str, Floats]:
    """Ask each verb once."""
    W = np.random.default_rng(2).standard_normal((matrix.n_samples, 5))
    return {
        "cross_products": np.vstack([block.products.copy() for block in matrix.cross_products(W)]),
        "gram_product": _gram_product(matrix, W),
        "gram": matrix.gram(),
    }


def _least_memory(source: GenotypeSource, samples: Ints, snps: Ints) -> int:
    """Return the smallest power of 2 that every verb accepts as its memory."""
    for memory in (1 << power for power in range(12, 30)):
        try:
            _answers(source.matrix(Engine(1, memory), samples, snps))
        except InsufficientMemoryError:
            continue
        return memory
    return _PLENTY_OF_MEMORY


def _check_options(source: GenotypeSource, engine: Engine, samples: Ints, snps: Ints, dense: Floats) -> None:
    """Check options that change a matrix, and those that need hard calls; refused ones must raise UsageError."""
    W = np.ones((len(samples), 1))
    plain = _read_blocks(source.matrix(engine, samples, snps), W)
    known, mean = plain.n_called > 0, plain.mean
    if source.refusal("scale"):
        _check_refused(source, engine, samples, snps, "scale")
    else:
        scaled = _read_blocks(source.matrix(engine, samples, snps, scale="hwe"), W).decoded
        with np.errstate(invalid="ignore"):
            deviation = np.where(plain.decoded.any(axis=1), np.sqrt(mean * (1 - mean / 2)), 1.0)
        _agree("decode with scale='hwe'", scaled, plain.decoded / deviation[:, None])
    if source.refusal("count_allele"):
        _check_refused(source, engine, samples, snps, "count_allele")
    else:
        flipped = _read_blocks(source.matrix(engine, samples, snps, count_allele="a1"), W)
        _agree("decode with count_allele='a1'", flipped.decoded, -plain.decoded)
        _agree("mean with count_allele='a1'", flipped.mean[known], 2 - mean[known])
    if not source.refusal("maf"):
        rates = list(packed_matrix(source, engine, samples, snps, "maf").call_rates())
        n_called, means = (np.concatenate(parts) for parts in zip(*rates, strict=True))
        _require(np.array_equal(n_called, (~np.isnan(dense)).sum(axis=0)), "call_rates counts other calls")
        _agree("mean of call_rates", means[known], mean[known])
    if not source.refusal("est_thin"):
        calls = np.vstack(list(_unpack(source, engine, samples, snps)))
        _require(np.array_equal(calls, dense.T, equal_nan=True), "packed_blocks gives other calls")


def _check_refused(source: GenotypeSource, engine: Engine, samples: Ints, snps: Ints, option: str) -> None:
    """Check that a matrix refuses an option that does not apply, and does not silently leave it out."""
    try:
        if option == "scale":
            source.matrix(engine, samples, snps, scale="hwe")
        else:
            source.matrix(engine, samples, snps, count_allele="a1")
    except UsageError:
        return
    raise AssertionError(f"{option} does not apply to these genotypes, but matrix() takes it without an error")


def _unpack(source: GenotypeSource, engine: Engine, samples: Ints, snps: Ints) -> Iterator[Floats]:
    """Yield packed blocks as dosages of A2 (n_snps_block, n_samples), NaN where missing."""
    dosage_of_code = np.array([0.0, np.nan, 1.0, 2.0])
    matrix = packed_matrix(source, engine, samples, snps, "est_thin")
    for _, packed in matrix.packed_blocks("check", NOTHING_HELD):
        codes = (packed[:, :, None] >> np.array([0, 2, 4, 6], np.uint8)) & 3
        yield dosage_of_code[codes.reshape(len(packed), -1)[:, : len(samples)]]


def _require(fact: object, sentence: str) -> None:
    """Raise AssertionError with `sentence`, which says the rule that is broken, unless `fact` is true."""
    if not fact:
        raise AssertionError(sentence)


def _agree(what: str, actual: Floats, expected: Floats) -> None:
    """Raise AssertionError unless two arrays have one shape and differ by rounding only."""
    _require(actual.shape == expected.shape, f"{what} has shape {actual.shape}, but {expected.shape} is expected")
    size = np.abs(expected).max(initial=0.0)
    error = np.abs(actual - expected).max(initial=0.0)
    # The comparison is false for NaN, so NaN is never taken for rounding.
    _require(error <= _TOLERANCE * size, f"{what} is off by {error:.3g}, where numbers are up to {size:.3g}")
