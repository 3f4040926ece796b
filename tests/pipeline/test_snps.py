"""Choices of SNPs: sizes that are exact, and lists."""

import numpy as np
import pytest

import lfmm2
from lfmm2.genotypes.array_source import ArraySource
from lfmm2.genotypes.plink_writer import write_plink
from lfmm2.pipeline import snps
from lfmm2.pipeline.run_options import SnpOptions
from lfmm2.pipeline.snps import estimation_snps, filter_snps, random_subset, select_snps

P = 1000
IDS = [f"rs{k}" for k in range(P)]


@pytest.fixture(scope="module")
def bed(tmp_path_factory):
    path = write_plink(tmp_path_factory.mktemp("snps") / "d", np.ones((P, 4)), snp_ids=IDS)
    with lfmm2.open_bed(path) as opened:
        yield opened


@pytest.mark.parametrize("size", [1, 2, 50, 500, 900, 999, 1000])
@pytest.mark.parametrize("chunk", [1, 7, 1000, 1 << 20])
def test_random_subset_has_exactly_its_size(size, chunk):
    subset = random_subset(1000, size, 3, chunk)
    assert len(subset) == size
    assert np.all(np.diff(subset) > 0)
    assert 0 <= subset[0] <= subset[-1] < 1000


@pytest.mark.parametrize("limit", [snps.NUMPY_HYPERGEOMETRIC_LIMIT, 0])
def test_random_subset_is_uniform_over_seeds(monkeypatch, limit):
    monkeypatch.setattr(snps, "NUMPY_HYPERGEOMETRIC_LIMIT", limit)
    counts = np.zeros(30)
    for seed in range(600):
        subset = random_subset(30, 10, seed, chunk=8)
        assert len(subset) == 10
        counts[subset] += 1
    # binomial(600, 1/3): five standard deviations
    assert np.abs(counts - 200).max() < 5 * np.sqrt(600 * 2 / 9)


@pytest.mark.parametrize(("rate", "n"), [(0.9, 900), (0.5, 500), (0.3334, 333), (0.001, 1)])
def test_est_rate_is_exact(bed, rate, n):
    assert len(estimation_snps(bed, None, None, SnpOptions(est_rate=rate), 0)) == n


def test_est_rate_is_of_the_snps_that_are_tested(bed):
    tested = np.arange(0, P, 2)
    chosen = estimation_snps(bed, tested, None, SnpOptions(est_rate=0.9), 0)
    assert len(chosen) == 450
    assert np.isin(chosen, tested).all()
    assert estimation_snps(bed, tested, None, SnpOptions(est_rate=1.0), 0) is tested


def test_select_takes_ids_in_any_order_and_kind(bed):
    for ids in (["rs9", "rs2"], {"rs2", "rs9"}, np.array(["rs9", "rs2"])):
        assert select_snps(bed, SnpOptions(extract=ids)).tolist() == [2, 9]
    assert select_snps(bed, SnpOptions(exclude=IDS[3:])).tolist() == [0, 1, 2]
    assert select_snps(bed, SnpOptions()) is None


def test_select_takes_the_ids_of_several_files_together(bed, tmp_path):
    files = [tmp_path / "a", tmp_path / "b"]
    for file, listed in zip(files, (IDS[1:4], IDS[3:5]), strict=True):
        file.write_text("\n".join(listed))
    assert select_snps(bed, SnpOptions(extract=files)).tolist() == [1, 2, 3, 4]
    assert select_snps(bed, SnpOptions(extract=files, exclude=tuple(files[1:]))).tolist() == [1, 2]
    with pytest.raises(lfmm2.UsageError, match="both IDs and files"):
        select_snps(bed, SnpOptions(extract=[*files, "rs1"]))


def test_lists_of_snps_hint_at_spelling(bed, monkeypatch):
    with pytest.warns(lfmm2.InputWarning, match=r"1 IDs are not in .*; 1 would match but for upper and lower case"):
        assert select_snps(bed, SnpOptions(extract=["RS1", "rs2"])).tolist() == [2]
    with pytest.raises(lfmm2.InconsistentInputError, match=r"none of 2 IDs .*; 2 would match but for upper and lower"):
        select_snps(bed, SnpOptions(extract=["RS1", "Rs2"]))
    monkeypatch.setattr(snps, "MOST_COMPARED_SNPS", P - 1)
    with pytest.raises(lfmm2.InconsistentInputError, match=r"none of 1 IDs is in [^;]*; check the IDs"):
        select_snps(bed, SnpOptions(extract=["RS1"]))


@pytest.mark.parametrize("minor", ["a1", "a2"])
@pytest.mark.parametrize(("n", "threshold"), [(30, 0.1), (10, 0.15), (50, 0.07), (50, 0.29), (100, 0.145)])
def test_snp_at_the_threshold_of_maf_is_kept(tmp_path, engine, n, threshold, minor):
    copies = round(threshold * 2 * n)
    dosage = np.zeros((3, n))
    for row, count in enumerate((copies - 1, copies, copies + 1)):
        dosage[row, : count // 2] = 2
        dosage[row, count // 2] = count % 2
    write_plink(tmp_path / "d", dosage if minor == "a2" else 2 - dosage)
    with lfmm2.open_bed(tmp_path / "d") as opened:
        kept, facts = filter_snps(opened, engine, np.arange(n), None, SnpOptions(maf=threshold))
    assert kept.tolist() == [1, 2]
    assert facts.below_maf == 1


@pytest.mark.parametrize(("n", "threshold"), [(30, 0.1), (100, 0.29), (100, 0.57), (50, 0.14)])
def test_snp_at_the_threshold_of_geno_is_kept(tmp_path, engine, n, threshold):
    n_missing = round(threshold * n)
    dosage = np.tile(np.arange(n) % 3.0, (3, 1))
    for row, count in enumerate((n_missing - 1, n_missing, n_missing + 1)):
        dosage[row, :count] = np.nan
    write_plink(tmp_path / "d", dosage)
    with lfmm2.open_bed(tmp_path / "d") as opened:
        kept, facts = filter_snps(opened, engine, np.arange(n), None, SnpOptions(geno=threshold))
    assert kept.tolist() == [0, 1]
    assert facts.above_geno == 1


@pytest.mark.parametrize("options", [{"extract": ["a"]}, {"exclude": ["a"]}, {"maf": 0.1}, {"geno": 0.1}])
def test_arrays_have_nothing_to_select_by(options):
    with pytest.raises(lfmm2.UsageError, match="array"):
        select_snps(ArraySource(np.ones((4, 5))), SnpOptions(**options))
