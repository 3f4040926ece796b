"""Inputs that change or fail while a run reads them: an error of its kind, and no result."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from input_cases import GENOTYPES, IIDS, N

import lfmm2
from lfmm2.errors import MalformedInputError, ReadError
from lfmm2.genotypes.plink_writer import write_plink
from lfmm2.process.progress import Progress

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")


class Hook(Progress):
    """Acts once, when a pass begins or ends."""

    def __init__(self, moment: str, n_passes: int, act: Callable[[], None]) -> None:
        self.moment, self.n_left, self.act = moment, n_passes, act

    def _count(self, moment: str) -> None:
        if moment == self.moment:
            self.n_left -= 1
            if self.n_left == 0:
                self.act()

    def start(self, label: str, n_snps: int, n_bytes: int) -> None:
        self._count("start")

    def finish(self) -> None:
        self._count("finish")


def results(folder: Path) -> list[str]:
    """Files that a run has left, beside what it may need to go on."""
    inputs = {"d.bed", "d.bim", "d.fam", "e.bed", "e.bim", "e.fam", "env.csv", "moved"}
    return sorted(path.name for path in folder.iterdir() if path.name not in inputs and path.suffix != ".state")


def run(hook: Progress, **options: object) -> None:
    options = {"solver": "power", "out": "result", "est_bed": None} | options
    lfmm2.run(full_bed="d", X="env.csv", K=3, progress=hook, **options)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(10))


def replace(path: Path) -> None:
    stamp = path.stat().st_mtime_ns
    shutil.copy(path, "moved")
    Path("moved").replace(path)
    os.utime(path, ns=(stamp, stamp))


CHANGES = {
    "shrinks": lambda path: os.truncate(path, path.stat().st_size - 10),
    "grows": grow,
    "is replaced": replace,
    "is touched": lambda path: os.utime(path, ns=(1, 1)),
    "goes": lambda path: path.rename("moved"),
}


@pytest.mark.parametrize(("moment", "n_passes"), [("start", 1), ("finish", 1), ("finish", 2), ("start", 4)])
@pytest.mark.parametrize("name", ["d.bed", "d.bim", "d.fam"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_file_that_changes_between_the_passes(folder, change, name, moment, n_passes):
    hook = Hook(moment, n_passes, lambda: change(Path(name)))
    with pytest.raises(ReadError, match=rf"{name}.*: (was changed since|is gone|shrank while being read)"):
        run(hook)
    assert hook.n_left <= 0
    assert results(folder) == []


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_estimation_set_that_changes_between_the_passes(folder, change):
    write_plink(Path("e"), GENOTYPES[::2], iid=IIDS)
    with pytest.raises(ReadError, match=r"e\.bed.*: (was changed since|is gone|shrank while being read)"):
        run(Hook("finish", 1, lambda: change(Path("e.bed"))), est_bed="e")
    assert results(folder) == []


@pytest.mark.parametrize("n_passes", [1, 2, 4])
def test_disk_that_fails(folder, monkeypatch, n_passes):
    def fail(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    hook = Hook("start", n_passes, lambda: monkeypatch.setattr(os, "preadv", fail))
    with pytest.raises(ReadError, match=r"d\.bed, byte 3: Input/output error; check the disk"):
        run(hook)
    assert results(folder) == []


@pytest.mark.parametrize("n_passes", [1, 3])
def test_pad_bits_beyond_the_snps_that_are_looked_at_first(folder, n_passes):
    genotypes = np.random.default_rng(0).integers(0, 3, (9000, N)).astype(float)
    write_plink(Path("d"), genotypes, iid=IIDS, overwrite=True)
    data = bytearray(Path("d.bed").read_bytes())
    at = 3 + 4466 * 10 - 1  # the middle of a gap
    data[at] |= 0x80
    Path("d.bed").write_bytes(data)
    with pytest.raises(MalformedInputError, match=rf"d\.bed, byte {at} \(SNP 4466\): has genotypes of samples"):
        run(Progress(), solver="exact" if n_passes == 1 else "power")
    assert results(folder) == []
