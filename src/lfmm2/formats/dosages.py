"""Expected copies of ALT from the numbers of binary files: DS or GP, and GT where a sample has none, as in plink2."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# As in kernels/_vcf.pyx: what rounding may add to a dosage, and to the sum of probabilities.
_DOSAGE_ROUNDING, _SUM_ROUNDING = 2e-6, 0.0201


def join_dosages(
    numbers: NDArray[np.floating[Any]], field: str, of_ref: NDArray[np.int8], is_haploid: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], int]:
    """Return copies of ALT, NaN where missing.

    Parameters
    ----------
    numbers : ndarray of shape (..., k)
        DS (k = 1), or the 2 or 3 probabilities of GP; NaN where missing, and for the third one of a haploid.
    field : {"DS", "GP"}
    of_ref : ndarray of shape (...), int8
        Copies of REF by GT; −1 where missing.
    is_haploid : ndarray of bool of the same shape
        True where GT has one allele, or one dot: DS then goes from 0 to 1, and is doubled.

    Returns
    -------
    dosages : ndarray of float32 of the same shape
    is_wrong : ndarray of bool of the same shape
        True where numbers are no dosage, or no probabilities.
    n_called : int
        Number of dosages that were taken from GT.
    """
    values = np.asarray(numbers, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        if field == "DS":
            dosages = np.where(is_haploid, 2.0 * values[..., 0], values[..., 0])
            is_wrong = (dosages < -_DOSAGE_ROUNDING) | (dosages > 2.0 + _DOSAGE_ROUNDING)
        else:
            het, hom = values[..., 1], values[..., 2] if values.shape[-1] > 2 else np.nan
            of_haploid = np.isnan(hom) & ~np.isnan(het)
            total = values[..., 0] + het + np.where(of_haploid, 0.0, hom)
            dosages = np.where(of_haploid, 2.0 * het, het + 2.0 * hom) / total
            is_wrong = (np.abs(total - 1.0) > _SUM_ROUNDING) & (total != 0.0)
            is_wrong |= ((values < 0.0) | (values > 1.0 + _DOSAGE_ROUNDING)).any(-1)
    from_calls = np.isnan(dosages) & (of_ref >= 0) & ~is_wrong
    joined = np.where(from_calls, 2.0 - of_ref, dosages).astype(np.float32)
    return joined, is_wrong, int(np.count_nonzero(from_calls))
