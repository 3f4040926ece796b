"""Every way to count the calls of the Gram matrix, compiled alone: also that of ARM, where it can be emulated."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HEADERS = Path(__file__).parents[2] / "src" / "lfmm2" / "kernels"
PROGRAM = Path(__file__).with_name("gram_levels.c")


def compiled(compiler: str, to: Path) -> Path:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    command = [compiler, "-std=c11", "-O2", f"-I{HEADERS}", str(PROGRAM), "-o", str(to)]
    subprocess.run(command, check=True, capture_output=True)
    return to


def test_every_level_of_this_processor_makes_the_plain_sums(tmp_path: Path) -> None:
    done = subprocess.run([compiled("cc", tmp_path / "levels")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(": 0 wrong") >= 2


def test_neon_makes_the_plain_sums(tmp_path: Path) -> None:
    if (emulator := shutil.which("qemu-aarch64")) is None:
        pytest.skip("qemu-aarch64 is not installed")
    program = compiled("aarch64-linux-gnu-gcc", tmp_path / "levels")
    done = subprocess.run([emulator, "-L", "/usr/aarch64-linux-gnu", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "level 0: 0 wrong\nlevel 1: 0 wrong\n")
