"""The whole run against the dense reference, through the public functions."""

import json
import warnings

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import reference

import lfmm2
from lfmm2.genotypes.plink_writer import write_plink

# small data: GIFs scatter around 1
pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")

K = 3
N, P, D = 90, 1500, 2


def simulated(seed=0, n=N, p=P, missing=0.02):
    """Structured dosages (n, p) with NaN, and variables (n, D) that follow the structure."""
    rng = np.random.default_rng(seed)
    frequency = rng.uniform(0.1, 0.9, p)
    scores = rng.standard_normal((n, K))
    shift = rng.normal(0, 0.12, (K, p))
    dosage = rng.binomial(2, np.clip(frequency + scores @ shift, 0.02, 0.98)).astype(float)
    X = np.column_stack([scores[:, 0] + rng.standard_normal(n), 40 * rng.standard_normal(n) + 900])
    dosage[:, :5] = np.clip(dosage[:, :5] + (X[:, :1] > 1), 0, 2)
    dosage[:, 7] = 2.0
    dosage[rng.random((n, p)) < missing] = np.nan
    dosage[:, 8] = np.nan
    return dosage, X


@pytest.fixture(scope="module")
def fileset(tmp_path_factory):
    dosage, X = simulated()
    iid = [f"i{k:03d}" for k in range(N)]
    bed = write_plink(tmp_path_factory.mktemp("data") / "full", dosage.T, iid=iid)
    env = bed.with_name("env.csv")
    pd.DataFrame(X, index=pd.Index(iid, name="IID"), columns=["temp", "rain"]).to_csv(env)
    return bed, env, dosage, X, iid


def snp_ids(bed):
    with lfmm2.open_bed(bed) as opened:
        return opened.variants()["ID"].to_pylist()


def relative(a, b):
    """Largest difference, relative to the larger of 1 and the expected magnitude; NaN must agree."""
    assert np.array_equal(np.isnan(a), np.isnan(b))
    return np.nanmax(np.abs(a - b) / np.maximum(np.abs(b), 1))


@pytest.mark.parametrize("df", ["paper", "intercept"])
def test_run_agrees_with_the_dense_reference(fileset, df):
    bed, env, dosage, X, _ = fileset
    expected = reference.lfmm2(dosage, dosage, X, K, df=df, standardize=True)
    r = lfmm2.run(None, bed, env, K, solver="exact", df=df, calibrate="chi2", loadings=True)
    assert r.variables == ("temp", "rain")
    assert r.factors.solver == "exact"
    assert reference.canonical_distance(r.factors.U, expected.U) < 1e-9
    assert relative(r.t, expected.t) < 1e-7
    assert relative(r.p, expected.p) < 1e-7
    assert relative(r.beta, expected.beta) < 1e-7
    assert relative(r.se, expected.se) < 1e-7
    assert relative(r.f_stat, expected.f) < 1e-7
    assert relative(r.f_p, expected.f_p) < 1e-7
    varies = r.status == lfmm2.Status.OK
    assert relative(r.ridge_beta[varies], expected.B[varies]) < 1e-8
    assert np.allclose(r.gif, expected.gif, rtol=1e-8)
    fitted = r.factors.U @ r.loadings[varies].T
    assert np.allclose(fitted, expected.U @ expected.V[varies].T, atol=1e-7)


def test_run_krylov_is_within_a_thousandth_of_the_exact_t(fileset):
    bed, env, dosage, X, _ = fileset
    expected = reference.lfmm2(dosage, dosage, X, K, df="intercept", standardize=True)
    r = lfmm2.run(None, bed, env, K, solver="krylov")
    assert r.factors.residuals.max() <= 1e-4
    assert np.nanmax(np.abs(r.t - expected.t)) < 1e-3


def test_run_reports_status_for_every_nan(fileset):
    bed, env, *_ = fileset
    r = lfmm2.run(None, bed, env, K)
    assert r.status[7] == lfmm2.Status.NO_VARIATION
    assert r.status[8] == lfmm2.Status.ALL_MISSING
    assert np.array_equal(np.isnan(r.t).any(axis=1), r.status != lfmm2.Status.OK)


def test_run_accepts_path_array_and_dataframe(fileset):
    bed, env, _, X, iid = fileset
    from_path = lfmm2.run(None, bed, env, K).t
    from_array = lfmm2.run(None, bed, X, K)
    shuffled = pd.DataFrame(X, index=iid, columns=["temp", "rain"]).sample(frac=1, random_state=1)
    assert from_array.variables == ("env1", "env2")
    assert np.array_equal(from_path, from_array.t, equal_nan=True)
    assert np.array_equal(from_path, lfmm2.run(None, bed, shuffled, K).t, equal_nan=True)


def test_run_accepts_genotype_arrays(fileset):
    bed, env, dosage, X, _ = fileset
    r = lfmm2.run(None, dosage, X, K, solver="exact")
    assert relative(r.t, lfmm2.run(None, bed, env, K, solver="exact").t) < 1e-9
    assert r.table("env1").num_rows == P


@pytest.mark.parametrize("solver", ["exact", "krylov", "power"])
def test_run_does_not_depend_on_threads_or_memory(fileset, solver):
    bed, env, *_ = fileset
    first = lfmm2.run(None, bed, env, K, solver=solver, n_threads=1)
    for n_threads, memory in ((2, None), (3, "46MB"), (8, "36MB")):
        again = lfmm2.run(None, bed, env, K, solver=solver, n_threads=n_threads, memory=memory)
        for name in ("t", "ridge_beta", "f_stat", "gif"):
            assert np.array_equal(getattr(first, name), getattr(again, name), equal_nan=True)


def test_run_matches_samples_of_est_bed_by_id(fileset, tmp_path):
    bed, env, dosage, X, iid = fileset
    order = np.random.default_rng(3).permutation(N)
    extra = np.vstack([dosage[order, :800], dosage[:2, :800]])
    est = write_plink(tmp_path / "pruned", extra.T, iid=[iid[i] for i in order] + ["other1", "other2"])
    expected = reference.lfmm2(dosage[:, :800], dosage, X, K, df="intercept", standardize=True)
    r = lfmm2.run(est, bed, env, K, solver="exact")
    assert relative(r.t, expected.t) < 1e-7


def test_run_est_bed_without_a_sample_names_it(fileset, tmp_path):
    bed, env, dosage, _, iid = fileset
    est = write_plink(tmp_path / "fewer", dosage[1:].T, iid=iid[1:])
    with pytest.raises(lfmm2.InconsistentInputError, match=r"1 of 90 samples in use are not in it .i000."):
        lfmm2.run(est, bed, env, K)


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.123])
def test_run_est_rate_uses_exactly_the_share(fileset, rate):
    bed, env, *_ = fileset
    r = lfmm2.run(None, bed, env, K, est_rate=rate, seed=5)
    assert r.factors.n_snps == round(rate * P)
    again = lfmm2.run(None, bed, env, K, est_rate=rate, seed=5)
    assert np.array_equal(r.factors.U, again.factors.U)
    other = lfmm2.run(None, bed, env, K, est_rate=rate, seed=6)
    assert not np.array_equal(r.factors.U, other.factors.U)


def test_run_est_extract_equals_a_smaller_fileset(fileset, tmp_path):
    bed, env, dosage, X, _ = fileset
    ids = snp_ids(bed)
    listed = tmp_path / "prune.in"
    listed.write_text("\n".join(ids[100:700]) + "\n")
    expected = reference.lfmm2(dosage[:, 100:700], dosage, X, K, df="intercept", standardize=True)
    assert relative(lfmm2.run(None, bed, env, K, est_extract=listed, solver="exact").t, expected.t) < 1e-7


def test_run_adjusts_for_nuisance_variables(fileset):
    bed, env, dosage, X, iid = fileset
    nuisance = np.random.default_rng(8).standard_normal((N, 2))
    expected = reference.lfmm2(dosage, dosage, np.c_[X, nuisance], K, n_nuisance=2, df="intercept", standardize=True)
    covar = pd.DataFrame(nuisance, index=iid, columns=["age", "batch"])
    r = lfmm2.run(None, bed, env, K, covar=covar, solver="exact")
    assert r.variables == ("temp", "rain")
    assert relative(r.t, expected.t) < 1e-7
    assert relative(r.f_stat, expected.f) < 1e-7


def test_run_scale_hwe_scales_the_estimation_only(fileset):
    bed, env, dosage, X, _ = fileset
    expected = reference.lfmm2(dosage, dosage, X, K, scale=True, df="intercept", standardize=True)
    assert relative(lfmm2.run(None, bed, env, K, scale="hwe", solver="exact").t, expected.t) < 1e-7


def test_run_count_allele_flips_signs_and_frequency(fileset):
    bed, env, *_ = fileset
    a2 = lfmm2.run(None, bed, env, K, solver="exact")
    a1 = lfmm2.run(None, bed, env, K, solver="exact", count_allele="a1")
    assert relative(a1.t, -a2.t) < 1e-9
    assert np.allclose(a1.frequency, 1 - a2.frequency, equal_nan=True)
    assert a1.table("temp")["A1"].to_pylist() == a2.table("temp")["OMITTED"].to_pylist()


def test_run_keep_and_remove_equal_a_smaller_fileset(fileset, tmp_path):
    bed, env, dosage, X, iid = fileset
    (tmp_path / "keep").write_text("\n".join(iid[:80]) + "\n")
    (tmp_path / "remove").write_text("\n".join(iid[5:9]) + "\n")
    rows = [i for i in range(80) if not 5 <= i < 9]
    small = write_plink(tmp_path / "small", dosage[rows].T, iid=[iid[i] for i in rows])
    chosen = lfmm2.run(None, bed, env, K, keep=tmp_path / "keep", remove=tmp_path / "remove")
    assert np.array_equal(chosen.t, lfmm2.run(None, small, X[rows], K).t, equal_nan=True)
    from_array = lfmm2.run(None, bed, X, K, keep=tmp_path / "keep", remove=tmp_path / "remove")
    assert np.array_equal(chosen.t, from_array.t, equal_nan=True)


def test_run_extract_and_exclude_equal_a_smaller_fileset(fileset, tmp_path):
    bed, env, dosage, X, iid = fileset
    ids = snp_ids(bed)
    small = write_plink(tmp_path / "small", dosage[:, 200:900].T, iid=iid, snp_ids=ids[200:900])
    chosen = lfmm2.run(None, bed, env, K, extract=ids[200:], exclude=ids[900:])
    expected = lfmm2.run(None, small, X, K)
    assert np.array_equal(chosen.t, expected.t, equal_nan=True)
    assert chosen.table("temp")["ID"].to_pylist() == ids[200:900]


def test_run_maf_and_geno_drop_snps(fileset):
    bed, env, dosage, *_ = fileset
    r = lfmm2.run(None, bed, env, K, maf=0.1, geno=0.03)
    called = ~np.isnan(dosage)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        frequency = np.nanmean(dosage, axis=0) / 2
    kept = (np.minimum(frequency, 1 - frequency) >= 0.1) & ((~called).mean(axis=0) <= 0.03)
    assert 0 < kept.sum() < P
    assert r.t.shape == (kept.sum(), D)
    assert np.array_equal(r.n_called, called.sum(axis=0)[kept])


@pytest.mark.parametrize("form", ["parquet", "tsv"])
def test_table_of_factors_has_those_of_the_tables(fileset, tmp_path, form):
    bed, env, *_ = fileset
    run = lfmm2.run(None, bed, env, sweep="1:4", K=2, out=tmp_path / "r", format=form)
    again = pd.read_csv(run.paths["factors-table"], sep="\t", dtype={"FID": str, "IID": str})
    assert run.paths["factors-table"] == tmp_path / "r.factors.tsv"
    assert again.columns.tolist() == ["FID", "IID", "factor1", "factor2"]
    assert again["IID"].tolist() == list(run.sample_ids)
    assert np.array_equal(again[["factor1", "factor2"]].to_numpy(), run.factors.U)
    assert "r.factors.tsv" in json.loads((tmp_path / "r.lfmm2.json").read_text())["files"]


def test_run_files_hold_what_memory_holds(fileset, tmp_path):
    bed, env, *_ = fileset
    memory = lfmm2.run(None, bed, env, K, loadings=True)
    files = lfmm2.run(None, bed, env, K, loadings=True, out=tmp_path / "r")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "r.factors.npz", "r.factors.tsv", "r.joint.parquet", "r.lfmm2.json", "r.lfmm2.log", "r.loadings.parquet",
        "r.rain.parquet",
        "r.samples.tsv", "r.scree.tsv", "r.temp.parquet",
    ]  # fmt: skip
    for name in ("t", "p", "p_calibrated", "neg_log10_p", "neg_log10_p_calibrated", "q_storey", "local_fdr",
                 "f_p_calibrated", "f_q", "beta", "se", "ridge_beta", "q", "f_stat", "f_p", "status",
                 "shares", "n_called", "frequency"):  # fmt: skip
        assert np.array_equal(getattr(memory, name), getattr(files, name), equal_nan=True), name
    for variable in ("temp", "rain", "joint"):
        assert memory.table(variable).equals(files.table(variable)), variable
    loadings = pq.read_table(files.paths["loadings"]).to_pandas()[["V1", "V2", "V3"]].to_numpy()
    assert np.array_equal(memory.loadings, loadings, equal_nan=True)


@pytest.mark.parametrize("format", ["tsv", "tsv.gz", "tsv.zst"])
def test_run_text_tables_hold_what_parquet_holds(fileset, tmp_path, format):
    bed, env, *_ = fileset
    parquet = lfmm2.run(None, bed, env, K, out=tmp_path / "a")
    text = lfmm2.run(None, bed, env, K, out=tmp_path / "b", format=format)
    for name in ("t", "p", "p_calibrated", "q", "beta", "status", "f_stat"):
        assert np.array_equal(getattr(parquet, name), getattr(text, name), equal_nan=True), name


def test_run_record_tells_what_was_done(fileset, tmp_path):
    bed, env, *_ = fileset
    r = lfmm2.run(None, bed, env, K, out=tmp_path / "r")
    record = json.loads((tmp_path / "r.lfmm2.json").read_text())
    assert record["factors"]["solver"] == r.factors.solver
    assert record["gif"]["temp"] == r.gif[0]
    assert record["status"] == {"OK": P - 2, "NO_VARIATION": 1, "ALL_MISSING": 1, "PERFECT_FIT": 0}
    assert record["tested"]["n_snps"] == P
    assert "GIF of rain" in (tmp_path / "r.lfmm2.log").read_text()


def test_run_refuses_existing_output_unless_told(fileset, tmp_path):
    bed, env, *_ = fileset
    lfmm2.run(None, bed, env, K, out=tmp_path / "r")
    before = (tmp_path / "r.temp.parquet").read_bytes()
    with pytest.raises(lfmm2.OutputExistsError, match="overwrite"):
        lfmm2.run(None, bed, env, K, out=tmp_path / "r")
    lfmm2.run(None, bed, env, K, out=tmp_path / "r", overwrite=True)
    assert (tmp_path / "r.temp.parquet").read_bytes() == before


def test_halves_equal_the_whole(fileset):
    bed, env, *_ = fileset
    whole = lfmm2.run(None, bed, env, K)
    factors = lfmm2.estimate_factors(bed, env, K)
    assert np.array_equal(whole.t, lfmm2.test_associations(bed, env, factors).t, equal_nan=True)


def test_estimate_factors_asks_no_memory_for_results(tmp_path):
    # the statistics of a million SNPs take 84 MiB
    data = lfmm2.simulate(tmp_path / "d", 60, 1_000_000, 1)
    assert lfmm2.estimate_factors(data.bed, data.env, 2, memory="80MiB").n_snps == 1_000_000
    with pytest.raises(lfmm2.InsufficientMemoryError):
        lfmm2.run(None, data.bed, data.env, 2, memory="80MiB")


def test_test_associations_takes_stored_factors_in_any_order(fileset, tmp_path):
    bed, env, dosage, _, iid = fileset
    whole = lfmm2.run(None, bed, env, K, out=tmp_path / "r")
    factors = lfmm2.read_factors(tmp_path / "r.factors.npz")
    order = np.random.default_rng(0).permutation(N)
    other = write_plink(tmp_path / "other", dosage[order].T, iid=[iid[i] for i in order])
    assert relative(lfmm2.test_associations(other, env, factors).t, whole.t) < 1e-9


def test_leading_factors_equal_a_smaller_k(fileset):
    bed, env, *_ = fileset
    factors = lfmm2.estimate_factors(bed, env, 5, solver="exact")
    smaller = lfmm2.run(None, bed, env, 2, solver="exact")
    assert relative(lfmm2.test_associations(bed, env, factors.leading(2)).t, smaller.t) < 1e-8


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"K": 0}, lfmm2.UsageError, "K is 0"),
        ({"K": 88}, lfmm2.DegenerateProblemError, "lower K"),
        ({"lambda_": 0.0}, lfmm2.UsageError, "lambda is 0.0"),
        ({"lambda_": float("nan")}, lfmm2.UsageError, "lambda is nan"),
        ({"solver": "svd"}, lfmm2.UsageError, "solver is 'svd'"),
        ({"tol": 0}, lfmm2.UsageError, "tol is 0"),
        ({"df": "n"}, lfmm2.UsageError, "df is 'n'"),
        ({"scale": "sd"}, lfmm2.UsageError, "scale is 'sd'"),
        ({"count_allele": "ref"}, lfmm2.UsageError, "count_allele is 'ref'"),
        ({"est_rate": 0.0}, lfmm2.UsageError, "est_rate is 0.0"),
        ({"est_rate": 1e-9}, lfmm2.InconsistentInputError, "less than one"),
        ({"est_rate": 0.5, "est_extract": ["a"]}, lfmm2.UsageError, "give one of them"),
        ({"n_threads": 0}, lfmm2.UsageError, "n_threads is 0"),
        ({"memory": "lots"}, lfmm2.UsageError, "memory is 'lots'"),
        ({"memory": "1MB"}, lfmm2.InsufficientMemoryError, "memory budget of 1 MiB"),
        ({"seed": -1}, lfmm2.UsageError, "seed is -1"),
        ({"maf": 0.7}, lfmm2.UsageError, "maf is 0.7"),
        ({"format": "xlsx"}, lfmm2.UsageError, "format is 'xlsx'"),
    ],
)
def test_run_bad_parameters_end_before_work(fileset, tmp_path, arguments, error, match):
    bed, env, *_ = fileset
    with pytest.raises(error, match=match):
        lfmm2.run(None, bed, env, **({"K": K, "out": tmp_path / "r"} | arguments))
    assert list(tmp_path.iterdir()) == []


def test_run_output_equal_to_an_input_is_refused(fileset, tmp_path):
    bed, env, *_ = fileset
    table = tmp_path / "r.rain.tsv"
    pd.read_csv(env).to_csv(table, sep="\t", index=False)
    with pytest.raises(lfmm2.UsageError, match="is an input of this run"):
        lfmm2.run(None, bed, table, K, out=tmp_path / "r", format="tsv", overwrite=True)


def test_run_prints_nothing(fileset, capfd):
    bed, env, *_ = fileset
    lfmm2.run(None, bed, env, K)
    assert capfd.readouterr() == ("", "")
