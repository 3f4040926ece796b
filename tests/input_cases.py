"""One good fileset with its table, and edits of single files: what the tests of bad and odd inputs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from lfmm2.genotypes.plink_writer import write_plink

N, P = 38, 300
N_BYTES = 10  # of a SNP
IIDS = [f"i{k:02d}" for k in range(N)]
X = np.random.default_rng(2).standard_normal(N)
NUMBERS = X.tolist()
Edit = Callable[[bytes], bytes]
MAGIC = b"\x6c\x1b\x01"
_rng = np.random.default_rng(1)
GENOTYPES = _rng.binomial(2, _rng.uniform(0.2, 0.8, (P, 1)), (P, N)).astype(float)  # a row per SNP


def write_good(folder: Path) -> None:
    """Write the fileset d and the table env.csv."""
    write_plink(folder / "d", GENOTYPES, iid=IIDS, snp_ids=[f"snp{j}" for j in range(P)])
    rows = "".join(f"{i},{v}\n" for i, v in zip(IIDS, NUMBERS, strict=True))
    (folder / "env.csv").write_text(f"IID,x\n{rows}")


def apply(edits: dict[str, Edit]) -> None:
    """Change files of the current folder."""
    for name, edit in edits.items():
        Path(name).write_bytes(edit(Path(name).read_bytes()))


def text(content: str) -> Edit:
    return lambda _: content.encode()


def raw(content: bytes) -> Edit:
    return lambda _: content


def line(number: int, change: Callable[[list[str]], list[str]]) -> Edit:
    """Change the cells of one line, counted from 1."""

    def edit(data: bytes) -> bytes:
        lines = data.decode().split("\n")
        mark = "," if "," in lines[0] else "\t" if "\t" in lines[0] else " "
        lines[number - 1] = mark.join(change(lines[number - 1].split(mark)))
        return "\n".join(lines).encode()

    return edit


def cell(number: int, column: int, value: str) -> Edit:
    return line(number, lambda cells: [value if j == column else c for j, c in enumerate(cells)])


def column(make: Callable[[int], str], name: str = "x") -> Edit:
    """A table of one variable, from the number of the sample."""
    return text(f"IID,{name}\n" + "".join(f"{i},{make(k)}\n" for k, i in enumerate(IIDS)))


def columns(header: str, make: Callable[[int], str]) -> Edit:
    return text(f"{header}\n" + "".join(f"{i},{make(k)}\n" for k, i in enumerate(IIDS)))


def without_line(data: bytes) -> bytes:
    return data[: data[:-1].rindex(b"\n") + 1]


def repeat_line(data: bytes) -> bytes:
    return data + data[data[:-1].rindex(b"\n") + 1 :]


def more_samples(n: int) -> Edit:
    return lambda data: data + b"".join(b"0 more%d 0 0 0 -9\n" % k for k in range(n))
