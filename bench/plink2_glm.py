"""The testing half against plink2 --glm: the same t, and the time that each takes to write its table.

    python bench/plink2_glm.py [--samples 5000 --snps 100000 --rounds 5] [--missing 0.005] [--process]

t of the SNP in x ~ SNP + U equals t of x in SNP ~ x + U where no call is missing, so t is compared there. plink2
(Debian package plink2, on the PATH) is timed as a process; lfmm2 in this process, from the path of the .bed to the
finished table, as a library is used, or with --process as a process of its own, with its start. Rounds alternate, and
medians of times and of ratios within a round are printed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.csv as pc

import lfmm2

K = 10
# What a process of the testing half does: files of genotypes, variables and factors, threads, prefix, format.
TESTS = """
import sys
import lfmm2

bed, env, factors, threads, out, format = sys.argv[1:]
lfmm2.test_associations(
    bed, env, lfmm2.read_factors(factors), df="intercept", out=out, format=format, overwrite=True,
    n_threads=int(threads),
)
"""


def seconds(function, *arguments):
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def write_plink2_tables(data, factors, folder):
    """Phenotype and covariate files, factors at unit variance and 17 digits."""
    rows = [line.split() for line in data.fam.read_text().splitlines()]
    x = data.variables[:, 0]
    U = factors.U / factors.U.std(axis=0)
    (folder / "x.pheno").write_text(
        "#FID\tIID\tx\n" + "".join(f"{r[0]}\t{r[1]}\t{v!r}\n" for r, v in zip(rows, x.tolist(), strict=True))
    )
    (folder / "u.cov").write_text(
        "#FID\tIID\t" + "\t".join(f"U{k + 1}" for k in range(K)) + "\n"
        + "".join("\t".join([*r[:2], *map(repr, u)]) + "\n" for r, u in zip(rows, U.tolist(), strict=True))
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=5_000)
    parser.add_argument("--snps", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--missing", type=float, default=0.0)
    parser.add_argument("--process", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = lfmm2.simulate(folder / "d", arguments.samples, arguments.snps, 1, missing_rate=arguments.missing)
        saved = folder / "u.factors.npz"
        lfmm2.run(None, data.bed, data.env, K, solver="power", n_power_iter=1, out=folder / "u")
        factors = lfmm2.read_factors(saved)
        write_plink2_tables(data, factors, folder)
        glm = ["plink2", "--bfile", folder / "d", "--pheno", folder / "x.pheno", "--covar", folder / "u.cov"]
        glm += ["--glm", "hide-covar", "--threads", str(arguments.threads), "--out", folder / "plink"]

        def run_plink2():
            subprocess.run(glm, check=True, stdout=subprocess.DEVNULL)

        def run_lfmm2(format):
            if arguments.process:
                files = [data.bed, data.env, saved, arguments.threads, folder / "ours", format]
                subprocess.run([sys.executable, "-c", TESTS, *map(str, files)], check=True)
                return
            lfmm2.test_associations(
                data.bed, data.env, factors, df="intercept", out=folder / "ours", format=format, overwrite=True,
                n_threads=arguments.threads,
            )  # fmt: skip

        run_lfmm2("parquet")
        rounds = []
        for _ in range(arguments.rounds):
            theirs = seconds(run_plink2)
            rounds.append((theirs, seconds(run_lfmm2, "parquet"), seconds(run_lfmm2, "tsv")))
        rounds = np.array(rounds)
        size = f"{arguments.samples} samples x {arguments.snps} SNPs, {arguments.missing:.1%} missing"
        print(f"{size}, {K} factors, {arguments.threads} threads")
        theirs, parquet, tsv = np.median(rounds, axis=0)
        print(f"plink2 {theirs:.2f} s, lfmm2 to parquet {parquet:.2f} s, to tsv {tsv:.2f} s")
        parquet, tsv = np.median(rounds[:, :1] / rounds[:, 1:], axis=0)
        print(f"ratio {parquet:.2f} to parquet, {tsv:.2f} to tsv")
        if arguments.missing == 0:
            compare(folder)


def compare(folder):
    """plink2 prints six digits: t must agree within half a unit of the sixth."""
    theirs = pc.read_csv(folder / "plink.x.glm.linear", parse_options=pc.ParseOptions(delimiter="\t"))
    ours = pc.read_csv(folder / "ours.env1.tsv", parse_options=pc.ParseOptions(delimiter="\t"))
    sign = np.where(np.array(theirs["A1"]) == np.array(ours["A1"]), 1, -1)
    t, t_plink2 = ours["T_STAT"].to_numpy(), theirs["T_STAT"].to_numpy() * sign
    unit = 10.0 ** (np.floor(np.log10(np.abs(t_plink2))) - 5)
    difference, small = np.abs(t - t_plink2), np.abs(t) < 1
    print(f"largest difference of t: {np.nanmax(difference):.1e}; where |t| < 1: {np.nanmax(difference[small]):.1e};")
    print(f"in units of the sixth digit that plink2 prints: {np.nanmax(difference / unit):.3f}")


if __name__ == "__main__":
    sys.exit(main())
