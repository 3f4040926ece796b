"""Few carriers and uneven variables: null sets with false hits, SNPs that are left out, and the power of --spa.

    python bench/few_carriers.py [--sets 12 --samples 300 --snps 10000 --variables cases6,exponential]

Three tables. The first: sets of unlinked SNPs (minor allele frequency 0.005 to 0.5) and a random
variable, with hits at q < 0.05 by --min-carriers 0, 5, 10 (default), 20 and by --spa; the second half of the sets has
four populations with an F_ST of 0.1, and K = 3. The second: the share of SNPs below 10 effective carriers for even
variables, by minor allele frequency and number of samples. The third: causal rare alleles found by --spa.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from scipy import stats

import lfmm2
from lfmm2.model.carriers import effective_carriers, unevenness, unevenness_of_directions

FST, K, N_POPULATIONS = 0.1, 3, 4
CHOICES = {
    "0": {"min_carriers": 0}, "5": {"min_carriers": 5}, "10": {}, "20": {"min_carriers": 20}, "spa": {"spa": True},
}  # fmt: skip
DRAWS = {
    "exponential": lambda rng, n: rng.exponential(size=n),
    "lognormal": lambda rng, n: rng.lognormal(size=n),
    "pareto": lambda rng, n: rng.pareto(2.5, size=n),
    "t3": lambda rng, n: rng.standard_t(3, size=n),
    "gamma4": lambda rng, n: rng.gamma(4, size=n),
    "normal": lambda rng, n: rng.normal(size=n),
    "uniform": lambda rng, n: rng.uniform(size=n),
    "demes6": lambda rng, n: rng.normal(size=6)[np.arange(n) * 6 // n],
}


def draw_variable(name, rng, n):
    """Return a variable; cases6 is 1 for six samples and 0 for the others."""
    if name.startswith("cases"):
        return rng.permutation(np.arange(n) < int(name.removeprefix("cases"))).astype(float)
    return DRAWS[name](rng, n)


def draw_genotypes(rng, n, p, structured):
    """Return dosages (n, p) of SNPs that vary, of one population or of several."""
    f = np.exp(rng.uniform(np.log(0.005), np.log(0.5), p))
    if structured:
        a = (1 - FST) / FST
        f = rng.beta(a * f, a * (1 - f), size=(N_POPULATIONS, p))[np.arange(n) % N_POPULATIONS]
    return rng.binomial(2, f, size=(n, p)).astype(np.int8)


def count_hits(G, x, options):
    """Return the hits of a run, and the share of SNPs without q."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = lfmm2.run(None, G, x, K, ploidy=2, n_threads=1, **options)
    ok = result.status == 0
    return np.flatnonzero(result.q[:, 0] < 0.05), np.isnan(result.q[ok, 0]).mean()


def compare_bounds(names, n_sets, n, p):
    print(f"\n{n_sets} null sets of {n} samples and {p} SNPs: sets with hits (hits a set), by --min-carriers\n")
    print("| variable | " + " | ".join(CHOICES) + " | without q at 10 |\n|---|" + "---|" * (len(CHOICES) + 1))
    for name in names:
        hits, without = {choice: [] for choice in CHOICES}, []
        for i in range(n_sets):
            rng = np.random.default_rng(i)
            G, x = draw_genotypes(rng, n, p, structured=i >= n_sets / 2), draw_variable(name, rng, n)
            for choice, options in CHOICES.items():
                found, share = count_hits(G, x, options)
                hits[choice].append(len(found))
                if choice == "10":
                    without.append(share)
        cells = [f"{np.count_nonzero(counts)} ({np.mean(counts):.1f})" for counts in hits.values()]
        print(f"| {name} | {' | '.join(cells)} | {100 * np.mean(without):.0f} % |", flush=True)


def count_even_variables(n_draws=400):
    print("\nShare of SNPs in Hardy-Weinberg proportions below 10 effective carriers, in %\n")
    print("| variable | n | MAF 0.01 | 0.05 | 0.1 | 0.2 |\n|---|---|---|---|---|---|")
    for name in ("uniform", "normal", "demes6", "gamma4", "exponential"):
        for n in (24, 40, 100, 300):
            rng, cells = np.random.default_rng(n), []
            X = np.column_stack([draw_variable(name, rng, n) for _ in range(n_draws)])
            of_variables = unevenness_of_directions(X - X.mean(axis=0))
            for f in (0.01, 0.05, 0.1, 0.2):
                y = rng.binomial(2, f, size=(n, n_draws)).astype(float)
                y = y[:, y.var(axis=0) > 0]
                carriers = effective_carriers(unevenness(stats.skew(y), stats.kurtosis(y)), of_variables, n)
                cells.append(f"{100 * (carriers < min(10, 2 * n)).mean():.0f}")
            print(f"| {name} | {n} | {' | '.join(cells)} |", flush=True)


def find_causal_alleles(n_sets, n, p, n_causal=20):
    print(f"\nOf {n_causal} causal rare alleles, found at q < 0.05 by --spa (false discoveries), {n_sets} sets\n")
    print("| cases | carriers among the cases | found | false |\n|---|---|---|---|")
    for n_cases in (6, 12):
        for share in (0.5, 0.8):
            found_true, found_false = [], []
            for i in range(n_sets):
                rng = np.random.default_rng(1000 + i)
                G, x = draw_genotypes(rng, n, p, structured=True), draw_variable(f"cases{n_cases}", rng, n)
                for j in range(n_causal):
                    G[:, j] = rng.random(n) < np.where(x > 0, share, 0.01)
                hits, _ = count_hits(G, x, {"spa": True})
                found_true.append((hits < n_causal).sum() / n_causal)
                found_false.append((hits >= n_causal).sum())
            print(f"| {n_cases} | {share} | {np.mean(found_true):.2f} | {np.mean(found_false):.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=12)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--snps", type=int, default=10_000)
    parser.add_argument("--variables", default=",".join(["cases6", "cases12", *DRAWS]))
    options = parser.parse_args()
    count_even_variables()
    compare_bounds(options.variables.split(","), options.sets, options.samples, options.snps)
    find_causal_alleles(max(options.sets // 3, 1), options.samples, options.snps)


if __name__ == "__main__":
    main()
