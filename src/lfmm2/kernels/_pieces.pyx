# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Values of a function by polynomials on equal pieces of its range.

Piece i is centred at x_i = i / n_per_unit, and holds the x nearest to it:

    f(x) = sum over k of c_ik (x - x_i)^k

A tail probability costs some hundred instructions in its own way and some twenty in this one.
"""

from libc.math cimport NAN, copysign, fabs


def evaluate_pieces(
    const double[::1] x,               # IN (n,)
    const double[:, ::1] coefficients,  # IN (n_pieces, n_terms)
    double n_per_unit,
    bint is_odd,
    double[::1] values_out,            # OUT (n,)
):
    """Evaluate an even or odd function at `x`, and return how many `x` lie beyond the last piece.

        f(x) = sum over k of coefficients[i, k] (|x| - i / n_per_unit)^k,   i = |x| n_per_unit rounded

    Parameters
    ----------
    x : ndarray of shape (n,), float64
    coefficients : ndarray of shape (n_pieces, n_terms), float64, C-contiguous
        At least one piece and one term.
    n_per_unit : float
        Pieces in a unit of x: a power of two, so that centres and distances from them are exact.
    is_odd : bool
        True if f(-x) = -f(x); False if f(-x) = f(x).
    values_out : ndarray of shape (n,), float64
        f(x); NaN where `x` is NaN or beyond the last piece.
    """
    cdef Py_ssize_t n = x.shape[0], last = coefficients.shape[0] - 1, n_terms = coefficients.shape[1]
    cdef Py_ssize_t i, k, piece, n_beyond = 0
    cdef double distance, place, value
    if values_out.shape[0] != n:
        raise ValueError(f"{n} values of x, but room for {values_out.shape[0]}")
    if last < 0 or n_terms < 1 or not n_per_unit > 0:
        raise ValueError("there must be a piece, a term, and a positive number of pieces in a unit")
    with nogil:
        for i in range(n):
            place = fabs(x[i]) * n_per_unit
            if place < last + 0.5:
                piece = <Py_ssize_t> (place + 0.5)
                distance = fabs(x[i]) - piece / n_per_unit
                value = coefficients[piece, n_terms - 1]
                for k in range(n_terms - 2, -1, -1):
                    value = value * distance + coefficients[piece, k]
                values_out[i] = copysign(value, x[i]) if is_odd else value
            else:
                n_beyond += place >= last + 0.5
                values_out[i] = NAN
    return n_beyond
