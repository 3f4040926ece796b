"""Seconds and peak resident memory of `genetic_offset` and `collect_hits`, by the number of SNPs and of places.

    python bench/offset.py [--snps 1000000 2000000 --places 100 1000 --variables 3]

The results are made up: tables with the columns that are read. Each call is a process of its own; the peak is what the
system says of it when it has ended, Python and libraries included.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from lfmm2.files.table_files import open_table
from lfmm2.model.columns import COLUMNS
from lfmm2.model.factors import LatentFactors
from lfmm2.results.factors_file import write_factors
from lfmm2.results.tables import table_schema

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from made_records import record_entries, write_record

OFFSET = """
import sys, numpy as np
from lfmm2.downstream.offset import genetic_offset
prefix, m, d = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
x = np.random.default_rng(1).normal(size=(2, m, d))
genetic_offset(prefix, *x)
"""
HITS = """
import sys
from lfmm2.downstream.hits import collect_hits
print(len(collect_hits(sys.argv[1], clump="50kb").order))
"""


def write_results(prefix, n_snps, n_variables):
    """Results with effects and, in one SNP of ten thousand, small q."""
    names = [f"env{j + 1}" for j in range(n_variables)]
    files, step = [], 131_072
    schema = table_schema(COLUMNS, joint=False)
    for j, name in enumerate(names):
        rng = np.random.default_rng(j)
        files.append(Path(f"{prefix}.{name}.parquet"))
        with files[-1].open("wb") as file, open_table(file, schema, "parquet") as writer:
            for first in range(0, n_snps, step):
                n = min(step, n_snps - first)
                at = np.arange(first, first + n)
                columns = {name: rng.normal(size=n) for name in schema.names}
                columns |= {name: pa.array(["A"] * n) for name in ("A1", "OMITTED", "STATUS")}
                columns |= {"CHROM": pa.array((at // 10**6).astype(str)), "POS": 100 * (at % 10**6) + 1}
                columns |= {"ID": pa.array(np.char.add("rs", at.astype(str))), "OBS_CT": np.full(n, 100)}
                columns["Q"] = np.where(rng.random(n) < 1e-4, 0.01, 0.5)
                writer.write(pa.table([columns[c] for c in schema.names], names=schema.names))
    files.append(Path(f"{prefix}.factors.npz"))
    n, U = 100, np.zeros((100, 1))
    factors = LatentFactors(
        U, np.ones(1), np.zeros(1), 0.0, "exact", "", 1, True, U, 1e-5, n_snps, tuple(map(str, range(n)))
    )
    with files[-1].open("wb") as file:
        write_factors(file, factors, tuple(names), np.random.default_rng(0).normal(size=(n, n_variables)))
    write_record(prefix, record_entries(names, n_snps, n_samples=n), files)
    return sum(p.stat().st_size for p in files)


def peak_of(*arguments):
    """Peak resident MB and seconds of a command."""
    started = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{arguments} ended with {status}")
    return usage.ru_maxrss / 1024, time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--snps", type=int, nargs="+", default=[1_000_000, 2_000_000])
    parser.add_argument("--places", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--variables", type=int, default=3)
    arguments = parser.parse_args()
    d = arguments.variables
    with tempfile.TemporaryDirectory() as folder:
        for n_snps in arguments.snps:
            prefix = f"{folder}/r{n_snps}"
            n_bytes = write_results(prefix, n_snps, d)
            print(f"{n_snps} SNPs, {d} variables, {n_bytes / 1e6:.0f} MB of tables")
            for m in arguments.places:
                peak, seconds = peak_of(sys.executable, "-c", OFFSET, prefix, str(m), str(d))
                print(f"  offset of {m} places: peak {peak:.0f} MB, {seconds:.1f} s", flush=True)
            peak, seconds = peak_of(sys.executable, "-c", HITS, prefix)
            print(f"  hits: peak {peak:.0f} MB, {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
