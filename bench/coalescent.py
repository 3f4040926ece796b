"""False discoveries and power on coalescent genomes, by scenario and calibration, with the defaults of `lfmm2 run`.

    python bench/coalescent.py [SCENARIO ...] [--runs 12] [--genomes FOLDER] [--option lambda_=1x] [--by-run FILE]

Genomes are simulated by msprime (`pip install msprime`); causal SNPs are drawn anew, given the environment: the logit
of their frequency in a deme, plus an effect times the environment. Each run writes a fileset with positions, leaves K
open in a sweep, and takes the suggested K. "student" are the q of that run, with surrogates and the least effective
carriers; in the other rows the t of all SNPs are calibrated in another way. False discovery proportion
(FDP) and power are means over runs, at q < 0.05 and 0.1 of Benjamini-Hochberg. A SNP within linkage of a causal one
counts as causal in the polygenic scenario only, where all null SNPs are on other chromosomes.

The last table counts warnings: runs with FDP above 0.08 that had one, and runs with FDP of at most 0.05 that had one.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import lfmm2
from lfmm2.genotypes.plink_writer import write_plink
from lfmm2.statistics import StudentStatistic, calibrate
from lfmm2.statistics.order_statistics import MagnitudeHistogram
from lfmm2.statistics.q_values import benjamini_hochberg

LEVELS = (0.05, 0.1)
METHODS = ("none", "chi2", "student", "empirical-null")
N_GENOMES = 6
# Bases of a stretch that is inherited whole where individuals are made of the genomes of two parents.
STRETCH = 100_000


@dataclass(frozen=True)
class Genomes:
    """Genotypes (n, p) as copies of the derived allele, places of the SNPs, and the deme of each sample."""

    G: np.ndarray
    chromosome: np.ndarray
    position: np.ndarray
    deme: np.ndarray

    def snps(self, chosen: np.ndarray) -> Genomes:
        """Return these SNPs."""
        return Genomes(self.G[:, chosen], self.chromosome[chosen], self.position[chosen], self.deme)

    def samples(self, rows: np.ndarray) -> Genomes:
        """Return these samples."""
        return Genomes(self.G[rows], self.chromosome, self.position, self.deme[rows])

    def common(self, maf: float, most: int | None, rng: np.random.Generator) -> Genomes:
        """Return SNPs of at least this minor allele frequency, a random `most` of them."""
        f = self.G.mean(axis=0) / 2
        chosen = np.flatnonzero(np.minimum(f, 1 - f) >= maf)
        if most is not None and len(chosen) > most:
            chosen = np.sort(rng.choice(chosen, most, replace=False))
        return self.snps(chosen)

    def gamete(self, rng: np.random.Generator, sample: int) -> np.ndarray:
        """Draw a gamete of a sample, one haplotype or the other in each stretch."""
        stretches = np.unique(self.chromosome.astype(np.int64) * 10**9 + self.position // STRETCH, return_inverse=True)
        which = rng.random(stretches[1].max() + 1)[stretches[1]] < 0.5
        g = self.G[sample]
        return np.where(g == 1, which, g // 2)


def simulate(
    demography: Any, demes: Sequence[str], per_deme: int, *, n_chromosomes: int, length: float, mutation: float,
    recombination: float = 1e-8, ploidy: int = 2, seed: int,
) -> Genomes:  # fmt: skip
    """Simulate chromosomes of the samples of all demes; of selfing lines (ploidy 1) each haplotype counts twice."""
    import msprime

    rng = np.random.default_rng(seed)
    parts, chromosomes, positions = [], [], []
    for c in range(n_chromosomes):
        tree = msprime.sim_ancestry(
            samples=dict.fromkeys(demes, per_deme), demography=demography, sequence_length=length, ploidy=ploidy,
            recombination_rate=recombination, random_seed=int(rng.integers(1, 2**31 - 1)),
        )  # fmt: skip
        tree = msprime.sim_mutations(
            tree, rate=mutation, model=msprime.BinaryMutationModel(), random_seed=int(rng.integers(1, 2**31 - 1))
        )
        haplotypes = tree.genotype_matrix() > 0
        parts.append(haplotypes.reshape(len(haplotypes), -1, ploidy).sum(axis=2) * (2 // ploidy))
        positions.append(tree.tables.sites.position.astype(np.int64) + 1)
        chromosomes.append(np.full(len(haplotypes), c + 1))
    deme = np.repeat(np.arange(len(demes)), per_deme)
    return Genomes(np.vstack(parts).T.astype(np.int8), np.concatenate(chromosomes), np.concatenate(positions), deme)


def stepping_stones(side: int, per_deme: int, size: float, migration: float, **how: Any) -> Genomes:
    """Simulate demes on a square grid, each of which exchanges migrants with its neighbours."""
    import msprime

    demography = msprime.Demography()
    names = [f"d{i}_{j}" for i in range(side) for j in range(side)]
    for name in names:
        demography.add_population(name=name, initial_size=size)
    for i in range(side):
        for j in range(side):
            for a, b in ((i + 1, j), (i, j + 1)):
                if a < side and b < side:
                    demography.set_symmetric_migration_rate([f"d{i}_{j}", f"d{a}_{b}"], migration)
    return simulate(demography, names, per_deme, **how)


def islands(n_demes: int, per_deme: int, size: float, migration: float, **how: Any) -> Genomes:
    """Simulate demes that all exchange migrants with each other."""
    import msprime

    demography = msprime.Demography.island_model([size] * n_demes, migration_rate=migration)
    return simulate(demography, [f"pop_{i}" for i in range(n_demes)], per_deme, **how)


def admixed(genomes: Genomes, rng: np.random.Generator) -> Genomes:
    """Replace half of the samples by children of themselves and of a random other."""
    G = genomes.G.copy()
    for i in np.flatnonzero(rng.random(len(G)) < 0.5):
        G[i] = genomes.gamete(rng, i) + genomes.gamete(rng, int(rng.integers(len(G))))
    return Genomes(G, genomes.chromosome, genomes.position, genomes.deme)


def grid(seed: int) -> Genomes:
    """25 demes of 6 samples, isolated by distance."""
    how = {"n_chromosomes": 10, "length": 3e5, "mutation": 6e-8, "seed": 400 + seed}
    return stepping_stones(5, 6, 500, 0.005, **how).common(0.05, 10_000, np.random.default_rng(seed))


def six_islands(seed: int) -> Genomes:
    """6 demes of 30 samples, half of them admixed."""
    rng = np.random.default_rng(100 + seed)
    genomes = islands(6, 30, 1000, 5e-4, n_chromosomes=20, length=5e5, mutation=3e-8, seed=100 + seed)
    return admixed(genomes, rng).common(0.05, 10_000, rng)


def four_islands(seed: int) -> Genomes:
    """4 demes of 40 samples."""
    genomes = islands(4, 40, 1000, 2e-3, n_chromosomes=20, length=5e5, mutation=3e-8, seed=300 + seed)
    return genomes.common(0.05, 30_000, np.random.default_rng(300 + seed))


def linked_islands(seed: int) -> Genomes:
    """4 demes of 40 samples with a tenth of the recombination, 8 long chromosomes."""
    how = {"n_chromosomes": 8, "length": 2e6, "mutation": 3e-8, "recombination": 1e-9, "seed": 200 + seed}
    return islands(4, 40, 1000, 1e-3, **how).common(0.05, 12_000, np.random.default_rng(200 + seed))


def selfing_grid(seed: int) -> Genomes:
    """16 demes of 10 inbred lines, isolated by distance."""
    how = {"n_chromosomes": 10, "length": 2e5, "mutation": 1.2e-7, "ploidy": 1, "seed": 500 + seed}
    return stepping_stones(4, 10, 500, 0.002, **how).common(0.05, 10_000, np.random.default_rng(seed))


def standardised(values: np.ndarray) -> np.ndarray:
    """Return values with mean 0 and variance 1."""
    return (values - values.mean()) / values.std()


def mixed(structure: np.ndarray, other: np.ndarray, r: float) -> np.ndarray:
    """Return a variable that correlates by r with structure, the rest of it by another one."""
    s = standardised(structure)
    z = standardised(other) - s * (s @ standardised(other)) / (s @ s)
    return r * s + np.sqrt(1 - r * r) * standardised(z)


def along_axes(genomes: Genomes, r: float, rng: np.random.Generator, by_site: bool = False) -> np.ndarray:
    """Return an environment correlated by r with a random mixture of three axes of structure; by site all alike."""
    Y = genomes.G - genomes.G.mean(axis=0)
    S = np.linalg.svd(Y, full_matrices=False)[0][:, :3] @ rng.standard_normal(3)
    if not by_site:
        return mixed(S, rng.standard_normal(len(Y)), r)
    sites = np.array([S[genomes.deme == d].mean() for d in range(genomes.deme.max() + 1)])
    return mixed(sites[genomes.deme], rng.standard_normal(len(sites))[genomes.deme], r)


def along_grid(genomes: Genomes, r: float, rng: np.random.Generator) -> np.ndarray:
    """Return an environment of demes correlated by r with a gradient over the grid."""
    n_demes = genomes.deme.max() + 1
    side = round(np.sqrt(n_demes))
    return mixed((genomes.deme // side).astype(float), rng.standard_normal(n_demes)[genomes.deme], r)


def with_causal(
    genomes: Genomes, environment: np.ndarray, rng: np.random.Generator, n_causal: int, effect: float,
    inbred: bool = False,
) -> tuple[Genomes, np.ndarray]:  # fmt: skip
    """Draw common SNPs anew, given the frequency in the deme and the environment; return which they are."""
    G, deme, e = genomes.G.copy(), genomes.deme, standardised(environment)
    f = G.mean(axis=0) / 2
    causal = np.sort(rng.choice(np.flatnonzero((f > 0.2) & (f < 0.8)), n_causal, replace=False))
    sizes = np.bincount(deme)
    for j in causal:
        of_deme = (np.bincount(deme, G[:, j]) + 1) / (2 * sizes + 2)
        logit = np.log(of_deme / (1 - of_deme))[deme] + effect * rng.choice([-1, 1]) * rng.uniform(0.6, 1.4) * e
        chance = 1 / (1 + np.exp(-logit))
        G[:, j] = 2 * rng.binomial(1, chance) if inbred else rng.binomial(2, chance)
    is_causal = np.zeros(G.shape[1], bool)
    is_causal[causal] = True
    return Genomes(G, genomes.chromosome, genomes.position, deme), is_causal


@dataclass(frozen=True)
class Drawn:
    """A data set: genomes, environment, and which SNPs are causal and null."""

    genomes: Genomes
    environment: np.ndarray
    causal: np.ndarray
    null: np.ndarray


def on_grid(genomes: Genomes, rng: np.random.Generator, r: float) -> Drawn:
    """Return isolation by distance with an environment of demes."""
    environment = along_grid(genomes, r, rng)
    genomes, causal = with_causal(genomes, environment, rng, 100, 0.7)
    return Drawn(genomes, environment, causal, ~causal)


def on_islands(genomes: Genomes, rng: np.random.Generator, r: float, by_site: bool = False) -> Drawn:
    """Return admixed islands with an environment of samples, or of sites."""
    environment = along_axes(genomes, r, rng, by_site)
    genomes, causal = with_causal(genomes, environment, rng, 100, 0.5)
    return Drawn(genomes, environment, causal, ~causal)


def in_families(genomes: Genomes, rng: np.random.Generator) -> Drawn:
    """Return 80 unrelated samples, 10 families of 6 full sibs and 5 clones of 4, with an environment of their own."""
    order, rows, demes = rng.permutation(len(genomes.G)), [], []
    for i in order[:80]:
        rows.append(genomes.G[i])
        demes.append(genomes.deme[i])
    for mother in order[80:90]:
        father = next(i for i in order[90:] if genomes.deme[i] == genomes.deme[mother])
        for _ in range(6):
            rows.append(genomes.gamete(rng, mother) + genomes.gamete(rng, father))
            demes.append(genomes.deme[mother])
    for ramet in np.repeat(order[90:95], 4):
        rows.append(genomes.G[ramet])
        demes.append(genomes.deme[ramet])
    genomes = Genomes(np.array(rows), genomes.chromosome, genomes.position, np.array(demes)).common(0.05, None, rng)
    environment = along_axes(genomes, 0.4, rng)
    genomes, causal = with_causal(genomes, environment, rng, 100, 0.6)
    return Drawn(genomes, environment, causal, ~causal)


def in_lines(genomes: Genomes, rng: np.random.Generator) -> Drawn:
    """Return inbred lines with an environment of demes and of lines."""
    environment = 0.7 * along_grid(genomes, 0.6, rng) + 0.7 * rng.standard_normal(len(genomes.G))
    genomes, causal = with_causal(genomes, environment, rng, 100, 0.8, inbred=True)
    return Drawn(genomes, environment, causal, ~causal)


def polygenic(genomes: Genomes, rng: np.random.Generator) -> Drawn:
    """Return a trait of 12 genes on chromosomes 1 to 4 and of the deme; null SNPs are on chromosomes 5 to 8."""
    f, first_half = genomes.G.mean(axis=0) / 2, genomes.chromosome <= 4
    genes = rng.choice(np.flatnonzero(first_half & (f > 0.15) & (f < 0.85)), 12, replace=False)
    Y = genomes.G - genomes.G.mean(axis=0)
    Y = Y / np.linalg.norm(Y, axis=0)
    value = standardised(Y[:, genes] @ (rng.choice([-1, 1], 12) * rng.uniform(0.7, 1.3, 12)))
    of_deme = standardised(rng.standard_normal(genomes.deme.max() + 1)[genomes.deme])
    trait = np.sqrt(0.6) * value + np.sqrt(0.15) * of_deme + np.sqrt(0.25) * rng.standard_normal(len(Y))
    near = ((Y.T @ Y[:, genes]) ** 2).max(axis=1) > 0.3
    return Drawn(genomes, trait, near & first_half, ~first_half)


def few_samples(genomes: Genomes, rng: np.random.Generator, n: int, effect: float) -> Drawn:
    """Return n samples of four islands."""
    rows = [rng.choice(np.flatnonzero(genomes.deme == d), n // 4, replace=False) for d in range(4)]
    genomes = genomes.samples(np.sort(np.concatenate(rows))).common(0.1, 5000, rng)
    environment = along_axes(genomes, 0.5, rng)
    genomes, causal = with_causal(genomes, environment, rng, 100, effect)
    return Drawn(genomes, environment, causal, ~causal)


@dataclass(frozen=True)
class Scenario:
    """How genomes are simulated and data drawn from them, and the number of axes there are; None where none is true."""

    simulate: Callable[[int], Genomes]
    draw: Callable[..., Drawn]
    n_axes: int | None
    how: dict[str, Any] = field(default_factory=dict)


SCENARIOS = {
    **{f"stepping stone, r = {r}": Scenario(grid, on_grid, None, {"r": r}) for r in (0.3, 0.6, 0.9)},
    **{f"admixed islands, r = {r}": Scenario(six_islands, on_islands, 5, {"r": r}) for r in (0.3, 0.6, 0.9)},
    "environment by site": Scenario(six_islands, on_islands, 5, {"r": 0.6, "by_site": True}),
    "families and clones": Scenario(four_islands, in_families, 3),
    "selfing": Scenario(selfing_grid, in_lines, None),
    "polygenic, linked": Scenario(linked_islands, polygenic, 3),
    **{f"n = {n}": Scenario(four_islands, few_samples, 3, {"n": n, "effect": effect})
       for n, effect in ((24, 1.6), (40, 1.2), (60, 1.0))},
}  # fmt: skip


def load_genomes(simulate: Callable[[int], Genomes], seed: int, folder: Path) -> Genomes:
    """Return genomes, simulated once and kept in a folder."""
    path = folder / f"{simulate.__name__}-{seed}.npz"
    if not path.exists():
        made = simulate(seed)
        np.savez_compressed(path, **vars(made))
    with np.load(path) as kept:
        return Genomes(**{name: kept[name] for name in kept.files})


def score(q: np.ndarray, drawn: Drawn) -> dict[str, float]:
    """Return FDP and power at each level."""
    scores = {}
    for level in LEVELS:
        found = q < level
        n_true, n_false = (found & drawn.causal).sum(), (found & drawn.null).sum()
        scores[f"FDP {level}"] = n_false / max(n_true + n_false, 1)
        scores[f"power {level}"] = n_true / drawn.causal.sum()
    return scores


def run_once(drawn: Drawn, folder: Path, options: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run lfmm2 with K left open on a data set; return scores by method, and what the run said."""
    genomes, n = drawn.genomes, len(drawn.environment)
    bed = write_plink(
        folder / "d", genomes.G.T, chromosomes=genomes.chromosome.tolist(), positions=genomes.position.tolist(),
        overwrite=True,
    )  # fmt: skip
    env = pd.DataFrame({"IID": [f"s{i + 1:04d}" for i in range(n)], "env": drawn.environment})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = lfmm2.run(None, bed, env, **{"sweep": f"1:{12 if n <= 45 else 20}"} | options)
    said = [str(warning.message) for warning in caught if issubclass(warning.category, lfmm2.LfmmWarning)]
    t, scores = result.t[:, 0], []
    for method in METHODS:
        q = result.q[:, 0] if method == "student" else q_values(t, result.df, method)
        scores.append({"method": method} | score(q, drawn))
    facts = {
        "K": result.factors.n_factors, "suggested": result.sweep.suggested if result.sweep else None, "said": said,
        "gif": float(result.gif[0]), "r2_pc10": r2_of_ten_axes(drawn),
    }  # fmt: skip
    return scores, facts


def q_values(t: np.ndarray, df: int, method: str) -> np.ndarray:
    """Return q of these t by another calibration."""
    histogram = MagnitudeHistogram()
    histogram.add(t)
    calibration = calibrate(StudentStatistic(df), method, histogram, lambda: iter([t]))
    return benjamini_hochberg(calibration.p(calibration.scores(t)))


def r2_of_ten_axes(drawn: Drawn) -> float:
    """Return R² of the environment on ten axes of the genotypes."""
    Y = drawn.genomes.G - drawn.genomes.G.mean(axis=0)
    e = standardised(drawn.environment)
    return float(((np.linalg.svd(Y, full_matrices=False)[0][:, :10].T @ e) ** 2).sum() / (e @ e))


def run_scenario(name: str, n_runs: int, genomes: Path, options: dict[str, Any]) -> pd.DataFrame:
    """Run a scenario so often; return a row for each run and method."""
    scenario, rows = SCENARIOS[name], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(n_runs):
            seed, repeat = number % N_GENOMES + 1, number // N_GENOMES
            rng = np.random.default_rng([seed, repeat])
            drawn = scenario.draw(load_genomes(scenario.simulate, seed, genomes), rng, **scenario.how)
            scores, facts = run_once(drawn, Path(folder), options)
            rows += [{"scenario": name, "run": number} | of_method | facts for of_method in scores]
    return pd.DataFrame(rows)


def summarise(runs: pd.DataFrame) -> None:
    """Print the tables: by scenario and method, by scenario."""
    columns = [f"{what} {level}" for level in LEVELS for what in ("FDP", "power")]
    print(runs.groupby(["scenario", "method"], sort=False)[columns].mean().round(3).to_string(), end="\n\n")
    rows = []
    for name, of_scenario in runs[runs["method"] == "student"].groupby("scenario", sort=False):
        warned = of_scenario["said"].map(len) > 0
        false, sound = of_scenario["FDP 0.05"] > 0.08, of_scenario["FDP 0.05"] <= 0.05
        truth = SCENARIOS[name].n_axes
        rows.append({
            "scenario": name, "axes": "none" if truth is None else truth,
            "suggested K": f"{of_scenario['suggested'].min():.0f}–{of_scenario['suggested'].max():.0f}",
            "GIF": of_scenario["gif"].median().round(2), "R² of 10 axes": of_scenario["r2_pc10"].median().round(2),
            "FDP": of_scenario["FDP 0.05"].mean().round(3),
            "FDP > 0.08, warned": f"{(false & warned).sum()} of {false.sum()}",
            "FDP ≤ 0.05, warned": f"{(sound & warned).sum()} of {sound.sum()}",
        })  # fmt: skip
    print(pd.DataFrame(rows).to_string(index=False), end="\n\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"beginning of one of: {'; '.join(SCENARIOS)}")
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--genomes", type=Path, help="folder in which simulated genomes are kept")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="parameter of lfmm2.run")
    parser.add_argument("--by-run", type=Path, help="CSV file of all runs")
    arguments = parser.parse_args()
    chosen = [s for s in SCENARIOS if not arguments.scenarios or any(s.startswith(a) for a in arguments.scenarios)]
    with tempfile.TemporaryDirectory() as folder:
        genomes = arguments.genomes or Path(folder)
        genomes.mkdir(parents=True, exist_ok=True)
        options = {name: _value(text) for name, _, text in (o.partition("=") for o in arguments.option)}
        runs = []
        for name in chosen:
            runs.append(run_scenario(name, arguments.runs, genomes, options))
            summarise(runs[-1])
        together = pd.concat(runs)
    print("\nAll scenarios\n")
    summarise(together)
    if arguments.by_run:
        together.to_csv(arguments.by_run, index=False)


def _value(text: str) -> Any:
    """Return a value of an option: a number where it is one."""
    try:
        return int(text)
    except ValueError:
        return text


if __name__ == "__main__":
    main()
