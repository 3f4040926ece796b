"""The identity of a run: a resumed run must have that of the unfinished one, field by field."""

from __future__ import annotations

from typing import Any

from lfmm2._typing import Ints
from lfmm2.genotypes import GenotypeSource, digest_of
from lfmm2.model import LatentFactors
from lfmm2.pipeline.inputs import AlignedVariables


def make_identity(
    parameters: dict[str, Any],
    software: dict[str, str],
    variables: AlignedVariables,
    tested: GenotypeSource,
    tested_snps: Ints | None,
    estimation: GenotypeSource,
    estimation_snps: Ints | None,
    given: LatentFactors | None,
) -> dict[str, Any]:
    """Return everything that the bytes of the results depend on, as a flat dict of JSON.

    Files of genotypes are told by size and time of change, which a copy with ``cp -p`` keeps. Variables, choices of
    samples and SNPs, and arrays are told by the SHA-256 of what was made of them.

    Parameters
    ----------
    parameters : dict
        Options that change results.
    software : dict
        Versions of lfmm2 and of the libraries that compute.
    variables : AlignedVariables
    tested, estimation : GenotypeSource
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
        "values of variables": digest_of(variables.values),
        "samples": digest_of(_in_use(variables)),
        **_named("genotypes", tested),
        "tested SNPs": _chosen(tested_snps),
    }
    if estimation is not tested:
        identity |= _named("estimation genotypes", estimation)
    identity["estimation SNPs"] = _chosen(estimation_snps)
    if given is not None:
        arrays = (given.U, given.loadings_map, given.singular_values, given.residuals)
        facts = (given.angle_bound, given.solver, given.reason, given.n_passes, given.converged, given.n_snps)
        identity["given factors"] = digest_of(*arrays, repr(facts).encode())
        if (seen := given.spectrum) is not None:
            totals = repr((seen.total, seen.total_squares, seen.n_dimensions, seen.n_snps)).encode()
            arrays = (seen.eigenvalues, seen.sample_totals, seen.sample_weights, seen.vectors)
            identity["given spectrum"] = digest_of(*arrays, totals)
    return identity


def _in_use(variables: AlignedVariables) -> bytes:
    """Return FID and IID of the samples in use, a line each."""
    samples = variables.samples
    return "\n".join(f"{samples.fid[row]} {samples.iid[row]}" for row in variables.rows.tolist()).encode()


def _chosen(snps: Ints | None) -> str:
    """Return the number of chosen SNPs and their SHA-256, or "all"."""
    return "all" if snps is None else f"{len(snps)}, SHA-256 {digest_of(snps)}"


def _named(name: str, source: GenotypeSource) -> dict[str, Any]:
    """Return the facts of a source, each with a name before it."""
    return {f"{name} {fact}": value for fact, value in source.identity().items()}
