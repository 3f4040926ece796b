"""The estimator: the numbers of `lfmm2.run`, the manners of scikit-learn, and what of its checks does not apply."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import lfmm2
from lfmm2 import LFMM2
from lfmm2.pipeline.options import OPTIONS

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")

# Checks of scikit-learn that do not apply, and why.
NOT_APPLICABLE = {
    "check_fit_score_takes_y": "the second argument of fit is named X, as in the model",
    "check_transformer_general": "the second argument is given as y=, and is named X",
    "check_transformer_data_not_an_array": "the second argument is given as y=, and is named X",
    "check_complex_data": "the message is lfmm2's: give real numbers",
    "check_dtype_object": "arrays of objects are refused, as text in them would be",
    "check_estimators_empty_data_messages": "the message is lfmm2's: there is no SNP to test",
    "check_fit2d_predict1d": "the message is lfmm2's: give an array (n_samples, n_snps)",
}


def made_data(n_samples: int = 60, n_features: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Numbers with two factors, and two variables, the first of which acts on feature 7."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((n_samples, 2))
    Y = rng.standard_normal((n_samples, 2)) @ rng.standard_normal((2, n_features)) * 2
    Y += rng.standard_normal((n_samples, n_features))
    Y[:, 7] += 2 * X[:, 0]
    return Y, X


def test_estimator_has_the_numbers_of_the_run() -> None:
    Y, X = made_data()
    Y[3, 11] = np.nan
    model = LFMM2(n_factors=2, n_threads=1, surrogates=0).fit(Y, X)
    result = lfmm2.run(Y=Y, X=X, K=2, n_threads=1, surrogates=0, loadings=True)
    np.testing.assert_array_equal(model.coef_, result.beta)
    np.testing.assert_array_equal(model.pvalues_, result.p_calibrated)
    np.testing.assert_array_equal(model.factors_, result.factors.U)
    np.testing.assert_array_equal(model.loadings_, result.loadings)
    assert model.pvalues_[:, 0].argmin() == 7
    assert (model.n_features_in_, model.variables_) == (200, ("env1", "env2"))
    np.testing.assert_allclose(np.linalg.norm(model.loadings_, axis=0), model.singular_values_, rtol=1e-9)


def test_transform_gives_the_factors_of_the_fit_and_of_single_samples() -> None:
    Y, X = made_data()
    Y[3, 11], Y[:, 20] = np.nan, 1.5
    model = LFMM2(n_factors=2, n_threads=1, surrogates=0)
    estimated = model.fit_transform(Y, X)
    np.testing.assert_allclose(model.transform(Y), estimated, rtol=0, atol=1e-9)
    np.testing.assert_allclose(model.transform(Y[3:4]), estimated[3:4], rtol=0, atol=1e-9)
    assert list(model.get_feature_names_out()) == ["factor1", "factor2"]


def test_covariates_and_options_reach_the_run() -> None:
    Y, X = made_data()
    model = LFMM2(n_factors=1, df="paper", n_threads=1, surrogates=0).fit(Y, X[:, 0], covar=X[:, 1])
    assert model.result_.df == 60 - 2 - 1
    assert model.coef_.shape == (200, 1)


def test_names_of_features_are_kept_and_compared() -> None:
    Y, X = made_data()
    names = [f"cg{number}" for number in range(200)]
    frame = pd.DataFrame(Y, columns=names)
    model = LFMM2(n_factors=1, n_threads=1, surrogates=0).fit(frame, X)
    assert list(model.feature_names_in_) == names
    with pytest.raises(lfmm2.InconsistentInputError, match="column 1 is cg1, and that of the fit is cg0"):
        model.transform(frame[[names[1], names[0], *names[2:]]])
    assert not hasattr(model.fit(Y, X), "feature_names_in_")


def test_rows_are_matched_as_by_the_run() -> None:
    Y, X = made_data()
    order = np.random.default_rng(1).permutation(60)
    frame, series = pd.DataFrame(Y).iloc[order], pd.Series(X[:, 0], name="rain").iloc[order]
    model = LFMM2(n_factors=1, n_threads=1, surrogates=0)
    matched = model.fit(frame, series.iloc[::-1]).coef_
    assert model.variables_ == ("rain",)
    np.testing.assert_array_equal(matched, model.fit(Y[order], X[order, 0]).coef_)
    with pytest.raises(lfmm2.InconsistentInputError, match=r"the index does not go up .* give them as an array"):
        model.fit(frame.to_numpy(), series)


def test_fileset_is_fitted_and_not_transformed(tmp_path) -> None:
    data = lfmm2.simulate(tmp_path / "d", n_samples=60, n_snps=300, seed=1)
    model = LFMM2(n_factors=2, n_threads=1, surrogates=0).fit(data.bed, data.env)
    assert model.factors_.shape == (60, 2)
    with pytest.raises(lfmm2.UsageError, match="the factors of the samples of a fileset are in factors_"):
        model.transform(data.bed)


def test_what_is_wrong_is_said() -> None:
    Y, X = made_data()
    model = LFMM2(n_factors=1, n_threads=1, surrogates=0)
    with pytest.raises(lfmm2.UsageError, match="not fitted yet; call fit"):
        model.transform(Y)
    assert not hasattr(model, "coef_")
    with pytest.raises(lfmm2.UsageError, match="y is X, the variables; write fit"):
        model.fit(Y)
    with pytest.raises(lfmm2.UsageError, match="'k' is no parameter of LFMM2; it has n_factors, lambda_"):
        model.set_params(k=3)
    with pytest.raises(lfmm2.InconsistentInputError, match="X has 9 features, but LFMM2 is expecting 200 features"):
        model.fit(Y, X).transform(Y[:, :9])


def test_parameters_are_those_of_the_table() -> None:
    defaults = LFMM2().get_params()
    assert defaults.pop("n_factors") == 5
    assert defaults == {name: OPTIONS[name].default for name in defaults}
    documented = inspect.getdoc(LFMM2) or ""
    assert all(name in documented for name in defaults)


def test_estimator_shows_itself() -> None:
    Y, X = made_data()
    model = LFMM2(n_factors=2, lambda_="<1x>")
    assert repr(model) == "LFMM2(n_factors=2, lambda_='<1x>')"
    assert "not fitted" in model._repr_html_()
    assert "<1x>" not in model._repr_html_()
    assert "LFMM2 associations" in model.set_params(lambda_="1x", surrogates=0).fit(Y, X)._repr_html_()


def test_fitted_estimator_is_pickled() -> None:
    Y, X = made_data()
    model = LFMM2(n_factors=2, n_threads=1, surrogates=0).fit(Y, X)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.coef_, model.coef_)
    np.testing.assert_array_equal(copy.transform(Y), model.transform(Y))


def test_scikit_learn_is_not_imported() -> None:
    code = "import sys; from lfmm2 import LFMM2; repr(LFMM2()); assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_pipeline_clone_and_page_of_scikit_learn() -> None:
    pytest.importorskip("sklearn", minversion="1.6")
    from sklearn.base import clone
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    Y, X = made_data()
    model = LFMM2(n_factors=2, n_threads=1, surrogates=0)
    assert clone(model).get_params() == model.get_params()
    chain = make_pipeline(StandardScaler(), model).fit(Y, X)
    alone = clone(model).fit(StandardScaler().fit_transform(Y), X)
    np.testing.assert_array_equal(chain[-1].coef_, alone.coef_)
    np.testing.assert_allclose(chain.transform(Y), alone.factors_, rtol=0, atol=1e-9)
    assert list(chain[-1:].get_feature_names_out()) == ["factor1", "factor2"]
    assert "LFMM2" in chain._repr_html_()


@pytest.mark.filterwarnings("ignore")
def test_checks_of_scikit_learn() -> None:
    pytest.importorskip("sklearn", minversion="1.6")
    from sklearn.utils.estimator_checks import check_estimator

    model = LFMM2(n_factors=1, n_threads=1, surrogates=0)
    found = check_estimator(model, expected_failed_checks=NOT_APPLICABLE, on_skip=None, on_fail=None)
    failed = {check["check_name"]: str(check["exception"]) for check in found if check["status"] == "failed"}
    assert failed == {}
    # A check that has come to apply leaves the list.
    refused = {check["check_name"] for check in found if check["status"] == "xfail"}
    assert refused == NOT_APPLICABLE.keys() & {check["check_name"] for check in found}
