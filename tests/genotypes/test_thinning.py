"""Thinning by linkage: the rule in plain NumPy beside it, what it must not depend on, and plink2's list."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import WriteFileset
from numpy.typing import NDArray

import lfmm2
from lfmm2.errors import InconsistentInputError, InsufficientMemoryError, UsageError
from lfmm2.genotypes import thinning
from lfmm2.genotypes.array_source import ArraySource
from lfmm2.genotypes.engine import Engine, Packed
from lfmm2.genotypes.plink import BedFile
from lfmm2.genotypes.plink_writer import encode_bed, write_plink
from lfmm2.genotypes.thinning import ThinOptions, parse_thinning, thin_snps, thinning_bytes
from lfmm2.kernels import _ld

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MEMORY = 1 << 28
# four samples a byte; 64 a word, in two halves of 32; eight words a register
SIZES = (*range(1, 10), *range(31, 34), *range(63, 67), *range(127, 130), *range(511, 514))
needs_plink2 = pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not installed")


# --- the rule -------------------------------------------------------------------------------------------------


def moments(dosage: Floats, snp: int, others: Sequence[int] | Ints) -> tuple[Ints, Ints, Ints]:
    """n² times covariance and variances of a SNP and others over the samples called in both, exact integers."""
    x, Y = dosage[:, snp, None], dosage[:, others]
    called = ~np.isnan(x) & ~np.isnan(Y)
    u = np.where(called, x, 0).astype(np.int64)
    V = np.where(called, Y, 0).astype(np.int64)
    n = called.sum(0)
    su, sv = u.sum(0), V.sum(0)
    return n * (u * V).sum(0) - su * sv, n * (u * u).sum(0) - su * su, n * (V * V).sum(0) - sv * sv


def minor_frequency(dosage: Floats, snp: int) -> Fraction:
    called = dosage[~np.isnan(dosage[:, snp]), snp]
    frequency = Fraction(int(called.sum()), 2 * len(called))
    return min(frequency, 1 - frequency)


def thinned(dosage: Floats, r2: str, starts: Sequence[int] | Ints) -> list[int]:
    """SNPs kept of dosage (n_samples, n_snps) with NaN, where SNP j is compared with those from starts[j] on."""
    threshold = Fraction(r2)
    kept: list[int] = []
    for j in range(dosage.shape[1]):
        called = dosage[~np.isnan(dosage[:, j]), j]
        if len(set(called.tolist())) < 2:
            continue
        before = [i for i in kept if i >= starts[j]]
        stays = True
        for i, *pair in zip(before, *(m.tolist() for m in moments(dosage, j, before)), strict=True):
            covariance, variance_j, variance_i = pair
            if covariance**2 > threshold * variance_i * variance_j:
                if minor_frequency(dosage, i) >= minor_frequency(dosage, j):
                    stays = False
                    break
                kept.remove(i)
        if stays:
            kept.append(j)
    return kept


def starts_of(n_snps: int, window: int, chromosomes: Sequence[str] = ()) -> Ints:
    """The first SNP in the window of each."""
    starts = np.maximum(np.arange(n_snps) + 1 - window, 0)
    for j in range(1, len(chromosomes)):
        if chromosomes[j] != chromosomes[j - 1]:
            starts[j:] = np.maximum(starts[j:], j)
    return starts


def linked(n_samples: int, n_snps: int, *, keep: float = 0.8, missing: float = 0.1, seed: int = 0) -> Floats:
    """Dosages (n_samples, n_snps), each SNP a copy of the one before it but for some samples; some do not vary."""
    rng = np.random.default_rng(seed)
    dosage = rng.binomial(2, rng.uniform(0, 1, n_snps), (n_samples, n_snps)).astype(float)
    for j in range(1, n_snps):
        # blocks of linkage of 20, and stretches without
        if j % 20 and j // 100 % 3 != 2:
            copied = rng.random(n_samples) < keep
            dosage[copied, j] = dosage[copied, j - 1]
    dosage[rng.random(dosage.shape) < missing] = np.nan
    for snp, value in enumerate((np.nan, 0.0, 1.0, 2.0)):
        dosage[:, 7 * snp + 3 : 7 * snp + 4] = value
    return dosage


def pack(dosage: Floats) -> Packed:
    return encode_bed(np.where(np.isnan(dosage), -1, dosage).astype(np.int8).T)


def thin_packed(
    packed: Packed,
    n_samples: int,
    r2: str,
    starts: Ints,
    *,
    cuts: Sequence[int] = (),
    n_threads: int = 1,
    n_rows: int | None = None,
) -> list[int]:
    """What the kernel keeps, called for each piece between the cuts."""
    n_rows = 2 * len(packed) if n_rows is None else n_rows
    planes = np.full((n_rows, _ld.plane_words(n_samples)), 0xDEAD, np.uint64)
    sums = np.full((n_rows, 3), -7)
    kept = np.full(n_rows, -7)
    hits = np.full(_ld.hit_words(n_rows), 0xFFFF, np.uint64)
    stop = 0
    found: list[int] = []
    for low, high in pairwise([0, *cuts, len(packed)]):
        first = int(np.searchsorted(kept[:stop], starts[low])) if high > low else 0
        found += kept[:first].tolist()
        stop = _ld.thin_block(
            packed[low:high], n_samples, float(r2) * thinning.THRESHOLD_MARGIN, low, starts[low:high], planes, sums,
            kept, hits, first, stop, n_threads,
        )  # fmt: skip
    return found + kept[:stop].tolist()


def thin(
    bed: BedFile,
    text: str,
    *,
    samples: Ints | None = None,
    chosen: Ints | None = None,
    n_threads: int = 1,
    memory: int = MEMORY,
) -> list[int]:
    samples = np.arange(bed.n_samples) if samples is None else samples
    return thin_snps(bed, Engine(n_threads, memory), samples, chosen, parse_thinning(text)).tolist()


# --- kernel ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=_ld.COUNTERS)
def counter(request: pytest.FixtureRequest) -> Iterator[str]:
    if _ld.use_counter(request.param) != request.param:
        pytest.skip(f"this processor has no {request.param}")
    yield request.param
    _ld.use_counter(_ld.COUNTER)


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("n_samples", SIZES)
def test_kernel_follows_the_rule(n_samples: int, missing: float, counter: str) -> None:
    dosage = linked(n_samples, 150, missing=missing, seed=n_samples)
    starts = starts_of(150, 30)
    for r2 in ("0", "0.2", "0.8"):
        assert thin_packed(pack(dosage), n_samples, r2, starts) == thinned(dosage, r2, starts)


@pytest.mark.parametrize("missing", [0.0, 0.02])
def test_kernel_follows_the_rule_over_many_words(missing: float, counter: str) -> None:
    # longer than the 24 words that the narrowest counter adds up by bytes
    dosage = linked(3001, 70, missing=missing, keep=0.5)
    starts = starts_of(70, 25)
    assert thin_packed(pack(dosage), 3001, "0.1", starts) == thinned(dosage, "0.1", starts)


@pytest.mark.parametrize("seed", range(12))
def test_kernel_follows_the_rule_in_long_windows(seed: int) -> None:
    # several batches with SNPs of like frequency, where those that drop others are dropped in turn
    dosage = linked(40, 400, keep=0.93, missing=0.03, seed=seed)
    starts = starts_of(400, 150)
    assert thin_packed(pack(dosage), 40, "0.3", starts) == thinned(dosage, "0.3", starts)


def test_snps_without_variation_are_dropped() -> None:
    for value in (np.nan, 0.0, 1.0, 2.0):
        dosage = np.full((70, 3), value)
        dosage[::5, 0] = np.nan
        assert thin_packed(pack(dosage), 70, "0.5", np.zeros(3, np.int64)) == []


def test_pairs_without_variance_in_common_are_kept() -> None:
    dosage = np.array([[0, 1, np.nan, np.nan], [np.nan, np.nan, 0, 1.0], [0, 0, 0, 2], [1, 1, 2, 0]]).T
    assert thin_packed(pack(dosage[:, :2]), 4, "0", np.zeros(2, np.int64)) == [0, 1]
    # the last two share four samples and are correlated
    assert thin_packed(pack(dosage[:, 2:]), 4, "0", np.zeros(2, np.int64)) == [1]


@pytest.mark.parametrize(
    ("r2", "table", "times"),
    [
        ("0.1", [[1, 1, 3], [4, 2, 4], [3, 1, 1]], 1),
        ("0.2", [[0, 1, 3], [3, 8, 1], [2, 1, 1]], 50),
        ("0.3", [[0, 2, 4], [2, 6, 0], [3, 2, 1]], 1),
        # without a margin it would be above 0.35, which is smaller in binary
        ("0.35", [[0, 0, 5], [5, 3, 2], [2, 3, 0]], 9),
    ],
)
def test_r2_equal_to_the_threshold_is_kept(r2: str, table: list[list[int]], times: int) -> None:
    counts = np.array(table) * times
    dosage = np.stack([np.repeat(values, counts.ravel()) for values in np.indices((3, 3)).reshape(2, 9)], axis=1)
    covariance, variance, others = (int(m[0]) for m in moments(dosage.astype(float), 0, [1]))
    assert covariance**2 == Fraction(r2) * variance * others
    packed, starts = encode_bed(dosage.T.astype(np.int8)), np.zeros(2, np.int64)
    assert thin_packed(packed, 20 * times, r2, starts) == [0, 1]
    assert len(thin_packed(packed, 20 * times, repr(float(r2) * (1 - 1e-12)), starts)) == 1


def test_dirty_pad_bits_are_ignored() -> None:
    for n_samples in (1, 2, 3, 5, 33, 63, 65, 127, 129):
        dosage = linked(n_samples, 80, missing=0.0)
        packed = pack(dosage)
        dirty = packed.copy()
        if n_samples % 4:
            dirty[::2, -1] |= np.uint8(0xFF << 2 * (n_samples % 4) & 0xFF)
            dirty[1::2, -1] |= np.uint8(0x55 << 2 * (n_samples % 4) & 0xFF)
        starts = starts_of(80, 20)
        assert thin_packed(dirty, n_samples, "0.2", starts) == thin_packed(packed, n_samples, "0.2", starts)


def test_kernel_does_not_depend_on_cuts() -> None:
    dosage = linked(90, 300)
    packed = pack(dosage)
    packed.flags.writeable = False
    starts = starts_of(300, 40)
    expected = thinned(dosage, "0.2", starts)
    rng = np.random.default_rng(0)
    for n_cuts in (0, 1, 5, 60):
        cuts = np.sort(rng.integers(0, 301, n_cuts)).tolist()
        assert thin_packed(packed, 90, "0.2", starts, cuts=cuts) == expected
    assert thin_packed(packed, 90, "0.2", starts, cuts=range(1, 300), n_rows=41) == expected


@pytest.mark.parametrize("missing", [0.0, 0.01])
def test_kernel_does_not_depend_on_threads(missing: float) -> None:
    # enough words for the threads to meet
    dosage = linked(30_000, 300, keep=0.6, missing=missing)
    packed = pack(dosage)
    starts = starts_of(300, 200)
    expected = thin_packed(packed, 30_000, "0.01", starts)
    assert 64 < len(expected) < 250
    for n_threads in (2, 3, 7):
        assert thin_packed(packed, 30_000, "0.01", starts, n_threads=n_threads) == expected


def test_kernel_takes_no_snps() -> None:
    assert thin_packed(np.empty((0, 3), np.uint8), 9, "0.2", np.empty(0, np.int64)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_threads": 0}, "n_threads is 0"),
        ({"n_samples": 13}, "packed rows of 3 bytes"),
        ({"n_samples": 0}, "packed rows of 3 bytes"),
        ({"planes": np.zeros((8, 23), np.uint64)}, "must have 24 and 3 columns"),
        ({"sums": np.zeros((8, 2), np.int64)}, "must have 24 and 3 columns"),
        ({"sums": np.zeros((7, 3), np.int64)}, "same number of rows"),
        ({"kept": np.zeros(7, np.int64)}, "same number of rows"),
        ({"window_start": np.zeros(3, np.int64)}, "window_start has 3 values for 4 SNPs"),
        ({"hits": np.zeros(63, np.uint64)}, "hits has 63 words; 64 are needed"),
        ({"first_row": 0, "stop_row": 5}, "8 rows do not hold 5 kept SNPs and 4 of a block"),
        ({"first_row": 8, "stop_row": 9}, "8 rows do not hold"),
        ({"first_row": 2, "stop_row": 1}, "8 rows do not hold"),
        ({"first_row": -1, "stop_row": 0}, "8 rows do not hold"),
    ],
)
def test_kernel_refuses_arrays_that_do_not_fit(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "packed": np.zeros((4, 3), np.uint8),
        "n_samples": 12,
        "r2": 0.2,
        "first_snp": 0,
        "window_start": np.zeros(4, np.int64),
        "planes": np.zeros((8, 24), np.uint64),
        "sums": np.zeros((8, 3), np.int64),
        "kept": np.zeros(8, np.int64),
        "hits": np.zeros(64, np.uint64),
        "first_row": 0,
        "stop_row": 0,
    }
    assert _ld.thin_block(**arguments) == 0  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        _ld.thin_block(**(arguments | change))  # type: ignore[arg-type]


def test_unknown_counter_is_refused() -> None:
    with pytest.raises(ValueError, match="'sse' is not one of baseline, avx2, avx512"):
        _ld.use_counter("sse")
    assert _ld.use_counter("baseline") == "baseline"
    assert _ld.use_counter(_ld.COUNTER) == _ld.COUNTER


# --- files ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dosage() -> Floats:
    return linked(61, 900, missing=0.05)


@pytest.fixture(scope="module")
def bed(dosage: Floats, write_fileset: WriteFileset) -> BedFile:
    return write_fileset(dosage)


@pytest.mark.parametrize("window", [2, 3, 50, 255, 256, 257, 899, 900, 10**15])
def test_window_is_so_many_snps_in_a_row(bed: BedFile, dosage: Floats, window: int) -> None:
    assert thin(bed, f"r2=0.2,window={window}") == thinned(dosage, "0.2", starts_of(900, min(window, 900)))


def test_no_pair_above_the_threshold_is_left(bed: BedFile, dosage: Floats) -> None:
    kept = thin(bed, "r2=0.2,window=100")
    assert 100 < len(kept) < 800
    assert_thin(dosage, kept, 100)


def assert_thin(dosage: Floats, kept: Sequence[int] | Ints, window: int, r2: str = "0.2") -> None:
    """All kept SNPs vary, and no two of `window` SNPs in a row have a larger r²."""
    kept = np.asarray(kept)
    for row, j in enumerate(kept.tolist()):
        covariance, variance_j, variance_i = moments(dosage, j, kept[max(0, row - window) : row])
        near = kept[max(0, row - window) : row] > j - window
        above = covariance.astype(float) ** 2 > float(r2) * (1 + 1e-12) * variance_i.astype(float) * variance_j
        assert not (above & near).any()
        assert np.nanvar(dosage[:, j]) > 0


def test_samples_are_those_of_a_smaller_file(bed: BedFile, dosage: Floats, write_fileset: WriteFileset) -> None:
    samples = np.random.default_rng(2).permutation(61)[:37]
    smaller = write_fileset(dosage[samples])
    assert thin(bed, "r2=0.3,window=60", samples=samples) == thin(smaller, "r2=0.3,window=60")


def test_chosen_snps_are_those_of_a_smaller_file(dosage: Floats, write_fileset: WriteFileset, tmp_path: Path) -> None:
    chosen = np.flatnonzero(np.random.default_rng(3).random(900) < 0.7)
    names = np.repeat(["1", "2", "X", "scaffold_9"], [200, 300, 57, 343])
    positions = np.arange(900) * 70
    for window in ("60", "5kb"):
        with (
            BedFile(write_plink(tmp_path / f"all{window}", dosage.T, chromosomes=names, positions=positions)) as a,
            BedFile(
                write_plink(
                    tmp_path / f"few{window}", dosage.T[chosen], chromosomes=names[chosen], positions=positions[chosen]
                )
            ) as b,
        ):
            expected = chosen[thin(b, f"r2=0.2,window={window}")].tolist()
            assert thin(a, f"r2=0.2,window={window}", chosen=chosen) == expected


@pytest.mark.parametrize("memory", [1 << 21, 1 << 23, 1 << 30])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_list_does_not_depend_on_threads_and_memory(
    bed: BedFile, dosage: Floats, n_threads: int, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfmm2.genotypes.engine.BLOCK_BYTES", memory >> 6)
    expected = thinned(dosage, "0.2", starts_of(900, 150))
    assert thin(bed, "window=150,r2=0.2", n_threads=n_threads, memory=memory) == expected


@pytest.mark.filterwarnings("ignore:.*is not sorted")
def test_windows_end_with_the_chromosome(dosage: Floats, tmp_path: Path) -> None:
    # boundaries at the cuts of calls, beside them, and inside; one chromosome of a single SNP; one that comes again
    lengths = [256, 1, 255, 130, 3, 255]
    names = np.repeat(["1", "2", "Chr3", "1", "B", "C"], lengths).tolist()
    with BedFile(write_plink(tmp_path / "d", dosage.T, chromosomes=names)) as bed:
        kept = thin(bed, "r2=0.2,window=100")
        long = thin(bed, "r2=0.2,window=100000")
    assert kept == thinned(dosage, "0.2", starts_of(900, 100, names))
    assert long == thinned(dosage, "0.2", starts_of(900, 900, names))
    assert kept != thinned(dosage, "0.2", starts_of(900, 100))


@pytest.mark.filterwarnings("ignore:.*is not sorted")
def test_window_in_kilobases(dosage: Floats, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    names = np.repeat(["1", "2", "3"], [400, 40, 460]).tolist()
    # the same position may repeat; distances of exactly the window occur
    positions = np.concatenate([np.sort(rng.integers(1, 60, size) * 1000) for size in (400, 40, 460)])
    starts = [
        next(i for i in range(j + 1) if names[i] == names[j] and positions[j] - positions[i] <= 5000)
        for j in range(900)
    ]
    with BedFile(write_plink(tmp_path / "d", dosage.T, chromosomes=names, positions=positions)) as bed:
        assert thin(bed, "r2=0.2,window=5kb") == thinned(dosage, "0.2", starts)
        assert thin(bed, "r2=0.2,window=100kb") == thinned(dosage, "0.2", starts_of(900, 900, names))


@pytest.mark.filterwarnings("ignore:.*is not sorted")
@pytest.mark.parametrize("row", [10, 256, 600])
def test_kilobases_need_sorted_positions(dosage: Floats, tmp_path: Path, row: int) -> None:
    positions = np.arange(1, 901) * 10
    positions[row] -= 11
    with BedFile(write_plink(tmp_path / "d", dosage.T, positions=positions)) as bed:
        with pytest.raises(InconsistentInputError, match=f"position {row * 10 - 1} after {row * 10} on chromosome 1"):
            thin(bed, "r2=0.2,window=5kb")
        assert thin(bed, "r2=0.2,window=50")


def test_window_starts_are_found_by_streaming(dosage: Floats, tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    names = np.repeat(["1", "2", "3"], [330, 3, 567])
    positions = np.concatenate([np.sort(rng.integers(1, 90_000, size)) for size in (330, 3, 567)])
    near = (names == names[:, None]) & (np.abs(positions - positions[:, None]) <= 12_000)
    with BedFile(write_plink(tmp_path / "d", dosage.T, chromosomes=names, positions=positions)) as bed:
        parts = list(thinning.window_starts(bed, None, ThinOptions(0.2, 12, "kb")))
    assert [len(part) for part in parts] == [256, 256, 256, 132]
    assert np.concatenate(parts).tolist() == near.argmax(axis=0).tolist()


def test_bim_is_streamed_beside_the_blocks(bed: BedFile, dosage: Floats, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [bed.variants().slice(first, 7) for first in range(0, 900, 7)]
    monkeypatch.setattr(bed, "_held", tables)
    assert thin(bed, "r2=0.2,window=90") == thinned(dosage, "0.2", starts_of(900, 90))


def test_one_pass_is_recorded(bed: BedFile) -> None:
    engine = Engine(1, MEMORY)
    thin_snps(bed, engine, np.arange(61), None, ThinOptions(0.2, 50))
    assert [(done.label, done.n_snps, done.n_bytes) for done in engine.passes] == [("LD thinning", 900, 900 * 16)]


def test_long_windows_take_what_is_kept_of_them(bed: BedFile, dosage: Floats, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thinning, "CALL_SNPS", 32)
    monkeypatch.setattr("lfmm2.genotypes.bed_matrix.GRAM_PANEL_SNPS", 64)
    expected = thinned(dosage, "0.2", starts_of(900, 900))
    n_rows = len(expected) + 40
    memory = 2 * n_rows * thinning.kept_row_bytes(61)
    assert thinning_bytes(61, 900, ThinOptions(0.2, 900), memory) == memory // 2
    assert thinning_bytes(61, 900, ThinOptions(0.2, 900, "kb"), memory) == memory // 2
    assert thin(bed, "r2=0.2,window=900", memory=memory) == expected
    with pytest.raises(InsufficientMemoryError, match=r"a window holds \d+ kept SNPs and needs 0\.1 MiB"):
        thin(bed, "r2=0.9,window=900", memory=memory)


def test_memory_of_a_window_is_as_stated(dosage: Floats) -> None:
    n_bytes = thinning_bytes(61, 900, ThinOptions(0.2, 100), MEMORY)
    assert n_bytes == 356 * thinning.kept_row_bytes(61)
    assert thinning_bytes(61, 90, ThinOptions(0.2, 100), MEMORY) == 346 * thinning.kept_row_bytes(61)
    assert thinning_bytes(61, 900, ThinOptions(0.2, 100, "kb"), MEMORY) == 1156 * thinning.kept_row_bytes(61)
    window = thinning._KeptSnps(61, 0.2, n_bytes, 1)
    held = sum(array.nbytes for array in (window._planes, window._sums, window._kept, window._hits))
    # marks are counted per row, and come in words for 64 rows
    assert len(window._kept) == 356
    assert n_bytes <= held <= n_bytes + 64 * 8


def test_no_snp_that_varies_is_an_error(write_fileset: WriteFileset) -> None:
    with pytest.raises(InconsistentInputError, match="none of 5 SNPs varies among 9 samples"):
        thin(write_fileset(np.ones((9, 5))), "r2=0.2,window=10")


def test_arrays_are_refused() -> None:
    with pytest.raises(UsageError, match=r"est_thin applies to a \.bed"):
        thin_snps(ArraySource(np.zeros((3, 4))), Engine(1, MEMORY), np.arange(3), None, ThinOptions(0.2, 50))


def test_ids_of_kept_snps(bed: BedFile) -> None:
    ids = [name for part in thinning.kept_ids(bed, np.array([0, 4, 899])) for name in part.to_pylist()]
    assert ids == ["snp0000001", "snp0000005", "snp0000900"]


# --- options --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("r2=0.2,window=200", ThinOptions(0.2, 200)),
        ("window=500kb,r2=1e-3", ThinOptions(0.001, 500, "kb")),
        (" r2 = 0 , window = 1 kb ", ThinOptions(0.0, 1, "kb")),
        ("window=2,r2=.5", ThinOptions(0.5, 2)),
    ],
)
def test_options_are_read(text: str, options: ThinOptions) -> None:
    assert parse_thinning(text) == options
    assert parse_thinning(f"r2={options.r2!r},window={options.window_text}") == options


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is neither r2= nor window="),
        ("0.2", "'0.2' is neither r2= nor window="),
        ("r2=0.2", "window is absent"),
        ("window=200", "r2 is absent"),
        ("r2=0.2,window=200,step=5", "'step=5' is neither r2= nor window="),
        ("r2=0.2,r2=0.3,window=5", "r2 is given twice"),
        ("r2=x,window=5", "r2 is 'x', no number"),
        ("r2=0.2,window=5.5", "window is '5.5'"),
        ("r2=0.2,window=-5", "window is '-5'"),
        ("r2=0.2,window=", "window is ''"),
        ("r2=0.2,window=kb", "window is 'kb'"),
        ("r2=0.2,window=5mb", "window is '5mb'"),
        ("r2=0.2,window=5KB", "window is '5KB'"),
        ("r2=0.2,window=²", "window is '²'"),
        ("r2=1,window=5", "r2 is 1.0; the largest r²"),
        ("r2=-0.1,window=5", "r2 is -0.1; the largest r²"),
        ("r2=nan,window=5", "r2 is nan; the largest r²"),
        ("r2=0.2,window=1", "window is 1 SNPs; give a whole number from 2"),
        ("r2=0.2,window=0kb", "window is 0 kb; give a whole number from 1"),
        ("r2=0.2,window=" + "9" * 30, "give a whole number from 2 to 10¹⁵"),
    ],
)
def test_bad_options_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_thinning(text)
    assert message in str(caught.value)
    assert f"--est-thin {text!r}" in str(caught.value)


@pytest.mark.parametrize("values", [(True, 5), ("0.2", 5), (0.2, 5.0), (0.2, True), (0.2, 5, "bp")])
def test_bad_values_are_refused(values: tuple[object, ...]) -> None:
    with pytest.raises(UsageError, match=r"is (True|'0.2'|5.0|'bp')"):
        ThinOptions(*values)  # type: ignore[arg-type]


# --- plink2 ---------------------------------------------------------------------------------------------------


def plink2_list(prefix: Path, window: str, r2: str) -> list[int]:
    """Positions of the SNPs in plink2's prune.in."""
    command = ["plink2", "--bfile", prefix, "--indep-pairwise", *window.split(), r2, "--threads", "1", "--out", prefix]
    subprocess.run(command, check=True, capture_output=True)
    kept = set(prefix.with_suffix(".prune.in").read_text().split())
    ids = [line.split()[1] for line in prefix.with_suffix(".bim").read_text().splitlines()]
    return [row for row, name in enumerate(ids) if name in kept]


def simulated_with_linkage(prefix: Path, keep: float, missing: float) -> Floats:
    """Simulated genotypes in populations, of which each SNP has copies of the one before it in some samples."""
    data = lfmm2.simulate(prefix.with_name("s"), n_samples=200, n_snps=4000, n_chromosomes=4, missing_rate=0.0, seed=3)
    with lfmm2.open_bed(data.bed) as bed:
        codes = np.empty((4000, 50), np.uint8)
        bed.read_packed(0, codes)
        variants = bed.variants()
    dosage = np.array([0, np.nan, 1, 2])[codes[:, :, None] >> np.array([0, 2, 4, 6], np.uint8) & 3].reshape(4000, 200)
    rng = np.random.default_rng(5)
    for j in range(1, 4000):
        copied = rng.random(200) < keep * rng.random()
        dosage[j, copied] = dosage[j - 1, copied]
    dosage[rng.random(dosage.shape) < missing] = np.nan
    chromosomes, positions = variants["CHROM"].to_pylist(), variants["POS"].to_pylist()
    write_plink(prefix, dosage, chromosomes=chromosomes, positions=positions)
    return dosage.T


@needs_plink2
@pytest.mark.parametrize("missing", [0.0, 0.05])
@pytest.mark.parametrize(("r2", "keep"), [("0.2", 0.99), ("0.1", 0.9), ("0.5", 1.0)])
def test_list_is_plink2s_but_for_the_first_windows(tmp_path: Path, r2: str, keep: float, missing: float) -> None:
    dosage = simulated_with_linkage(tmp_path / "d", keep, missing)
    theirs = plink2_list(tmp_path / "d", "50 1", r2)
    with lfmm2.open_bed(tmp_path / "d") as bed:
        ours = thin(bed, f"r2={r2},window=50")
    assert 0.1 < len(theirs) / 4000 < 0.9
    assert abs(len(ours) / len(theirs) - 1) < 0.01
    # four chromosomes of 1000: beyond their first windows the lists are the same
    within = np.arange(4000) % 1000 >= 150
    assert (
        np.intersect1d(ours, np.flatnonzero(within)).tolist() == np.intersect1d(theirs, np.flatnonzero(within)).tolist()
    )
    for kept in (ours, theirs):
        for first in range(0, 4000, 1000):
            here = [snp for snp in kept if first <= snp < first + 1000]
            assert_thin(dosage, here, 50, r2)


@needs_plink2
def test_plink2_finds_no_pair_in_the_list(tmp_path: Path) -> None:
    dosage = simulated_with_linkage(tmp_path / "d", 0.99, 0.05)
    with lfmm2.open_bed(tmp_path / "d") as bed:
        kept = thin(bed, "r2=0.2,window=50")
    # blanked, the others stand in the window but do not vary
    blank = np.setdiff1d(np.arange(4000), kept)
    dosage[:, blank] = 0
    chromosomes = np.repeat(np.arange(1, 5), 1000)
    write_plink(tmp_path / "k", dosage.T, chromosomes=chromosomes.tolist())
    assert plink2_list(tmp_path / "k", "50 1", "0.2") == kept


@needs_plink2
def test_count_in_kilobases_is_plink2s(tmp_path: Path) -> None:
    simulated_with_linkage(tmp_path / "d", 0.99, 0.02)
    with lfmm2.open_bed(tmp_path / "d") as bed:
        span = int(np.median(np.abs(np.diff(bed.variants()["POS"].to_numpy())))) * 30 // 1000
        ours = thin(bed, f"r2=0.2,window={span}kb")
    theirs = plink2_list(tmp_path / "d", f"{span}kb", "0.2")
    assert abs(len(ours) / len(theirs) - 1) < 0.01
    assert len(np.intersect1d(ours, theirs)) > 0.98 * len(theirs)
