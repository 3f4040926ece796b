"""The identity of a run: a run can be resumed only by one with the same identity, field by field."""

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

    A genotype file is identified by its size and time of change, which a copy with ``cp -p`` keeps. Variables, chosen
    samples and SNPs, and arrays are identified by their SHA-256.

    Parameters
    ----------
    parameters : dict
        Options that change results.
    software : dict
        Versions of lfmm2 and of the libraries that compute.
    variables : AlignedVariables
    tested, estimation : GenotypeSource
    tested_snps, estimation_snps : ndarray of int64 or None
        Positions of chosen SNPs, before filters that need a pass; None for all.
    given : LatentFactors, optional
        Factors that this run does not estimate.
    """
    identity = {
        **parameters,
        **software,
        "variables": list(variables.names),
        "nuisance variables": list(variables.nuisance_names),
        "values of variables": digest_of(variables.values),
        "samples": digest_of(_write_sample_ids(variables)),
        **_describe_source("genotypes", tested),
        "tested SNPs": _describe_snps(tested_snps),
    }
    if variables.coordinates:
        identity["coordinates of samples"] = digest_of(*variables.coordinates.values())
    if estimation is not tested:
        identity |= _describe_source("estimation genotypes", estimation)
    identity["estimation SNPs"] = _describe_snps(estimation_snps)
    if given is not None:
        arrays = (given.U, given.loadings_map, given.singular_values, given.residuals, given.axes)
        certificate = (given.angle_bound, given.next_value, given.converged)
        facts = (*certificate, given.solver, given.reason, given.n_passes, given.n_snps)
        identity["given factors"] = digest_of(*arrays, repr(facts).encode())
        if (spectrum := given.spectrum) is not None:
            totals = repr((spectrum.total, spectrum.total_squares, spectrum.n_dimensions, spectrum.n_snps)).encode()
            of_spectrum = (spectrum.eigenvalues, spectrum.sample_totals, spectrum.sample_weights, spectrum.vectors)
            identity["given spectrum"] = digest_of(*of_spectrum, totals)
    return identity


def _write_sample_ids(variables: AlignedVariables) -> bytes:
    """Return a line with FID and IID for each sample in use."""
    samples = variables.samples
    return "\n".join(f"{samples.fid[row]} {samples.iid[row]}" for row in variables.rows.tolist()).encode()


def _describe_snps(snps: Ints | None) -> str:
    """Return the number of chosen SNPs and the SHA-256 of their positions, or "all"."""
    return "all" if snps is None else f"{len(snps)}, SHA-256 {digest_of(snps)}"


def _describe_source(name: str, source: GenotypeSource) -> dict[str, Any]:
    """Return the identity of a source, with `name` before the name of each field."""
    return {f"{name} {fact}": value for fact, value in source.identity().items()}
