"""Simulated filesets: format, model, reproducibility, and what is left behind on failure."""

from __future__ import annotations

import doctest
import errno
import os
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from plain_bed import read_dosages
from reference import centred, inflation, least_squares
from scipy import stats

from lfmm2.errors import OutputExistsError, UsageError, WriteError
from lfmm2.simulation import Simulation, simulate

SUFFIXES = (".bed", ".bim", ".fam", ".env.csv", ".truth.tsv")


def read_table(path: Path, separator: str | None = "\t") -> list[list[str]]:
    return [line.split(separator) for line in path.read_text().splitlines()]


def read_set(prefix: Path) -> list[bytes]:
    return [Path(f"{prefix}{suffix}").read_bytes() for suffix in SUFFIXES]


def t_statistics(dosages: NDArray[Any], predictors: NDArray[Any]) -> NDArray[Any]:
    """t of every predictor at every SNP, by least squares with a mean."""
    n, d = predictors.shape
    return least_squares(centred(dosages.T), predictors - predictors.mean(axis=0), d, n - d - 1)[2]


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    """Default settings but for fewer SNPs."""
    return simulate(tmp_path_factory.mktemp("default") / "demo", n_snps=10_000)


@pytest.fixture(scope="module")
def dosages(default: Simulation) -> NDArray[np.float64]:
    return read_dosages(default.bed, 500)


# simulate: files


def test_simulate_writes_five_whole_files(default: Simulation) -> None:
    folder = default.bed.parent
    names = [f"demo{suffix}" for suffix in (*SUFFIXES, ".lfmm2-simulate.json")]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    paths = (default.bed, default.bim, default.fam, default.env, default.truth)
    assert paths == tuple(folder / f"demo{suffix}" for suffix in SUFFIXES)
    assert default.bed.stat().st_size == 3 + 10_000 * 125


def test_simulate_appends_extensions_to_a_prefix_with_dots(tmp_path: Path) -> None:
    data = simulate(str(tmp_path / "data.chr1"), 20, 10, 1, n_causal=1)
    assert data.bim.name == "data.chr1.bim"


def test_simulate_bim_is_in_genome_order(default: Simulation) -> None:
    rows = read_table(default.bim)
    assert [row[1] for row in rows] == [f"snp{i:07d}" for i in range(1, 10_001)]
    chromosomes = np.array([int(row[0]) for row in rows])
    np.testing.assert_array_equal(chromosomes, np.repeat([1, 2, 3, 4, 5], 2000))
    positions = np.array([int(row[3]) for row in rows])
    assert positions.min() >= 1
    assert positions[::2000].max() <= 1000
    assert np.all(np.diff(positions)[np.diff(chromosomes) == 0] > 0)
    assert {row[2] for row in rows} == {"0"}


def test_simulate_alleles_are_random_distinct_nucleotides(default: Simulation) -> None:
    pairs = [(row[4], row[5]) for row in read_table(default.bim)]
    expected = {(a1, a2) for a1 in "ACGT" for a2 in "ACGT" if a1 != a2}
    assert set(pairs) == expected
    assert min(pairs.count(pair) for pair in expected) > 10_000 / 12 - 150


def test_simulate_positions_fit_plink_for_any_number_of_snps(tmp_path: Path) -> None:
    from lfmm2.files import LAST_POSITION
    from lfmm2.simulation import SNPS_PER_CHUNK, _Genome

    n_snps = 10**9
    genome = _Genome(
        ancestry=np.ones((1, 2), dtype=np.float32),
        gradients=np.zeros((2, 1)),
        selection={},
        n_snps=n_snps,
        n_chromosomes=1,
        fst=0.1,
        missing_rate=0,
        monomorphic_rate=0,
        seed=0,
    )
    last = genome.draw_loci((n_snps - 1) // SNPS_PER_CHUNK)
    assert last.first + len(last.positions) == n_snps
    assert LAST_POSITION // 2 < last.positions[-1] <= LAST_POSITION


def test_simulate_fam_names_samples_and_populations(default: Simulation) -> None:
    rows = read_table(default.fam)
    assert [row[1] for row in rows] == [f"s{i:04d}" for i in range(1, 501)]
    assert [row[0] for row in rows] == [f"pop{k}" for k in (1, 2, 3, 4) for _ in range(125)]
    assert {tuple(row[2:]) for row in rows} == {("0", "0", "0", "-9")}


def test_simulate_env_reads_back_bit_for_bit(default: Simulation) -> None:
    header, *rows = read_table(default.env, ",")
    assert header == ["IID", "env1", "env2"]
    assert [row[0] for row in rows] == [f"s{i:04d}" for i in range(1, 501)]
    values = np.array([[float(cell) for cell in row[1:]] for row in rows])
    np.testing.assert_array_equal(values, default.variables)


def test_simulate_truth_agrees_with_the_result_and_the_bim(default: Simulation) -> None:
    header, *rows = read_table(default.truth)
    assert header == ["variable", "ID", "index", "CHROM", "POS", "effect"]
    bim = read_table(default.bim)
    expected = [
        [f"env{j + 1}", bim[snp][1], str(snp), bim[snp][0], bim[snp][3], repr(effect)]
        for j in range(2)
        for snp, effect in zip(default.causal[j].tolist(), default.effects[j].tolist(), strict=True)
    ]
    assert rows == expected


def test_simulate_causal_snps_are_distinct_and_sorted(default: Simulation) -> None:
    assert [len(snps) for snps in default.causal] == [20, 20]
    assert all(snps.dtype == np.int64 and np.all(np.diff(snps) > 0) for snps in default.causal)
    assert len(np.unique(np.concatenate(default.causal))) == 40


# simulate: reproducibility


def test_simulate_is_determined_by_its_seed(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        simulate(tmp_path / name, 33, 1500, seed=seed)
    first, again, other = (read_set(tmp_path / name) for name in "abc")
    assert first == again
    same = [suffix for suffix, x, y in zip(SUFFIXES, first, other, strict=True) if x == y]
    assert same == [".fam"]  # which holds nothing random


def test_simulate_block_size_agnosticism(tmp_path: Path) -> None:
    def files(block_size: int | None) -> list[bytes]:
        simulate(tmp_path / "x", 33, 2500, block_size=block_size, monomorphic_rate=0.1, overwrite=True)
        return read_set(tmp_path / "x")

    expected = files(None)
    for block_size in (1, 7, 1000, 1024, 10**6):
        assert files(block_size) == expected


def test_simulate_chunks_have_their_own_streams(tmp_path: Path) -> None:
    dosages = read_dosages(simulate(tmp_path / "x", 50, 3072, missing_rate=0).bed, 50)
    chunks = dosages.reshape(3, 1024, 50)
    assert np.mean(chunks[0] == chunks[1]) < 0.6
    assert np.mean(chunks[1] == chunks[2]) < 0.6


def test_simulate_effect_size_changes_causal_snps_only(tmp_path: Path) -> None:
    weak = simulate(tmp_path / "weak", 60, 1500, effect_size=0)
    strong = simulate(tmp_path / "strong", 60, 1500, effect_size=3)
    differs = np.any(np.nan_to_num(read_dosages(weak.bed, 60) - read_dosages(strong.bed, 60)) != 0, axis=1)
    np.testing.assert_array_equal(np.flatnonzero(differs), np.sort(np.concatenate(strong.causal)))


def test_simulate_memory_does_not_grow_with_snps(tmp_path: Path) -> None:
    def peak(n_snps: int) -> int:
        tracemalloc.start()
        simulate(tmp_path / "x", 200, n_snps, n_causal=2, overwrite=True)
        bytes_held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return bytes_held

    peak(1024)
    small = peak(2048)
    assert peak(12_288) < small + 100_000  # 10 240 SNPs more are 512 000 bytes, packed


# simulate: the model


def test_simulate_genotypes_are_binomial_given_the_frequency(tmp_path: Path) -> None:
    bed = simulate(tmp_path / "x", 400, 4000, fst=0, n_causal=0, missing_rate=0).bed
    dosages = read_dosages(bed, 400)
    frequency = dosages.mean(axis=1) / 2
    heterozygosity = np.mean(dosages == 1, axis=1)
    expected = 2 * frequency * (1 - frequency) * 400 / 399.5
    # About 1.6e6 draws of standard deviation below ½: five standard errors.
    assert abs(np.mean(heterozygosity - expected)) < 5 * 0.5 / np.sqrt(1.6e6)


def test_simulate_ancestral_frequencies_are_uniform(tmp_path: Path) -> None:
    bed = simulate(tmp_path / "x", 1000, 3000, 1, fst=0, n_causal=0, missing_rate=0).bed
    frequency = read_dosages(bed, 1000).mean(axis=1) / 2
    quantiles = np.quantile(frequency, [0.1, 0.25, 0.5, 0.75, 0.9])
    np.testing.assert_allclose(quantiles, [0.14, 0.275, 0.5, 0.725, 0.86], atol=0.04)


@pytest.mark.parametrize("fst", [0.02, 0.1, 0.3])
def test_simulate_fst_is_that_asked_for(tmp_path: Path, fst: float) -> None:
    bed = simulate(tmp_path / "x", 200, 4000, 1, n_populations=2, fst=fst, admixture=0, n_causal=0, missing_rate=0).bed
    p, q = read_dosages(bed, 200).reshape(-1, 2, 100).mean(axis=2).T / 2
    # Hudson's estimator, as a ratio of sums (Bhatia et al. 2013, Eq. 10); 200 alleles per population.
    numerator = (p - q) ** 2 - p * (1 - p) / 199 - q * (1 - q) / 199
    assert np.sum(numerator) / np.sum(p * (1 - q) + q * (1 - p)) == pytest.approx(fst, rel=0.1)


def test_simulate_high_fst_fixes_populations(tmp_path: Path) -> None:
    bed = simulate(tmp_path / "x", 40, 2000, 1, fst=0.99, admixture=0, n_causal=0, missing_rate=0).bed
    totals = read_dosages(bed, 40).reshape(-1, 4, 10).sum(axis=2)
    assert np.mean((totals == 0) | (totals == 20)) > 0.95


def test_simulate_admixture_runs_from_none_to_complete(tmp_path: Path) -> None:
    def ancestry(name: str, admixture: float) -> NDArray[np.float64]:
        return simulate(tmp_path / name, 80, 10, 1, n_causal=0, admixture=admixture).ancestry

    np.testing.assert_array_equal(ancestry("none", 0), np.repeat(np.eye(4), 20, axis=0))
    half = ancestry("half", 0.5)
    np.testing.assert_allclose(half.sum(axis=1), 1)
    np.testing.assert_array_equal(half.argmax(axis=1), np.repeat(range(4), 20))
    assert half[np.arange(80), np.repeat(range(4), 20)].mean() == pytest.approx(0.5 + 0.5 / 4, abs=0.05)
    assert ancestry("complete", 1)[:20].mean(axis=0) == pytest.approx(np.full(4, 0.25), abs=0.15)


@pytest.mark.parametrize("confounding", [0, 0.5, 0.9])
def test_simulate_confounding_is_the_multiple_correlation(tmp_path: Path, confounding: float) -> None:
    data = simulate(tmp_path / "x", 60, 10, 3, n_causal=1, confounding=confounding)
    x = data.variables - data.variables.mean(axis=0)
    fitted = data.ancestry @ np.linalg.lstsq(data.ancestry, x, rcond=None)[0]
    r2 = (fitted**2).sum(axis=0) / (x**2).sum(axis=0)
    np.testing.assert_allclose(r2, confounding**2, atol=1e-12)


def test_simulate_variables_have_units(tmp_path: Path) -> None:
    variables = simulate(tmp_path / "x", 60, 10, 5, n_causal=1).variables
    np.testing.assert_allclose(variables.mean(axis=0), [12, 900, 1500, 6.4, 12])
    np.testing.assert_allclose(variables.std(axis=0), [6, 220, 350, 0.7, 6])
    assert np.linalg.matrix_rank(variables - variables.mean(axis=0)) == 5


@pytest.mark.parametrize("missing_rate", [0, 0.001, 0.3, 1])
def test_simulate_missing_rate(tmp_path: Path, missing_rate: float) -> None:
    dosages = read_dosages(simulate(tmp_path / "x", 101, 2000, missing_rate=missing_rate).bed, 101)
    error = np.sqrt(missing_rate * (1 - missing_rate) / dosages.size)
    assert abs(np.isnan(dosages).mean() - missing_rate) <= 5 * error


def test_simulate_missing_calls_do_not_depend_on_the_genotype(tmp_path: Path) -> None:
    def mean(name: str, missing_rate: float) -> NDArray[np.float64]:
        bed = simulate(tmp_path / name, 500, 1000, n_causal=0, missing_rate=missing_rate).bed
        means: NDArray[np.float64] = np.nanmean(read_dosages(bed, 500), axis=1)
        return means

    difference = mean("many", 0.4) - mean("none", 0)
    # Per SNP at most sqrt(½) / sqrt(300) from 300 calls; the mean over 1000 SNPs to five standard errors.
    assert np.abs(difference).max() < 5 * np.sqrt(0.5 / 300)
    assert abs(difference.mean()) < 5 * np.sqrt(0.5 / 300 / 1000)


def test_simulate_monomorphic_rate(tmp_path: Path) -> None:
    data = simulate(tmp_path / "x", 100, 4000, monomorphic_rate=0.2, missing_rate=0.05, n_causal=200)
    dosages = read_dosages(data.bed, 100)
    low, high = np.nanmin(dosages, axis=1), np.nanmax(dosages, axis=1)
    # By chance about 1 % of the others do not vary.
    assert np.mean(low == high) == pytest.approx(0.2 * 0.9, abs=0.03)
    assert np.mean(low[low == high] == 2) == pytest.approx(0.5, abs=0.1)
    causal = np.concatenate(data.causal)
    assert np.mean(low[causal] == high[causal]) < 0.05


def test_simulate_everything_monomorphic(tmp_path: Path) -> None:
    bed = simulate(tmp_path / "x", 101, 2000, n_causal=0, monomorphic_rate=1, missing_rate=0).bed
    dosages = read_dosages(bed, 101)
    assert set(np.unique(dosages)) == {0.0, 2.0}
    np.testing.assert_array_equal(dosages.min(axis=1), dosages.max(axis=1))


def test_simulate_causal_snps_follow_their_variable(default: Simulation, dosages: NDArray[Any]) -> None:
    t = t_statistics(dosages, np.column_stack([default.variables, default.ancestry[:, 1:]]))
    for j in range(2):
        signed = t[default.causal[j], j] * np.sign(default.effects[j])
        assert np.mean(signed) > 4
        assert np.mean(signed > 0) == 1
        assert abs(np.mean(t[default.causal[1 - j], j] * np.sign(default.effects[1 - j]))) < 1


def test_simulate_effects_are_log_odds_per_standard_deviation(tmp_path: Path) -> None:
    data = simulate(tmp_path / "x", 2000, 200, 1, n_causal=200, fst=0, confounding=0, effect_size=0.4, missing_rate=0)
    x = (data.variables[:, 0] - data.variables.mean()) / data.variables.std()
    dosages = read_dosages(data.bed, 2000)
    slope = dosages @ x / 2000
    # d E[y] / ds = 2 f (1 − f) b at the mean of f(1 − f), which heterozygosity measures.
    effect = slope / np.mean(dosages == 1, axis=1)
    assert set(np.abs(data.effects[0])) == {0.4}
    assert np.mean(effect * np.sign(data.effects[0])) == pytest.approx(0.4, abs=0.02)


def test_simulate_zero_effect_is_no_effect(tmp_path: Path) -> None:
    # Many SNPs are fixed in all populations, where rounding of the shares puts frequencies just above 1.
    model: dict[str, Any] = {"n_populations": 12, "fst": 0.99, "effect_size": 0, "missing_rate": 0}
    all_causal = simulate(tmp_path / "all", 200, 500, 1, n_causal=500, **model)
    none_causal = simulate(tmp_path / "none", 200, 500, 1, n_causal=0, **model)
    differs = read_dosages(all_causal.bed, 200) != read_dosages(none_causal.bed, 200)
    assert np.mean(differs) < 1e-4


def test_simulate_huge_effects_stay_finite(tmp_path: Path) -> None:
    data = simulate(tmp_path / "x", 60, 300, 1, n_causal=300, fst=0.99, admixture=0, effect_size=1e3, missing_rate=0)
    assert not np.isnan(read_dosages(data.bed, 60)).any()


def test_simulate_default_is_hard_without_and_solvable_with_ancestry(
    default: Simulation, dosages: NDArray[Any]
) -> None:
    plain = t_statistics(dosages, default.variables)
    adjusted = t_statistics(dosages, np.column_stack([default.variables, default.ancestry[:, 1:]]))[:, :2]
    for j in range(2):
        assert inflation(plain[:, j]) > 1.5
        assert inflation(adjusted[:, j]) == pytest.approx(1, abs=0.1)
        p = 2 * stats.t.sf(np.abs(adjusted[:, j]), 500 - 6)
        found = np.flatnonzero(stats.false_discovery_control(np.nan_to_num(p, nan=1)) <= 0.05)
        true = np.isin(found, default.causal[j]).sum()
        assert 0.6 <= true / 20 <= 0.99
        assert 1 - true / len(found) <= 0.2  # 5 % on average


def test_simulate_one_population(tmp_path: Path) -> None:
    data = simulate(tmp_path / "x", 30, 100, n_populations=1, confounding=0, n_causal=2)
    np.testing.assert_allclose(data.ancestry, np.ones((30, 1)))


def test_simulate_smallest(tmp_path: Path) -> None:
    data = simulate(tmp_path / "x", 4, 1, 1, n_populations=2, n_causal=1, n_chromosomes=1)
    assert data.bed.stat().st_size == 4
    np.testing.assert_array_equal(data.causal[0], [0])


# simulate: refusals and failures


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_samples": 6}, "n_samples is 6, .* need at least 7"),
        ({"n_samples": 0}, "n_samples is 0; it must be at least 1"),
        ({"n_samples": 10.0}, r"n_samples is 10\.0; it must be an integer"),
        ({"n_snps": 0}, "n_snps is 0"),
        ({"n_snps": 39}, "2 variables × 20 causal SNPs need 40 SNPs, but n_snps is 39"),
        ({"n_variables": 0}, "n_variables is 0"),
        ({"n_populations": 0}, "n_populations is 0"),
        ({"n_populations": 1}, "one population has no ancestry"),
        ({"n_causal": -1}, "n_causal is -1"),
        ({"n_chromosomes": 101}, "n_chromosomes is 101, but n_snps is 100"),
        ({"effect_size": -0.1}, "effect_size is -0.1; it must be not negative and finite"),
        ({"effect_size": np.inf}, "effect_size is inf"),
        ({"missing_rate": 1.01}, r"missing_rate is 1.01; it must be in \[0, 1\]"),
        ({"missing_rate": np.nan}, "missing_rate is nan"),
        ({"monomorphic_rate": -1}, "monomorphic_rate is -1"),
        ({"fst": 1}, r"fst is 1; it must be in \[0, 1\)"),
        ({"confounding": 1}, "confounding is 1"),
        ({"admixture": 2}, "admixture is 2"),
        ({"seed": -1}, "seed is -1"),
        ({"block_size": 0}, "block_size is 0"),
    ],
)
def test_simulate_refuses_wrong_parameters(tmp_path: Path, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        simulate(tmp_path / "x", **{"n_samples": 30, "n_snps": 100, **parameters})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_simulate_refuses_existing_files(tmp_path: Path, suffix: str) -> None:
    existing = tmp_path / f"x{suffix}"
    existing.write_text("mine")
    with pytest.raises(OutputExistsError, match=rf"x{suffix}\b"):
        simulate(tmp_path / "x", 30, 100)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_simulate_overwrites_if_told(tmp_path: Path) -> None:
    simulate(tmp_path / "x", 30, 100, seed=1)
    first = read_set(tmp_path / "x")
    simulate(tmp_path / "x", 31, 200, seed=2, overwrite=True)
    assert all(old != new for old, new in zip(first, read_set(tmp_path / "x"), strict=True))
    assert len(list(tmp_path.iterdir())) == 6


def test_simulate_needs_an_existing_folder(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"x\.bim.* folder .*nowhere"):
        simulate(tmp_path / "nowhere" / "x", 30, 100)


@pytest.mark.parametrize("n_renamed", range(5))
def test_simulate_leaves_nothing_when_a_rename_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_renamed: int
) -> None:
    calls = iter(range(5))
    rename = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if next(calls) == n_renamed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(WriteError, match="No space left"):
        simulate(tmp_path / "x", 30, 100)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_simulate_leaves_nothing_when_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def interrupt(*_: object) -> None:
        assert len(list(tmp_path.glob("x.*.part"))) == 6
        raise error

    monkeypatch.setattr(sys.modules["lfmm2.genotypes.plink_writer"], "pack_codes", interrupt)
    with pytest.raises(error):
        simulate(tmp_path / "x", 30, 100)
    assert not list(tmp_path.iterdir())


def test_simulate_examples_run() -> None:
    result = doctest.testmod(sys.modules["lfmm2.simulation"])
    assert result.attempted == 4
    assert result.failed == 0
