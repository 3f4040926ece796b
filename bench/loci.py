"""Realised false discoveries among SNPs, among clumps of hits, and among clumps with Q_LOCUS below the level.

    python bench/loci.py [REPEATS] [FDR]

Haplotypes of four populations are cut from autoregressive normal variables, whose correlation falls off with distance.
The variable is the sum of causal SNPs, of the populations and of noise, so all SNPs linked to a causal one follow it.
A SNP or a clump is a true discovery if it lies nearer than the clump distance to a causal SNP. Each line is a mean over
data sets; "found" is the share of causal SNPs that have such a clump.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from scipy.signal import lfilter
from scipy.special import ndtri

import lfmm2
from lfmm2.downstream import find_hits
from lfmm2.genotypes.plink_writer import write_plink

N_SAMPLES, N_CHROMOSOMES, SNPS_OF_CHROMOSOME, SPACING, K = 200, 5, 1600, 1000, 4
# Reach of linkage in bases, distance of clumps in bases, number of causal SNPs, share of variance of each.
SCENARIOS = {
    "reach 10 kb, clumps 50 kb": (10_000, 50_000, 4, 0.16),
    "reach 30 kb, clumps 100 kb": (30_000, 100_000, 4, 0.16),
    "weaker causal SNPs": (10_000, 50_000, 6, 0.09),
    "clumps as short as reach": (10_000, 10_000, 4, 0.16),
    "hardly linked": (1_000, 50_000, 4, 0.16),
    "no causal SNP": (10_000, 50_000, 0, 0.0),
}

Floats = np.ndarray


def draw_genotypes(reach: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return dosages (n_samples, n_snps) and the population of each sample."""
    population = np.arange(N_SAMPLES) % 4
    rho = np.exp(-SPACING / reach)
    parts = []
    for _ in range(N_CHROMOSOMES):
        ancestral = rng.uniform(0.2, 0.8, SNPS_OF_CHROMOSOME)
        frequency = rng.beta(19 * ancestral, 19 * (1 - ancestral), (4, SNPS_OF_CHROMOSOME))  # F_ST of 0.05
        noise = rng.normal(size=(2 * N_SAMPLES, SNPS_OF_CHROMOSOME))
        noise[:, 1:] *= np.sqrt(1 - rho**2)
        liability = lfilter([1.0], [1.0, -rho], noise, axis=1)
        haplotypes = liability < ndtri(frequency)[np.repeat(population, 2)]
        parts.append(haplotypes[0::2].astype(float) + haplotypes[1::2])
    return np.hstack(parts), population


def standardised(x: Floats) -> Floats:
    return (x - x.mean(axis=0)) / x.std(axis=0)


def nearest(chromosome: Floats, start: Floats, end: Floats, causal: Floats) -> Floats:
    """Return the distance of stretches (n,) from each causal SNP (n, n_causal), infinite on other chromosomes."""
    place = SPACING * (1 + causal % SNPS_OF_CHROMOSOME)
    gap = np.maximum(np.maximum(start[:, None] - place, place - end[:, None]), 0).astype(float)
    gap[chromosome[:, None] != 1 + causal // SNPS_OF_CHROMOSOME] = np.inf
    return gap


def one_set(scenario: tuple[int, int, int, float], level: float, rng: np.random.Generator, folder: Path) -> list[float]:
    """Return rates of false discoveries, and shares of causal SNPs found, of one data set."""
    reach, distance, n_causal, share = scenario
    Y, population = draw_genotypes(reach, rng)
    common = np.flatnonzero((Y.mean(axis=0) > 0.4) & (Y.mean(axis=0) < 1.6))
    causal = rng.choice(common, n_causal, replace=False)
    parts = standardised(Y[:, causal]) @ rng.choice([-1, 1], n_causal) * np.sqrt(share)
    noise = standardised(rng.normal(size=4)[population]) * 0.4 + rng.normal(size=N_SAMPLES) * np.sqrt(
        max(1 - n_causal * share - 0.16, 0.05)
    )
    x = standardised(parts + noise)
    number = np.arange(Y.shape[1])
    varies = np.ptp(Y, axis=0) > 0
    write_plink(
        folder / "d", Y[:, varies].T, chromosomes=[str(1 + i // SNPS_OF_CHROMOSOME) for i in number[varies]],
        positions=SPACING * (1 + number[varies] % SNPS_OF_CHROMOSOME), overwrite=True,
    )  # fmt: skip
    lfmm2.run(None, folder / "d", x, K, out=folder / "r", overwrite=True)
    answer = []
    for clump in (None, distance):
        hits = find_hits(folder / "r", fdr=level, clump=clump).to_pandas()
        first, last = ("POS", "POS") if clump is None else ("CLUMP_START", "CLUMP_END")
        chromosome = hits["CHROM"].astype(int).to_numpy()
        is_near = nearest(chromosome, hits[first].to_numpy(), hits[last].to_numpy(), causal) < distance
        chosen = [np.ones(len(hits), bool)] if clump is None else [np.ones(len(hits), bool), hits["Q_LOCUS"] < level]
        for rows in chosen:
            near = is_near[np.asarray(rows)]
            answer += [1 - near.any(axis=1).mean() if len(near) else 0.0]
            answer += [near.any(axis=0).mean() if len(near) and n_causal else 0.0]
    return answer


def main() -> None:
    warnings.simplefilter("ignore", lfmm2.LfmmWarning)
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    level = float(sys.argv[2]) if len(sys.argv) > 2 else 0.05
    print(f"{repeats} data sets of {N_SAMPLES} samples and {N_CHROMOSOMES * SNPS_OF_CHROMOSOME} SNPs, level {level:g}")
    print(f"{'':28}{'false: SNPs':>12}{'clumps':>8}{'Q_LOCUS':>9}{'(s.e.)':>8}{'found: clumps':>15}{'Q_LOCUS':>9}")
    for name, scenario in SCENARIOS.items():
        with tempfile.TemporaryDirectory() as folder:
            rng = np.random.default_rng(list(SCENARIOS).index(name))
            sets = [one_set(scenario, level, rng, Path(folder)) for _ in range(repeats)]
        snps, _, clumps, found, loci, found_loci = np.mean(sets, axis=0)
        error = np.std(sets, axis=0)[4] / np.sqrt(repeats)
        print(f"{name:28}{snps:12.3f}{clumps:8.3f}{loci:9.3f}{error:8.3f}{found:15.2f}{found_loci:9.2f}", flush=True)


if __name__ == "__main__":
    main()
