"""The number of structure axes that the scree finds, beside the true one.

    python bench/scree_axes.py [--seed 0] [--sets 20]

First sets of `lfmm2.simulate`, with 3 to 8 populations and all else drawn at random. Then sets of 24 to 100 samples
beside two random variables, ten of each size; also with each SNP twenty times over. Then sets in which theory is
stretched: populations of different drift and size, inbreeding, uneven missing calls, linkage, relatives, isolation by
distance. Those without a true number have a dash.

`one variance` is the same test without the noise of each sample, as of Patterson, Price, Reich 2006.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from imputation import read_dosages

import lfmm2
from lfmm2.model.scree import compute_scree

K = 20
SOLVERS = ("exact", "krylov", "power")


# samples, SNPs, populations and K
FEW_SAMPLES = (
    (24, 10_000, 4, 15),
    (30, 5_000, 5, 6),
    (30, 5_000, 5, 20),
    (40, 3_000, 4, 6),
    (40, 3_000, 4, 20),
    (60, 6_000, 8, 20),
    (60, 1_500, 3, 38),
    (100, 5_000, 8, 20),
)
COPIES = 20


def found_axes(Y, X, n_factors=K):
    """Axes found by exact, krylov, power (q = 2), and by exact with one variance for all samples."""
    spectra = [lfmm2.estimate_factors(Y, X, n_factors, solver=solver).spectrum for solver in SOLVERS]
    n = len(spectra[0].sample_totals)
    even = np.full(n, spectra[0].n_dimensions / n)
    plain = replace(spectra[0], sample_totals=even, sample_weights=even, vectors=np.empty((n, 0)))
    return [compute_scree(spectrum).n_axes for spectrum in (*spectra, plain)]


def simulated(rng, folder, seed):
    """A set of `lfmm2.simulate`: name, true number of axes, genotypes, variables."""
    n_populations = 3 + seed % 6
    n, p = int(rng.integers(200, 501)), int(rng.integers(5_000, 20_001))
    fst, admixture = float(np.exp(rng.uniform(np.log(0.02), np.log(0.2)))), float(rng.uniform(0, 0.6))
    data = lfmm2.simulate(
        folder / "d", n, p, 2, n_populations=n_populations, fst=fst, admixture=admixture, seed=seed, overwrite=True
    )
    return f"{n} x {p}, fst {fst:.3f}, admixture {admixture:.2f}", n_populations - 1, data.bed, data.env


def show_few_samples(folder, seed):
    """How many of ten sets of each size have the true number of axes, and the least and most that exact finds."""
    rng = np.random.default_rng([seed, 1])
    for n, p, n_populations, n_factors in FEW_SAMPLES:
        found = {1: [], COPIES: []}
        for i in range(10):
            data = lfmm2.simulate(
                folder / "d", n, p, 2, n_populations=n_populations, missing_rate=0, seed=100 * seed + i, overwrite=True
            )
            X = rng.standard_normal((n, 2))
            for copies, axes in found.items():
                axes.append(found_axes(np.repeat(read_dosages(data.bed), copies, axis=1), X, n_factors))
        for copies, axes in found.items():
            axes = np.array(axes)
            right = (axes == n_populations - 1).sum(axis=0)
            size = f"{n} x {p} x {copies}" if copies > 1 else f"{n} x {p}"
            name = f"{size}, K = {n_factors}: {axes[:, 0].min()} to {axes[:, 0].max()}"
            show(name, n_populations - 1, [f"{count} of 10" for count in right])


def genotypes(rng, frequencies, inbreeding=0.0, missing=0.0):
    """Calls of frequencies (n, p); inbreeding and missing are of each sample, or of all."""
    shape = frequencies.shape
    first, second = rng.random(shape) < frequencies, rng.random(shape) < frequencies
    same = rng.random(shape) < np.broadcast_to(inbreeding, shape[0])[:, None]
    Y = first + np.where(same, first, second).astype(float)
    Y[rng.random(shape) < np.broadcast_to(missing, shape[0])[:, None]] = np.nan
    return Y


def populations(rng, sizes, fst, n_snps=8_000):
    """Frequencies (n, p) of samples of populations that drifted apart, each by its own Fst."""
    ancestral = rng.uniform(0.05, 0.95, n_snps)
    scale = (1 - np.array(fst)[:, None]) / np.array(fst)[:, None]
    return np.repeat(rng.beta(ancestral * scale, (1 - ancestral) * scale), sizes, axis=0)


def linked(rng, Y, correlation):
    """Neighbouring SNPs made alike: each call is that of the SNP before with this probability."""
    Y = Y.copy()
    for j in range(1, Y.shape[1]):
        same = rng.random(len(Y)) < correlation
        Y[same, j] = Y[same, j - 1]
    return Y


def families(rng, frequencies, n_families):
    """Genotypes whose last samples are families of four: full sibs of two parents that are not sampled."""
    Y = genotypes(rng, frequencies)
    for i in range(len(Y) - 4 * n_families, len(Y), 4):
        for parent in range(2):
            alleles = rng.random((2, Y.shape[1])) < frequencies[i]
            gametes = np.where(rng.random((4, Y.shape[1])) < 0.5, *alleles)
            Y[i : i + 4] = gametes + (Y[i : i + 4] if parent else 0)
    return Y


def stretched(rng):
    """Name, true number of axes or None, genotypes."""
    sixth = np.arange(300) % 20 == 0
    three = [100] * 3, [0.1] * 3
    yield "drift 0.02 to 0.4", 3, genotypes(rng, populations(rng, [75] * 4, [0.02, 0.1, 0.2, 0.4]))
    yield "drift 0.01 to 0.5", 5, genotypes(rng, populations(rng, [50] * 6, [0.01, 0.02, 0.05, 0.1, 0.2, 0.5]))
    yield "sizes 5 to 140", 4, genotypes(rng, populations(rng, [5, 15, 40, 100, 140], [0.1] * 5))
    yield "20 of an undrifted population", 2, genotypes(rng, populations(rng, [20, 140, 140], [0.02, 0.5, 0.5]))
    yield "8 populations, fst 0.01", 7, genotypes(rng, populations(rng, [40] * 8, [0.01] * 8))
    yield "8 populations, fst 0.005", 7, genotypes(rng, populations(rng, [40] * 8, [0.005] * 8))
    yield "8 populations, fst 0.8, F 0.95", 7, genotypes(rng, populations(rng, [40] * 8, [0.8] * 8), 0.95)
    yield "all selfing, F 0.95", 2, genotypes(rng, populations(rng, *three), 0.95)
    yield "half selfing, F 0.9", 2, genotypes(rng, populations(rng, *three), np.repeat([0.0, 0.9], 150))
    yield "5 % selfing, F 0.9", 2, genotypes(rng, populations(rng, *three), np.where(sixth, 0.9, 0.0))
    yield "95 % of samples 40 % missing", 2, genotypes(rng, populations(rng, *three), 0.0, np.where(sixth, 0, 0.4))
    yield "5 % of samples 60 % missing", 2, genotypes(rng, populations(rng, *three), 0.0, np.where(sixth, 0.6, 0))
    yield "rare alleles", 2, genotypes(rng, populations(rng, *three) * 0.1)
    unlinked = genotypes(rng, populations(rng, *three))
    # alike in blocks for all populations: the SNP before has other frequencies
    panmictic = genotypes(rng, populations(rng, [300], [0.1]))
    yield "no structure", 0, panmictic
    for correlation in (0.5, 0.8, 0.9, 0.95):
        Y = linked(rng, panmictic, correlation)
        yield f"no structure, linkage r {correlation}", 0, Y
        yield "  every 20th SNP of it", 0, Y[:, ::20]
    yield "3 populations, linkage r 0.8", 2, linked(rng, unlinked, 0.8)
    yield "3 populations, 5 families of 4", 2, families(rng, populations(rng, *three), 5)
    twins = unlinked.copy()
    twins[-3:] = twins[:3]
    yield "3 populations, 3 duplicates", 2, twins
    place = np.linspace(0, 1, 300)[:, None]
    waves = sum(rng.normal(0, 0.15 / k, (1, 8_000)) * np.cos(np.pi * k * place) for k in range(1, 12))
    cline = np.clip(rng.uniform(0.2, 0.8, 8_000) + waves, 0.01, 0.99)
    yield "isolation by distance", None, genotypes(rng, cline)


def show(name, true, found):
    print(f"{name:48} {'-' if true is None else true:>5} " + " ".join(f"{n:>12}" for n in found), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sets", type=int, default=20)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", lfmm2.ConvergenceWarning)
    print(f"{'set':48} {'true':>5} " + " ".join(f"{name:>12}" for name in (*SOLVERS, "one variance")))
    rng = np.random.default_rng(arguments.seed)
    right = np.zeros(4, int)
    with tempfile.TemporaryDirectory() as folder:
        for i in range(arguments.sets):
            name, true, Y, X = simulated(rng, Path(folder), 100 * arguments.seed + i)
            found = found_axes(Y, X)
            right += np.array(found) == true
            show(name, true, found)
        show("right", arguments.sets, right)
        show_few_samples(Path(folder), arguments.seed)
    for name, true, Y in stretched(rng):
        show(name, true, found_axes(Y, rng.standard_normal((len(Y), 2))))


if __name__ == "__main__":
    main()
