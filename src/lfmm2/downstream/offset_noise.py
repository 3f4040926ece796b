"""Sampling noise of stored effects: the covariance that the effects of a SNP have by its residuals alone.

Effects are linear in the genotypes y of a SNP: b = L y with one d × n matrix L for all SNPs. For BETA, L is the rows of
the variables in the pseudo-inverse of the regressors [nuisance | Û | X]; for RIDGE_BETA it is the map of Eq. 4. Given
the factors, the errors of y are independent with variance s² of the SNP, so that

    cov(b) = s² L Lᵀ,        s² = SE_j² / (L Lᵀ)_jj  with L of BETA,

and the standard error of one variable tells the covariance of all. The mean over runs of effects is (mean of L) y.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lfmm2._choices import Effects
from lfmm2._typing import Floats
from lfmm2.errors import InconsistentInputError
from lfmm2.model import ridge_geometry
from lfmm2.results import StoredRun


class SamplingNoise:
    """The covariance of the mean effects of a SNP over runs, but for its residual variance s².

    Parameters
    ----------
    runs : sequence of StoredRun
        Runs with the same variables, in any order of these.
    effects : {"ridge", "ols"}
        RIDGE_BETA or BETA.

    Attributes
    ----------
    matrix : ndarray of shape (d, d), float64
        L Lᵀ, with the variables in the order of the first run.
    variable : str
        Variable whose standard errors `residual_variance` takes.
    """

    def __init__(self, runs: Sequence[StoredRun], effects: Effects) -> None:
        variables = runs[0].variables
        self.variable = variables[0]
        self._unit_variances = []
        maps = []
        for run in runs:
            least_squares, ridge = _effect_maps(run, variables)
            self._unit_variances.append(float(least_squares[0] @ least_squares[0]))
            maps.append(least_squares if effects == "ols" else ridge)
        samples = {run.factors().sample_ids for run in runs}
        if len(samples) == 1:
            mean = np.mean(maps, axis=0)
            self.matrix: Floats = mean @ mean.T
        else:
            # Runs of other samples have errors in common, in an unknown part: this takes all of them to be common.
            self.matrix = np.mean([L @ L.T for L in maps], axis=0)

    def residual_variance(self, standard_errors: Sequence[Floats]) -> Floats:
        """Return s² of each SNP (n_snps_block,): the mean over runs, from the standard errors of `variable` in each."""
        pairs = zip(standard_errors, self._unit_variances, strict=True)
        squares: Floats = np.mean([se**2 / unit for se, unit in pairs], axis=0)
        return squares


def _effect_maps(run: StoredRun, variables: Sequence[str]) -> tuple[Floats, Floats]:
    """Return L of BETA and of RIDGE_BETA, (d, n) each, for the variables of a run in the given order."""
    names, X = run.design()
    factors = run.factors()
    if len(X) != len(factors.U) or not set(variables) <= set(names):
        raise InconsistentInputError(f"{run.prefix}: its factors file has no variables of all samples; run again")
    rows = [names.index(name) for name in variables]
    ridge = ridge_geometry(np.hstack([X, run.nuisance()]), factors.lambda_, factors.standardized)
    regressors = np.hstack([ridge.X, factors.U - factors.U.mean(axis=0)])  # (n, D + K)
    lengths = np.linalg.norm(regressors, axis=0)
    lengths[lengths == 0] = 1.0
    least_squares = np.linalg.pinv(regressors / lengths) / lengths[:, None]  # (D + K, n)
    return least_squares[rows], ridge.effect_map(factors.U, factors.loadings_map)[rows]
