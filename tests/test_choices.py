"""The choices of a run that change its tables or what is said of them: calibration, imputation, filters, thinning."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import reference
from scipy import special, stats

import lfmm2
from lfmm2._choices import CALIBRATIONS
from lfmm2._words import with_spaces
from lfmm2.files.seals import seal_json
from lfmm2.genotypes.plink_writer import write_plink
from lfmm2.pipeline import prepare_run
from lfmm2.pipeline.run_options import OutputOptions, RunOptions, SnpOptions, TestOptions
from lfmm2.statistics.calibration import CHI2_1_MEDIAN
from lfmm2.statistics.distributions import f_z, student_z
from lfmm2.statistics.q_values import benjamini_hochberg

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> lfmm2.Simulation:
    folder = tmp_path_factory.mktemp("choices")
    return lfmm2.simulate(folder / "plants", n_samples=100, n_snps=3000, seed=5, n_causal=10, missing_rate=0.03)


def record_of(folder: Path) -> dict[str, object]:
    return json.loads((folder / "r.lfmm2.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_calibration_is_its_definition(data: lfmm2.Simulation, method: str) -> None:
    result = lfmm2.run(None, data.bed, data.env, 2, calibrate=method, surrogates=0, min_carriers=0)
    for j, name in enumerate(result.variables):
        found, t = result.calibrations[name], result.t[:, j]
        assert found.method == method
        median = CHI2_1_MEDIAN if method == "chi2" else stats.f.ppf(0.5, 1, result.df)
        assert found.gif == result.gif[j] == pytest.approx(np.nanmedian(t**2) / median, rel=1e-12)
        if method == "student":
            expected = 2 * special.stdtr(result.df, -np.abs(t) / np.sqrt(found.gif))
        elif method == "chi2":
            expected = special.chdtrc(1, t**2 / found.gif)
        elif method == "none":
            expected = result.p[:, j]
        else:
            expected = 2 * special.stdtr(result.df, -np.abs((t - found.mean) / found.sd))
        np.testing.assert_allclose(result.p_calibrated[:, j], expected, rtol=1e-10)
        np.testing.assert_allclose(result.neg_log10_p_calibrated[:, j], -np.log10(expected), rtol=1e-10)
        np.testing.assert_allclose(result.q[:, j], benjamini_hochberg(expected), rtol=1e-9)
        np.testing.assert_allclose(result.q_storey[:, j], found.storey_pi0 * result.q[:, j], rtol=1e-14)
        lfdr = result.local_fdr[:, j]
        assert np.isfinite(lfdr).sum() == np.isfinite(t).sum()
        assert 0 <= np.nanmin(lfdr) < 0.7
        assert np.nanmax(lfdr) <= 1
        assert lfdr[np.nanargmin(expected)] < np.nanquantile(lfdr, 0.01)


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_calibration_of_the_joint_test_is_its_definition(data: lfmm2.Simulation, method: str) -> None:
    result = lfmm2.run(None, data.bed, data.env, 2, calibrate=method, surrogates=0, min_carriers=0)
    found, f = result.calibrations["joint"], result.f_stat
    assert found.gif == pytest.approx(np.nanmedian(f) / stats.f.ppf(0.5, 2, result.df), rel=1e-10)
    if method == "empirical-null":
        expected = special.ndtr(-(f_z(f, 2, result.df) - found.mean) / found.sd)
    elif method == "student":
        tested = ~np.isnan(f)
        distances = np.full(len(f), np.nan)
        distances[tested] = reference.joint_distances(result.t[tested])
        expected = special.fdtrc(2, result.df, distances * special.fdtri(2, result.df, 0.5))
    else:
        expected = special.fdtrc(2, result.df, f / (found.gif if method != "none" else 1.0))
    # The fixed point of Tyler's scatter is known to 1e-8.
    rtol = 1e-6 if method == "student" else 1e-9
    np.testing.assert_allclose(result.f_p_calibrated, expected, rtol=rtol)
    np.testing.assert_allclose(result.f_q, benjamini_hochberg(expected), rtol=rtol)
    table = result.table("joint")
    np.testing.assert_allclose(table["P_CAL"].to_numpy(), result.f_p_calibrated, rtol=1e-14)
    np.testing.assert_allclose(table["Q"].to_numpy(), result.f_q, rtol=1e-14)


def test_one_variable_has_no_joint_test(data: lfmm2.Simulation) -> None:
    result = lfmm2.run(None, data.bed, data.variables[:, 0], 2)
    with pytest.raises(lfmm2.UsageError, match="no joint test"):
        _ = result.f_q
    assert set(result.calibrations) == {result.variables[0]}


def test_empirical_null_that_cannot_be_fitted_falls_back_aloud(data: lfmm2.Simulation, tmp_path: Path) -> None:
    with lfmm2.open_bed(data.bed) as bed:
        few = bed.variants()["ID"].to_pylist()[:8]
    with pytest.warns(lfmm2.CalibrationWarning, match="no empirical null: .*; calibrated by the genomic inflation"):
        result = lfmm2.run(data.bed, data.bed, data.env, 2, calibrate="empirical-null", extract=few, out=tmp_path / "r")
    assert result.calibrations["env1"].method == "student"
    expected = 2 * special.stdtr(result.df, -np.abs(result.t[:, 0]) / np.sqrt(result.gif[0]))
    np.testing.assert_allclose(result.p_calibrated[:, 0], expected)


def test_unknown_calibration_and_imputation_are_refused(data: lfmm2.Simulation) -> None:
    with pytest.raises(lfmm2.UsageError, match="calibrate is 'GC'; it is one of student, chi2, empirical-null, none"):
        lfmm2.run(None, data.bed, data.env, 2, calibrate="GC")
    with pytest.raises(lfmm2.UsageError, match=r"calibrate is 'gif'; .*; what was 'gif' is 'chi2' now"):
        lfmm2.run(None, data.bed, data.env, 2, calibrate="gif")
    with pytest.raises(lfmm2.UsageError, match="impute is 'knn'; it is one of mean, factors"):
        lfmm2.run(None, data.bed, data.env, 2, impute="knn")


def test_z_of_t_is_what_the_record_is_fitted_to(data: lfmm2.Simulation) -> None:
    result = lfmm2.run(None, data.bed, data.env, 2)
    z = student_z(result.t[:, 0], result.df)
    z = z[np.isfinite(z)]
    found = result.calibrations["env1"]
    central = z[np.abs(z - np.median(z)) < 1.5]
    assert found.mean == pytest.approx(np.median(z), abs=0.1)
    assert found.sd == pytest.approx(special.ndtri(0.75) ** -1 * np.median(np.abs(z - np.median(z))), rel=0.1)
    assert len(central) / len(z) > 0.7


def test_imputation_by_factors_changes_snps_with_missing_calls_only(data: lfmm2.Simulation, tmp_path: Path) -> None:
    mean = lfmm2.run(None, data.bed, data.env, 3)
    factors = lfmm2.run(None, data.bed, data.env, 3, impute="factors", out=tmp_path / "r")
    complete = mean.n_called == 100
    assert 0 < complete.sum() < 3000
    np.testing.assert_array_equal(mean.t[complete], factors.t[complete])
    assert (mean.t[~complete] != factors.t[~complete]).mean() > 0.99
    np.testing.assert_array_equal(mean.frequency, factors.frequency)
    assert mean.imputation is None
    assert factors.imputation == record_of(tmp_path)["imputation"]
    assert factors.imputation["n_held_out"] > 2900
    assert 0.5 < factors.imputation["ratio"] < 1
    assert "held-out calls" in (tmp_path / "r.lfmm2.log").read_text()


def test_filters_are_counted_in_the_record_and_the_log(data: lfmm2.Simulation, tmp_path: Path) -> None:
    everything = lfmm2.run(None, data.bed, data.env, 2)
    result = lfmm2.run(None, data.bed, data.env, 2, maf=0.2, geno=0.03, out=tmp_path / "r")
    n_alleles = 2 * everything.n_called
    n_counted = np.rint(everything.frequency * n_alleles).astype(int)
    minor = np.minimum(n_counted, n_alleles - n_counted)
    facts = record_of(tmp_path)["filters"]
    assert facts["n_snps"] == 3000
    assert facts["below_maf"] == np.count_nonzero(5 * minor < n_alleles)
    assert facts["above_geno"] == np.count_nonzero(100 - everything.n_called > 3)
    assert facts["n_passed"] == len(result.t)
    assert f"{with_spaces(facts['below_maf'])} below --maf" in (tmp_path / "r.lfmm2.log").read_text()


def test_thinned_run_is_the_run_with_the_list(data: lfmm2.Simulation, tmp_path: Path) -> None:
    thinned = lfmm2.run(None, data.bed, data.env, 3, est_thin="r2=0.1,window=40", out=tmp_path / "r")
    kept = (tmp_path / "r.prune.in").read_text().split()
    facts = record_of(tmp_path)["thinning"]
    assert (facts["n_kept"], facts["r2"], facts["window"]) == (len(kept), 0.1, "40")
    assert 0 < len(kept) < facts["n_snps"] == 3000
    listed = lfmm2.run(None, data.bed, data.env, 3, est_extract=tmp_path / "r.prune.in")
    np.testing.assert_array_equal(thinned.t, listed.t)
    factors = lfmm2.estimate_factors(data.bed, data.env, 3, est_thin="r2=0.1,window=40")
    np.testing.assert_array_equal(factors.U, listed.factors.U)


def test_thinning_follows_the_filters(data: lfmm2.Simulation, tmp_path: Path) -> None:
    lfmm2.run(None, data.bed, data.env, 2, maf=0.2, est_thin="r2=0.1,window=40", out=tmp_path / "r")
    record = record_of(tmp_path)
    assert record["thinning"]["n_snps"] == record["filters"]["n_passed"]
    assert [p["label"] for p in record["passes"]][:3] == ["pairs of samples", "filters", "LD thinning"]


@pytest.mark.parametrize("other", [{"est_rate": 0.5}, {"est_extract": ["x"]}])
def test_two_choices_of_the_estimation_snps_are_refused(data: lfmm2.Simulation, other: dict[str, object]) -> None:
    with pytest.raises(lfmm2.UsageError, match="both choose the estimation SNPs"):
        lfmm2.run(None, data.bed, data.env, 2, est_thin="r2=0.1,window=40", **other)


def test_arrays_cannot_be_thinned(data: lfmm2.Simulation) -> None:
    Y = np.random.default_rng(0).standard_normal((30, 50))
    with pytest.raises(lfmm2.UsageError, match="est_thin applies to a"):
        lfmm2.run(None, Y, Y[:, 0] + 1, 2, est_thin="r2=0.1,window=40")


def test_dry_run_names_the_passes_to_come(data: lfmm2.Simulation) -> None:
    options = RunOptions(test=TestOptions(sweep="1:5"), snps=SnpOptions(est_thin="r2=0.1,window=40", maf=0.1))
    with prepare_run(None, data.bed, data.env, None, options) as prepared:
        lines = prepared.plan.describe()
    assert "1 for the filters, 1 to thin, 1 for the factors, 1 for the tests" in lines
    assert "K as the scree suggests, sweep over 1:5" in lines


def test_read_results_gives_what_the_run_gave(data: lfmm2.Simulation, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        result = lfmm2.run(None, data.bed, data.env, 2, out=tmp_path / "r", format="tsv.gz", loadings=True)
    again = lfmm2.read_results(tmp_path / "r")
    for name in ("t", "q", "local_fdr", "f_q", "loadings", "status"):
        np.testing.assert_array_equal(getattr(again, name), getattr(result, name))
    assert again.paths == result.paths
    assert again.calibrations == result.calibrations
    assert again.scree is not None
    assert again.scree.n_axes == result.scree.n_axes


def test_results_in_memory_can_be_pickled(data: lfmm2.Simulation) -> None:
    result = lfmm2.run(None, data.bed, data.env, 2, sweep="1:3")
    again = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(again.q, result.q)
    assert again.table("env1").equals(result.table("env1"))
    assert repr(again.sweep) == "<Sweep: K 1, 2, 3; λ 1e-05, 1x; suggested 3>"


def test_overwriting_removes_what_only_the_former_run_had(data: lfmm2.Simulation, tmp_path: Path) -> None:
    options = {"est_thin": "r2=0.2,window=50", "sweep": "1:3", "format": "tsv", "loadings": True}
    lfmm2.run(None, data.bed, data.env, 2, out=tmp_path / "r", **options)
    (tmp_path / "r.notes.tsv").write_text("mine")
    # no longer what the run wrote
    with (tmp_path / "r.sweep.tsv").open("a") as changed:
        changed.write("mine\n")
    lfmm2.run(None, data.bed, data.env, 2, out=tmp_path / "r", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "r.env1.parquet", "r.env2.parquet", "r.factors.npz", "r.factors.tsv", "r.joint.parquet", "r.lfmm2.json",
        "r.lfmm2.log", "r.notes.tsv", "r.samples.tsv", "r.scree.tsv", "r.sweep.tsv",
    ]  # fmt: skip
    assert len(lfmm2.verify(tmp_path / "r")) == 9


def test_run_without_any_t_ends_well(data: lfmm2.Simulation, tmp_path: Path) -> None:
    write_plink(
        tmp_path / "fixed",
        np.full((30, 100), 2, np.int8),
        iid=[line.split()[1] for line in data.fam.read_text().splitlines()],
    )
    arguments = ["run", "--bed", str(tmp_path / "fixed.bed"), "--est-bed", str(data.bed), "--env", str(data.env)]
    arguments += [
        "--sweep",
        "1:3",
        "--impute",
        "factors",
        "--calibrate",
        "empirical-null",
        "--out",
        str(tmp_path / "r"),
    ]
    found = subprocess.run(
        [sys.executable, "-m", "lfmm2", *arguments], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert "GIF of env1:" in found.stdout
    assert "not defined" in found.stdout


def test_the_number_of_the_tables_is_among_those_of_the_sweep(data: lfmm2.Simulation) -> None:
    result = lfmm2.run(None, data.bed, data.env, 5, sweep="1:3")
    assert result.sweep is not None
    assert sorted(set(result.sweep.table["K"].to_pylist())) == [1, 2, 3, 5]


def test_sweep_with_no_factors_is_a_baseline_but_no_model(data: lfmm2.Simulation, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Y, X = rng.integers(0, 3, (40, 500)).astype(float), rng.standard_normal((40, 1))
    result = lfmm2.run(None, Y, X, sweep="0:2")
    assert result.factors.n_factors == 1
    with pytest.raises(lfmm2.UsageError, match="K is not given"):
        lfmm2.run(None, Y, X, sweep=[0])


def test_thresholds_of_thinning_that_differ_in_the_last_digit_are_different_runs(data: lfmm2.Simulation) -> None:
    def identity(text: str) -> dict[str, object]:
        options = RunOptions(snps=SnpOptions(est_thin=text), output=OutputOptions("r"))
        with prepare_run(None, data.bed, data.env, 2, options) as prepared:
            return prepared.identity

    assert identity("r2=0.2,window=50") == identity("window=50,r2=0.20")
    assert identity("r2=0.2,window=50") != identity("r2=0.2000001,window=50")


def test_spectrum_follows_its_factors_to_another_order_of_samples(data: lfmm2.Simulation, tmp_path: Path) -> None:
    factors = lfmm2.estimate_factors(data.bed, data.env, 3)
    lfmm2.test_associations(data.bed, data.env, factors, out=tmp_path / "same")
    order = np.random.default_rng(0).permutation(100)
    shuffled = replace(
        factors, U=factors.U[order], loadings_map=factors.loadings_map[order],
        sample_ids=tuple(factors.sample_ids[i] for i in order),
        spectrum=replace(
            factors.spectrum, sample_totals=factors.spectrum.sample_totals[order],
            sample_weights=factors.spectrum.sample_weights[order], vectors=factors.spectrum.vectors[order],
        ),
    )  # fmt: skip
    lfmm2.test_associations(data.bed, data.env, shuffled, out=tmp_path / "other")
    same, other = ((tmp_path / f"{name}.scree.tsv").read_text() for name in ("same", "other"))
    assert same == other
    again = lfmm2.read_results(tmp_path / "other").scree
    np.testing.assert_allclose(again.bulk_edge, lfmm2.read_results(tmp_path / "same").scree.bulk_edge, rtol=1e-12)


def test_given_factors_leave_nothing_to_thin(data: lfmm2.Simulation) -> None:
    factors = lfmm2.estimate_factors(data.bed, data.env, 2)
    with pytest.raises(lfmm2.UsageError, match="factors are given"):
        prepare_run(None, data.bed, data.env, factors, RunOptions(snps=SnpOptions(est_thin="r2=0.1,window=9")))


def test_list_of_snps_without_names_is_told(tmp_path: Path) -> None:
    data = lfmm2.simulate(tmp_path / "d", n_samples=60, n_snps=400, n_causal=3, seed=1)
    rows = [line.split("\t") for line in data.bim.read_text().splitlines()]
    data.bim.write_text("".join("\t".join([row[0], ".", *row[2:]]) + "\n" for row in rows))
    with pytest.warns(lfmm2.InputWarning, match=r"are called '\.', which names none"):
        lfmm2.run(None, data.bed, data.env, 2, est_thin="r2=0.2,window=50", out=tmp_path / "r")


def test_record_without_calibration_is_refused_with_a_remedy(data: lfmm2.Simulation, tmp_path: Path) -> None:
    lfmm2.run(None, data.bed, data.env, 2, out=tmp_path / "r")
    record = record_of(tmp_path)
    del record["calibration"], record["sha256"]
    (tmp_path / "r.lfmm2.json").write_bytes(seal_json(record))
    with pytest.raises(
        lfmm2.MalformedInputError, match=r"calibration is absent; no record as lfmm2 writes it, run again"
    ):
        lfmm2.read_results(tmp_path / "r")
