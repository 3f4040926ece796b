"""Calibration on data whose null is known: empirical null, GIF and the truth, side by side.

    python bench/empirical_null.py [--replicates 50 --tests 100000 --runs 10]

Four tables: z and t of which 5 % have an effect, by size of the effects and inflation; windows; F of several variables;
t of whole runs of lfmm2 with too few factors. Last, the local fdr by splines and by Efron's polynomial. σ² is over
its true value; FDP and power are means over replicates, of Benjamini-Hochberg at q < 0.05.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from scipy import special

import lfmm2
from lfmm2.statistics import distributions, empirical_null
from lfmm2.statistics.empirical_null import fit_empirical_null
from lfmm2.statistics.local_fdr import fit_local_fdr
from lfmm2.statistics.order_statistics import MagnitudeHistogram
from lfmm2.statistics.q_values import benjamini_hochberg

CAUSAL = 0.05
Q = 0.05
CHI2_1_MEDIAN = special.chdtri(1, 0.5)
EFFECTS = ("N(0, 2²)", "N(0, 3²)", "N(0, 5²)", "±3.5–5")
EFRON_WINDOW = {10_000: 1.52, 100_000: 1.17, 1_000_000: 1.0}


def draw_effects(rng, kind, n):
    if kind == EFFECTS[-1]:
        return rng.choice([-1.0, 1.0], n) * rng.uniform(3.5, 5.0, n)
    return float(kind[5]) * rng.standard_normal(n)


def histogram(z):
    counts = MagnitudeHistogram()
    counts.add(z)
    return counts.signed()


def found(p, causal):
    """FDP and power."""
    rejected = benjamini_hochberg(p) < Q
    return (rejected & ~causal).sum() / max(1, rejected.sum()), rejected[causal].mean()


def compare_two_sided(t, df, causal, variance):
    """Per method: σ² over the truth, FDP, power. "of t": (t − δ)/σ is Student; "of z": (z − δ)/σ is normal."""
    z = distributions.student_z(t, df)
    gif = np.nanmedian(t**2) / CHI2_1_MEDIAN
    edges, counts = histogram(z)
    ml = fit_empirical_null(edges, counts)
    central = fit_empirical_null(edges, counts, "central")
    p = {
        "truth": (variance, distributions.student_p(t / variance**0.5, df)),
        "GIF": (gif, distributions.chi2_1_p(t / gif**0.5)),
        "ML, of t": (ml.sd**2, distributions.student_p((t - ml.mean) / ml.sd, df)),
        "ML, of z": (ml.sd**2, distributions.chi2_1_p((z - ml.mean) / ml.sd)),
        "central, of t": (central.sd**2, distributions.student_p((t - central.mean) / central.sd, df)),
    }
    return {name: (estimate / variance, *found(values, causal)) for name, (estimate, values) in p.items()}


def show(label, replicates):
    """One line per method: mean and spread of σ² over the truth, mean FDP, mean power."""
    for method in replicates[0]:
        rows = np.array([replicate[method] for replicate in replicates])
        ratio, fdp, power = rows.mean(axis=0)
        largest = np.abs(rows[:, 0] - 1.0).max()
        print(
            f"{label:28} {method:14} {ratio:6.3f} ± {rows[:, 0].std():.3f}, at most {100 * largest:4.1f} % off"
            f"{fdp:8.3f}{power:8.3f}"
        )


def simulated_scores(rng, n, kind, variance, df):
    causal = np.arange(n) < CAUSAL * n
    t = variance**0.5 * rng.standard_normal(n)
    t[causal] += draw_effects(rng, kind, int(causal.sum()))
    return t / np.sqrt(rng.chisquare(df, n) / df), causal


def scores_table(n, n_replicates):
    print(f"\n{n} t, 5 % with effects; σ² over the truth, FDP, power")
    for df in (490, 100, 40):
        for variance in (1.3, 1.7):
            for kind in EFFECTS:
                rng = np.random.default_rng([df, int(10 * variance), EFFECTS.index(kind)])
                replicates = []
                for _ in range(n_replicates):
                    t, causal = simulated_scores(rng, n, kind, variance, df)
                    replicates.append(compare_two_sided(t, df, causal, variance))
                show(f"df {df}, σ² {variance}, {kind}", replicates)


def windows_table(n_replicates):
    print("\nσ² over the truth by half-width of the window in robust standard deviations, df 490, inflation 1.3")
    usual = empirical_null._HALF_WINDOW
    for n in EFRON_WINDOW:
        for kind in EFFECTS:
            ratios = {}
            rng = np.random.default_rng([n, EFFECTS.index(kind)])
            for _ in range(max(3, 5 * n_replicates * 10_000 // n)):
                t, _ = simulated_scores(rng, n, kind, 1.3, 490)
                edges, counts = histogram(distributions.student_z(t, 490))
                for half in sorted({EFRON_WINDOW[n], 1.5, 1.75, 2.0, 2.5}):
                    empirical_null._HALF_WINDOW = half
                    ratios.setdefault(half, []).append(fit_empirical_null(edges, counts).sd ** 2 / 1.3)
            row = "  ".join(f"{half}: {np.mean(r):.3f} ± {np.std(r):.3f}" for half, r in ratios.items())
            print(f"{n:8} {kind:9} {row}")
    empirical_null._HALF_WINDOW = usual


def joint_table(n, n_replicates):
    print(f"\n{n} F with df 490, 5 % with one effect: inflation or σ of the null, FDP, power")
    for d in (2, 5):
        for inflation in (1.0, 1.3, 1.7):
            for kind in EFFECTS[1::2]:
                rng = np.random.default_rng([d, int(10 * inflation), EFFECTS.index(kind)])
                replicates = []
                for _ in range(n_replicates):
                    X = inflation**0.5 * rng.standard_normal((n, d))
                    causal = np.arange(n) < CAUSAL * n
                    X[causal, 0] += draw_effects(rng, kind, int(causal.sum()))
                    f = (X**2).mean(axis=1) / (rng.chisquare(490, n) / 490)
                    z = distributions.f_z(f, d, 490)
                    gif = np.median(f) / special.fdtri(d, 490, 0.5)
                    null = fit_empirical_null(*histogram(z))
                    spread = z[~causal].std()
                    scores = (z - null.mean) / null.sd
                    replicates.append(
                        {
                            "truth": (1.0, *found(distributions.f_p(f / inflation, d, 490), causal)),
                            "GIF": (gif / inflation, *found(distributions.f_p(f / gif, d, 490), causal)),
                            "ML": (null.sd / spread, *found(distributions.normal_upper_p(scores), causal)),
                        }
                    )
                show(f"d {d}, inflation {inflation}, {kind}", replicates)


def runs_table(n_runs):
    print("\nruns of lfmm2: 300 samples, 20 000 SNPs, 1 000 of them causal; variance of t of the others is the truth")
    for n_populations, n_factors in ((5, 1), (8, 3), (5, 4)):
        replicates = []
        inflations = []
        for seed in range(n_runs):
            with tempfile.TemporaryDirectory() as folder:
                data = lfmm2.simulate(
                    Path(folder) / "d", 300, 20_000, 1, n_populations=n_populations, n_causal=1000, effect_size=0.4,
                    fst=0.02, seed=seed,
                )  # fmt: skip
                result = lfmm2.run(None, data.bed, data.env, K=n_factors)
                t = np.array(result.t[:, 0])
            causal = np.zeros(t.size, dtype=bool)
            causal[data.causal[0]] = True
            tested = np.isfinite(t)
            t, causal = t[tested], causal[tested]
            df = 300 - 1 - n_factors
            variance = float(np.mean(distributions.student_z(t[~causal], df) ** 2))
            inflations.append(variance)
            replicates.append(compare_two_sided(t, df, causal, variance))
        show(f"{n_populations} pops, K = {n_factors}, σ² {np.mean(inflations):.2f}", replicates)


def local_fdr_table():
    print("\nlocal fdr of 5 % N(0, 17): largest error by splines, by a polynomial of degree 7, spread over 10 draws")
    for n in (10_000, 100_000, 1_000_000):
        errors = {None: [], 7: []}
        for seed in range(10):
            z = np.random.default_rng(seed).standard_normal(n)
            z[: n // 20] *= 17**0.5
            edges, counts = histogram(z)
            at = np.linspace(-6, 6, 601)
            null = 0.95 * np.exp(-0.5 * at**2)
            truth = null / (null + 0.05 * np.exp(-0.5 * at**2 / 17) / 17**0.5)
            for degree, found_errors in errors.items():
                lfdr = fit_local_fdr(edges, counts, 0.95, degree=degree)
                found_errors.append(np.abs(lfdr(at) - truth).max())
        print(f"{n:8}", "  ".join(f"{np.mean(e):.3f} ± {np.std(e):.3f}" for e in errors.values()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--replicates", type=int, default=50)
    parser.add_argument("--tests", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=10)
    arguments = parser.parse_args()
    scores_table(arguments.tests, arguments.replicates)
    windows_table(arguments.replicates)
    joint_table(arguments.tests, max(1, arguments.replicates // 5))
    runs_table(arguments.runs)
    local_fdr_table()


if __name__ == "__main__":
    main()
