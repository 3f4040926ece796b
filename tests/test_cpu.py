"""The choice of BLAS kernels for processors that OpenBLAS does not know."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lfmm2 import cpu

AVX512 = "fma avx2 avx512f avx512cd avx512bw avx512dq avx512vl"
ZEN5 = {"vendor_id": "AuthenticAMD", "cpu family": "26", "flags": AVX512}


def test_better_openblas_core_of_zen_5_is_the_avx512_one() -> None:
    assert cpu.better_openblas_core(ZEN5) == "SkylakeX"


@pytest.mark.parametrize(
    "change",
    [
        {"cpu family": "25"},  # Zen 4 is known
        {"vendor_id": "GenuineIntel"},
        {"flags": "fma avx2"},
        {"flags": AVX512.replace("avx512vl", "")},
        {"cpu family": "?"},
    ],
)
def test_better_openblas_core_leaves_others_to_openblas(change: dict[str, str]) -> None:
    assert cpu.better_openblas_core(ZEN5 | change) is None


def test_better_openblas_core_without_cpuinfo_is_none() -> None:
    assert cpu.better_openblas_core({}) is None


def test_prefer_better_openblas_core_leaves_the_users_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setattr(cpu, "cpu_info", lambda: ZEN5)
    monkeypatch.delitem(sys.modules, "scipy.linalg", raising=False)
    cpu.prefer_better_openblas_core()
    assert os.environ["OPENBLAS_CORETYPE"] == "Haswell"


def test_prefer_better_openblas_core_is_too_late_after_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.setattr(cpu, "cpu_info", lambda: ZEN5)
    monkeypatch.setitem(sys.modules, "scipy.linalg", sys)
    cpu.prefer_better_openblas_core()
    assert "OPENBLAS_CORETYPE" not in os.environ


def test_python_api_leaves_the_environment_alone() -> None:
    code = "import os; before = dict(os.environ); import lfmm2; lfmm2.run; assert dict(os.environ) == before"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
