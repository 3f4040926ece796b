"""Properties of whole runs on small problems that hypothesis makes up, against the dense oracle and against each other.

`make test` tries a few examples of each, always the same; `python -m torture.properties` tries many.
"""

from __future__ import annotations

import functools
import os
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import reference
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import lfmm2
from lfmm2.files.table_files import read_columns
from lfmm2.genotypes.plink_writer import write_plink
from lfmm2.model.columns import COLUMNS
from lfmm2.pipeline import state_folder
from lfmm2.process.progress import Progress
from lfmm2.results.tables import column_types

Floats = NDArray[np.float64]

CHECKS = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
QUICK = settings(CHECKS, max_examples=12)

#: Name of a property -> its function and the strategies of its arguments.
PROPERTIES: dict[str, tuple[Callable[..., None], dict[str, Any]]] = {}
#: Name of a property -> examples that were tried to the end.
EXAMPLES: Counter[str] = Counter()

# in memory if possible: runs wait for the disk, which is no matter here
IN_MEMORY = Path("/dev/shm")
FOLDER = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None

# t of two runs whose factors were estimated by other roundings of the same problem
TOLERANCE = 1e-6
# (s_K² - s_{K+1}²) / s_1²: below it the factors hang on rounding
LEAST_GAP = 0.02
# share of a SNP's variance in its residual: below it, rounding shows in the residual
LEAST_RESIDUAL = 1e-4


def holds_for(**strategies: Any) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Make a test of a property; warnings other than those of lfmm2 are failures."""

    def decorate(function: Callable[..., None]) -> Callable[[], None]:
        @functools.wraps(function)
        def counted(**arguments: Any) -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", lfmm2.LfmmWarning)
                function(**arguments)
            EXAMPLES[function.__name__] += 1

        PROPERTIES[function.__name__] = (counted, strategies)
        return QUICK(given(**strategies)(counted))

    return decorate


@dataclass(frozen=True)
class Problem:
    """Dosages (n_samples, n_snps), NaN where missing; variables (n_samples, d); K and λ."""

    dosage: Floats
    X: Floats
    K: int
    lambda_: float

    def __repr__(self) -> str:
        shape = f"{self.dosage.shape[0]} samples, {self.dosage.shape[1]} SNPs, {self.X.shape[1]} variables"
        return f"<{shape}, K = {self.K}, λ = {self.lambda_}, {np.isnan(self.dosage).sum()} missing>"

    @property
    def n_samples(self) -> int:
        return self.dosage.shape[0]

    @property
    def n_snps(self) -> int:
        return self.dosage.shape[1]

    def run(self, **options: Any) -> lfmm2.AssociationResult:
        """A run on files of their own."""
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            return self.run_in(Path(folder), **options)

    def run_in(self, folder: Path, **options: Any) -> lfmm2.AssociationResult:
        bed = self.write(folder)
        arguments = {"solver": "exact", "lambda_": self.lambda_, "n_threads": 1, "memory": "1GB"} | options
        return lfmm2.run(None, bed, self.X, self.K, **arguments)

    def write(self, folder: Path) -> Path:
        iid, ids = self.names
        return write_plink(folder / "d", self.dosage.T, iid=iid, snp_ids=ids, overwrite=True)

    @property
    def names(self) -> tuple[list[str], list[str]]:
        return [f"i{k}" for k in range(self.n_samples)], [f"rs{k}" for k in range(self.n_snps)]

    def has_clear_factors(self) -> bool:
        """Whether rounding decides on none of the factors."""
        Y = reference.centred(self.dosage)
        P = reference.ridge_projection(self.X / self.X.std(axis=0), self.lambda_)
        s = np.append(np.linalg.svd(P @ Y, compute_uv=False), 0.0)
        return bool(s[0] > 0 and s[self.K - 1] ** 2 - s[self.K] ** 2 > LEAST_GAP * s[0] ** 2)


def all_missing(y: Floats, rng: np.random.Generator) -> None:
    y[:] = np.nan


def all_but_one_missing(y: Floats, rng: np.random.Generator) -> None:
    y[:] = np.nan
    y[rng.integers(len(y))] = rng.integers(3)


def all_but_two_missing(y: Floats, rng: np.random.Generator) -> None:
    y[:] = np.nan
    y[rng.choice(len(y), 2, replace=False)] = 0, 2


def one_value(y: Floats, rng: np.random.Generator) -> None:
    y[:] = rng.integers(3)


def one_value_or_missing(y: Floats, rng: np.random.Generator) -> None:
    y[:] = rng.integers(3)
    y[rng.random(len(y)) < 0.5] = np.nan


def singleton(y: Floats, rng: np.random.Generator) -> None:
    y[:] = 0
    y[rng.integers(len(y))] = 1


ODD_SNPS = (all_missing, all_but_one_missing, all_but_two_missing, one_value, one_value_or_missing, singleton)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Problems of 9 to 26 samples, so of every n mod 4, with odd SNPs among the others and a clear answer."""
    n, p = draw(st.integers(9, 26), "n"), draw(st.integers(8, 60), "p")
    d, K = draw(st.integers(1, 3), "d"), draw(st.integers(1, 3), "K")
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), "seed"))
    frequency = rng.uniform(0.1, 0.9, p)
    ancestry = rng.standard_normal((n, K)) @ rng.standard_normal((K, p))
    dosage = rng.binomial(2, np.clip(frequency + 0.3 * ancestry, 0.02, 0.98)).astype(float)
    dosage[rng.random((n, p)) < draw(st.sampled_from([0.0, 0.05, 0.4]), "missing rate")] = np.nan
    for kind in draw(st.lists(st.sampled_from(ODD_SNPS), max_size=4), "odd SNPs"):
        kind(dosage[:, rng.integers(p)], rng)
    X = rng.standard_normal((n, d)) + rng.uniform(-3, 3, d)
    problem = Problem(dosage, X, K, draw(st.sampled_from([1e-5, 1e-2, 1.0, 10.0]), "lambda"))
    assume(problem.has_clear_factors())
    return problem


seeds = st.integers(0, 2**32 - 1)


def check_equal(found: Floats, expected: Floats, what: str, where: NDArray[np.bool_] | None = None) -> None:
    """Equal within the tolerance, missing at the same places; only at the SNPs of `where` if given."""
    if where is not None:
        found, expected = found[where], expected[where]
    assert np.array_equal(np.isnan(found), np.isnan(expected)), f"{what}: missing elsewhere"
    error = np.abs(found - expected) / (1 + np.abs(expected))
    assert np.nanmax(error, initial=0.0) < TOLERANCE, f"{what}: differs by {np.nanmax(error)}"


def residual_left(result: lfmm2.AssociationResult) -> NDArray[np.bool_]:
    """SNPs without statistics, and those whose residual is more than rounding."""
    left: NDArray[np.bool_] = ~(result.shares[:, 2] < LEAST_RESIDUAL)
    return left & (result.status != lfmm2.Status.PERFECT_FIT)


def check_same_statistics(a: lfmm2.AssociationResult, b: lfmm2.AssociationResult, order: Any = slice(None)) -> None:
    """The statistics of SNP `order[j]` in a are those of SNP j in b."""
    left = residual_left(a)[order] & residual_left(b)
    assert np.array_equal(a.n_called[order], b.n_called)
    for name in ("t", "beta", "se", "ridge_beta", "f_stat"):
        check_equal(getattr(a, name)[order], getattr(b, name), name, left)


@holds_for(problem=problems(), df=st.sampled_from(["paper", "intercept"]))
def test_run_gives_what_the_dense_method_gives(problem: Problem, df: str) -> None:
    found = problem.run(df=df)
    expected = reference.lfmm2(
        problem.dosage, problem.dosage, problem.X, problem.K, problem.lambda_, df, standardize=True
    )
    left = residual_left(found)
    varies = found.status == lfmm2.Status.OK
    assert reference.canonical_distance(found.factors.U, expected.U) < TOLERANCE
    check_equal(found.t, expected.t, "t", left)
    check_equal(found.beta, expected.beta, "beta", left)
    check_equal(found.f_stat, expected.f, "F", left)
    check_equal(found.ridge_beta, expected.B, "ridge effects", left & varies)


@holds_for(problem=problems(), seed=seeds)
def test_order_of_samples_changes_nothing(problem: Problem, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(problem.n_samples)
    other = replace(problem, dosage=problem.dosage[order], X=problem.X[order])
    check_same_statistics(problem.run(), other.run())


@holds_for(problem=problems(), seed=seeds)
def test_order_of_snps_changes_their_order_only(problem: Problem, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(problem.n_snps)
    check_same_statistics(problem.run(), replace(problem, dosage=problem.dosage[:, order]).run(), order)


@holds_for(problem=problems(), seed=seeds)
def test_flipped_alleles_flip_effects(problem: Problem, seed: int) -> None:
    flipped = np.random.default_rng(seed).random(problem.n_snps) < 0.5
    sign = np.where(flipped, -1.0, 1.0)[:, None]
    a, b = problem.run(), replace(problem, dosage=np.where(flipped, 2 - problem.dosage, problem.dosage)).run()
    left = residual_left(a) & residual_left(b)
    for name in ("t", "beta", "ridge_beta"):
        check_equal(sign * getattr(a, name), getattr(b, name), name, left)
    check_equal(a.f_stat, b.f_stat, "F", left)
    check_equal(np.where(flipped, 1 - a.frequency, a.frequency), b.frequency, "frequency")


@holds_for(
    problem=problems(),
    scale=st.floats(1e-6, 1e6),
    shift=st.floats(-100, 100),
    signs=st.lists(st.sampled_from([-1.0, 1.0]), min_size=3, max_size=3),
)
def test_affine_change_of_the_variables_scales_effects(
    problem: Problem, scale: float, shift: float, signs: list[float]
) -> None:
    factor = scale * np.array(signs[: problem.X.shape[1]])
    other = replace(problem, X=factor * problem.X + shift)
    a, b = problem.run(), other.run()
    left = residual_left(a) & residual_left(b)
    check_equal(np.sign(factor) * a.t, b.t, "t", left)
    check_equal(a.f_stat, b.f_stat, "F", left)
    for name in ("beta", "ridge_beta"):
        check_equal(getattr(a, name), factor * getattr(b, name), name, left)


@holds_for(problem=problems(), seed=seeds)
def test_twin_snps_have_the_same_statistics(problem: Problem, seed: int) -> None:
    rng = np.random.default_rng(seed)
    twins = rng.integers(0, problem.n_snps, 5)
    other = replace(problem, dosage=np.c_[problem.dosage, problem.dosage[:, twins]])
    assume(other.has_clear_factors())
    result = other.run()
    left = residual_left(result)[twins]
    for name in ("t", "beta", "se", "f_stat", "n_called", "frequency"):
        column = getattr(result, name).astype(float)
        check_equal(column[twins], column[problem.n_snps :], name, left)


@holds_for(problem=problems(), seed=seeds, solver=st.sampled_from(["exact", "krylov", "power"]))
def test_chosen_samples_and_snps_are_a_smaller_fileset_to_the_bit(problem: Problem, seed: int, solver: str) -> None:
    rng = np.random.default_rng(seed)
    n_rows = rng.integers(problem.X.shape[1] + problem.K + 3, problem.n_samples, endpoint=True)
    rows = np.sort(rng.choice(problem.n_samples, n_rows, replace=False))
    snps = np.sort(rng.choice(problem.n_snps, rng.integers(6, problem.n_snps, endpoint=True), replace=False))
    smaller = replace(problem, dosage=problem.dosage[np.ix_(rows, snps)], X=problem.X[rows])
    assume(smaller.has_clear_factors())
    iid, ids = problem.names
    with tempfile.TemporaryDirectory(dir=FOLDER) as name:
        folder = Path(name)
        (folder / "keep").write_text("".join(f"{iid[k]}\n" for k in rows))
        chosen = problem.run_in(folder, solver=solver, keep=folder / "keep", extract=[ids[k] for k in snps])
    expected = smaller.run(solver=solver)
    for name in ("t", "beta", "se", "ridge_beta", "f_stat", "n_called", "frequency", "gif", "status", "p", "q"):
        assert np.array_equal(getattr(chosen, name), getattr(expected, name), equal_nan=True), name
    assert np.array_equal(chosen.factors.U, expected.factors.U)


@holds_for(problem=problems(), format=st.sampled_from(["tsv", "tsv.gz", "tsv.zst"]))
def test_text_holds_the_doubles_of_parquet(problem: Problem, format: str) -> None:
    with tempfile.TemporaryDirectory(dir=FOLDER) as name:
        folder = Path(name)
        parquet = problem.run_in(folder, out=folder / "p")
        text = problem.run_in(folder, out=folder / "t", format=format)
        for table in (*parquet.variables, *(["joint"] if len(parquet.variables) > 1 else [])):
            a, b = (read_columns(result.paths[table], None, column_types(COLUMNS)) for result in (parquet, text))
            assert a.column_names == b.column_names
            for column in a.column_names:
                x, y = (t[column].combine_chunks() for t in (a, b))
                if pa.types.is_floating(x.type):
                    assert bits(x) == bits(y), f"{table}, {column}"
                else:
                    assert x.cast(pa.string()).equals(y.cast(pa.string())), f"{table}, {column}"


def bits(column: Any) -> list[Any]:
    """Doubles as text of all their digits, None where missing."""
    return [None if value is None else value.hex() for value in column.to_pylist()]


class _Stop(Exception):
    """Ends a run."""


class _Stopping(Progress):
    """Raises at an event of this number."""

    def __init__(self, at: int) -> None:
        self._left = at

    def _event(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _Stop

    def start(self, label: str, n_snps: int, n_bytes: int) -> None:
        self._event()

    def advance(self, n_snps: int, n_bytes: int) -> None:
        self._event()


@holds_for(
    problem=problems(),
    stops=st.lists(st.integers(0, 25), min_size=1, max_size=3),
    solver=st.sampled_from(["exact", "krylov", "power"]),
    maf=st.sampled_from([None, 0.01]),
)
def test_resumed_run_is_the_straight_one_to_the_byte(
    problem: Problem, stops: list[int], solver: str, maf: float | None
) -> None:
    before, state_folder.KEEP_AFTER_SECONDS = state_folder.KEEP_AFTER_SECONDS, 0
    try:
        with tempfile.TemporaryDirectory(dir=FOLDER) as name:
            folder = Path(name)
            options = {"solver": solver, "maf": maf, "loadings": True}
            straight = problem.run_in(folder, out=folder / "s", **options)
            for at in stops:
                try:
                    lfmm2.run(
                        None, folder / "d.bed", problem.X, problem.K, lambda_=problem.lambda_, n_threads=1,
                        out=folder / "r", resume=True, progress=_Stopping(at), **options,
                    )  # fmt: skip
                except _Stop:
                    continue
                break
            again = lfmm2.run(
                None, folder / "d.bed", problem.X, problem.K, lambda_=problem.lambda_, n_threads=1,
                out=folder / "r", resume=True, **options,
            )  # fmt: skip
            assert set(again.paths) == set(straight.paths)
            for key in set(straight.paths) - {"log", "record"}:
                assert again.paths[key].read_bytes() == straight.paths[key].read_bytes(), key
            assert not (folder / "r.state").exists()
    finally:
        state_folder.KEEP_AFTER_SECONDS = before
