"""Run the shell and Python blocks of docs/tutorial.md, and put their output and pictures into the page.

    python docs/tutorial/build.py                  run the page in a temporary folder; say which outputs differ
    python docs/tutorial/build.py --write          write the outputs that differ, and all pictures
    python docs/tutorial/build.py --write --all    write all outputs, those of the machine too

A block that is fenced as `sh` or `python` is run, in order, in one folder; Python blocks share their names. A block
fenced as `text` right after it is its output. Words after these say what is otherwise: `sh not-run`, and
`text not-compared` for an output that differs from machine to machine.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np

from lfmm2.genotypes.plink_writer import write_plink

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "tutorial.md"

_FENCE = re.compile(r"^```(sh|python|text)((?: [\w-]+)*)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_PICTURE = re.compile(r"!\[[^\]]*\]\(tutorial/([\w-]+\.png)\)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?")
# what depends on the machine: processors, free memory, versions, time, rounding errors of linear algebra
_MACHINE = re.compile(r"^(?:threads|peak memory|software|time):.*$|largest residual \S+", re.MULTILINE)


@dataclass
class Block:
    """A fenced block: its language, the words after it, its text, and where the text lies in the page."""

    language: str
    words: list[str]
    text: str
    start: int
    end: int


@dataclass
class Step:
    """A block that was run, the output that the page shows (None if it shows none), and what came out."""

    block: Block
    shown: Block | None
    output: str

    @property
    def agrees(self) -> bool:
        return self.shown is None or "not-compared" in self.shown.words or same_output(self.shown.text, self.output)


def blocks_of(page: str) -> list[Block]:
    return [
        Block(found[1], found[2].split(), found[3], found.start(3), found.end(3)) for found in _FENCE.finditer(page)
    ]


def same_output(shown: str, output: str) -> bool:
    """Whether two outputs are the same: words exactly, numbers to one in the last digit shown, spaces not."""
    shown, output = (_MACHINE.sub("", text).split() for text in (shown, output))
    if [_NUMBER.sub("#", word) for word in shown] != [_NUMBER.sub("#", word) for word in output]:
        return False
    pairs = zip(_NUMBER.findall(" ".join(shown)), _NUMBER.findall(" ".join(output)), strict=True)
    return all(_same_number(*pair) for pair in pairs)


def _same_number(shown: str, output: str) -> bool:
    if shown == output:
        return True
    mantissa, _, exponent = shown.partition("e")
    if not exponent and "." not in mantissa:
        return False  # counts and names
    a, b = float(shown), float(output)
    last_digit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return abs(a - b) < 1.5 * last_digit


def run_page(page: str, folder: Path) -> list[Step]:
    """Run the blocks of a page in a folder; plink2 is replaced by `filtered_fileset` where it is absent."""
    matplotlib.use("Agg")
    shutil.copy(HERE / "simulate.py", folder)
    # the blocks run in another folder than a relative PYTHONPATH was meant for
    python_path = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    environment = os.environ | {
        "PATH": f"{_programs(folder)}{os.pathsep}{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",  # the order of ls
        "PYTHONUTF8": "1",
        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, python_path)),
    }
    names: dict[str, object] = {}
    steps = []
    blocks = blocks_of(page)
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        if block.language == "text" or "not-run" in block.words:
            continue
        shown = following if following and following.language == "text" else None
        if block.language == "python":
            output = _run_python(block.text, folder, names)
        elif re.search(r"^plink2 ", block.text, re.MULTILINE) and shutil.which("plink2") is None:
            filtered_fileset(folder / "trees.vcf.gz", folder / "trees")
            output = shown.text if shown else ""
        else:
            output = _run_shell(block.text, folder, environment)
        steps.append(Step(block, shown, output))
    return steps


def _programs(folder: Path) -> Path:
    """A folder of commands `python` and `lfmm2`, those of this Python."""
    programs = folder / ".bin"
    programs.mkdir()
    for name, arguments in (("python", ""), ("lfmm2", " -m lfmm2")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n')
        program.chmod(0o755)
    return programs


def _run_shell(code: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=300,
    )
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode} of\n{code}\n{done.stdout}")
    return done.stdout


def _run_python(code: str, folder: Path, names: dict[str, object]) -> str:
    from matplotlib import pyplot

    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(code, PAGE.name, "exec"), names)
    pyplot.close("all")
    return output.getvalue()


def filtered_fileset(vcf: Path, out: Path) -> None:
    """What `plink2 --make-bed` makes of the VCF with the filters of the page."""
    ids: list[str] = []
    chromosomes: list[str] = []
    positions: list[int] = []
    alleles: list[tuple[str, str]] = []
    rows = []
    dosage_of = {"0/0": 2, "0/1": 1, "1/1": 0, "./.": -1}  # of REF, which is A2
    with gzip.open(vcf, "rt") as file:
        for line in file:
            fields = line.rstrip("\n").split("\t")
            if fields[0] == "#CHROM":
                samples = fields[9:]
            if line.startswith("#") or len(fields[3]) != 1 or len(fields[4]) != 1:
                continue
            row = np.array([dosage_of[call] for call in fields[9:]], np.int8)
            frequency = row[row >= 0].mean() / 2
            if (row < 0).mean() > 0.1 or min(frequency, 1 - frequency) < 0.05:
                continue
            chromosomes.append(fields[0])
            positions.append(int(fields[1]))
            ids.append(f"{fields[0]}:{fields[1]}")
            alleles.append((fields[4], fields[3]))
            rows.append(row)
    write_plink(
        out, np.array(rows), fid=["0"] * len(samples), iid=samples, snp_ids=ids, chromosomes=chromosomes,
        positions=positions, alleles=alleles,
    )  # fmt: skip


def pictures_of(page: str) -> list[str]:
    """Names of the pictures that the page shows."""
    return _PICTURE.findall(page)


def made_picture(name: str, folder: Path) -> Path:
    """The picture that the blocks made, in the folder or one folder below."""
    found = [*folder.glob(name), *folder.glob(f"*/{name}")]
    if len(found) != 1:
        raise FileNotFoundError(f"{len(found)} files named {name} in {folder}; the page shows one")
    return found[0]


def with_outputs(page: str, steps: list[Step], every: bool = False) -> str:
    """The page with the outputs that differ, or with all of them, replaced."""
    for step in reversed(steps):
        if step.shown is not None and (every or not (step.agrees and step.shown.text)):
            output = "\n".join(line.rstrip() for line in step.output.strip("\n").splitlines()) + "\n"
            page = page[: step.shown.start] + output + page[step.shown.end :]
    return page


def main() -> int:
    page = PAGE.read_text()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        steps = run_page(page, folder)
        different = [step for step in steps if not step.agrees]
        for step in different:
            print(f"{step.block.text}shows\n{step.shown.text}but gives\n{step.output}")
        if "--write" not in sys.argv[1:]:
            return bool(different)
        PAGE.write_text(with_outputs(page, steps, every="--all" in sys.argv[1:]))
        for name in pictures_of(page):
            shutil.copyfile(made_picture(name, folder), HERE / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
