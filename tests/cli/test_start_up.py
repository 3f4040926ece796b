"""The program imports what a run needs, and little else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lfmm2.simulation import Simulation, simulate

# Modules that no run with default options needs. Each takes some hundredths of a second, or brings others that do.
HEAVY = {
    "IPython", "jinja2", "matplotlib", "numpy.f2py", "numpy.testing", "pandas", "scipy.fft", "scipy.integrate",
    "scipy.interpolate", "scipy.linalg._decomp", "scipy.ndimage", "scipy.optimize", "scipy.sparse", "scipy.spatial",
    "scipy.special._basic", "scipy.stats", "unittest",
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return simulate(tmp_path_factory.mktemp("start") / "d", n_samples=60, n_snps=600, n_causal=3, seed=4)


def python(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, check=True)


def modules_of_program(*arguments: object) -> set[str]:
    """The modules that the program has imported when it ends."""
    code = "import atexit, sys; atexit.register(lambda: print('modules', *sys.modules)); "
    code += "import lfmm2.cli; lfmm2.cli.start()"
    return set(python("-c", code, *arguments).stdout.rpartition("\nmodules ")[2].split())


@pytest.mark.parametrize("n_variables", [1, 2])
def test_run_does_not_import_what_it_does_not_need(data: Simulation, tmp_path: Path, n_variables: int) -> None:
    imported = modules_of_program(
        "run", "--bed", data.bed, "--env", data.env, "--variables", ",".join(["env1", "env2"][:n_variables]), "-K", 3,
        "--surrogates", 0, "--out", tmp_path / "r",
    )  # fmt: skip
    assert {"numpy", "pyarrow.parquet", "scipy.linalg.cython_blas", "scipy.special._ufuncs"} <= imported
    assert imported & HEAVY == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"]])
def test_help_imports_no_numerical_library(arguments: list[str]) -> None:
    assert modules_of_program(*arguments) & {"numpy", "pyarrow", "scipy", "matplotlib", "pandas"} == set()


def test_deferred_packages_give_all_of_their_names_when_asked() -> None:
    code = """
import sys
from lfmm2.cli.own_process import defer_packages
defer_packages()
import scipy.linalg.cython_blas
from scipy import special
from scipy.linalg import lapack
assert abs(special.stdtr(10.0, -2.0) - 0.03669401738537018) < 1e-15
assert "scipy.special._basic" not in sys.modules and "scipy.linalg._decomp" not in sys.modules
import scipy.linalg
assert scipy.linalg.eigh([[2.0]])[0][0] == 2.0
assert scipy.linalg.cython_blas is sys.modules["scipy.linalg.cython_blas"] and scipy.linalg.lapack is lapack
assert special.factorial(5) == 120 and special.logsumexp([0.0]) == 0.0
from scipy.special import *
assert abs(gamma(5.0) - 24.0) < 1e-12
import scipy.stats, scipy.optimize, scipy.sparse.csgraph, numpy.f2py
assert scipy.stats.t.sf(2.0, 10) > 0 and "eigh" in dir(scipy.linalg)
try:
    scipy.linalg.absent
except AttributeError as error:
    print(error)
"""
    assert "absent" in python("-W", "error", "-c", code).stdout


def test_pandas_is_not_found_in_the_program_alone() -> None:
    code = "import pyarrow; pyarrow.array([1, 2]); import sys; print('pandas' in sys.modules)"
    prepare = "from lfmm2.cli.own_process import defer_packages; defer_packages(); "
    assert python("-c", prepare + code).stdout.split() == ["False"]
    assert python("-c", "import lfmm2.cli; " + code).stdout.split() == ["True"]
