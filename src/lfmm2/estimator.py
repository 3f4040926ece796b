"""LFMM2 as an estimator in the manner of scikit-learn, which is not needed for it: a thin layer on `lfmm2.run`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lfmm2._checks import quoted
from lfmm2._choices import Calibration, DegreesOfFreedom, Imputation, Solver
from lfmm2._html import html_facts
from lfmm2._typing import Floats, MissingCalls
from lfmm2._words import shortened
from lfmm2.api import run
from lfmm2.errors import InconsistentInputError, UsageError
from lfmm2.genotypes import GenotypesLike, is_in_memory, number_blocks
from lfmm2.results import AssociationResult


class NotFittedError(UsageError, AttributeError):
    """An estimator is asked for what only `fit` gives; scikit-learn's error of this name has the same parents."""


class LFMM2:
    """Latent factors and tests of association: scikit-learn's X is our Y, the genotypes, and its y is our X.

    Y = X Bᵀ + U Vᵀ + E, fitted by `lfmm2.run`: ``LFMM2(n_factors=5).fit(Y, X)``. Positions count, so that pipelines,
    `clone` and other tools of scikit-learn work: what they hand on first are genotypes, and what they call the target
    are the variables. It predicts nothing. ``transform(Y)`` gives the factors U of samples, for those of `fit` the
    estimated ones, and for others the projection of their genotypes on the loadings.

    Parameters
    ----------
    n_factors : int
        K, the number of latent factors.
    lambda_, standardize, solver, tol, n_power_iter, oversampling, df, calibrate, min_carriers, spa, surrogates, \
marginal, impute, ploidy, missing_genotype, seed, n_threads, memory
        As in `lfmm2.run`, with the same defaults. They are checked by `fit`.

    Attributes
    ----------
    result_ : AssociationResult
        All that the run gives: tables, GIF, pictures, `save`.
    coef_ : ndarray of shape (n_features, d), float64
        Effects of the d variables on each feature given the factors, in dosage per unit of the variable.
    pvalues_ : ndarray of shape (n_features, d), float64
        Calibrated p of these effects.
    factors_ : ndarray of shape (n_samples, K), float64
        Û.
    loadings_ : ndarray of shape (n_features, K), float64
        V, whose columns have the lengths `singular_values_`.
    singular_values_ : ndarray of shape (K,), float64
        Singular values s of P Y.
    mean_ : ndarray of shape (n_features,), float64
        Mean of each feature over the samples that have it; only where genotypes were given in memory.
    variables_ : tuple of str
        Names of the d variables.
    n_features_in_ : int
        Number of features (SNPs) of `fit`.
    feature_names_in_ : ndarray of shape (n_features,), object
        Names of the columns, if Y was a frame whose column names are all text.

    Notes
    -----
    Results and loadings are in memory, so this is for matrices that are; `lfmm2.run` with `out` is for all sizes.

    Examples
    --------
    >>> import numpy as np
    >>> from lfmm2 import LFMM2
    >>> rng = np.random.default_rng(1)
    >>> U, x = rng.standard_normal((100, 2)), rng.standard_normal(100)
    >>> Y = U @ rng.standard_normal((2, 300)) + rng.standard_normal((100, 300))
    >>> Y[:, 7] += x
    >>> model = LFMM2(n_factors=2).fit(Y, x)
    >>> int(model.pvalues_.argmin()), model.transform(Y).shape
    (7, (100, 2))
    """

    def __init__(
        self,
        n_factors: int = 5,
        *,
        lambda_: float | str = 1e-5,
        standardize: bool = True,
        solver: Solver = "auto",
        tol: float = 1e-4,
        n_power_iter: int = 2,
        oversampling: int = 10,
        df: DegreesOfFreedom = "intercept",
        calibrate: Calibration = "student",
        min_carriers: float | None = None,
        spa: bool = False,
        surrogates: int | str = "auto",
        marginal: bool = False,
        impute: Imputation = "mean",
        ploidy: int | None = None,
        missing_genotype: MissingCalls | None = None,
        seed: int = 0,
        n_threads: int | None = None,
        memory: int | str | None = None,
    ) -> None:
        self.n_factors = n_factors
        self.lambda_ = lambda_
        self.standardize = standardize
        self.solver = solver
        self.tol = tol
        self.n_power_iter = n_power_iter
        self.oversampling = oversampling
        self.df = df
        self.calibrate = calibrate
        self.min_carriers = min_carriers
        self.spa = spa
        self.surrogates = surrogates
        self.marginal = marginal
        self.impute = impute
        self.ploidy = ploidy
        self.missing_genotype = missing_genotype
        self.seed = seed
        self.n_threads = n_threads
        self.memory = memory

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        """Return the parameters of the constructor and their defaults."""
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        return {parameter.name: parameter.default for parameter in parameters}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; `deep` changes nothing, because none of them is an estimator."""
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name, and return the estimator; raise UsageError for a name that is none."""
        known = self._defaults()
        for name in params:
            if name not in known:
                raise UsageError(f"{quoted(name)} is no parameter of {type(self).__name__}; it has {', '.join(known)}")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def fit(self, Y: GenotypesLike, X: Any = None, *, covar: Any = None) -> Self:
        """Estimate the factors and test every feature.

        Parameters
        ----------
        Y : array, frame, path or other genotypes of shape (n_samples, n_features)
            As `full_bed` of `lfmm2.run`; scikit-learn calls it X.
        X : array, frame or table of shape (n_samples,) or (n_samples, d)
            Variables; scikit-learn calls them y.
        covar : as X, optional
            Nuisance variables.

        Raises
        ------
        LfmmError
            As `lfmm2.run`; UsageError also if X is not given.
        """
        if X is None:
            fact = f"{type(self).__name__} requires y to be passed, but the target y is None"
            raise UsageError(f"{fact}: y is X, the variables; write fit(genotypes, variables)")
        options = self.get_params()
        self.result_ = run(Y=Y, X=X, K=options.pop("n_factors"), covar=covar, loadings=True, **options)
        self.n_features_in_ = self.result_.n_snps
        self.variables_ = self.result_.variables
        for name in ("mean_", "feature_names_in_"):
            self.__dict__.pop(name, None)
        if is_in_memory(Y):
            self.mean_ = self._means(Y)
        if (names := _text_names(Y)) is not None:
            self.feature_names_in_ = names
        return self

    def fit_transform(self, Y: GenotypesLike, X: Any = None, *, covar: Any = None) -> Floats:
        """Fit, and return the estimated factors of the samples, shape (n_samples, K)."""
        return self.fit(Y, X, covar=covar).factors_

    def transform(self, Y: Any) -> Floats:
        """Return the factors of samples from their genotypes, (Y - mean) V diag(1/s²), shape (n_samples, K).

        Since Û = Y V diag(1/s²) for the centred genotypes of the fit (docs/method.md), these are `factors_` for the
        samples of `fit`. Missing values are taken at the mean of `fit`. The variables of new samples are not known
        here: a factor that runs along a variable has a share of it.

        Parameters
        ----------
        Y : array, frame or other numbers in memory of shape (n_samples, n_features)
            The features of `fit`, in the same order.

        Raises
        ------
        NotFittedError
            Before `fit`.
        InconsistentInputError
            If the features are not those of `fit`.
        UsageError
            If `fit` has read its genotypes from files, or Y is not in memory.
        """
        # A feature without variation has no loadings, and takes no part.
        loadings, s = np.nan_to_num(self.loadings_), self.singular_values_
        if not hasattr(self, "mean_") or not is_in_memory(Y):
            fact = "transform takes numbers in memory, after a fit of numbers in memory"
            raise UsageError(f"{fact}; the factors of the samples of a fileset are in factors_")
        if (names := _text_names(Y)) is not None and hasattr(self, "feature_names_in_"):
            _check_names(names, self.feature_names_in_)
        products: Floats | None = None
        for first, block in self._blocks(Y):
            rows = slice(first, first + len(block))
            centred = np.nan_to_num(block - self.mean_[rows, None])  # (n_snps_block, n_samples)
            part = centred.T @ loadings[rows]
            products = part if products is None else products + part
        assert products is not None
        return products / s**2

    def _blocks(self, Y: Any) -> Iterator[tuple[int, Floats]]:
        """Yield first feature and numbers of blocks of genotypes with the features of `fit`."""
        # What the numbers mean was settled by `fit`: a few new samples need not show it again.
        missing = () if self.missing_genotype is None else self.missing_genotype
        return number_blocks(Y, self.ploidy, missing, self._check_width)

    def _check_width(self, n_features: int) -> None:
        """Raise InconsistentInputError unless so many features are those of `fit`."""
        if n_features != self.n_features_in_:
            name = type(self).__name__
            fact = f"X has {n_features} features, but {name} is expecting {self.n_features_in_} features as input"
            raise InconsistentInputError(f"{fact} (X of scikit-learn is Y, the genotypes); give the columns of the fit")

    def _means(self, Y: GenotypesLike) -> Floats:
        """Return the mean of each feature over the samples that have it, 0 where none has."""
        means = np.zeros(self.n_features_in_)
        for first, block in self._blocks(Y):
            n_called = np.count_nonzero(~np.isnan(block), axis=1)
            means[first : first + len(block)] = np.nansum(block, axis=1) / np.maximum(n_called, 1)
        return means

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns of `transform`: factor1, factor2, …, as in the table of factors."""
        return np.array([f"factor{k}" for k in range(1, self.factors_.shape[1] + 1)], dtype=object)

    @property
    def _fitted(self) -> AssociationResult:
        """The result of `fit`."""
        if "result_" not in self.__dict__:
            name = type(self).__name__
            raise NotFittedError(f"this {name} is not fitted yet; call fit(genotypes, variables) first")
        return self.result_

    def __sklearn_is_fitted__(self) -> bool:
        """Return True after `fit`."""
        return "result_" in self.__dict__

    @property
    def coef_(self) -> Floats:
        """Effects of the variables given the factors, shape (n_features, d)."""
        return self._fitted.beta

    @property
    def pvalues_(self) -> Floats:
        """Calibrated p of the effects, shape (n_features, d)."""
        return self._fitted.p_calibrated

    @property
    def factors_(self) -> Floats:
        """Û, shape (n_samples, K)."""
        return self._fitted.factors.U

    @property
    def loadings_(self) -> Floats:
        """V, shape (n_features, K)."""
        loadings = self._fitted.loadings
        assert loadings is not None
        return loadings

    @property
    def singular_values_(self) -> Floats:
        """Singular values of P Y, shape (K,)."""
        return self._fitted.factors.singular_values

    def __repr__(self) -> str:
        changed = (f"{name}={value!r}" for name, value in self._changed().items())
        return f"{type(self).__name__}({', '.join(changed)})"

    def _changed(self) -> dict[str, Any]:
        """Return the parameters that are not the defaults."""
        defaults = self._defaults()
        values = {name: getattr(self, name) for name in defaults}
        return {name: value for name, value in values.items() if repr(value) != repr(defaults[name])}

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the parameters, and after `fit` the result."""
        facts = {"n_factors": self.n_factors, **self._changed()}
        shown = html_facts(type(self).__name__, {name: shortened(repr(value)) for name, value in facts.items()})
        return shown + (self.result_._repr_html_() if self.__sklearn_is_fitted__() else "<p>not fitted</p>")

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn asks of an estimator; it alone calls this, so that it is installed."""
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        target = TargetTags(required=True, two_d_labels=True, multi_output=True, single_output=True)
        inputs = InputTags(sparse=True, allow_nan=True)
        return Tags(estimator_type=None, target_tags=target, transformer_tags=TransformerTags(), input_tags=inputs)


def _text_names(Y: Any) -> NDArray[np.object_] | None:
    """Return the names of the columns of a frame if all are text, as scikit-learn does; None for all else."""
    columns = getattr(Y, "columns", None)
    if columns is None or callable(columns):
        return None
    names = list(columns)
    return np.array(names, dtype=object) if names and all(isinstance(name, str) for name in names) else None


def _check_names(names: NDArray[np.object_], known: NDArray[np.object_]) -> None:
    """Raise InconsistentInputError unless columns have the names of the fit, in the same order."""
    if len(names) != len(known) or (differs := np.flatnonzero(names != known)).size == 0:
        return
    first = int(differs[0])
    fact = f"column {first + 1} is {shortened(names[first])}, and that of the fit is {shortened(known[first])}"
    raise InconsistentInputError(f"the feature names are not those of the fit: {fact}; give its columns in its order")
