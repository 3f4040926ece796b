"""One set of genotypes in several filesets, whose samples may stand in any order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfmm2.genotypes.plink_writer import encode_bed, write_plink


def write_parts(
    folder: Path,
    dosages: NDArray[np.float64],
    cuts: Mapping[str, int],
    *,
    orders: Mapping[str, Sequence[int]] | None = None,
    whole: str = "whole",
) -> list[Path]:
    """Write dosages (n_snps, n_samples) as one fileset, and as parts; return the paths of the parts.

    `cuts` has the number of SNPs of each part, by its name, which is its chromosome; `orders` has the samples of some
    of them, in their order. Samples are called i00, i01, …, SNPs s0, s1, ….
    """
    n_snps, n_samples = dosages.shape
    iid = [f"i{k:02d}" for k in range(n_samples)]
    ids = [f"s{j}" for j in range(n_snps)]
    chromosomes = [name for name, number in cuts.items() for _ in range(number)]
    positions = [10 * j + 10 for j in range(n_snps)]
    rows = {whole: range(n_snps)}
    first = 0
    for name, number in cuts.items():
        rows[f"chr{name}"] = range(first, first + number)
        first += number
    paths = []
    for name, snps in rows.items():
        samples = list((orders or {}).get(name.removeprefix("chr"), range(n_samples)))
        paths.append(
            write_plink(
                folder / name, dosages[np.ix_(list(snps), samples)], iid=[iid[k] for k in samples],
                snp_ids=[ids[j] for j in snps], chromosomes=[chromosomes[j] for j in snps],
                positions=[positions[j] for j in snps],
            )
        )  # fmt: skip
    return paths[1:]


def random_dosages(n_samples: int, n_snps: int, missing: float = 0.05, seed: int = 1) -> NDArray[np.float64]:
    """Return dosages (n_snps, n_samples), NaN where missing."""
    rng = np.random.default_rng(seed)
    dosages = rng.binomial(2, rng.uniform(0.1, 0.9, (n_snps, 1)), (n_snps, n_samples)).astype(float)
    dosages[rng.random(dosages.shape) < missing] = np.nan
    return dosages


def packed(dosages: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return dosages (n_snps, n_samples) as a .bed holds them."""
    return encode_bed(np.nan_to_num(dosages, nan=-1).astype(np.int8))
