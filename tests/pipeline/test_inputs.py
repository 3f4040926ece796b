"""Samples and variables: matched by ID, whatever the order and the kind of source."""

import warnings

import numpy as np
import pandas as pd
import pytest

import lfmm2
from lfmm2.files.samples import Samples
from lfmm2.genotypes.plink_writer import write_plink
from lfmm2.pipeline.inputs import (
    AlignedVariables,
    _kept_samples,
    align_variables,
    check_readable,
    check_size,
    match_samples,
)
from lfmm2.pipeline.run_options import RunOptions, SampleOptions, SnpOptions

N = 12
SAMPLES = Samples(("0",) * N, tuple(f"i{k}" for k in range(N)))
X = np.random.default_rng(0).standard_normal((N, 2))


def aligned(x=X, covar=None, **options):
    return align_variables(SAMPLES, x, covar, SampleOptions(**options))


def test_arrays_of_variables_and_nuisance_variables_get_names_of_their_own():
    both = aligned(X, X[:, 0] ** 2)
    assert both.names == ("env1", "env2")
    assert both.nuisance_names == ("covar1",)
    assert np.array_equal(both.values, np.c_[X, X[:, 0] ** 2])


def test_unnamed_series_beside_an_array_has_a_name_of_its_own():
    series = pd.Series(X[:, 0] ** 2, index=SAMPLES.iid)
    assert aligned(X, series).nuisance_names == ("covar1",)
    assert aligned(X, series.rename("age")).nuisance_names == ("age",)


def test_samples_that_lack_a_nuisance_variable_are_left_out_with_intersect():
    covar = pd.DataFrame({"age": np.arange(N - 3.0) ** 2}, index=SAMPLES.iid[3:])
    with pytest.raises(lfmm2.InconsistentInputError, match="3 of 12 samples have no row"):
        aligned(X, covar)
    both = aligned(X, covar, intersect=True)
    assert both.iids == SAMPLES.iid[3:]
    assert np.array_equal(both.values[:, :2], X[3:])


def test_keep_and_missing_values_in_arrays(tmp_path):
    (tmp_path / "keep").write_text("\n".join(SAMPLES.iid[4:]))
    x = X.copy()
    x[1] = np.nan
    assert aligned(x, keep=tmp_path / "keep").iids == SAMPLES.iid[4:]
    x[6] = np.nan
    with pytest.raises(lfmm2.InconsistentInputError, match="i6"):
        aligned(x, keep=tmp_path / "keep")
    assert aligned(x, keep=tmp_path / "keep", intersect=True).iids == (*SAMPLES.iid[4:6], *SAMPLES.iid[7:])


def test_several_lists_keep_or_remove_whoever_is_in_any(tmp_path):
    for name, rows in {"a": slice(0, 5), "b": slice(4, 9), "c": slice(1, 3), "d": slice(2, 4)}.items():
        (tmp_path / name).write_text("\n".join(SAMPLES.iid[rows]))
    a, b, c, d = (tmp_path / name for name in "abcd")
    assert aligned(keep=[a, str(b)]).iids == SAMPLES.iid[:9]
    assert aligned(remove=(c, d)).iids == (SAMPLES.iid[0], *SAMPLES.iid[4:])
    assert aligned(keep=[a, b], remove=[c, d]).iids == (SAMPLES.iid[0], *SAMPLES.iid[4:9])
    with pytest.raises(lfmm2.InconsistentInputError, match="leave none of 12 samples"):
        aligned(keep=[a], remove=[a, c])


def test_tables_of_nuisance_variables_keep_their_names():
    frames = [pd.DataFrame({name: X[:, 0] ** k}, index=SAMPLES.iid) for name, k in (("age", 2), ("height", 3))]
    assert aligned(X, frames).nuisance_names == ("age", "height")
    with pytest.raises(lfmm2.UsageError, match="age: both a variable and a nuisance variable"):
        aligned([frames[0].iloc[::-1]], frames)


def test_missing_code_applies_to_all_tables():
    x, covar = X.copy(), X[:, 0] ** 2
    x[2, 0] = covar[3] = -9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both = aligned(x, covar, missing_code=-9, intersect=True)
    assert both.iids == (*SAMPLES.iid[:2], *SAMPLES.iid[4:])


def test_missing_values_of_both_tables_are_dropped_or_filled():
    x, covar = X.copy(), X[:, 0] ** 2
    x[2, 0] = covar[3] = np.nan
    with pytest.warns(lfmm2.InputWarning, match=r"1 of 12 samples have missing .*variables and are left out") as seen:
        both = aligned(x, covar, missing="drop")
    assert both.iids == (*SAMPLES.iid[:2], *SAMPLES.iid[4:])
    assert [str(w.message).split(":")[0] for w in seen] == ["variables", "nuisance variables"]
    with pytest.warns(lfmm2.InputWarning, match="are given the mean"):
        both = aligned(x, covar, missing="mean")
    assert both.iids == SAMPLES.iid
    assert both.values[2, 0] == pytest.approx(np.nanmean(x[:, 0]), rel=1e-15)
    assert both.values[3, 2] == pytest.approx(np.nanmean(covar), rel=1e-15)
    assert np.array_equal(np.delete(both.values, [2, 3], 0), np.delete(np.c_[X, X[:, 0] ** 2], [2, 3], 0))


def test_means_are_of_the_samples_kept(tmp_path):
    (tmp_path / "keep").write_text("\n".join(SAMPLES.iid[4:]))
    x = X.copy()
    x[5, 0] = np.nan
    with pytest.warns(lfmm2.InputWarning, match="1 of 8 samples"):
        kept = aligned(x, keep=tmp_path / "keep", missing="mean")
    assert kept.values[1, 0] == pytest.approx(np.nanmean(x[4:, 0]), rel=1e-15)


def test_intersect_leaves_out_missing_values_without_a_word():
    x = X.copy()
    x[5, 0] = np.nan
    for missing in ("error", "drop"):
        assert aligned(x, intersect=True, missing=missing).iids == (*SAMPLES.iid[:5], *SAMPLES.iid[6:])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"missing": "zero"}, "missing is 'zero'"), ({"missing": "mean", "intersect": True}, "give one of them")],
)
def test_sample_options_are_checked(options, message):
    with pytest.raises(lfmm2.UsageError, match=message):
        SampleOptions(**options)


def test_lists_of_samples_hint_at_spelling(tmp_path):
    (tmp_path / "keep").write_text("I1\ni2\n")
    with pytest.warns(lfmm2.InputWarning, match=r"1 IDs are not in the .fam \(I1\); 1 would match but for upper and"):
        _kept_samples(SAMPLES, SampleOptions(tmp_path / "keep"))
    (tmp_path / "keep").write_text("I1\nI2\n")
    with (
        pytest.warns(lfmm2.InputWarning, match="2 IDs are not in"),
        pytest.raises(lfmm2.InconsistentInputError, match=r"leave none of 12 samples; .*2 would match but for upper"),
    ):
        aligned(keep=tmp_path / "keep")


def test_match_samples_hints_at_spelling(tmp_path):
    with (
        fileset(tmp_path / "a", "00", ["x1", "y"]) as ours,
        fileset(tmp_path / "b", "00", ["X1", "y"]) as theirs,
        pytest.raises(lfmm2.InconsistentInputError, match=r"1 of 2 .*1 would match but for upper and lower case"),
    ):
        match_samples(variables_of(ours, [0, 1]), theirs, "b")


def test_check_readable_opens_paths_only(tmp_path):
    path = tmp_path / "env.csv"
    path.touch()
    lists = RunOptions(samples=SampleOptions(keep=[path, path]), snps=SnpOptions(extract=["snp1"], exclude=[path]))
    assert check_readable(str(path), None, RunOptions()) == [path]
    assert check_readable(X, [path], lists) == [path] * 4
    with pytest.raises(lfmm2.ReadError, match="absent"):
        check_readable(X, tmp_path / "absent", RunOptions())
    with pytest.raises(lfmm2.ReadError, match="directory"):
        check_readable(X, None, RunOptions(samples=SampleOptions(remove=tmp_path)))


def fileset(path, fid, iid):
    return lfmm2.open_bed(write_plink(path, np.ones((3, len(iid))), fid=list(fid), iid=list(iid)))


def variables_of(bed, rows):
    rows = np.array(rows)
    return AlignedVariables(("x",), (), np.zeros((len(rows), 1)), bed.samples, rows)


def test_match_samples_by_iid_whatever_the_fid(tmp_path):
    with fileset(tmp_path / "a", "abc", "xyz") as ours, fileset(tmp_path / "b", "0000", "zwxy") as theirs:
        assert match_samples(variables_of(ours, [0, 2]), theirs, "b").tolist() == [2, 0]


def test_match_samples_by_fid_and_iid_where_iids_repeat(tmp_path):
    with fileset(tmp_path / "a", "abc", "xxz") as ours, fileset(tmp_path / "b", "cba", "zxx") as theirs:
        assert match_samples(variables_of(ours, [0, 1, 2]), theirs, "b").tolist() == [2, 1, 0]


def test_match_samples_ignores_repeats_among_samples_not_in_use(tmp_path):
    with fileset(tmp_path / "a", "abc", "xyz") as ours, fileset(tmp_path / "b", "01000", "wwxyz") as theirs:
        assert match_samples(variables_of(ours, [0, 1, 2]), theirs, "b").tolist() == [2, 3, 4]


def test_match_samples_says_when_fids_matter(tmp_path):
    with (
        fileset(tmp_path / "a", "abc", "xxz") as ours,
        fileset(tmp_path / "b", "dbc", "xxz") as theirs,
        pytest.raises(lfmm2.InconsistentInputError, match=r"1 of 3 .*FID and IID"),
    ):
        match_samples(variables_of(ours, [0, 1, 2]), theirs, "b")


def test_check_size_counts_nuisance_variables_and_snps():
    check_size(10, 3, 5)
    with pytest.raises(lfmm2.DegenerateProblemError, match="at most 5 factors"):
        check_size(10, 3, 6)
    with pytest.raises(lfmm2.DegenerateProblemError, match="4 SNPs to estimate from; at most 4"):
        check_size(10, 3, 5, 4)
