"""What several test files share: filesets written from arrays, structured data, one thread for BLAS."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from input_cases import write_good
from numpy.typing import NDArray

from lfmm2.genotypes.array_matrix import ArrayMatrix
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.plink import BedFile
from lfmm2.genotypes.plink_writer import write_plink
from lfmm2.process.threads import single_threaded_blas

Floats = NDArray[np.float64]
WriteFileset = Callable[[Floats], BedFile]


@dataclass(frozen=True)
class Structured:
    """Simulated data: dosage (n_samples, n_snps) with NaN, X (n_samples, d), and the true number of axes."""

    dosage: Floats
    X: Floats
    n_axes: int


def balding_nichols(
    n_samples: int,
    n_snps: int,
    n_axes: int,
    n_variables: int,
    *,
    fst: float = 0.2,
    missing_rate: float = 0.02,
    seed: int = 0,
) -> Structured:
    """Admixed Balding-Nichols populations, variables correlated with ancestry, 1 % of the SNPs under selection."""
    rng = np.random.default_rng(seed)
    ancestry = rng.dirichlet(np.full(n_axes + 1, 0.3), n_samples)
    ancestral = rng.uniform(0.1, 0.9, (n_snps, 1))
    scale = (1 - fst) / fst
    shape = (n_snps, n_axes + 1)
    frequencies = rng.beta(np.broadcast_to(ancestral * scale, shape), np.broadcast_to((1 - ancestral) * scale, shape))
    f = ancestry @ frequencies.T  # (n_samples, n_snps)
    X = ancestry @ rng.standard_normal((n_axes + 1, n_variables))
    X += 0.3 * rng.standard_normal((n_samples, n_variables))
    selected = rng.choice(n_snps, n_snps // 100, replace=False)
    shift = 0.2 * np.sign(X[:, rng.integers(n_variables, size=len(selected))])
    f[:, selected] = np.clip(f[:, selected] + shift, 0.01, 0.99)
    dosage = rng.binomial(2, np.clip(f, 0, 1)).astype(float)
    dosage[rng.random(dosage.shape) < missing_rate] = np.nan
    return Structured(dosage, X, n_axes)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that take longest, so that no process waits for one of them at the end."""
    items.sort(key=lambda item: "tests/torture/test_" not in item.nodeid)


@pytest.fixture(scope="session")
def write_fileset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WriteFileset]:
    """Write dosages (n_samples, n_snps), NaN where missing, as a fileset, and open it."""
    folder = tmp_path_factory.mktemp("filesets")
    number = count()
    with ExitStack() as stack:
        yield lambda dosage: stack.enter_context(BedFile(write_plink(folder / f"set{next(number)}", dosage.T)))


@pytest.fixture(scope="session")
def structured() -> Structured:
    """120 samples, 1 500 SNPs, three axes of ancestry, two variables."""
    return balding_nichols(120, 1500, 3, 2, seed=1)


@pytest.fixture(scope="session")
def structured_bed(structured: Structured, write_fileset: WriteFileset) -> BedFile:
    """The fileset of `structured`."""
    return write_fileset(structured.dosage)


@pytest.fixture
def engine() -> Engine:
    """One thread and plenty of memory."""
    return Engine(n_threads=1, memory=1 << 30)


@pytest.fixture
def one_blas_thread() -> Iterator[None]:
    """BLAS held to one thread, as the package holds it during a run: a precondition of bitwise equality."""
    with single_threaded_blas():
        yield


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the good fileset and table of `input_cases`."""
    folder = tmp_path_factory.mktemp("good")
    write_good(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The good fileset d and the good table env.csv, in the current folder."""
    shutil.copytree(good, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any pass over the genotypes fails."""

    def blocks(*_: object) -> None:
        raise AssertionError("a pass over the genotypes has begun")

    monkeypatch.setattr(BedMatrix, "_blocks", blocks)
    monkeypatch.setattr(ArrayMatrix, "_blocks", blocks)
