"""Routines of LAPACK by `scipy.linalg.lapack`, which alone imports in a tenth of the time of all of `scipy.linalg`.

The calls are those that the functions of `scipy.linalg` with these names make, so the bits are the same. Values are not
checked: NaN and infinities are the caller's to keep out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from lfmm2._typing import Floats, Ints


def eigh(A: Floats, first: int = 0, overwrite: bool = False) -> tuple[Floats, Floats]:
    """Return eigenvalues and eigenvectors of a symmetric matrix, ascending, by dsyevr.

        A v_i = λ_i v_i,   i = first, ..., n - 1

    Parameters
    ----------
    A : ndarray of shape (n, n), float64
        Its lower triangle is read.
    first : int
        Number of the smallest eigenvalues that are left out.
    overwrite : bool
        True if dsyevr may use the memory of `A`, which is then in Fortran order; it leaves a tridiagonal matrix there.

    Returns
    -------
    values : ndarray of shape (n - first,), float64
    vectors : ndarray of shape (n, n - first), float64

    Raises
    ------
    numpy.linalg.LinAlgError
        If the iteration does not converge.
    """
    n = len(A)
    if n == 0:
        return np.empty(0), np.empty((0, 0))
    chosen = {"range": "I", "il": first + 1, "iu": n} if first else {}
    lwork, liwork, info = lapack.dsyevr_lwork(n, lower=1)
    values, vectors, n_found, _, info = lapack.dsyevr(
        A, lower=1, lwork=int(lwork), liwork=int(liwork), overwrite_a=overwrite, **chosen
    )
    _check(info, "dsyevr")
    return values[:n_found], vectors[:, :n_found]


def eigvalsh_tridiagonal(diagonal: Floats, below: Floats) -> Floats:
    """Return the ascending eigenvalues of a symmetric tridiagonal matrix with n and n - 1 values, by dsterf."""
    if len(below) == 0:
        return diagonal.copy()
    values, info = lapack.dsterf(diagonal, below)
    _check(info, "dsterf")
    return np.asarray(values)


def solve_triangular(R: NDArray[np.floating[Any]], B: Floats, lower: bool = False) -> Floats:
    """Return R⁻¹B of a triangular matrix R (n, n) and B (n, m), by dtrtrs.

    Raises numpy.linalg.LinAlgError if R has a zero on its diagonal.
    """
    if R.flags.f_contiguous:
        solution, info = lapack.dtrtrs(R, B, lower=lower)
    else:
        # The transpose of a matrix in C order is one in Fortran order without a copy.
        solution, info = lapack.dtrtrs(R.T, B, lower=not lower, trans=True)
    _check(info, "dtrtrs")
    return np.asarray(solution)


def pivoted_qr(A: Floats) -> tuple[Floats, Floats, Ints]:
    """Return the QR decomposition with pivots of A (m, n), by dgeqp3 and dorgqr.

        A[:, order] = QR,   |R_11| ≥ |R_22| ≥ ...

    Returns
    -------
    Q : ndarray of shape (m, min(m, n)), float64
    R : ndarray of shape (min(m, n), n), float64
    order : ndarray of shape (n,), int64
    """
    m, n = A.shape
    rank = min(m, n)
    if rank == 0:
        return np.empty((m, 0)), np.empty((0, n)), np.arange(n)
    *_, work, info = lapack.dgeqp3(A, lwork=-1)
    _check(info, "dgeqp3")
    decomposed, order, tau, _, info = lapack.dgeqp3(A, lwork=int(work[0]))
    _check(info, "dgeqp3")
    R = np.triu(decomposed[:rank])
    _, work, info = lapack.dorgqr(decomposed[:, :rank], tau, lwork=-1)
    _check(info, "dorgqr")
    Q, _, info = lapack.dorgqr(decomposed[:, :rank], tau, lwork=int(work[0]), overwrite_a=True)
    _check(info, "dorgqr")
    return Q, R, order.astype(np.int64) - 1


def _check(info: int, routine: str) -> None:
    """Raise LinAlgError if a routine has failed."""
    if info != 0:
        raise np.linalg.LinAlgError(f"{routine} of LAPACK has failed (info = {info})")
