"""The whole method in dense NumPy: the oracle of every other test.

Written from the equations and from nothing else; whole matrices, no streaming, no shortcuts. It stays as plain as
it is: speed and memory are the package's business.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass
class Reference:
    U: np.ndarray  # (n, K)
    singular_values: np.ndarray  # (K,)
    V: np.ndarray  # (p, K)
    B: np.ndarray  # (p, d) ridge, Eq. 4
    beta: np.ndarray  # (p, d) least squares given U
    se: np.ndarray
    t: np.ndarray
    p: np.ndarray
    f: np.ndarray  # (p,)
    f_p: np.ndarray
    gif: np.ndarray  # (d,)


def centred(dosage, scale=False):
    """Y (n, p): missing (NaN) imputed to the SNP's mean, then centred; scaled by 1/sqrt(2f(1-f)) if asked."""
    mean = np.array([np.mean(y[~np.isnan(y)]) if (~np.isnan(y)).any() else 0.0 for y in dosage.T])
    Y = np.where(np.isnan(dosage), 0.0, dosage - mean)
    varies = np.ptp(Y, axis=0) > 0
    Y[:, ~varies] = 0.0
    if scale:
        f = mean / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            Y = np.where(varies, Y / np.sqrt(2 * f * (1 - f)), 0.0)
    return Y


def filled(dosage, U):
    """Missing calls filled from the regression of their SNP on [1, U] over the samples that have a call.

    With the mean where these are fewer than K + 2, or do not determine the regression.
    """
    A = np.c_[np.ones(len(U)), U]
    Y = dosage.copy()
    for y in Y.T:
        called = ~np.isnan(y)
        if called.all() or not called.any():
            continue
        if called.sum() > A.shape[1] and np.linalg.matrix_rank(A[called], tol=1e-4 * np.linalg.norm(A)) == A.shape[1]:
            coefficients = np.linalg.lstsq(A[called], y[called], rcond=None)[0]
            y[~called] = A[~called] @ coefficients
        else:
            y[~called] = y[called].mean()
    return Y


def left_out_errors(y, U, i):
    """Errors of call i of a SNP predicted by the mean, and by the regression on [1, U], of the other called samples."""
    others = ~np.isnan(y)
    others[i] = False
    A = np.c_[np.ones(len(U)), U]
    coefficients = np.linalg.lstsq(A[others], y[others], rcond=None)[0]
    return y[i] - y[others].mean(), y[i] - A[i] @ coefficients


def ridge_projection(X, lam):
    """P = I - Q (I - D) Qᵀ as a dense n×n matrix, with d_j = sqrt(λ / (λ + σ_j²))."""
    Q, sigma, _ = np.linalg.svd(X - X.mean(0), full_matrices=False)
    return np.eye(len(X)) - Q @ np.diag(1 - np.sqrt(lam / (lam + sigma**2))) @ Q.T


def fit_factors(Y, X, K, lam=1e-5):
    """Ŵ = P⁻¹ svd_K(P Y) as Û (n, K), singular values (K,), V (p, K)."""
    P = ridge_projection(X, lam)
    left, s, right = np.linalg.svd(P @ Y, full_matrices=False)
    return np.linalg.solve(P, left[:, :K]), s[:K], right[:K].T * s[:K]


def ridge_effects(Y, X, W, lam=1e-5):
    """Eq. 4: B (p, d)."""
    Xc = X - X.mean(0)
    return np.linalg.solve(Xc.T @ Xc + lam * np.eye(X.shape[1]), Xc.T @ (Y - W)).T


def least_squares(Y, C, d, df):
    """Coefficients, standard errors and t of the first d columns of C for every column of Y; rss (p,)."""
    inverse = np.linalg.inv(C.T @ C)
    coefficients = inverse @ C.T @ Y
    rss = ((Y - C @ coefficients) ** 2).sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.sqrt(np.outer(np.diag(inverse)[:d], rss / df))
        return coefficients[:d].T, se.T, (coefficients[:d] / se).T, rss


def inflation(t):
    t = t[np.isfinite(t)]
    return np.median(t**2) / stats.chi2.ppf(0.5, 1)


def loss(Y, X, U, V, B, lam):
    """Eq. 2."""
    Xc = X - X.mean(0)
    return ((Y - U @ V.T - Xc @ B.T) ** 2).sum() + lam * (B**2).sum()


def lfmm2(dosage_est, dosage, X, K, lam=1e-5, df="paper", scale=False, n_nuisance=0, standardize=False):
    """Everything; the last `n_nuisance` columns of X are adjusted for and not reported.

    With `standardize` λ is compared with variables of variance 1, and effects are those per unit of X.
    """
    n, d = X.shape
    reported = d - n_nuisance
    if standardize:
        sd = X.std(axis=0)
        answer = lfmm2(dosage_est, dosage, X / sd, K, lam, df, scale, n_nuisance)
        for effects in (answer.B, answer.beta, answer.se):
            effects /= sd[:reported]
        return answer
    Xc = X - X.mean(0)
    Y_est, Y = centred(dosage_est, scale), centred(dosage)
    U, s, _ = fit_factors(Y_est, X, K, lam)
    P = ridge_projection(X, lam)
    V = (np.linalg.solve(P, np.eye(n)) @ P @ Y).T @ (P @ P @ U)  # Ŵ = Û (U'ᵀ P Y) with U' = P Û
    B = ridge_effects(Y, X, U @ V.T, lam)
    nu = n - d - K - (df == "intercept")
    beta, se, t, rss = least_squares(Y, np.c_[Xc, U], reported, nu)
    varies = np.ptp(Y, axis=0) > 0
    for array in (beta, se, t):
        array[~varies] = np.nan
    rss_0 = least_squares(Y, np.c_[Xc[:, reported:], U], 0, nu)[3] if K + n_nuisance else (Y**2).sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        f = np.where(varies, (rss_0 - rss) / reported / (rss / nu), np.nan)
    return Reference(
        U=U, singular_values=s, V=V, B=B[:, :reported], beta=beta, se=se, t=t,
        p=2 * stats.t.sf(abs(t), nu), f=f, f_p=stats.f.sf(f, reported, nu),
        gif=np.array([inflation(column) for column in t.T]),
    )  # fmt: skip


def canonical_distance(U1, U2):
    """Sine of the largest principal angle between two subspaces."""
    Q1, Q2 = np.linalg.qr(U1)[0], np.linalg.qr(U2)[0]
    return np.linalg.norm(Q2 - Q1 @ (Q1.T @ Q2), 2)


def joint_distances(T):
    """D = tᵀ S⁻¹ t of t vectors (p, d) over its median, with S Tyler's scatter of them about zero."""
    S = np.eye(T.shape[1])
    for _ in range(1000):
        D = np.einsum("ij,jk,ik->i", T, np.linalg.inv(S), T)
        S = (T / D[:, None]).T @ T
        S /= np.trace(S)
    return D / np.median(D)
