"""Latent factors on disk: an .npz without pickles, so that factors can be estimated once and tested often."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lfmm2.errors import MalformedInputError, ReadError
from lfmm2.factors import LatentFactors

_ARRAYS = ("U", "singular_values", "residuals", "loadings_map")


def write_factors(file: BinaryIO, factors: LatentFactors) -> None:
    """Write factors to an open file as .npz: U, singular_values, residuals, sample_ids and the certificate."""
    np.savez(
        file,
        U=factors.U,
        singular_values=factors.singular_values,
        residuals=factors.residuals,
        loadings_map=factors.loadings_map,
        sample_ids=np.array(factors.sample_ids, dtype=np.str_),
        angle_bound=factors.angle_bound,
        solver=factors.solver,
        reason=factors.reason,
        n_passes=factors.n_passes,
        converged=factors.converged,
        lambda_=factors.lambda_,
        n_snps=factors.n_snps,
    )


def read_factors(path: str | os.PathLike[str]) -> LatentFactors:
    """Read factors written by a run.

    Raises
    ------
    ReadError
        If the file cannot be opened.
    MalformedInputError
        If it is not a factors file of lfmm2.
    """
    try:
        with Path(path).open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise ValueError("one array")
            arrays = {name: stored[name] for name in stored.files}
        return LatentFactors(
            **{name: np.asarray(arrays[name], np.float64) for name in _ARRAYS},
            sample_ids=tuple(str(name) for name in arrays["sample_ids"]),
            angle_bound=float(arrays["angle_bound"]),
            solver=str(arrays["solver"]),
            reason=str(arrays["reason"]),
            n_passes=int(arrays["n_passes"]),
            converged=bool(arrays["converged"]),
            lambda_=float(arrays["lambda_"]),
            n_snps=int(arrays["n_snps"]),
        )
    except OSError as error:
        raise ReadError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    except Exception as error:
        # a damaged archive may raise anything
        raise MalformedInputError(f"{path}: is not a factors file ({error}); give the .factors.npz of a run") from error
