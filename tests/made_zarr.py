"""A VCF Zarr of a simulated truth, written with the library zarr as the specification says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from made_genotypes import CONTIGS, OTHERS, Truth, vcf_call
from numpy.typing import NDArray

CHUNKS = (16, 9, 2)


def alleles_of(call: str, ploidy: int = 2) -> list[int]:
    """The alleles of a GT, −1 where missing and −2 behind them."""
    parts = [-1 if text == "." else int(text) for text in call.replace("|", "/").split("/")]
    return parts + [-2] * (ploidy - len(parts))


def write_zarr(
    truth: Truth, path: Any, zarr_format: int = 2, others: bool = True, ploidy: int = 2, **changed: NDArray[Any] | None
) -> None:
    """Write a store with small chunks, and with variants that are left out between the SNPs.

    Arrays in `changed` take the place of others; None leaves an array out.
    """
    import zarr

    contigs, positions, ids, alleles, calls = [], [], [], [], []
    reasons = list(OTHERS)
    for j, codes in enumerate(truth.codes):
        alt, ref = truth.alleles[j]
        contigs.append(CONTIGS.index(truth.chromosomes[j]))
        positions.append(truth.positions[j])
        ids.append("." if j % 3 == 0 else truth.ids[j])
        alleles.append([ref, alt, ""])
        calls.append([alleles_of(vcf_call(code, 7 * j + k), ploidy) for k, code in enumerate(codes)])
        if others and j % 20 == 0:
            ref, alt, call = OTHERS[reasons[j // 20 % len(reasons)]]
            pair = [ref, *(alt.split(",") if alt != "." else [])]
            contigs, positions, ids = [*contigs, contigs[-1]], [*positions, positions[-1]], [*ids, "."]
            alleles.append(pair + [""] * (3 - len(pair)))
            calls.append([alleles_of(call, ploidy)] * len(codes))
    genotypes = np.array(calls, np.int8)
    arrays = {
        "sample_id": np.array(truth.iid, "T"), "contig_id": np.array(CONTIGS, "T"),
        "variant_contig": np.array(contigs, np.int8), "variant_position": np.array(positions, np.int32),
        "variant_id": np.array(ids, "T"), "variant_id_mask": np.array(ids, "T") == ".",
        "variant_allele": np.array(alleles, "T"), "call_genotype": genotypes, "call_genotype_mask": genotypes < 0,
    } | changed  # fmt: skip
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    group.attrs["vcf_zarr_version"] = "0.4"
    for name, values in arrays.items():
        if values is not None:
            edges = CHUNKS if name.startswith("call") else (CHUNKS[0],) if name.startswith("variant") else (100,)
            chunks = tuple(min(edge, n) for edge, n in zip((*edges, 9, 9), values.shape, strict=False))
            group.create_array(name, data=values, chunks=chunks, config={"write_empty_chunks": True})


def chunk_path(store: Path, name: str, *at: int) -> Path:
    """The file of a chunk, in a store of format 2."""
    return store / name / ".".join(map(str, at))
