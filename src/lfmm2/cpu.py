"""What the system says of the processor, and the BLAS kernels that suit it. Imports nothing of weight."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

# what OpenBLAS's SkylakeX kernels use
_SKYLAKEX = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}
# AMD's families from Zen 5 on: unknown to OpenBLAS up to 0.3.31, which takes their AVX2 kernels
_FIRST_UNKNOWN_AMD_FAMILY = 26


def cpu_info() -> dict[str, str]:
    """Fields of the first processor in /proc/cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    first = text.partition("\n\n")[0]
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}


def better_openblas_core(info: Mapping[str, str]) -> str | None:
    """The OPENBLAS_CORETYPE that suits a processor which OpenBLAS does not know, else None.

    On Zen 5 the AVX-512 kernels multiply matrices 1.7 times as fast as those that OpenBLAS takes by itself
    (bench/README.md).
    """
    flags = set(info.get("flags", "").split())
    family = info.get("cpu family", "0")
    unknown = info.get("vendor_id") == "AuthenticAMD" and family.isdigit() and int(family) >= _FIRST_UNKNOWN_AMD_FAMILY
    return "SkylakeX" if unknown and flags >= _SKYLAKEX else None


def prefer_better_openblas_core() -> None:
    """Tell OpenBLAS its kernels through the environment, before it is loaded; what the user has set stays.

    Only for a process of one's own: the command line. In other people's processes it is theirs to choose.
    """
    if (
        platform.machine() not in ("x86_64", "AMD64")
        or "OPENBLAS_CORETYPE" in os.environ
        or "scipy.linalg" in sys.modules
    ):
        return
    core = better_openblas_core(cpu_info())
    if core is not None:
        os.environ["OPENBLAS_CORETYPE"] = core
