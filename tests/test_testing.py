"""Checks for implementers: they pass what keeps the rules, and say which rule wrong implementations break."""

from __future__ import annotations

import doctest
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import WriteFileset
from numpy.typing import NDArray

from lfmm2 import testing
from lfmm2._typing import Packed
from lfmm2.files.samples import Samples
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.array_source import ArraySource
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.footprint import Footprint
from lfmm2.genotypes.matrix import CrossProducts
from lfmm2.genotypes.plink import BedFile
from lfmm2.genotypes.segments import SegmentSums
from lfmm2.genotypes.source import GenotypeSource
from lfmm2.testing import check_genotype_matrix, check_genotype_source

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def dosages(n_samples: int = 30, n_snps: int = 1300, seed: int = 0) -> Floats:
    """Dosages (n_samples, n_snps) with missing ones, a constant SNP, one without any call, and complete ones."""
    rng = np.random.default_rng(seed)
    dosage = rng.integers(0, 3, (n_samples, n_snps)).astype(float)
    dosage[rng.random(dosage.shape) < 0.05] = np.nan
    dosage[:, 5] = 1.0
    dosage[:, 6] = np.nan
    dosage[:, 100:200] = rng.integers(0, 3, (n_samples, 100))
    return dosage


@pytest.fixture(scope="module")
def bed(write_fileset: WriteFileset) -> BedFile:
    return write_fileset(dosages())


# --- what keeps the rules ---------------------------------------------------------------------------------------


def test_a_fileset_keeps_the_rules(bed: BedFile) -> None:
    check_genotype_source(bed)


def test_a_large_fileset_is_checked_in_parts(write_fileset: WriteFileset) -> None:
    check_genotype_source(write_fileset(dosages(61, 5000)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8])
def test_an_array_keeps_the_rules(dtype: type) -> None:
    values = dosages()
    check_genotype_source(
        ArraySource(np.nan_to_num(values).astype(dtype) if dtype is np.int8 else values.astype(dtype))
    )


@pytest.mark.parametrize("options", [{}, {"scale": "hwe"}, {"count_allele": "a1"}])
def test_matrices_of_a_fileset_keep_the_rules(bed: BedFile, engine: Engine, options: dict[str, str]) -> None:
    matrix = BedMatrix(bed, engine, **options)  # type: ignore[arg-type]
    dense = {"count_allele": 2 - dosages(), "": dosages()}.get(next(iter(options), ""))
    check_genotype_matrix(matrix, dense)


def test_matrices_of_arrays_keep_the_rules(engine: Engine) -> None:
    check_genotype_matrix(ArrayMatrix(dosages(), engine), dosages())
    check_genotype_matrix(ArrayMatrix(1e6 + dosages(20, 3000), engine))


def test_examples_run() -> None:
    failed, tried = doctest.testmod(testing)
    assert (failed, tried > 8) == (0, True)


# --- matrices that break a rule ---------------------------------------------------------------------------------


class Wrong(ArrayMatrix):
    """A matrix of which each test makes one thing wrong."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(dosages(), engine)


class Uncentred(Wrong):
    def cross_products(self, W: Floats, *args: Any, **options: Any) -> Iterator[CrossProducts]:
        for block in super().cross_products(W, *args, **options):
            mean = np.nan_to_num(block.mean)[:, None]
            decode: Callable[[Any], Floats] = lambda rows, block=block, mean=mean: block.decode(rows) + mean[rows]  # noqa: E731
            yield replace(block, decode=decode)


class WithoutTheLastBlock(Wrong):
    def gram_product(self, S: Floats, *args: Any, **options: Any) -> SegmentSums:
        return ArrayMatrix(self.numbers.values[:, :-20], self.engine).gram_product(S)  # type: ignore[union-attr]


class HalfOfTheGramMatrix(Wrong):
    def gram(self, *args: Any, **options: Any) -> Floats:
        return np.tril(super().gram(*args, **options))


class GapInTheBlocks(Wrong):
    def cross_products(self, W: Floats, *args: Any, **options: Any) -> Iterator[CrossProducts]:
        for block in super().cross_products(W, *args, **options):
            yield replace(block, first_snp=block.first_snp + 1)


class CountsEveryone(Wrong):
    def cross_products(self, W: Floats, *args: Any, **options: Any) -> Iterator[CrossProducts]:
        for block in super().cross_products(W, *args, **options):
            n_called = np.where(block.n_called > 0, self.n_samples, 0)
            yield replace(block, n_called=n_called, count_missing=None)


class CountsMissingValuesTwice(Wrong):
    def cross_products(self, W: Floats, *args: Any, **options: Any) -> Iterator[CrossProducts]:
        for block in super().cross_products(W, *args, **options):
            once = block.count_missing
            assert once is not None
            yield replace(block, count_missing=lambda rows, once=once: 2 * once(rows))


class CountsMissingValuesBySnp(Wrong):
    def cross_products(self, W: Floats, *args: Any, **options: Any) -> Iterator[CrossProducts]:
        for block in super().cross_products(W, *args, **options):
            yield replace(block, count_missing=lambda rows, block=block: self.n_samples - block.n_called[rows])


class DividesByTheWrongNumber(Wrong):
    def cross_products(self, W: Floats, *args: Any, **options: Any) -> Iterator[CrossProducts]:
        for block in super().cross_products(W, *args, **options):
            yield replace(block, sum_squares=block.sum_squares / self.n_samples)


class NewBitsEveryTime(Wrong):
    n_asked = 0

    def gram_product(self, S: Floats, *args: Any, **options: Any) -> SegmentSums:
        self.n_asked += 1
        right, wrong = super().gram_product(S, *args, **options), SegmentSums(1)
        wrong.add(0, right.total() * (1 + self.n_asked * 1e-13))
        return wrong


class SinglePrecision(Wrong):
    def cross_products(self, W: Floats, *args: Any, **options: Any) -> Iterator[CrossProducts]:
        for block in super().cross_products(W, *args, **options):
            yield replace(block, products=block.products.astype(np.float32))


class IgnoresTheFilling(Wrong):
    def cross_products(self, W: Floats, *args: Any, **options: Any) -> Iterator[CrossProducts]:
        plain = super().cross_products(W)
        for filled, block in zip(super().cross_products(W, *args, **options), plain, strict=True):
            yield replace(filled, products=block.products)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (Uncentred, "decode gives values that are not centred: their sum is not 0"),
        (WithoutTheLastBlock, r"gram_product\(S\) is off by"),
        (HalfOfTheGramMatrix, r"gram\(\) is off by"),
        (GapInTheBlocks, "a block that begins with SNP 1, but SNP 0 is the next"),
        (CountsEveryone, "n_called does not count the values that are there"),
        (CountsMissingValuesTwice, "count_missing counts other missing values by sample than n_called by SNP"),
        (CountsMissingValuesBySnp, r"count_missing\(rows\) has shape"),
        (DividesByTheWrongNumber, "sum_squares is off by"),
        (NewBitsEveryTime, "gram_product gives other bits the second time"),
        (SinglePrecision, r"products of a block has shape .* and type float32"),
        (IgnoresTheFilling, "products of cross_products with fill is off by"),
    ],
)
def test_a_matrix_that_breaks_a_rule_is_told_so(engine: Engine, wrong: type[Wrong], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_genotype_matrix(wrong(engine), dosages())


def test_a_matrix_of_other_values_is_told_so(engine: Engine) -> None:
    other = dosages()
    other[3, 40] = 2 - np.nan_to_num(other[3, 40])
    with pytest.raises(AssertionError, match=r"mean is off by|decode .* is off by|n_called does not count"):
        check_genotype_matrix(ArrayMatrix(dosages(), engine), other)


# --- sources that break a rule ----------------------------------------------------------------------------------


class Numbers(ArraySource):
    """A source with IDs, of which each test makes one thing wrong."""

    name = "the numbers"
    has_ids = True

    def __init__(self) -> None:
        super().__init__(dosages(10, 300))

    def iter_variants(self) -> Iterator[pa.Table]:
        for table in super().iter_variants():
            ids = pa.array([f"rs{name}" for name in table["ID"].to_pylist()])
            yield table.set_column(2, "ID", ids)

    def refusal(self, option: str) -> str:
        return "" if option in ("extract", "exclude", "est_extract") else super().refusal(option)


class LosesTheLastSnp(Numbers):
    def iter_variants(self) -> Iterator[pa.Table]:
        yield from (table.slice(0, len(table) - 1) for table in super().iter_variants())


class StreamsOnce(Numbers):
    def __init__(self) -> None:
        super().__init__()
        self._tables = super().iter_variants()

    def iter_variants(self) -> Iterator[pa.Table]:
        return self._tables


class PositionsAsText(Numbers):
    def iter_variants(self) -> Iterator[pa.Table]:
        for table in super().iter_variants():
            yield table.set_column(1, "POS", table["POS"].cast(pa.string()))


class FindsTheNextSnp(Numbers):
    def find(self, ids: Any) -> tuple[Ints, int]:
        found, n_absent = super().find(ids)
        return found + 1, n_absent


class FindsEverything(Numbers):
    def find(self, ids: Any) -> tuple[Ints, int]:
        return super().find(ids)[0], 0


class KeepsItsOwnOrderOfSamples(Numbers):
    def read(self, samples: Ints, snps: Ints) -> NDArray[Any]:
        return super().read(np.sort(samples), snps)

    def matrix(self, engine: Engine, samples: Ints, snps: Ints | None, **options: Any) -> ArrayMatrix:
        return super().matrix(engine, np.sort(samples), snps, **options)


class ReadsOtherSnps(Numbers):
    def matrix(self, engine: Engine, samples: Ints, snps: Ints | None, **options: Any) -> ArrayMatrix:
        return super().matrix(engine, samples, None if snps is None else np.arange(len(snps)), **options)


class IgnoresScale(Numbers):
    def matrix(self, engine: Engine, samples: Ints, snps: Ints | None, **options: Any) -> ArrayMatrix:
        return super().matrix(engine, samples, snps)


class RoundsWithItsThreads(Numbers):
    def matrix(self, engine: Engine, samples: Ints, snps: Ints | None, **options: Any) -> ArrayMatrix:
        matrix = super().matrix(engine, samples, snps, **options)
        gram = matrix.gram
        matrix.gram = lambda *args: gram(*args) * (1 + engine.n_threads * 1e-13)  # type: ignore[method-assign]
        return matrix


class HasANewIdentityEveryTime(Numbers):
    def identity(self) -> dict[str, Any]:
        return {"(numbers)": time.perf_counter_ns()}


class HasNoIdentity(Numbers):
    def identity(self) -> dict[str, Any]:
        return {}


class DescribesItselfByAnArray(Numbers):
    def describe(self) -> dict[str, Any]:
        return {"array": np.arange(2)}


class SharesAnId(Numbers):
    def __init__(self) -> None:
        super().__init__()
        self.samples = Samples(("0",) * 10, ("a", "a", *map(str, range(8))))


class CountsOneSampleMore(Numbers):
    def __init__(self) -> None:
        super().__init__()
        self.n_samples += 1


class TellsALowerPloidy(Numbers):
    ploidy = 1  # type: ignore[assignment]


class TellsNoNumberOfAlleles(Numbers):
    ploidy = 2.5  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (TellsALowerPloidy, "ploidy is 1, but values are outside of 0 to 1"),
        (TellsNoNumberOfAlleles, "ploidy is 2.5, no number of alleles"),
        (LosesTheLastSnp, "iter_variants gives 299 SNPs, but n_snps is 300"),
        (StreamsOnce, "each call begins anew"),
        (PositionsAsText, "iter_variants gives columns"),
        (FindsTheNextSnp, "find gives other positions"),
        (FindsEverything, "find says that 0 IDs are absent where 2 are"),
        (KeepsItsOwnOrderOfSamples, "n_called does not count|mean is off by|decode .* is off by"),
        (ReadsOtherSnps, "n_called does not count|mean is off by|decode .* is off by"),
        (IgnoresScale, r"scale does not apply to these genotypes, but matrix\(\) takes it without an error"),
        (RoundsWithItsThreads, "bits of gram change with the number of threads"),
        (HasANewIdentityEveryTime, r"identity\(\) says something else the second time"),
        (HasNoIdentity, r"identity\(\) is empty"),
        (DescribesItselfByAnArray, r"describe\(\) is not what JSON takes"),
        (SharesAnId, "two samples have the same FID and IID"),
        (CountsOneSampleMore, "samples holds 10 IDs, but n_samples is 11"),
    ],
)
def test_a_source_that_breaks_a_rule_is_told_so(wrong: Callable[[], GenotypeSource], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_genotype_source(wrong())


def test_the_numbers_from_which_wrong_sources_are_made_keep_the_rules() -> None:
    check_genotype_source(Numbers())


def test_what_is_no_source_is_told_so() -> None:
    with pytest.raises(AssertionError, match="int lacks members of GenotypeSource"):
        check_genotype_source(3)  # type: ignore[arg-type]


def test_wrong_calls_of_a_fileset_are_told(bed: BedFile, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = BedMatrix.call_rates
    monkeypatch.setattr(BedMatrix, "call_rates", lambda self: ((n + 1, mean) for n, mean in rates(self)))
    with pytest.raises(AssertionError, match="call_rates counts other calls"):
        check_genotype_source(bed)
    monkeypatch.undo()
    blocks = BedMatrix.packed_blocks

    def wrong_blocks(self: BedMatrix, label: str, work: Footprint) -> Iterator[tuple[int, Packed]]:
        for first, packed in blocks(self, label, work):
            yield first, packed if label == "filters" else ~packed

    monkeypatch.setattr(BedMatrix, "packed_blocks", wrong_blocks)
    with pytest.raises(AssertionError, match="packed_blocks gives other calls"):
        check_genotype_source(bed)
    monkeypatch.undo()
    make = BedFile.matrix
    monkeypatch.setattr(BedFile, "matrix", lambda *args, scale=None, count_allele="a2": make(*args))
    with pytest.raises(AssertionError, match="decode with scale='hwe' is off by"):
        check_genotype_source(bed)
