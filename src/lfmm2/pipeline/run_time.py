"""How long a run will take on this machine, from the rates of its passes over some of its own genotypes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lfmm2._lapack import eigh
from lfmm2._typing import Floats, Ints
from lfmm2._words import decimal_bytes, duration
from lfmm2.genotypes import Engine, GenotypeMatrix, float32_gram_matrix, float32_matrix
from lfmm2.model import MOST_FOR_LAPACK, KnownGram, gram_width
from lfmm2.pipeline.plan import RunPlan
from lfmm2.pipeline.preparation import RunInputs
from lfmm2.pipeline.run import PreparedRun
from lfmm2.process import single_threaded_blas

# SNPs of a timed pass, and most samples of a timed Gram matrix, whose time grows with their square: some 0.1 s.
TIMED_SNPS, GRAM_SAMPLES = 4096, 2000
# Edge of the matrix whose eigenvectors LAPACK is timed for, and of that which is multiplied with columns: too large for
# a cache.
LAPACK_EDGE, PRODUCT_EDGE = 400, 3000
# Products of block Krylov with a Gram matrix in memory until it stops, where K reaches into the noise; and those in
# whose time one thread does all else.
GRAM_PRODUCTS, BESIDE_PRODUCTS = 150, 110
# Seconds of the statistics, calibration and table of a variable at a SNP, with one thread: what is left of a run when
# its passes are taken away (bench/run_time.py), on a slow machine.
ROW_SECONDS = 2.5e-6
# Seconds of a run of any size, for reading tables and writing small files.
LEAST_SECONDS = 0.5
# Samples × SNPs × columns of a pass that take about a second on one thread of a slow processor, and the seconds from
# which on such a guess is worth measuring.
GUESSED_RATE, WORTH_SECONDS = 1e10, 60.0


@dataclass(frozen=True)
class RunTime:
    """The seconds that the stages of a run will take, without waiting for the disk.

    Attributes
    ----------
    factors, tests, tables : float
        Seconds for the factors, for the pass of the tests with those that choose SNPs, and for calibration and tables.
    surrogates : float
        Seconds for surrogates, where a run may need them; they are not in the other times.
    n_bytes_read : int
        Bytes of genotypes that are read in this time.
    are_of_workers : bool
        True if workers, which may be other machines, share the passes.
    """

    factors: float
    tests: float
    tables: float
    surrogates: float
    n_bytes_read: int
    are_of_workers: bool

    @property
    def seconds(self) -> float:
        """Seconds of the whole run without surrogates."""
        return LEAST_SECONDS + self.factors + self.tests + self.tables

    def describe(self) -> str:
        """Return the time in words, with its parts and the rate at which the disk must keep up."""
        parts = {"factors": self.factors, "tests": self.tests, "tables": self.tables}
        shown = ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts.items() if seconds >= 1)
        text = f"about {duration(self.seconds)}" + (f" ({shown})" if shown else "")
        if self.surrogates >= 1:
            text += f", {duration(self.surrogates)} more if surrogates are drawn"
        if self.are_of_workers:
            text += ", with workers as fast as this machine"
        if self.n_bytes_read and self.seconds > WORTH_SECONDS:
            text += f", if the disk gives {decimal_bytes(round(self.n_bytes_read / self.seconds))}/s"
        return text


def is_long(plan: RunPlan) -> bool:
    """Return whether a run takes so long, by a guess from its sizes alone, that it is worth measuring how long."""
    n, p = plan.n_samples, plan.n_estimation_snps
    # Eight SNPs are counted in the time of one product in the Gram matrix of hard calls.
    columns = n / 8 if plan.solver == "exact" else plan.n_passes * 4.0 * (plan.n_factors + 10)
    work = n * (p * columns + plan.n_snps * (plan.n_factors + plan.n_variables + plan.n_nuisance))
    rows = plan.n_snps * plan.n_variables
    return bool(work / GUESSED_RATE + rows * ROW_SECONDS > WORTH_SECONDS * plan.n_threads)


def predict_time(prepared: PreparedRun) -> RunTime:
    """Time each kind of pass over a few thousand of the SNPs of a run, and return what all of it will take.

    Nothing is kept of what is computed. Each pass has the memory that the plan has for it, so none is refused.
    """
    inputs, plan = replace(prepared.inputs, crew=None), prepared.plan
    engine = Engine(plan.n_threads, inputs.memory)
    of_factors, testing = engine.with_beside(plan.beside_factors), engine.with_beside(plan.beside_tests)
    crew = prepared.inputs.crew
    n_workers = 1 if crew is None else crew.planned_workers * crew.n_threads / plan.n_threads
    with single_threaded_blas():
        of_tests = _time_tests(prepared, inputs, testing, 1)
        of_gram = _time_gram(prepared, inputs, of_factors) if plan.solver == "exact" else 0.0
        if plan.solver in ("krylov", "power"):
            factors = plan.n_passes * _time_product(prepared, inputs, of_factors) / n_workers
        else:
            factors = of_gram + (_time_eigenvectors(plan) if plan.solver == "exact" else 0.0)
        surrogates = 0.0
        if plan.n_surrogates:
            assert plan.beside_surrogates is not None
            drawing = engine.with_beside(plan.beside_surrogates)
            surrogates = of_gram + _time_tests(prepared, inputs, drawing, 2 * plan.n_surrogates)
    passes = 1 + plan.counts_calls + plan.filtered + plan.thinned
    rows = plan.n_snps * plan.n_variables * ROW_SECONDS / plan.n_threads
    return RunTime(
        factors, passes * of_tests / n_workers if inputs.options.tests else 0.0,
        rows if inputs.options.tests else 0.0, surrogates, plan.n_bytes_read, crew is not None,
    )  # fmt: skip


def _some_snps(chosen: Ints | None, n_snps: int) -> Ints:
    """Return the positions of some SNPs side by side in the middle of those that are chosen."""
    n_timed = min(TIMED_SNPS, n_snps)
    first = (n_snps - n_timed) // 2
    return np.arange(first, first + n_timed) if chosen is None else chosen[first : first + n_timed]


def _seconds(work: Callable[[], object]) -> float:
    """Return the wall time of work that has been done once before, so that what it reads is in memory."""
    work()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _columns(n_samples: int, n_columns: int) -> Floats:
    """Return columns without a mean, as those of a pass."""
    columns: Floats = np.random.default_rng(0).standard_normal((n_samples, n_columns))
    columns -= columns.mean(0)
    return columns


def _time_tests(prepared: PreparedRun, inputs: RunInputs, engine: Engine, n_models: int) -> float:
    """Return the seconds of the pass of the tests, with the columns of some models side by side."""
    plan = prepared.plan
    snps = _some_snps(prepared.choice.tested, prepared.choice.n_tested)
    matrix = inputs.tested_matrix(snps, engine)
    columns = _columns(matrix.n_samples, n_models * (plan.n_factors + plan.n_variables + plan.n_nuisance))

    def test() -> None:
        for _ in matrix.cross_products(columns):
            pass

    return _seconds(test) * plan.n_snps / len(snps)


def _estimation_matrix(prepared: PreparedRun, inputs: RunInputs, engine: Engine, most: int) -> GenotypeMatrix:
    """Return a matrix of some SNPs for the factors, and of at most some of the samples."""
    snps = _some_snps(prepared.choice.estimation, prepared.choice.n_estimation)
    return replace(inputs, estimation_rows=inputs.estimation_rows[:most]).estimation_matrix(snps, engine)


def _time_gram(prepared: PreparedRun, inputs: RunInputs, engine: Engine) -> float:
    """Return the seconds of the Gram matrix, whose products are n² for each SNP."""
    plan = prepared.plan
    matrix = _estimation_matrix(prepared, inputs, engine, GRAM_SAMPLES)
    single = float32_gram_matrix(matrix)
    work = matrix.gram if single is None else lambda: single.gram(precision="float32")
    scale = (plan.n_samples / matrix.n_samples) ** 2 * plan.n_estimation_snps / matrix.n_snps
    return _seconds(work) * scale


def _time_product(prepared: PreparedRun, inputs: RunInputs, engine: Engine) -> float:
    """Return the seconds of a pass of krylov or power."""
    plan = prepared.plan
    matrix = _estimation_matrix(prepared, inputs, engine, plan.n_samples)
    columns = _columns(plan.n_samples, plan.n_factors + inputs.options.solver.oversampling)
    single = float32_matrix(matrix) if plan.solver == "krylov" else None
    work: Callable[[], object] = lambda: matrix.gram_product(columns)  # noqa: E731
    if single is not None:
        work = lambda: single.gram_product(columns, precision="float32")  # noqa: E731
    return _seconds(work) * plan.n_estimation_snps / matrix.n_snps


def _time_eigenvectors(plan: RunPlan) -> float:
    """Return the seconds of the leading eigenvectors of a Gram matrix in memory."""
    n = plan.n_samples
    if n > MOST_FOR_LAPACK:
        known = KnownGram(np.ones((PRODUCT_EDGE, PRODUCT_EDGE)), 1)
        S = _columns(PRODUCT_EDGE, gram_width(plan.n_factors))
        n_products = GRAM_PRODUCTS / plan.n_threads + BESIDE_PRODUCTS
        return n_products * _seconds(lambda: known.times(S)) * (n / PRODUCT_EDGE) ** 2
    edge = min(n, LAPACK_EDGE)
    A = _columns(edge, edge)
    return _seconds(lambda: eigh(A @ A.T)) * (n / edge) ** 3
