"""What `lfmm2 info` tells."""

import pytest

from lfmm2.kernels import _gram_float32
from lfmm2.process import machine, software


def test_describe_machine_names_all_that_speed_depends_on():
    lines = machine.describe_machine().splitlines()
    names = [line.split(":")[0] for line in lines]
    wanted = ["lfmm2", "python", "libraries", "BLAS", "processor", "SIMD", "threads", "memory"]
    assert names[: len(wanted)] == wanted
    assert all(line[10] == " " and line[11] != " " for line in lines[: len(wanted)])


def test_describe_machine_names_the_instructions_in_use():
    _gram_float32.use_instructions("baseline")
    try:
        assert "multiplied in float32 by baseline" in machine.describe_machine()
        assert software()["instructions"] == "baseline"
    finally:
        _gram_float32.use_instructions(_gram_float32.INSTRUCTIONS)


@pytest.mark.parametrize(
    ("name", "flags", "told"),
    [
        ("Intel Xeon", "sse2 avx avx2 fma", None),
        ("QEMU Virtual CPU version 2.5+", "sse2", "emulated"),
        ("VirtualApple @ 2.50GHz", "sse2", "emulated"),
        ("Common KVM processor", "sse2 avx", "no AVX2"),
    ],
)
def test_emulation_is_told(monkeypatch, name, flags, told):
    monkeypatch.setattr(machine, "_cpuinfo", lambda: {"model name": name, "flags": flags})
    monkeypatch.setattr(machine.platform, "machine", lambda: "x86_64")
    warning = machine.emulation()
    assert warning is None if told is None else told in warning
    assert ("Warning:" in machine.describe_machine()) == (told is not None)


def test_unknown_system_says_so(monkeypatch):
    monkeypatch.setattr(machine, "_cpuinfo", dict)
    assert machine.emulation() is None
    assert "SIMD:      unknown" in machine.describe_machine()
