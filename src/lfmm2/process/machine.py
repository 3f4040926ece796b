"""A description of this machine, for bug reports and for those who wonder why a run is slow."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from lfmm2 import _core
from lfmm2.kernels import _gram, _gram_float32
from lfmm2.process.limits import memory_and_limit
from lfmm2.process.threads import cpus_and_limit
from lfmm2.process.versions import software

# SIMD instruction sets that make a difference to BLAS or to the kernels, as Linux spells them.
_SIMD = ("sse2", "ssse3", "avx", "avx2", "fma", "avx512f", "avx512bw", "neon", "asimd", "sve")


def _cpuinfo() -> dict[str, str]:
    """Return the facts that Linux tells about the last processor; none on other systems."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def processor() -> tuple[str, list[str]]:
    """Return the name of the processor and its SIMD instruction sets, as far as the system tells."""
    info = _cpuinfo()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    return info.get("model name") or platform.processor() or platform.machine(), [s for s in _SIMD if s in flags]


def emulation() -> str | None:
    """Return a warning if the processor is emulated or hides its SIMD units, else None."""
    name, simd = processor()
    if re.search(r"qemu|tcg|virtualapple", name, re.IGNORECASE):
        return f"the processor is emulated ({name}); expect a tenth of the speed, use a native Python"
    if platform.machine() in ("x86_64", "AMD64") and simd and "avx2" not in simd:
        return "the processor offers no AVX2; BLAS runs at a fraction of its speed"
    return None


def describe_machine() -> str:
    """Describe versions, BLAS, processor, SIMD, threads and memory, a line each."""
    name, simd = processor()
    versions = software()
    (cpus, by), (memory, source) = cpus_and_limit(), memory_and_limit()
    lines = [
        f"lfmm2:     {versions['lfmm2']}",
        f"python:    {versions['python']} ({platform.system()} {platform.machine()})",
        f"libraries: numpy {versions['numpy']}, scipy {versions['scipy']}, pyarrow {versions['pyarrow']}",
        f"BLAS:      {versions['blas']}, integers of {8 * _core.BLAS_INT_BYTES} bits",
        f"processor: {name}",
        f"SIMD:      {' '.join(simd) or 'unknown'}; genotypes are decoded by {_core.DECODER}, "
        f"counted by {_gram.MULTIPLIER}, multiplied in float32 by {_gram_float32.instructions()}",
        f"threads:   {cpus} available{by and f' ({by})'}, "
        f"OpenMP {'on' if _core.OPENMP else 'off: kernels run serially'}",
        f"memory:    {memory / 2**30:.1f} GiB {source}; a run takes at most half by default",
    ]
    warning = emulation()
    if warning is not None:
        lines.append(f"Warning:   {warning}")
    return "\n".join(lines)
