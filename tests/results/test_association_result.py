"""Results in memory and results read back from files are the same."""

import numpy as np
import pytest
from scipy import stats

import lfmm2
from lfmm2.simulation import simulate

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
K, N, P = 3, 80, 700
PROPERTIES = {
    "beta": (P, 2), "se": (P, 2), "t": (P, 2), "ridge_beta": (P, 2), "p": (P, 2), "neg_log10_p": (P, 2),
    "p_calibrated": (P, 2), "neg_log10_p_calibrated": (P, 2), "q": (P, 2), "f_stat": (P,), "f_p": (P,),
    "shares": (P, 3), "status": (P,), "n_called": (P,), "frequency": (P,), "loadings": (P, K),
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("results") / "d", n_samples=N, n_snps=P, n_causal=3, seed=4)


@pytest.fixture(scope="module")
def both(data):
    """The same run in memory and in files."""
    memory = lfmm2.run(None, data.bed, data.env, K, loadings=True)
    return memory, lfmm2.run(None, data.bed, data.env, K, loadings=True, out=data.bed.with_name("r"))


@pytest.fixture(scope="module", params=["parquet", "tsv"])
def single(data, request):
    """A run of one variable in memory, and in files."""
    X = np.loadtxt(data.env, delimiter=",", skiprows=1, usecols=1)
    out = data.bed.with_name(f"single.{request.param}")
    return lfmm2.run(None, data.bed, X, K), lfmm2.run(None, data.bed, X, K, out=out, format=request.param)


@pytest.mark.parametrize(("name", "shape"), PROPERTIES.items())
def test_properties_have_their_shape_and_are_the_same_from_files(both, name, shape):
    memory, files = (getattr(result, name) for result in both)
    assert memory.shape == files.shape == shape
    assert memory.dtype == files.dtype
    assert np.array_equal(memory, files, equal_nan=memory.dtype.kind == "f")


@pytest.mark.parametrize("variable", ["env1", "env2", "joint", 0, 1])
def test_tables_are_the_same_from_files(both, variable):
    memory, files = both
    assert memory.table(variable).equals(files.table(variable))


def test_arrays_are_the_callers_own(both):
    for result in both:
        for name in ("frequency", "f_stat", "t"):
            getattr(result, name)[:] = 7
            assert not (getattr(result, name) == 7).any()


def test_loadings_not_asked_for_are_none(single):
    assert all(result.loadings is None for result in single)


def test_one_variable_has_the_f_of_its_t(single):
    memory, files = single
    assert np.array_equal(memory.t, files.t, equal_nan=True)
    assert np.allclose(files.f_stat, files.t[:, 0] ** 2, rtol=1e-12, equal_nan=True)
    assert np.allclose(memory.f_stat, files.f_stat, rtol=1e-10, equal_nan=True)
    assert np.allclose(files.f_p, files.p[:, 0], rtol=1e-9, equal_nan=True)
    assert np.allclose(files.f_p, stats.f.sf(files.f_stat, 1, files.df), rtol=1e-8, equal_nan=True)


def test_one_variable_needs_no_name_and_has_no_joint_file(single):
    memory, files = single
    assert files.table().equals(files.table("env1"))
    assert "joint" not in files.paths
    with pytest.raises(lfmm2.UsageError, match="F is the square of t"):
        files.table("joint")
    with pytest.raises(lfmm2.UsageError, match="shares of variance are in the joint table"):
        _ = files.shares
    assert np.allclose(memory.shares[memory.status == 0].sum(axis=1), 1)


@pytest.mark.parametrize(
    ("variable", "match"),
    [("rain", "'rain' is not a variable"), (2, "variable 2 of 2"), (-1, "variable -1"), (None, "name one")],
)
def test_unknown_tables_are_named(both, variable, match):
    for result in both:
        with pytest.raises(lfmm2.UsageError, match=match):
            result.table(variable)


def test_repr_tells_sizes_and_inflation(both):
    assert repr(both[0]).startswith(f"<AssociationResult: 80 samples × {len(both[0].t)} SNPs, K=3, GIF env1 ")
