"""Seconds and peak memory of the pictures of large results, and the size of the report.

    python bench/report.py [--snps 10000000 --variables 1 --contigs 24 --folder DIR]

The results are made here, Parquet as a run writes it, row group by row group. Each measurement is a process of its
own; the peak is what the system says of it when it has ended, Python and libraries included.
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

GROUP_ROWS = 131_072
MANHATTAN = (
    "import sys; from lfmm2 import plots; plots.manhattan(sys.argv[1], 'env1').figure.savefig(sys.argv[1] + '.png')"
)
REPORT = "import sys; from lfmm2.report import write_report; write_report(sys.argv[1], overwrite=True)"


def make_results(prefix, n_snps, n_variables, n_contigs, seed=0):
    """Files of a run: chance, inflated by 1.1, and 100 strong loci per variable."""
    import pyarrow as pa
    from pyarrow import parquet
    from scipy import stats

    from lfmm2.files.seals import seal_json
    from lfmm2.model.factors import LatentFactors
    from lfmm2.results.factors_file import write_factors

    rng = np.random.default_rng(seed)
    n_samples, gif = 500, 1.1
    variables = [f"env{j + 1}" for j in range(n_variables)]
    files = []
    for name in [*variables, *(["joint"] if n_variables > 1 else [])]:
        z = rng.standard_normal(n_snps)
        z[rng.choice(n_snps, min(100, n_snps), replace=False)] *= 3
        order = np.argsort(-np.abs(z))
        p = 2 * stats.norm.sf(np.abs(z[order])) * n_snps / np.arange(1, n_snps + 1)
        q = np.empty(n_snps)
        q[order] = np.minimum.accumulate(p[::-1])[::-1].clip(max=1)
        del order, p
        path = Path(f"{prefix}.{name}.parquet")
        files.append(path)
        writer = None
        for first in range(0, n_snps, GROUP_ROWS):
            rows = np.arange(first, min(first + GROUP_ROWS, n_snps))
            contig = rows * n_contigs // n_snps
            raw = z[rows] * gif**0.5
            columns = {
                "CHROM": pa.array([f"chr{c + 1}" for c in range(n_contigs)]).take(pa.array(contig)),
                "POS": 1 + (rows - -(-contig * n_snps // n_contigs)) * 300,
                "ID": pa.array([f"rs{i}" for i in rows]),
                "A1": pa.array(["A", "C", "G", "T"]).take(pa.array(rows % 4)),
                "OMITTED": pa.array(["C", "G", "T", "A"]).take(pa.array(rows % 4)),
                "A1_FREQ": rng.uniform(0.01, 0.99, len(rows)),
                "OBS_CT": n_samples - rng.binomial(n_samples, 0.02, len(rows)),
            }
            columns |= {"F_STAT": raw**2} if name == "joint" else {"BETA": raw / 50, "SE": np.full(len(rows), 0.02)}
            for suffix, scores in (("", raw), ("_CAL", z[rows])):
                columns[f"P{suffix}"] = 2 * stats.norm.sf(np.abs(scores))
                columns[f"NEG_LOG10_P{suffix}"] = -(stats.norm.logsf(np.abs(scores)) + np.log(2)) / np.log(10)
            columns |= {"Q": q[rows], "LFDR": np.minimum(1, 2 * q[rows])}
            table = pa.table(columns)
            writer = writer or parquet.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
        writer.close()
    U = rng.standard_normal((n_samples, 3))
    factors = LatentFactors(U, np.ones(3), np.zeros(3), 0.0, "exact", "", 1, True, U, 1e-5, n_snps)
    path = Path(f"{prefix}.factors.npz")
    with path.open("wb") as file:
        write_factors(file, factors)
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays |= {"X": rng.standard_normal((n_samples, n_variables)), "variables": np.array(variables)}
    np.savez(path, **arrays)
    record = {
        "variables": variables,
        "tested": {"n_samples_used": n_samples, "n_snps_used": n_snps},
        "factors": {"K": 3, "solver": "exact", "n_passes": 1},
        "gif": dict.fromkeys(variables, gif),
        "files": {path.name: {"bytes": path.stat().st_size, "sha256": ""} for path in [*files, path]},
    }
    Path(f"{prefix}.lfmm2.json").write_bytes(seal_json(record))


def peak_of(*arguments):
    """Peak resident MB and seconds of a command."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{arguments} ended with {status}")
    return usage.ru_maxrss / 1024, time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--snps", type=int, default=10_000_000)
    parser.add_argument("--variables", type=int, default=1)
    parser.add_argument("--contigs", type=int, default=24)
    parser.add_argument("--folder", help="where the results are made, and kept")
    parser.add_argument("--make", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make_results(arguments.make, arguments.snps, arguments.variables, arguments.contigs)
        return
    with tempfile.TemporaryDirectory() as name:
        prefix = str(Path(arguments.folder or name) / "results")
        if not Path(f"{prefix}.lfmm2.json").exists():
            # in a process of its own: the peak of a child begins with that of its parent
            sizes = [f"--{key}={getattr(arguments, key)}" for key in ("snps", "variables", "contigs")]
            peak_of(__file__, *sizes, "--make", prefix)
        print(f"{arguments.snps} SNPs, {arguments.variables} variables, {arguments.contigs} contigs")
        peak, seconds = peak_of("-c", MANHATTAN, prefix)
        print(f"Manhattan plot: {seconds:.1f} s, peak {peak:.0f} MB")
        peak, seconds = peak_of("-c", REPORT, prefix)
        size = Path(f"{prefix}.report.html").stat().st_size / 1e6
        print(f"report:         {seconds:.1f} s, peak {peak:.0f} MB, {size:.2f} MB of HTML")


if __name__ == "__main__":
    main()
