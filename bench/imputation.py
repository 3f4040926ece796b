"""Missing calls filled from factors: errors on held-out calls, what it does to t, and what it costs.

    python bench/imputation.py [--quick] [--bed data.bed --env variables.csv -K 6]

Errors are printed twice. "left out": of the same pass, which leaves one call of every SNP out of the regression but
not of the factors. "masked": 1 % of all calls are masked before the factors are estimated, and predicted then.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import lfmm2
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.imputation import FactorFill, HeldOutError
from lfmm2.genotypes.plink import BedFile
from lfmm2.genotypes.plink_writer import write_plink
from lfmm2.model.association import AssociationModel
from lfmm2.model.eigensolvers import SolverOptions
from lfmm2.model.factors import estimate_from_matrix
from lfmm2.model.ridge import ridge_geometry
from lfmm2.process.threads import single_threaded_blas

LAMBDA = 1e-5


def read_dosages(path):
    """(n_samples, n_snps), NaN where missing."""
    with BedFile(path) as bed:
        packed = np.empty((bed.n_snps, bed.bytes_per_snp), np.uint8)
        bed.read_packed(0, packed)
        codes = np.stack([packed >> shift & 3 for shift in (0, 2, 4, 6)], axis=2).reshape(bed.n_snps, -1)
        return np.array([0.0, np.nan, 1.0, 2.0])[codes[:, : bed.n_samples]].T


class Fitted:
    """Factors of a fileset of these dosages, and tests with missing calls at the mean or filled from the factors."""

    def __init__(self, path, dosage, X, n_factors):
        self.bed = BedFile(write_plink(path, dosage.T, overwrite=True))
        self.matrix = BedMatrix(self.bed, Engine(1, 1 << 30))
        ridge = ridge_geometry(X, LAMBDA)
        factors = estimate_from_matrix(self.matrix, ridge, n_factors, SolverOptions())
        self.fill = FactorFill(factors.U)
        self.model = AssociationModel(ridge, factors, X.shape[1], "paper")

    def t(self, fill):
        return np.concatenate([block.t for block in self.model.statistics(self.matrix, fill=fill)])

    def left_out(self):
        total = HeldOutError()
        for block in self.matrix.cross_products(self.model.Q, fill=self.fill):
            total.add(block.imputation)
        return total

    def filled(self, dosage):
        """Dosages with the missing calls filled; the pass centres them, which the called ones undo."""
        result = []
        for block in self.matrix.cross_products(self.model.Q, fill=self.fill):
            values = block.decode(np.arange(len(block.mean))).T
            known = dosage[:, block.first_snp : block.first_snp + values.shape[1]]
            result.append(values + np.nanmean(known - values, axis=0))
        return np.hstack(result)


def masked(dosage, rate, seed):
    """A copy with more missing calls, at random."""
    result = dosage.copy()
    result[np.random.default_rng(seed).random(dosage.shape) < rate] = np.nan
    return result


def print_errors(name, folder, dosage, X, n_factors):
    fitted = Fitted(folder / "whole", dosage, X, n_factors)
    left_out = fitted.left_out()
    fitted.bed.close()
    less = masked(dosage, 0.01, 1)
    fitted = Fitted(folder / "masked", less, X, n_factors)
    predicted = fitted.filled(less)
    fitted.bed.close()
    hidden = np.isnan(less) & ~np.isnan(dosage) & (np.nanstd(less, axis=0) > 0)
    by_mean = np.sqrt(np.mean((dosage - np.nanmean(less, axis=0))[hidden] ** 2))
    by_factors = np.sqrt(np.mean((dosage - predicted)[hidden] ** 2))
    print(
        f"{name:<34} {n_factors:>3} {left_out.n_held_out:>9} {left_out.rmse_mean:>8.4f} {left_out.rmse_factors:>8.4f} "
        f"{left_out.ratio:>7.4f} {hidden.sum():>8} {by_factors / by_mean:>9.4f}",
        flush=True,
    )


def errors(folder, arguments):
    print("\nErrors of held-out calls, in dosage, with 1 % of the calls missing")
    print(f"{'data':<34} {'K':>3} {'left out':>9} {'mean':>8} {'factors':>8} {'ratio':>7} {'masked':>8} {'ratio':>9}")
    n_samples, n_snps = (200, 2000) if arguments.quick else (500, 10_000)
    for n_populations, fst in ((1, 0.0), (3, 0.05), (3, 0.2), (5, 0.1), (8, 0.05), (8, 0.2)):
        confounding = {"confounding": 0.0} if n_populations == 1 else {}
        data = lfmm2.simulate(
            folder / "d", n_samples, n_snps, n_populations=n_populations, fst=fst, overwrite=True, **confounding
        )
        name = f"{n_samples} x {n_snps}, {n_populations} population(s), Fst {fst}"
        print_errors(
            name, folder, read_dosages(data.bed), data.variables, 3 if n_populations == 1 else n_populations - 1
        )
    if arguments.bed:
        dosage = read_dosages(arguments.bed)
        X = np.loadtxt(arguments.env, delimiter=",", skiprows=1, usecols=1, ndmin=2)
        print_errors(arguments.bed.name, folder, masked(dosage, 0.01, 2), X, arguments.K)


def statistics(folder, arguments):
    print("\nt against t of the complete data: root mean squared difference, and correlation")
    print(f"{'missing':<34} {'SNPs':>8} {'mean':>16} {'factors':>16}")
    n_samples, n_snps = (200, 2000) if arguments.quick else (500, 10_000)
    data = lfmm2.simulate(
        folder / "d", n_samples, n_snps, n_causal=50, n_populations=5, fst=0.15, missing_rate=0.0, overwrite=True
    )
    dosage, X = read_dosages(data.bed), data.variables
    fitted = Fitted(folder / "whole", dosage, X, 4)
    complete = fitted.t(None)
    fitted.bed.close()
    home = data.ancestry.argmax(axis=1)
    causal = (np.concatenate(data.causal), np.repeat(np.arange(len(data.causal)), [len(snps) for snps in data.causal]))
    for rate, one_population in ((0.1, False), (0.3, False), (0.3, True)):
        less = masked(dosage, rate, 3)
        name = f"{rate:.0%} of all calls"
        if one_population:
            name = f"{rate:.0%} in one population of five"
            less[home > 0] = dosage[home > 0]
        fitted = Fitted(folder / "less", less, X, 4)
        results = [fitted.t(None), fitted.t(fitted.fill)]
        fitted.bed.close()
        for which, chosen in (("causal", causal), ("all", np.isfinite(complete) & np.isfinite(results[0]))):
            texts = []
            for t in results:
                difference = t[chosen] - complete[chosen]
                correlation = np.corrcoef(t[chosen], complete[chosen])[0, 1]
                texts.append(f"{np.sqrt(np.mean(difference**2)):.3f}, {correlation:.4f}")
            print(f"{name:<34} {which:>8} {texts[0]:>16} {texts[1]:>16}", flush=True)


def seconds(blocks):
    started = time.process_time()
    for _ in blocks:
        pass
    return time.process_time() - started


def cost(folder, arguments):
    print("\nCPU time of the pass that fills over that of the one that does not, one thread, medians")
    print(f"{'missing':>8} {'K':>3} {'products':>9} {'with statistics':>16} {'us per SNP, plain':>18}")
    n_samples, n_snps = (500, 10_000) if arguments.quick else (1000, 100_000)
    for rate in (0.0, 0.01, 0.1):
        data = lfmm2.simulate(folder / "c", n_samples, n_snps, 1, missing_rate=rate, overwrite=True)
        with BedFile(data.bed) as bed:
            matrix = BedMatrix(bed, Engine(1, 1 << 30))
            some = BedMatrix(bed, Engine(1, 1 << 30), snps=np.arange(0, n_snps, 10))
            for n_factors in (5, 20):
                ridge = ridge_geometry(data.variables, LAMBDA)
                factors = estimate_from_matrix(some, ridge, n_factors, SolverOptions())
                model, fill = AssociationModel(ridge, factors, 1, "paper"), FactorFill(factors.U)
                rows = []
                for _ in range(arguments.rounds):
                    times = []
                    for chosen in (None, fill):
                        times.append(seconds(matrix.cross_products(model.Q, fill=chosen)))
                        times.append(seconds(model.statistics(matrix, fill=chosen)))
                    plain, plain_tests, filled, filled_tests = times
                    rows.append((filled / plain, filled_tests / plain_tests, plain_tests / n_snps * 1e6))
                ratio, ratio_tests, micro = np.median(rows, axis=0)
                print(f"{rate:>8.0%} {n_factors:>3} {ratio:>9.2f} {ratio_tests:>16.2f} {micro:>18.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bed", type=Path)
    parser.add_argument("--env", type=Path)
    parser.add_argument("-K", type=int, default=6)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, single_threaded_blas():
        errors(Path(name), arguments)
        statistics(Path(name), arguments)
        cost(Path(name), arguments)


if __name__ == "__main__":
    main()
