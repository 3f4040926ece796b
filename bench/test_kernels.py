"""pytest-benchmark of the passes and of the dgemm calls inside them: `make bench`."""

import pytest
from dgemm import BareProducts, square_dgemm
from kernel_ratios import Passes

from lfmm2.process.threads import single_threaded_blas

CASES = [(1_000, 12), (1_000, 32), (1_000, 60), (10_000, 12), (10_000, 32), (10_000, 60)]


@pytest.fixture(autouse=True)
def one_blas_thread():
    with single_threaded_blas():
        yield


def n_snps_of(n_samples):
    return 16_384 if n_samples == 1_000 else 4_096


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(("n_samples", "n_columns"), CASES)
@pytest.mark.parametrize("name", ["gram_product", "cross_products"])
def test_pass(benchmark, name, n_samples, n_columns, n_threads):
    passes = Passes(n_samples, n_columns, n_snps_of(n_samples))
    benchmark.group = f"{name} n={n_samples} l={n_columns}"
    benchmark(getattr(passes, name), n_threads)


@pytest.mark.parametrize(("n_samples", "n_columns"), CASES)
@pytest.mark.parametrize("name", ["gram_product", "cross_products"])
def test_bare_dgemm(benchmark, name, n_samples, n_columns):
    bare = BareProducts(n_samples, n_columns)
    benchmark.group = f"{name} n={n_samples} l={n_columns}"
    benchmark(getattr(bare, name), n_snps_of(n_samples))


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("n_samples", [500, 2_000])
def test_gram(benchmark, n_samples, n_threads):
    passes = Passes(n_samples, 4, 4_096)
    benchmark.group = f"gram n={n_samples}"
    benchmark(passes.gram, n_threads)


def test_square_dgemm(benchmark):
    square, _ = square_dgemm()
    benchmark.group = "2000³ dgemm"
    benchmark(square)
