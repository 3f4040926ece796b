"""How much of the genetic gap is sampling noise, by the choice of loci, where the true effects are known.

    python bench/offset_noise.py [--samples 100 200 --snps 5000 --repeats 8]

Each of 2 n haplotypes has a Gaussian copula along the genome (correlation `--linkage` of neighbours, ten chromosomes);
the frequency of an allele is linear in three axes of structure and two variables, which follow the structure with
correlation `--confounding`. So the true effects B are known in dosage per unit of a variable. Scenarios differ in the
effects: none; 50 of 5 000 SNPs with strong ones; small effects of all SNPs; both. Places are the samples, each changed
by one standard deviation of both variables and as much again at random.

Columns, medians over repeats: NOISE, the share of the mean gap of all SNPs that the program says is noise; RAW, its gap
over the true gap of all SNPs; LEFT, the same after the subtraction; BY_GIF, the same if the noise was multiplied by the
mean GIF; COVER, the share of places whose 95 % interval (of LEFT) has the true gap; RANK_RAW, RANK_LEFT, RANK_FOUND,
the rank correlation over places with the true gap of all SNPs; FOUND, discovered loci; OF_FOUND, the gap of these over
their own true gap; COVER_FOUND, as COVER for that.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm, spearmanr

import lfmm2
from lfmm2.downstream.offset_sums import N_STRETCHES, OffsetSums, gap_intervals
from lfmm2.genotypes.plink_writer import write_plink

SCENARIOS = ("none", "few strong", "many small", "both")
N_AXES, N_CHROMOSOMES = 3, 10


def true_effects(scenario, p, rng):
    """Effects (p, 2), in allele frequency per standard deviation of a variable."""
    B = np.zeros((p, 2))
    if scenario in ("many small", "both"):
        B += rng.normal(0, 0.012, (p, 2))
    if scenario in ("few strong", "both"):
        causal = rng.choice(p, p // 100, replace=False)
        B[causal, rng.integers(0, 2, len(causal))] += rng.choice([-0.12, 0.12], len(causal))
    return B


def made(scenario, n, p, linkage, confounding, rng):
    """Dosages (n, p), variables (n, 2) and effects in dosage (p, 2)."""
    axes = rng.normal(size=(n, N_AXES))
    x = confounding * axes[:, :2] + np.sqrt(1 - confounding**2) * rng.normal(size=(n, 2))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    B = true_effects(scenario, p, rng)
    mean = rng.uniform(0.3, 0.7, p) + axes @ rng.normal(0, 0.04, (N_AXES, p)) + x @ B.T  # (n, p)
    threshold = norm.ppf(np.clip(mean, 0.01, 0.99))
    Y = np.zeros((n, p), np.int8)
    for _ in range(2):
        z = rng.normal(size=n)
        for j in range(p):
            new = rng.normal(size=n)
            z = new if j % (p // N_CHROMOSOMES) == 0 else linkage * z + np.sqrt(1 - linkage**2) * new
            Y[:, j] += z < threshold[:, j]
    return Y, x, 2 * B


def measured(scenario, n, seed, arguments, folder):
    """One row of the table."""
    rng = np.random.default_rng([seed, n, SCENARIOS.index(scenario)])
    p = arguments.snps
    Y, x, B = made(scenario, n, p, arguments.linkage, arguments.confounding, rng)
    chromosomes = 1 + np.arange(p) // (p // N_CHROMOSOMES)
    ids = [f"i{i + 1}" for i in range(n)]
    bed = write_plink(folder / "d", Y.T, iid=ids, chromosomes=chromosomes.tolist(), overwrite=True)
    env = pd.DataFrame(x, columns=["a", "b"], index=ids)
    result = lfmm2.run(None, bed, env, N_AXES, out=folder / "r", overwrite=True, n_threads=1)
    change = 1 + rng.normal(size=x.shape)
    new = env + change
    truth = ((change @ B.T) ** 2).mean(axis=1)
    raw = lfmm2.genetic_offset(folder / "r", None, new, loci="all")
    left = lfmm2.genetic_offset(folder / "r", None, new, loci="all", noise="subtract")
    row = {"NOISE": raw.noise_share}
    inflated = raw.moments - np.mean(result.gif) * raw.noise
    by_gif = np.maximum(np.einsum("ij,jk,ik->i", change, inflated, change), 0)
    if truth.any():
        row |= {"RAW": raw.gap.mean() / truth.mean(), "LEFT": left.gap.mean() / truth.mean()}
        row["BY_GIF"] = by_gif.mean() / truth.mean()
        row["COVER"] = np.mean((left.gap_low <= truth) & (truth <= left.gap_high))
        row |= {f"RANK_{name}": spearmanr(o.gap, truth)[0] for name, o in (("RAW", raw), ("LEFT", left))}
    else:
        row["LEFT"] = left.gap.mean() / raw.gap.mean()
    tables = [pd.read_parquet(folder / f"r.{name}.parquet", columns=["Q"])["Q"] for name in ("a", "b")]
    found = np.any([q < 0.05 for q in tables], axis=0)
    row["FOUND"] = found.sum()
    if found.any():
        best = lfmm2.genetic_offset(folder / "r", None, new)
        own = ((change @ B[found].T) ** 2).mean(axis=1)
        row["OF_FOUND"] = best.gap.mean() / own.mean() if own.any() else np.nan
        row["COVER_FOUND"] = np.mean((best.gap_low <= own) & (own <= best.gap_high))
        row["RANK_FOUND"] = spearmanr(best.gap, truth)[0] if truth.any() else np.nan
    return row


def interval_coverage(n_stretches, n_sets, rng):
    """Share of sets of loci in `n_stretches`, two in each, whose interval has the gap of infinitely many such loci."""
    covered = 0
    for _ in range(n_sets):
        sums = OffsetSums(np.ones((1, 1)), N_STRETCHES)
        B = rng.normal(size=(N_STRETCHES, 2))
        for row in range(n_stretches):
            sums.counts[row], sums.products[row] = 2, (B[row] ** 2).sum()
        low, high = gap_intervals(sums, np.ones((1, 1)), None)
        covered += bool(low[0] <= 1 <= high[0])
    return covered / n_sets


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, nargs="+", default=[100, 200])
    parser.add_argument("--snps", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--linkage", type=float, default=0.8)
    parser.add_argument("--confounding", type=float, default=0.5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(1)
    shares = ", ".join(f"{k}: {interval_coverage(k, 1000, rng):.2f}" for k in (8, 12, 20, 35, 50))
    print("coverage of the 95 % interval by the number of stretches with loci, normal effects:", shares, flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for n in arguments.samples:
            for scenario in SCENARIOS:
                for seed in range(arguments.repeats):
                    row = measured(scenario, n, seed, arguments, Path(folder))
                    rows.append({"n": n, "effects": scenario} | row)
    table = pd.DataFrame(rows)
    print(table.groupby(["n", "effects"], sort=False).median().round(2).to_string())


if __name__ == "__main__":
    main()
