"""A package of somebody else is compiled against the installed lfmm2, and used: kernels, a source, a run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent / "package"
# What the built package must show; it runs in a process of its own, with the package first on the path.
USE = """
import numpy as np
import lfmm2
from lfmm2 import _core
from lfmm2.testing import check_genotype_source
from lfmm2_guest import PackedRows, decode_centred

rng = np.random.default_rng(3)
n, p = 41, 300
packed = rng.integers(0, 256, (p, (n + 3) // 4), dtype=np.uint8)
ours, theirs = np.empty((p, n)), np.empty((p, n))
decode_centred(packed, n, ours)
_core.decode_block(packed, n, 0, theirs)
np.testing.assert_array_equal(ours, theirs)
source = PackedRows(packed, n)
check_genotype_source(source)
x = rng.standard_normal(n)
result = lfmm2.run(Y=source, X=x, K=2, n_threads=1, surrogates=0)
dense = lfmm2.run(Y=source.read(np.arange(n), np.arange(p)).T, X=x, K=2, n_threads=1, surrogates=0)
np.testing.assert_allclose(result.t, dense.t, rtol=1e-9)
print(result.n_snps)
"""


def build(folder: Path, backend: str) -> Path:
    """Build the package against the installed lfmm2, and return the folder into which it was unpacked."""
    shutil.copytree(PACKAGE, folder / "source")
    shutil.move(folder / "source" / f"pyproject.{backend}.toml", folder / "source" / "pyproject.toml")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
        "--disable-pip-version-check", "--target", str(folder / "installed"), str(folder / "source"),
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "installed"


@pytest.mark.parametrize("backend", ["meson", "setuptools"])
def test_package_is_built_against_the_installed_one_and_used(tmp_path: Path, backend: str) -> None:
    pytest.importorskip("Cython")
    needed = {"meson": "mesonpy", "setuptools": "setuptools.command.bdist_wheel"}
    pytest.importorskip(needed[backend], reason=f"{backend} cannot build wheels here")
    if not any(map(shutil.which, ("cc", "gcc", "clang", "cl"))):
        pytest.skip("there is no C compiler")
    installed = build(tmp_path, backend)
    environment = os.environ | {"PYTHONPATH": str(installed), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", USE], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["300"]
