"""The public names, and the functions as they are documented."""

import doctest
import inspect
import subprocess
import sys

import numpy as np
import pytest

import lfmm2
from lfmm2 import api
from lfmm2.genotypes.plink_writer import write_plink
from lfmm2.simulation import simulate

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
OPTIONS = {
    "lambda_": 1e-5, "solver": "auto", "tol": 1e-4, "n_power_iter": 2, "oversampling": 10, "est_rate": None,
    "scale": None, "df": "intercept", "count_allele": "a2", "seed": 0, "n_threads": None, "memory": None, "out": None,
    "format": "parquet", "progress": False,
}  # fmt: skip
OF_FACTORS = ("lambda_", "solver", "tol", "n_power_iter", "oversampling", "est_rate", "scale", "seed")
OF_TESTS = ("df", "count_allele", "out", "format")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("api") / "d", n_samples=80, n_snps=600, n_causal=3, seed=4)


def test_public_names():
    assert lfmm2.__all__ == [
        "LFMM2", "AssociationResult", "BedFile", "CalibrationWarning", "ConvergenceWarning", "Conversion",
        "DegenerateProblemError", "InconsistentInputError", "InputWarning", "InsufficientMemoryError", "LatentFactors",
        "LfmmError", "LfmmWarning", "MalformedInputError", "OutputExistsError", "PackedBed", "PackedFileset",
        "Progress", "ReadError", "Simulation", "Status", "UsageError", "WorkerError", "WriteError", "__version__",
        "combine_parts", "convert", "estimate_factors", "estimate_for_parts", "find_hits", "genetic_offset",
        "named_array", "open_bed", "pack", "plots", "read_factors", "read_results", "run", "simulate",
        "test_associations", "test_part", "verify", "write_report",
    ]  # fmt: skip
    assert all(getattr(lfmm2, name) is not None for name in lfmm2.__all__)
    with pytest.raises(AttributeError, match="no attribute 'rum'"):
        _ = lfmm2.rum


@pytest.mark.parametrize(
    ("name", "positional", "left_out"),
    [
        ("run", ["est_bed", "full_bed", "X", "K"], ()),
        ("estimate_factors", ["bed", "X", "K"], OF_TESTS),
        ("test_associations", ["bed", "X", "factors"], OF_FACTORS),
    ],
)
def test_signatures(name, positional, left_out):
    parameters = inspect.signature(getattr(lfmm2, name)).parameters.values()
    named = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    assert [p.name for p in named] == positional
    # All may be left out, because Y is another name of the genotypes, and what is then absent is told in words.
    assert all(p.default is None for p in named)
    wanted = [(key, default) for key, default in OPTIONS.items() if key not in left_out]
    keywords = [(p.name, p.default) for p in parameters if p.kind is p.KEYWORD_ONLY]
    assert [keyword for keyword in keywords if keyword in wanted] == wanted


def test_y_is_another_name_of_the_genotypes(data):
    result = lfmm2.run(Y=data.bed, X=data.env, K=3)
    assert np.array_equal(result.t, lfmm2.run(None, data.bed, data.env, 3).t, equal_nan=True)
    factors = lfmm2.estimate_factors(Y=data.bed, X=data.env, K=3)
    assert np.array_equal(factors.U, result.factors.U)
    half = lfmm2.test_associations(Y=data.bed, X=data.env, factors=factors)
    assert np.array_equal(half.t, result.t, equal_nan=True)
    thinned = lfmm2.run(data.bed, Y=data.bed, X=data.env, K=3)
    assert np.array_equal(thinned.t, result.t, equal_nan=True)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("run", {"full_bed": "d", "Y": "d", "X": "x.csv"}, r"^full_bed and Y are two names of .*; give one of them$"),
        ("estimate_factors", {"bed": "d", "Y": "d", "X": "x.csv"}, "^bed and Y are two names of"),
        ("test_associations", {"bed": "d", "Y": "d", "X": "x.csv"}, "^bed and Y are two names of"),
        ("run", {"X": "x.csv", "K": 2}, "^the genotypes to test are not given; give Y=, a path, an array or a frame$"),
        ("estimate_factors", {"X": "x.csv", "K": 2}, "the genotypes to test are not given"),
        ("test_associations", {"X": "x.csv"}, "the genotypes to test are not given"),
        ("test_associations", {"Y": "d", "X": "x.csv"}, "^factors are not given; give those of lfmm2"),
        ("run", {"est_bed": "d", "full_bed": "x.csv", "K": 2}, r"X, the variables, is not given.*run\(Y=geno"),
        ("run", {"est_bed": "d", "full_bed": "x.csv", "X": 2}, r"X, the variables, is the number 2.*run\(Y=geno"),
    ],
)  # fmt: skip
def test_data_given_twice_or_not_at_all_are_refused(function, arguments, message):
    with pytest.raises(lfmm2.UsageError, match=message):
        getattr(lfmm2, function)(**arguments)


def test_examples_of_the_docstrings():
    failed, tried = doctest.testmod(api)
    assert failed == 0
    assert tried >= 3


def test_import_loads_no_library():
    code = (
        "import sys, lfmm2; dir(lfmm2); "
        "heavy = {'numpy', 'scipy', 'pyarrow', 'click', 'tqdm', 'pandas', 'threadpoolctl'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


@pytest.mark.parametrize("df", ["paper", "intercept"])
def test_halves_equal_the_whole_with_covar_and_lambda(data, df):
    covar = np.random.default_rng(3).standard_normal((80, 2))
    whole = lfmm2.run(None, data.bed, data.env, 3, covar=covar, lambda_=50.0, df=df)
    factors = lfmm2.estimate_factors(data.bed, data.env, 3, covar=covar, lambda_=50.0)
    half = lfmm2.test_associations(data.bed, data.env, factors, covar=covar, df=df)
    assert half.df == whole.df == 80 - 2 - 2 - 3 - (df == "intercept")
    assert np.array_equal(half.ridge_beta, whole.ridge_beta, equal_nan=True)
    assert np.array_equal(half.t, whole.t, equal_nan=True)


def test_given_factors_may_outnumber_the_snps_tested(data):
    factors = lfmm2.estimate_factors(data.bed, data.env, 4)
    whole = lfmm2.test_associations(data.bed, data.env, factors)
    with lfmm2.open_bed(data.bed) as bed:
        ids = bed.variants()["ID"].to_pylist()
        few = lfmm2.test_associations(bed, data.env, factors, extract=ids[10:12])
    assert np.allclose(few.t, whole.t[10:12], rtol=1e-12, equal_nan=True)


def test_no_factors_is_ordinary_regression(data, tmp_path):
    factors = lfmm2.estimate_factors(data.bed, data.env, 2).leading(0)
    result = lfmm2.test_associations(data.bed, data.env, factors, out=tmp_path / "r")
    assert result.df == 77
    assert np.isfinite(result.t).any()
    assert "given" in (tmp_path / "r.lfmm2.log").read_text()


def test_given_factors_need_no_memory_of_a_solver(tmp_path):
    data = simulate(tmp_path / "d", n_samples=1500, n_snps=600, n_variables=1, n_causal=3)
    factors = lfmm2.estimate_factors(data.bed, data.env, 2, solver="exact")
    with pytest.raises(lfmm2.InsufficientMemoryError):
        lfmm2.estimate_factors(data.bed, data.env, 2, solver="exact", memory="55MB")
    assert lfmm2.test_associations(data.bed, data.env, factors, memory="55MB").t.shape == (600, 1)


def test_factors_of_other_samples_are_refused_before_a_pass(data, tmp_path):
    factors = lfmm2.estimate_factors(data.bed, data.env, 2)
    fewer = tmp_path / "remove"
    fewer.write_text(factors.sample_ids[0] + "\n")
    with pytest.raises(lfmm2.InconsistentInputError, match="80 samples, of which 79 are among the 79 in use"):
        lfmm2.test_associations(data.bed, data.env, factors, remove=fewer, out=tmp_path / "r")
    assert list(tmp_path.iterdir()) == [fewer]


def test_factors_with_repeated_iids_need_the_same_order(tmp_path):
    rng = np.random.default_rng(0)
    dosage = rng.binomial(2, 0.4, (300, 30)).astype(float)
    iid, fid = ["x", "x", *(f"i{k}" for k in range(28))], [f"f{k}" for k in range(30)]
    bed = write_plink(tmp_path / "a", dosage, iid=iid, fid=fid)
    other = write_plink(tmp_path / "b", dosage[:, ::-1], iid=iid[::-1], fid=fid[::-1])
    X = rng.standard_normal(30)
    factors = lfmm2.estimate_factors(bed, X, 2)
    assert lfmm2.test_associations(bed, X, factors).t.shape == (300, 1)
    with pytest.raises(lfmm2.InconsistentInputError, match="some IIDs stand for several samples"):
        lfmm2.test_associations(other, X[::-1].copy(), factors)


def test_arrays_and_filesets_mix_row_by_row(data):
    X = np.loadtxt(data.env, delimiter=",", skiprows=1, usecols=1)
    traits = np.random.default_rng(1).standard_normal((len(X), 40))
    result = lfmm2.run(data.bed, traits, X, 2, scale="hwe")
    assert result.t.shape == (40, 1)
    assert np.array_equal(result.factors.U, lfmm2.estimate_factors(data.bed, X, 2, scale="hwe").U)
    with pytest.raises(lfmm2.UsageError, match="count_allele"):
        lfmm2.run(None, traits, X, 2, count_allele="a1")
    with pytest.raises(lfmm2.UsageError, match="scale"):
        lfmm2.run(None, traits, X, 2, scale="hwe")
    with pytest.raises(lfmm2.InconsistentInputError, match="80 rows"):
        lfmm2.run(data.bed, traits[1:], X[1:], 2)


def test_functions_print_nothing(data, tmp_path, capfd):
    factors = lfmm2.estimate_factors(data.bed, data.env, 2)
    lfmm2.test_associations(data.bed, data.env, factors, out=tmp_path / "r")
    assert capfd.readouterr() == ("", "")
