"""Each variable alone beside the others: dense least squares, limits, and what must not change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from conftest import Structured, WriteFileset

import lfmm2
from lfmm2.downstream.hits import find_hits
from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.model.association import AssociationModel
from lfmm2.model.columns import MARGINAL_COLUMNS
from lfmm2.model.factors import LatentFactors
from lfmm2.model.ridge import ridge_geometry
from lfmm2.results.stored_run import StoredRun

Floats = np.ndarray
pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
K = 3


def alone(Y: Floats, x: Floats, given: Floats) -> Floats:
    """t of x in the regression of each SNP on x and the columns of `given`, with a mean."""
    C = np.column_stack([np.ones(len(x)), given, x])
    inverse = np.linalg.inv(C.T @ C)
    beta = inverse @ C.T @ Y
    rest = Y - C @ beta
    df = len(x) - C.shape[1]
    return beta[-1] / np.sqrt((rest**2).sum(axis=0) / df * inverse[-1, -1])


@pytest.fixture(scope="module")
def dosage(structured: Structured) -> Floats:
    """Genotypes without missing calls, so that a dense regression needs no means."""
    return np.nan_to_num(structured.dosage, nan=1.0)


@pytest.fixture(scope="module")
def X(structured: Structured) -> Floats:
    """Two variables that are correlated at 0.98, and one of its own."""
    rng = np.random.default_rng(4)
    first = structured.X[:, 0]
    return np.column_stack(
        [first, first + 0.2 * first.std() * rng.normal(size=len(first)), rng.normal(size=len(first))]
    )


@pytest.mark.parametrize("n_nuisance", [0, 1])
@pytest.mark.parametrize("sweep", [None, (1, 4)])
def test_t_alone_agrees_with_dense_regression(dosage: Floats, X: Floats, n_nuisance: int, sweep: tuple | None) -> None:
    tested, covar = X[:, : 3 - n_nuisance], X[:, 3 - n_nuisance :] if n_nuisance else None
    result = lfmm2.run(None, dosage, tested, K, covar=covar, marginal=True, sweep=sweep)
    df = len(X) - 2 - K - n_nuisance
    for j in range(tested.shape[1]):
        given = result.factors.U if covar is None else np.c_[covar, result.factors.U]
        expected = alone(dosage, tested[:, j], given)
        found = result.t_marginal[:, j]
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(result.p_marginal[:, j], 2 * scipy.stats.t.sf(np.abs(found), df), rtol=1e-9)
    np.testing.assert_allclose(10.0**-result.neg_log10_p_marginal, result.p_marginal, rtol=1e-9)
    # Given each other the two have little left, alone each has the association.
    assert np.nanmax(np.abs(result.t_marginal[:, 0])) > np.nanmax(np.abs(result.t[:, 0]))


def test_one_variable_alone_is_the_test_of_it(dosage: Floats, X: Floats) -> None:
    result = lfmm2.run(None, dosage, X[:, :1], K, marginal=True)
    np.testing.assert_allclose(result.t_marginal, result.t, rtol=1e-13)


def test_marginal_changes_no_other_column(dosage: Floats, X: Floats) -> None:
    plain = lfmm2.run(None, dosage, X, K)
    both = lfmm2.run(None, dosage, X, K, marginal=True)
    for name in (*plain.variables, "joint"):
        table = both.table(name)
        assert table.select(plain.table(name).column_names).equals(plain.table(name))
    assert table.column_names == plain.table("joint").column_names
    names = [column.name for column in MARGINAL_COLUMNS]
    assert both.table("env1").column_names[-4:] == [*names, "STATUS"]
    with pytest.raises(AttributeError, match="t_marginal"):
        plain.t_marginal  # noqa: B018


def test_residual_lost_to_cancellation_is_computed_from_what_is_left() -> None:
    """A SNP that is one variable to nine digits: the regression on it leaves 1e-20 of the variance."""
    rng = np.random.default_rng(8)
    basis = np.linalg.qr(np.c_[np.ones(30), rng.normal(size=(30, 4))])[0]
    x, other, noise = basis[:, 1], 0.5 * basis[:, 1] + basis[:, 2], basis[:, 3]
    y = x + 1e-10 * basis[:, 2] + 1e-11 * noise
    U = np.linalg.qr(basis[:, 4:])[0]
    factors = LatentFactors(U, np.ones(1), np.zeros(1), 0.0, "exact", "", 1, True, U, 1e-5, 5)
    model = AssociationModel(ridge_geometry(np.c_[x, other], 1e-5), factors, 2, "intercept", marginal=True)
    matrix = ArrayMatrix(np.ascontiguousarray(y[:, None]), Engine(1, 1 << 30))
    (block,) = model.statistics(matrix)
    left = 1e-20 + 1e-22
    np.testing.assert_allclose(block.t_marginal[0, 0], 1 / np.sqrt(left / 27), rtol=1e-4)


def test_files_hits_and_readers_have_the_columns(
    structured: Structured, X: Floats, write_fileset: WriteFileset, tmp_path: Path
) -> None:
    bed = write_fileset(structured.dosage)
    made = lfmm2.run(None, bed, X, K, marginal=True)
    for form in ("parquet", "tsv.gz"):
        lfmm2.run(None, bed, X, K, marginal=True, out=tmp_path / form, format=form)
        again = lfmm2.read_results(tmp_path / form)
        for column in MARGINAL_COLUMNS:
            np.testing.assert_array_equal(getattr(again, column.attribute), getattr(made, column.attribute))
        run = StoredRun(tmp_path / form)
        assert run.record.parameters["marginal"] is True
        hits = find_hits(run, fdr=1, variables="env2").to_pandas()
        by_id = pd.Series(made.t_marginal[:, 1], made.table("env2")["ID"].to_pylist())
        assert len(hits) > 1000
        np.testing.assert_array_equal(hits["T_MARGINAL"], by_id[hits["ID"]])
    lfmm2.run(None, bed, X, K, out=tmp_path / "plain")
    assert "T_MARGINAL" not in find_hits(tmp_path / "plain", fdr=1).column_names
