"""Predicted memory: never below what a run takes, at the smallest budget that its plan accepts."""

import subprocess
import sys
from dataclasses import replace

import pytest

import lfmm2
from lfmm2.model.eigensolvers import SolverOptions
from lfmm2.pipeline.memory import ProblemSize
from lfmm2.pipeline.plan import make_plan
from lfmm2.simulation import simulate

SIZE = ProblemSize(
    n_samples=1000, n_samples_read=1000, n_snps=10**7, n_snps_read=10**7, n_estimation_snps=10**7, n_variables=1,
    n_nuisance=0, n_factors=5, bytes_read=250, estimation_bytes_read=250, variant_bytes=3 * 10**8,
)  # fmt: skip


def planned(size, solver="krylov", memory=1 << 40, n_threads=2, out_format="parquet", **more):
    return make_plan(size, SolverOptions(solver), memory, n_threads, out_format, False, **more)


@pytest.mark.parametrize("solver", ["exact", "krylov", "power"])
def test_peak_does_not_grow_with_snps_when_results_go_to_files(solver):
    larger = replace(SIZE, n_snps=2 * SIZE.n_snps, n_estimation_snps=2 * SIZE.n_snps, variant_bytes=6 * 10**8)
    assert planned(SIZE, solver).peak_memory == planned(larger, solver).peak_memory


def test_results_in_memory_are_counted():
    kept, written = planned(SIZE, out_format=None), planned(SIZE)
    assert kept.peak_memory > 8 * 10**7 * 11 > written.peak_memory
    assert kept.output_bytes == kept.temporary_bytes == 0


def test_default_run_of_ten_thousand_samples_stays_under_600_mb():
    size = replace(SIZE, n_samples=10_000, n_samples_read=10_000, n_factors=10, bytes_read=2500)
    plan = planned(replace(size, estimation_bytes_read=2500), "auto")
    assert plan.solver == "krylov"
    assert plan.peak_memory < 450 << 20


def test_given_factors_need_no_solver():
    plan = planned(replace(SIZE, n_samples=5000, bytes_read=1250), "exact", given=True)
    assert plan.solver == "given"
    assert plan.n_passes == 0
    assert plan.n_bytes_read == 10**7 * 1250
    assert plan.factor_reserve < 30 << 20


def test_smaller_budget_takes_smaller_blocks():
    size = replace(SIZE, n_samples=500_000, n_samples_read=500_000, bytes_read=125_000, estimation_bytes_read=125_000)
    ample = planned(size, "power", n_threads=16)
    least = planned(size, "power", memory=1, n_threads=16)
    assert least.peak_memory < ample.peak_memory / 2
    assert planned(size, "power", memory=least.peak_memory, n_threads=16).peak_memory <= least.peak_memory


def test_plan_says_how_much_is_needed():
    with pytest.raises(
        lfmm2.InsufficientMemoryError, match=r"budget of 1 MiB, but 1 000 samples .* need at least [0-9 ]+ MiB"
    ):
        planned(SIZE, memory=1 << 20).check()


# the peak above what a small run has left, at the smallest budget that is accepted
MEASURE = """
import sys, warnings, numpy
import lfmm2
from lfmm2.model.eigensolvers import SolverOptions
from lfmm2.pipeline import execute_run, prepare_run
from lfmm2.pipeline.preparation import RunOptions, TestOptions
from lfmm2.pipeline.result_files import OutputOptions

folder, K, d, solver, form = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
sweep = None if sys.argv[6] == "none" else sys.argv[6]
form = None if form == "memory" else form
warnings.simplefilter("ignore")

def kilobytes(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key))

def job(name, n, K, d, memory, out):
    X = numpy.random.default_rng(0).standard_normal((n, d))
    output = OutputOptions(out and f"{folder}/{out}", form or "parquet")
    test = TestOptions(sweep=sweep, impute="factors" if sweep else "mean", calibrate="empirical-null")
    options = RunOptions(n_threads=2, memory=memory, test=test, solver=SolverOptions(solver), output=output)
    return prepare_run(None, f"{folder}/{name}", X, K, options)

with job("small", 40, 2, 2, "1GB", form and "warm") as run:
    execute_run(run)

def least():
    try:
        job("large", 1500, K, d, 1, form and "r").inputs.close()
    except lfmm2.InsufficientMemoryError as error:
        return error.minimum

budget = least()
with open("/proc/self/clear_refs", "w") as reset:
    reset.write("5")
before = kilobytes("VmRSS")
with job("large", 1500, K, d, budget, form and "r") as run:
    result = execute_run(run)
print(budget, (kilobytes("VmHWM") - before) * 1024)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    simulate(folder / "small", n_samples=40, n_snps=300, n_variables=2, n_causal=3)
    simulate(folder / "large", n_samples=1500, n_snps=20_000, n_variables=1, n_causal=3)
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
@pytest.mark.parametrize(
    ("K", "d", "solver", "form", "sweep"),
    [
        (3, 1, "exact", "memory", "none"),
        (20, 2, "krylov", "parquet", "none"),
        (10, 20, "power", "tsv", "none"),
        (20, 3, "exact", "parquet", "1:20"),
        (5, 1, "exact", "memory", "1:20"),
    ],
)
def test_run_keeps_the_smallest_budget_that_is_accepted(folder, tmp_path, K, d, solver, form, sweep):
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    ended = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path), str(K), str(d), solver, form, sweep],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    budget, peak = map(int, ended.stdout.split())
    assert peak <= budget
    assert budget < 2.5 * peak + (32 << 20)
