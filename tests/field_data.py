"""Small data as people in the field have them, the dense definition of LFMM2, and ways to run and judge the command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfmm2.genotypes.plink_writer import write_plink

Floats = NDArray[np.float64]
COMMAND = str(Path(sys.executable).with_name("lfmm2"))


def genotypes(
    n: int = 60, p: int = 400, n_populations: int = 3, seed: int = 1, missing: float = 0.0, fst: float = 0.15
) -> tuple[Floats, NDArray[np.int64]]:
    """Dosages (n, p) of samples from some populations, NaN where missing, and the population of each sample."""
    rng = np.random.default_rng(seed)
    ancestral = rng.uniform(0.15, 0.85, p)
    scale = (1 - fst) / fst
    frequencies = np.clip(rng.beta(ancestral * scale, (1 - ancestral) * scale, (n_populations, p)), 0.03, 0.97)
    population = np.arange(n) % n_populations
    G = rng.binomial(2, frequencies[population]).astype(float)
    if missing:
        G[rng.random(G.shape) < missing] = np.nan
    return G, population


def sample_ids(n: int) -> list[str]:
    return [f"s{i + 1:03d}" for i in range(n)]


def write_fileset(prefix: str, G: Floats, fam: Sequence[str] | None = None, bim: Sequence[str] | None = None) -> None:
    """Write dosages (n, p) as a fileset; `fam` and `bim` are lines that replace those of the fileset."""
    write_plink(Path(prefix), G.T, iid=sample_ids(len(G)), snp_ids=[f"snp{j}" for j in range(G.shape[1])])
    for kind, lines in (("fam", fam), ("bim", bim)):
        if lines is not None:
            write_text(f"{prefix}.{kind}", lines)


def write_text(name: str, lines: Sequence[str]) -> None:
    Path(name).write_text("".join(f"{line}\n" for line in lines))


def dense_t(G: Floats, X: ArrayLike, K: int, lambda_: float = 1e-5) -> Floats:
    """Statistics t (p, d) by whole matrices, of standardised variables, n - 1 - d - K degrees of freedom."""
    X = np.asarray(X, float).reshape(len(G), -1)
    n, d = X.shape
    mean = np.nanmean(G, axis=0)
    Y = np.where(np.isnan(G), mean, G) - mean
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    Q, s, _ = np.linalg.svd(X, full_matrices=False)
    P = np.eye(n) - Q @ np.diag(1 - np.sqrt(lambda_ / (lambda_ + s**2))) @ Q.T
    U = np.linalg.solve(P, np.linalg.svd(P @ Y, full_matrices=False)[0][:, :K])
    C = np.hstack([X, U])
    inverse = np.linalg.inv(C.T @ C)
    effects = inverse @ C.T @ Y
    variance = ((Y - C @ effects) ** 2).sum(axis=0) / (n - 1 - d - K)
    with np.errstate(all="ignore"):
        return (effects / np.sqrt(np.outer(np.diag(inverse), variance)))[:d].T


def command(*arguments: object) -> tuple[int, str]:
    """Run lfmm2 in a process of its own; return the exit code and what it printed."""
    done = subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, env=dict(os.environ))
    return done.returncode, (done.stdout + done.stderr).strip()


def said(output: str) -> list[str]:
    """Return the errors and warnings of an output."""
    return [line for line in output.splitlines() if line.startswith(("Error", "Warning"))]


def told(output: str, pattern: str) -> bool:
    """True if an error or a warning says this."""
    return any(re.search(pattern, line) for line in said(output))


def read_column(name: str, column: str) -> Floats:
    """Read a column of a table of results, NaN where it has NA."""
    rows = [line.split("\t") for line in Path(name).read_text().splitlines()]
    j = [cell.lstrip("#") for cell in rows[0]].index(column)
    return np.array([float(row[j]) if row[j] not in ("NA", "") else np.nan for row in rows[1:]])


def same(a: ArrayLike, b: ArrayLike) -> bool:
    return bool(np.allclose(a, b, rtol=1e-6, atol=1e-6, equal_nan=True))
