"""How well the standard error of the GIF holds, on data in which no SNP is associated with any variable.

    python bench/gif_error.py [--sets 6] [--variables 12]

Each set has about 5 000 SNPs of 120 samples, and normal variables that have to do with nothing; K is 3. Linked SNPs are
of 20 chromosomes of a coalescent with recombination (msprime), independent ones are drawn at their allele frequencies.

Printed for each kind of data and λ: mean and standard deviation (sd) of the GIF; mean and sd of z = (GIF - 1) / SE by
the jackknife over 20 and over 100 blocks; and the number of runs with a warning of the GIF, by the rule that took SNPs
for independent (GIF < 1 - 3 · 2.33 / √m of m SNPs), and as lfmm2 gives it.

    python bench/gif_error.py --by-k

The mean GIF of random variables by K over 10 sets of 3 000 independent SNPs without structure, and the smallest and
largest GIF over 20 variables where three populations are left to K = 1.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import warnings

import msprime
import numpy as np

import lfmm2
from lfmm2.statistics import MagnitudeHistogram
from lfmm2.statistics.gif_error import BlockMedians

N_SAMPLES, N_SNPS, N_CHROMOSOMES, K = 120, 5000, 20, 3


def linked(islands: int, recombination: float, seed: int) -> np.ndarray:
    """Return dosages (n_samples, n_snps) of 20 chromosomes, of one population or of several with migration."""
    if islands == 1:
        demography = msprime.Demography.isolated_model([1000])
        samples = {0: N_SAMPLES}
    else:
        demography = msprime.Demography.island_model([1000] * islands, 5e-4)
        samples = {f"pop_{i}": N_SAMPLES // islands for i in range(islands)}
    parts = []
    for chromosome in range(N_CHROMOSOMES):
        trees = msprime.sim_ancestry(
            samples if islands > 1 else N_SAMPLES, demography=demography, sequence_length=1e6,
            recombination_rate=recombination, random_seed=1000 * seed + chromosome + 1,
        )  # fmt: skip
        trees = msprime.sim_mutations(trees, rate=2e-7, random_seed=1000 * seed + chromosome + 1)
        haplotypes = trees.genotype_matrix().T
        dosages = haplotypes[0::2] + haplotypes[1::2]
        frequency = dosages.mean(axis=0) / 2
        common = np.flatnonzero((np.minimum(frequency, 1 - frequency) > 0.05) & (dosages.max(axis=0) <= 2))
        rng = np.random.default_rng(seed)
        most = N_SNPS // N_CHROMOSOMES
        parts.append(dosages[:, np.sort(rng.permutation(common)[:most])])
    return np.hstack(parts).astype(float)


def independent(seed: int) -> np.ndarray:
    """Return dosages (n_samples, n_snps) of SNPs that are drawn one by one, without structure."""
    rng = np.random.default_rng(seed)
    return rng.binomial(2, rng.uniform(0.05, 0.95, N_SNPS), (N_SAMPLES, N_SNPS)).astype(float)


def error(t: np.ndarray, n_blocks: int, median: float) -> float:
    """Return the standard error of the GIF of t by the jackknife over this many blocks."""
    histogram = MagnitudeHistogram()
    histogram.add(t)
    blocks = BlockMedians(histogram, n_blocks)
    blocks.add(t)
    return blocks.error_of_square() / median


def print_gif_by_k(lambda_: str) -> None:
    """Print the GIF by K without structure, and with structure that too few factors leave."""
    options = {"lambda_": lambda_, "ploidy": 2, "missing_genotype": [], "n_threads": 1}
    for n, ks in ((30, [1, 5, 10, 20]), (60, [1, 10, 20, 40])):
        gifs = []
        for seed in range(10):
            rng = np.random.default_rng(seed)
            Y = rng.binomial(2, rng.uniform(0.1, 0.9, 3000), (n, 3000)).astype(float)
            gifs.append(lfmm2.run(None, Y, rng.standard_normal((n, 1)), 1, sweep=ks, **options).sweep.table["GIF"])
        means = np.mean([of.to_pylist() for of in gifs], axis=0)
        shown = "  ".join(f"K={k} {gif:.2f}" for k, gif in zip(ks, means, strict=True))
        print(f"λ {lambda_}, {n} samples without structure: {shown}", flush=True)
    rng = np.random.default_rng(0)
    Y = rng.binomial(2, np.repeat(rng.uniform(0.1, 0.9, (3, 3000)), 20, axis=0)).astype(float)
    for K in (1, 2):
        gif = [lfmm2.run(None, Y, rng.standard_normal((60, 1)), K, **options).gif[0] for _ in range(20)]
        print(f"λ {lambda_}, 60 samples of 3 populations, K={K}: {min(gif):.2f} to {max(gif):.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=6)
    parser.add_argument("--variables", type=int, default=12)
    parser.add_argument("--lambdas", default="1e-5,1x")
    parser.add_argument("--by-k", action="store_true")
    given = parser.parse_args()
    if given.by_k:
        warnings.simplefilter("ignore", lfmm2.LfmmWarning)
        for lambda_ in given.lambdas.split(","):
            print_gif_by_k(lambda_)
        return
    kinds = {
        "independent": independent,
        "linked, one population": lambda seed: linked(1, 1e-8, seed),
        "linked, 4 islands": lambda seed: linked(4, 1e-8, seed),
        "strongly linked": lambda seed: linked(1, 1e-9, seed),
    }
    print("                                    GIF            z, 20 blocks   z, 100 blocks  warnings")
    print("data                    λ      runs  mean   sd     mean   sd      mean   sd      before  now")
    for name, make in kinds.items():
        for lambda_ in given.lambdas.split(","):
            found = []
            n_warned = 0
            for seed in range(given.sets):
                Y = make(seed)
                rng = np.random.default_rng(seed + 77)
                for _ in range(given.variables):
                    x = rng.standard_normal((N_SAMPLES, 1))
                    with warnings.catch_warnings(record=True) as caught:
                        warnings.simplefilter("always")
                        result = lfmm2.run(None, Y, x, K, lambda_=lambda_, ploidy=2, missing_genotype=[], n_threads=1)
                    n_warned += any("genomic inflation factor" in str(of.message) for of in caught)
                    t = result.t[:, 0]
                    median = float(np.nanmedian(t**2)) / result.gif[0]
                    found.append([result.gif[0], error(t, 20, median), error(t, 100, median), np.isfinite(t).sum()])
            gif, se20, se100, m = np.array(found).T
            z20, z100 = (gif - 1) / se20, (gif - 1) / se100
            before = int((gif < 1 - 3 * 2.33 / np.sqrt(m)).sum())
            print(
                f"{name:<23} {lambda_:<6} {len(gif):>4}  {gif.mean():.3f}  {gif.std():.3f}  {z20.mean():5.2f}  "
                f"{z20.std():5.2f}  {z100.mean():6.2f}  {z100.std():5.2f}  {before:>8}  {n_warned:>3}",
                flush=True,
            )


if __name__ == "__main__":
    main()
