"""Latent factors on disk: an .npz without pickles, so that factors can be estimated once and tested often.

A table of the factors of each sample stands beside it, for R and other programs that read no .npz.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2._checks import check_path
from lfmm2.errors import MalformedInputError, ReadError
from lfmm2.model import LatentFactors, Spectrum

_ARRAYS = ("U", "singular_values", "residuals", "loadings_map")
_FACTS = (
    "angle_bound", "solver", "reason", "n_passes", "converged", "lambda_", "standardized", "n_snps", "next_value",
    "axes",
)  # fmt: skip
# Arrays and numbers of the spectrum; each is stored under "spectrum_" and its name. The vectors of the spectrum are the
# loadings_map, and its n_snps is that of the factors, so these are not stored again.
_SPECTRUM = (
    "eigenvalues", "total", "total_squares", "total_cubes", "n_dimensions", "sample_totals", "sample_weights",
)  # fmt: skip


def write_factors(
    file: BinaryIO,
    factors: LatentFactors,
    variables: tuple[str, ...] = (),
    X: NDArray[np.float64] | None = None,
    coordinates: Mapping[str, NDArray[np.float64]] | None = None,
    others: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Write factors to an open file as .npz: U, singular_values, residuals, sample_ids, certificate and spectrum.

    Parameters
    ----------
    file : binary file
    factors : LatentFactors
        If they were cut by `leading`, the spectrum that is read back has no vectors of the factors that were cut.
    variables : tuple of str
        Names of the first d columns of X.
    X : ndarray of shape (n_samples, D), float64, optional
        Variables with which the SNPs are tested, the nuisance variables last. `read_factors` does not read them;
        `StoredRun.design` and `StoredRun.nuisance` do.
    coordinates : dict of str to ndarray of shape (n_samples,), float64, optional
        Coordinates of the samples by name, which `StoredRun.coordinates` reads.
    others : dict of str to ndarray, optional
        Further arrays, which `read_arrays` reads.
    """
    places: dict[str, Any] = {}
    if coordinates:
        places = {
            "coordinate_names": np.array(list(coordinates), dtype=np.str_),
            "coordinates": np.column_stack(list(coordinates.values())),
        }
    X = np.empty((len(factors.U), 0)) if X is None else X
    more: dict[str, Any] = dict(others or {})
    np.savez(
        file,
        variables=np.array(variables, dtype=np.str_),
        X=X[:, : len(variables)],
        nuisance=X[:, len(variables) :],
        **places,
        **pack_factors(factors),
        **more,
    )


def factors_table(factors: LatentFactors, fids: Sequence[str], iids: Sequence[str]) -> pa.Table:
    """Return FID, IID, factor1, factor2, … of the samples, a row for each.

    The column IID alone does not tell samples of several families with the same IIDs apart, so FID stands before it, as
    in a .fam. Other programs then take the table for one of covariates.

    Parameters
    ----------
    factors : LatentFactors
    fids, iids : sequence of str
        IDs of the samples, in the order of the rows of ``factors.U``.
    """
    columns = {f"factor{k}": factors.U[:, k - 1] for k in range(1, factors.n_factors + 1)}
    return pa.table({"FID": pa.array(fids, pa.string()), "IID": pa.array(iids, pa.string()), **columns})


def pack_factors(factors: LatentFactors) -> dict[str, Any]:
    """Return factors as arrays and numbers by name, of which `unpack_factors` makes the same factors."""
    own = {name: getattr(factors, name) for name in (*_ARRAYS, *_FACTS)}
    own["sample_ids"] = np.array(factors.sample_ids, dtype=np.str_)
    # Factors that were cut have fewer vectors than their spectrum; theirs are stored.
    return own if factors.spectrum is None else own | pack_spectrum(factors.spectrum) | own


def pack_spectrum(spectrum: Spectrum) -> dict[str, Any]:
    """Return a spectrum as arrays and numbers by name, of which `unpack_spectrum` makes the same spectrum."""
    parts = {f"spectrum_{name}": getattr(spectrum, name) for name in _SPECTRUM}
    return {**parts, "loadings_map": spectrum.vectors, "n_snps": spectrum.n_snps}


def unpack_factors(arrays: dict[str, NDArray[Any]]) -> LatentFactors:
    """Return the factors that `pack_factors` packed; raise KeyError, TypeError or ValueError if damaged."""
    numbers = {name: np.asarray(arrays[name], np.float64) for name in _ARRAYS}
    return LatentFactors(
        **numbers,
        sample_ids=tuple(str(name) for name in arrays["sample_ids"]),
        angle_bound=float(arrays["angle_bound"]),
        solver=str(arrays["solver"]),
        reason=str(arrays["reason"]),
        n_passes=int(arrays["n_passes"]),
        converged=bool(arrays["converged"]),
        lambda_=float(arrays["lambda_"]),
        n_snps=int(arrays["n_snps"]),
        spectrum=unpack_spectrum(arrays | numbers) if "spectrum_eigenvalues" in arrays else None,
        # Earlier versions never standardised, and did not say so.
        standardized=bool(arrays.get("standardized", False)),
        # They knew neither of these.
        next_value=float(arrays.get("next_value", np.nan)),
        axes=np.asarray(arrays.get("axes", np.empty((len(numbers["U"]), 0))), np.float64),
    )


def unpack_spectrum(arrays: dict[str, NDArray[Any]]) -> Spectrum:
    """Return the spectrum that `pack_spectrum` packed; raise KeyError, TypeError or ValueError if damaged."""
    loadings_map = np.asarray(arrays["loadings_map"], np.float64)
    n_samples = len(loadings_map)
    spectrum = Spectrum(
        eigenvalues=np.asarray(arrays["spectrum_eigenvalues"], np.float64),
        total=float(arrays["spectrum_total"]),
        total_squares=float(arrays["spectrum_total_squares"]),
        n_dimensions=int(arrays["spectrum_n_dimensions"]),
        sample_totals=np.asarray(arrays["spectrum_sample_totals"], np.float64),
        sample_weights=np.asarray(arrays["spectrum_sample_weights"], np.float64),
        n_snps=int(arrays["n_snps"]),
        vectors=loadings_map,
        # Earlier versions did not know it.
        total_cubes=float(arrays.get("spectrum_total_cubes", np.nan)),
    )
    of_samples = (spectrum.sample_totals, spectrum.sample_weights)
    numbers = (spectrum.eigenvalues, *of_samples, [spectrum.total, spectrum.total_squares])
    if any(part.shape != (n_samples,) for part in of_samples) or not all(np.isfinite(part).all() for part in numbers):
        raise ValueError("the spectrum is damaged")
    return spectrum


def read_factors(path: str | os.PathLike[str]) -> LatentFactors:
    """Read the factors that a run has written.

    Parameters
    ----------
    path : path
        The .factors.npz of the run.

    Raises
    ------
    ReadError
        If the file cannot be opened.
    MalformedInputError
        If it is not a factors file of lfmm2.
    """
    arrays = read_arrays(path)
    try:
        return unpack_factors(arrays)
    except Exception as error:
        raise _not_factors(path, error) from error


def read_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read all arrays of a factors file by name; errors are those of `read_factors`."""
    check_path(path, "the factors file")
    try:
        with Path(path).open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise ValueError("one array")
            return {name: stored[name] for name in stored.files}
    except OSError as error:
        raise ReadError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    except Exception as error:
        # A damaged archive may raise any exception.
        raise _not_factors(path, error) from error


def _not_factors(path: str | os.PathLike[str], error: Exception) -> MalformedInputError:
    """Return the error of a file that is no factors file."""
    return MalformedInputError(f"{path}: is not a factors file ({error}); give the .factors.npz of a run")
