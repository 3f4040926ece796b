"""False discoveries of the joint test where no SNP is associated, and all variables follow population structure.

Genotypes come from coalescent simulations (msprime) of islands and of a stepping stone. Each of d variables is a
mixture of structure, with a correlation r, and of noise: of its own for every sample, of the place, or a smooth field
over the places. Printed is in how many runs a SNP has q < 0.05, by F over one inflation factor, by the joint test of a
run, and by the smallest p over the variables.

    pip install msprime
    .venv/bin/python bench/joint_test.py --runs 4
"""

from __future__ import annotations

import argparse
import warnings

import msprime
import numpy as np
from scipy import stats

import lfmm2

RATE, LENGTH = 1e-8, 2e5


def chromosomes(demography: msprime.Demography, samples: dict[str, int], n: int, seed: int) -> tuple:
    """Return dosages (n_samples, p) of n chromosomes, and the population of each sample."""
    dosages = []
    for number in range(n):
        trees = msprime.sim_ancestry(
            samples, demography=demography, sequence_length=LENGTH, recombination_rate=RATE,
            random_seed=1000 * seed + number + 1,
        )  # fmt: skip
        trees = msprime.sim_mutations(
            trees, rate=6e-8, random_seed=1000 * seed + number + 1, model=msprime.BinaryMutationModel()
        )
        alleles = trees.genotype_matrix()  # (sites, 2 n)
        dosages.append(alleles[:, 0::2] + alleles[:, 1::2])
    places = [trees.node(trees.individual(i).nodes[0]).population for i in range(trees.num_individuals)]
    return np.vstack(dosages).T, np.array(places)


def islands(seed: int) -> tuple:
    """Six islands of 30 samples; the coordinates of an island are random."""
    demography = msprime.Demography.island_model([1000] * 6, migration_rate=5e-4)
    dosage, places = chromosomes(demography, {f"pop_{i}": 30 for i in range(6)}, 15, seed)
    return dosage, places, np.random.default_rng(seed).random((6, 2))[places]


def stepping_stone(seed: int) -> tuple:
    """Twenty-five demes in a square, of 6 samples, that exchange migrants with their neighbours."""
    side = 5
    demography = msprime.Demography()
    for i in range(side * side):
        demography.add_population(name=f"p{i}", initial_size=500)
    for i in range(side * side):
        for j in ([i + 1] if (i + 1) % side else []) + ([i + side] if i + side < side * side else []):
            demography.set_symmetric_migration_rate([f"p{i}", f"p{j}"], 0.005)
    dosage, places = chromosomes(demography, {f"p{i}": 6 for i in range(side * side)}, 10, seed)
    return dosage, places, np.column_stack([places // side, places % side]).astype(float)


def standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=0)) / x.std(axis=0)


def variables(dosage, places, where, kind: str, r: float, d: int, seed: int) -> np.ndarray:
    """Return d variables (n, d) with correlation r to mixtures of the leading axes of the genotypes."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.svd(dosage - dosage.mean(axis=0), full_matrices=False)[0][:, :3]
    structure = standardised(axes @ rng.standard_normal((3, d)))
    if kind == "samples":
        noise = rng.standard_normal((len(dosage), d))
    elif kind == "places":
        noise = rng.standard_normal((places.max() + 1, d))[places]
    else:
        apart = ((where[:, None] - where[None]) ** 2).sum(axis=-1)
        field = np.exp(-apart / (0.5 * where.var(axis=0).sum())) + 1e-6 * np.eye(len(where))
        noise = np.linalg.cholesky(field) @ rng.standard_normal((len(dosage), d))
        structure = standardised(np.array([structure[places == place].mean(axis=0) for place in places]))
    noise = standardised(noise)
    noise -= structure * (noise * structure).mean(axis=0)
    return r * structure + np.sqrt(1 - r * r) * standardised(noise)


def discoveries(p: np.ndarray) -> int:
    return int((stats.false_discovery_control(p) < 0.05).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=4, help="runs of each scenario")
    parser.add_argument("--variables", type=int, default=8)
    parser.add_argument("--r", type=float, default=0.6, help="correlation of a variable with structure")
    parser.add_argument("-K", type=int, default=5)
    parser.add_argument("--options", nargs="*", default=[], metavar="NAME=N", help="more options of lfmm2.run")
    arguments = parser.parse_args()
    options = {name: int(value) for name, value in (text.split("=") for text in arguments.options)}
    d = arguments.variables
    print(f"{d} variable(s), r = {arguments.r}, K = {arguments.K}: runs with q < 0.05, and SNPs of these runs;")
    print("and how many tests of single variables, of all runs, have SNPs with q < 0.05")
    print(f"{'scenario':<24} {'runs':>4}  {'F / GIF':>12}  {'joint test':>12}  {'smallest p':>12}  variables")
    total, of_variables = np.zeros(3, int), 0
    for make, kinds in ((islands, ("samples",)), (stepping_stone, ("samples", "places", "fields"))):
        for kind in kinds:
            found, n_hit = [], 0
            for run in range(arguments.runs):
                dosage, places, where = make(run + 1)
                frequency = dosage.mean(axis=0) / 2
                dosage = dosage[:, np.minimum(frequency, 1 - frequency) >= 0.05]
                X = variables(dosage, places, where, kind, arguments.r, d, run)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    result = lfmm2.run(None, dosage, X, K=arguments.K, **options)
                f, df = result.f_stat, result.df
                by_f = stats.f.sf(f / np.median(f) * stats.f.ppf(0.5, d, df), d, df)
                joint = (by_f, result.f_p_calibrated, result.min_p) if d > 1 else (by_f,) * 3
                found.append([discoveries(p) for p in joint])
                n_hit += sum(discoveries(p) > 0 for p in result.p_calibrated.T)
            counts = np.array(found)
            total += (counts > 0).sum(axis=0)
            of_variables += n_hit
            cells = [f"{(of > 0).sum():>4} {of.sum():>7}" for of in counts.T]
            print(f"{make.__name__ + ', ' + kind:<24} {arguments.runs:>4}  {'  '.join(cells)}  {n_hit:>4}", flush=True)
    cells = [f"{n:>4} {'':>7}" for n in total]
    print(f"{'all':<24} {4 * arguments.runs:>4}  {'  '.join(cells)}  {of_variables:>4}")


if __name__ == "__main__":
    main()
