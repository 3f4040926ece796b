"""False discoveries of clones, and what the comparison of samples finds in populations with and without repeats.

    python bench/repeated_samples.py            # about half a minute

Clones: 20 genotypes of 4 ramets each, 1 % genotyping error, a variable of each clone that no SNP has to do with.
Populations: pairs found as repeats, beside those that are.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import lfmm2
from lfmm2.genotypes import Engine, compare_samples
from lfmm2.genotypes.array_source import ArraySource

Floats = NDArray[np.float64]
N_SNPS = 6000


def clones(seed: int, n_snps: int = 2000, rate: float = 0.01) -> tuple[Floats, Floats]:
    """Return dosages of 20 clones of 4, and a variable of each clone."""
    rng = np.random.default_rng(seed)
    G = np.repeat(rng.binomial(2, rng.uniform(0.2, 0.8, n_snps), (20, n_snps)), 4, axis=0).astype(float)
    wrong = rng.random(G.shape) < rate
    G[wrong] = rng.binomial(2, 0.5, wrong.sum())
    return G, np.repeat(rng.normal(size=20), 4)[:, None]


def frequencies(rng: np.random.Generator, fst: float) -> Floats:
    """Return frequencies in five populations (Balding and Nichols), one row for each of 150 samples."""
    ancestral = rng.uniform(0.05, 0.95, N_SNPS)
    return rng.beta(ancestral * (1 - fst) / fst, (1 - ancestral) * (1 - fst) / fst, (5, N_SNPS))[np.arange(150) % 5]


def inbred_repeats(rng: np.random.Generator, rate: float) -> Floats:
    """Return 20 inbred lines taken four times, with errors."""
    G = np.repeat(2.0 * rng.binomial(1, rng.uniform(0.05, 0.95, N_SNPS), (20, N_SNPS)), 4, axis=0)
    wrong = rng.random(G.shape) < rate
    G[wrong] = 2.0 * rng.binomial(1, 0.5, wrong.sum())
    return G


def with_missing(G: Floats, rng: np.random.Generator) -> Floats:
    """Return genotypes of which 40 % are missing."""
    return np.where(rng.random(G.shape) < 0.4, np.nan, G)


# Name, samples that repeat another, and dosages.
POPULATIONS: list[tuple[str, int, Callable[[np.random.Generator], Floats]]] = [
    *[
        (f"outbred, Fst {fst}", 0, lambda rng, fst=fst: rng.binomial(2, frequencies(rng, fst)))  # type: ignore[misc]
        for fst in (0.1, 0.5, 0.8, 0.95)
    ],
    *[
        (f"inbred, Fst {fst}", 0, lambda rng, fst=fst: 2 * rng.binomial(1, frequencies(rng, fst)))  # type: ignore[misc]
        for fst in (0.1, 0.5, 0.8, 0.95)
    ],
    ("rare variants", 0, lambda rng: rng.binomial(2, rng.uniform(0.002, 0.03, N_SNPS), (150, N_SNPS))),
    *[
        (f"clones, error {rate}", 60, lambda rng, rate=rate: clones(1, N_SNPS, rate)[0])  # type: ignore[misc]
        for rate in (0.002, 0.01, 0.02, 0.05)
    ],
    ("clones, error 0.01, 40 % missing", 60, lambda rng: with_missing(clones(1, N_SNPS)[0], rng)),
    *[
        (f"inbred repeats, error {rate}", 60, lambda rng, rate=rate: inbred_repeats(rng, rate))  # type: ignore[misc]
        for rate in (0.002, 0.01, 0.02)
    ],
]


def count_repeats(G: Floats) -> int:
    """Return the number of samples that repeat another."""
    source = ArraySource(np.asarray(G, float), ploidy=2)
    group = compare_samples(source, Engine(2, 1 << 30), np.arange(len(G)), None, G.shape[1]).group
    return int(np.count_nonzero(group) - group.max())


def main() -> None:
    """Print both tables."""
    warnings.simplefilter("ignore")
    out = sys.stdout.write
    out("set   samples          q < 0.05 of 2 000   suggested K   GIF\n")
    for seed in range(100, 103):
        G, X = clones(seed)
        for name, drop, most in (("all", False, 20), ("--drop-duplicates", True, 10)):
            result = lfmm2.run(None, G, X, sweep=f"1:{most}", drop_duplicates=drop)
            sweep = result.sweep
            assert sweep is not None
            n_found = int((result.q < 0.05).sum())
            out(f"{seed:3d}   {name:18s} {n_found:10d} {sweep.suggested!s:>15} {result.gif[0]:11.3g}\n")
    out("\npopulation                          repeats   found\n")
    for name, n_repeats, make in POPULATIONS:
        out(f"{name:35s} {n_repeats:7d} {count_repeats(make(np.random.default_rng(1))):7d}\n")


if __name__ == "__main__":
    main()
