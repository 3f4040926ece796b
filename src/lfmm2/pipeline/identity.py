"""The identity of a run: a resumed run must have that of the unfinished one, field by field."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfmm2._typing import Ints
from lfmm2.genotypes import BedFile, Genotypes
from lfmm2.model import LatentFactors
from lfmm2.pipeline.inputs import AlignedVariables


def make_identity(
    parameters: dict[str, Any],
    software: dict[str, str],
    variables: AlignedVariables,
    tested: Genotypes,
    tested_snps: Ints | None,
    estimation: Genotypes,
    estimation_snps: Ints | None,
    given: LatentFactors | None,
) -> dict[str, Any]:
    """Return everything that the bytes of the results depend on, as a flat dict of JSON.

    Files of genotypes are represented by size and time of change, which a copy with ``cp -p`` keeps; variables, choices
    of samples and SNPs, and arrays are represented by a SHA-256 of their values.

    Parameters
    ----------
    parameters : dict
        Options that change results.
    software : dict
        Versions of lfmm2 and of the libraries that compute.
    variables : AlignedVariables
    tested, estimation : BedFile or ndarray
    tested_snps, estimation_snps : ndarray of int64 or None
        Chosen SNPs, before filters that need a pass.
    given : LatentFactors, optional
        Factors that this run does not estimate.
    """
    identity = {
        **parameters,
        **software,
        "variables": list(variables.names),
        "nuisance variables": list(variables.nuisance_names),
        "values of variables": _digest(variables.values),
        "samples": _digest(_in_use(variables)),
        **_genotypes("genotypes", tested),
        "tested SNPs": _chosen(tested_snps),
    }
    if estimation is not tested:
        identity |= _genotypes("estimation genotypes", estimation)
    identity["estimation SNPs"] = _chosen(estimation_snps)
    if given is not None:
        arrays = (given.U, given.loadings_map, given.singular_values, given.residuals)
        facts = (given.angle_bound, given.solver, given.reason, given.n_passes, given.converged, given.n_snps)
        identity["given factors"] = _digest(*arrays, repr(facts).encode())
        if (seen := given.spectrum) is not None:
            totals = repr((seen.total, seen.total_squares, seen.n_dimensions, seen.n_snps)).encode()
            arrays = (seen.eigenvalues, seen.sample_totals, seen.sample_weights, seen.vectors)
            identity["given spectrum"] = _digest(*arrays, totals)
    return identity


def _in_use(variables: AlignedVariables) -> bytes:
    """Return FID and IID of the samples in use, one sample in a line."""
    samples = variables.samples
    return "\n".join(f"{samples.fid[row]} {samples.iid[row]}" for row in variables.rows.tolist()).encode()


def _digest(*parts: NDArray[Any] | bytes) -> str:
    """Return the SHA-256 of the values of arrays, in order of rows, and of texts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else _bytes_of(part))
        digest.update(b"\n")
    return digest.hexdigest()


def _bytes_of(array: NDArray[Any]) -> memoryview | bytes:
    return np.ascontiguousarray(array).data.cast("B") if array.size else b""


def _chosen(snps: Ints | None) -> str:
    """Describe a choice of SNPs: how many, and the SHA-256 of their positions."""
    return "all" if snps is None else f"{len(snps)}, SHA-256 {_digest(snps)}"


def _genotypes(name: str, source: Genotypes) -> dict[str, Any]:
    if isinstance(source, BedFile):
        stamps = dict(zip(("bed", "bim", "fam"), source.stamps, strict=True))
        return {
            **{f"{name} (.{kind}), bytes": stamp.n_bytes for kind, stamp in stamps.items()},
            **{f"{name} (.{kind}), time of change in ns": stamp.mtime_ns for kind, stamp in stamps.items()},
        }
    # Row by row, so that an array in C order is not copied.
    return {f"{name} (array)": f"{source.shape}, {source.dtype}, SHA-256 {_digest(*source)}"}
