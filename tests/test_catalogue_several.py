"""The catalogue of bad input, several filesets: patterns, lists, samples that differ, files given twice or cut off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from catalogue import check_refused
from input_cases import GENOTYPES, IIDS, N, apply, cell

from lfmm2.errors import InconsistentInputError, MalformedInputError, ReadError, UsageError
from lfmm2.genotypes.plink_writer import write_plink

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.InputWarning")


@pytest.fixture
def parts(folder: Path) -> Path:
    """The good fileset d in two parts, c1 and c2, the first in the order of d."""
    snps = {"c1": range(200), "c2": range(200, 300)}
    for name, rows in snps.items():
        ids, chromosomes = [f"snp{j}" for j in rows], [name[1]] * len(rows)
        write_plink(folder / name, GENOTYPES[list(rows)], iid=IIDS, snp_ids=ids, chromosomes=chromosomes)
    return folder


def copied(name: str, new: str) -> None:
    for end in (".bed", ".bim", ".fam"):
        Path(new + end).write_bytes(Path(name + end).read_bytes())


def without_samples(name: str, n: int) -> None:
    """Write a part again without its last samples."""
    rows = {"c1": slice(0, 200), "c2": slice(200, 300)}[name]
    write_plink(name, GENOTYPES[rows, : N - n], iid=IIDS[: N - n], overwrite=True)


def renamed(name: str, old: str, new: str) -> None:
    path = Path(f"{name}.fam")
    path.write_text(path.read_text().replace(old, new))


# what is done to the folder, the filesets as the option has them, error, what the message says
CASES: list[tuple[str, Any, list[str], type[Exception], str]] = [
    ("pattern fits nothing", None, ["x@.bed"], ReadError, "x@.bed: no file has a name of this form, .*; check the"),
    ("pattern of .bim", None, ["c@.bim"], ReadError, "c@.bim: no file has a name of this form"),
    ("folder absent", None, ["x/c@"], ReadError, r"x: cannot be listed \(No such file or directory\); check"),
    (
        "pattern of a shell", None, ["c*.bed"], ReadError,
        r"c\*\.bed: cannot be opened \(No such .*; in a pattern @ stands for the chromosome, as in 'chr@\.bed'",
    ),
    ("pattern of regenie", None, ["c{1:2}"], ReadError, r"c{1:2}: cannot be opened .*; in a pattern @ stands for"),
    (
        "two versions", lambda: copied("c1", "c1.pruned"), ["c@"], UsageError,
        r"c@: fits c1\.bed and c1\.pruned\.bed, which both have chromosome 1; list the filesets in a file",
    ),
    ("pattern is a file", lambda: copied("c1", "c@"), ["c@"], UsageError, r"c@: is a file, and the pattern of others"),
    ("one absent", None, ["c1", "c3"], ReadError, r"^c3: cannot be opened \(No such file or directory\); check"),
    ("one empty name", None, ["c1", ""], ReadError, r"cannot be opened|is a directory"),
    ("twice", None, ["c1", "c2", "c1"], UsageError, r"c1\.bed: is given twice; give each fileset once"),
    ("twice by two names", None, ["c1", "./c1.bed"], UsageError, r"c1\.bed: is given twice|are one file; give each"),
    ("twice by a pattern", None, ["c2", "c@"], UsageError, r"c2\.bed: is given twice; give each fileset once"),
    (
        "twice by a link", lambda: (copied("c1", "z"), Path("z.bed").unlink(), Path("z.bed").symlink_to("c1.bed")),
        ["c1", "z"], UsageError, r"c1\.bed and z\.bed: are one file; give each fileset once",
    ),
    (
        "fewer samples", lambda: without_samples("c2", 3), ["c@"], InconsistentInputError,
        r"c2\.bed: 3 of 38 samples of c1\.bed not in it \(i35, i36, i37\); give filesets of the same samples, or --int",
    ),
    (
        "more samples", lambda: without_samples("c1", 3), ["c@"], InconsistentInputError,
        r"c2\.bed: 3 samples that c1\.bed lacks \(i35, i36, i37\); give filesets",
    ),
    (
        "other spelling", lambda: renamed("c2", "i", "I"), ["c@"], InconsistentInputError,
        r"c2\.bed: 38 of 38 samples of c1\.bed not in it .*, 38 samples that c1\.bed lacks .*upper and lower case",
    ),
    (
        "other families", lambda: (renamed("c1", "0\ti", "A\ti"), renamed("c2", "0\ti", "B\ti")), ["c@"],
        InconsistentInputError, r"c2\.bed: 38 samples with another FID than in c1\.bed \(i00: B and A\); give the same",
    ),
    (
        "one truncated", lambda: apply({"c2.bed": lambda b: b[:-1]}), ["c@"], MalformedInputError,
        r"c2\.bed: 1 002 bytes, but 38 samples \(c2\.fam\) × 100 SNPs \(c2\.bim\) need 1 003; .* truncated, copy",
    ),
    (
        "one a SNP short", lambda: apply({"c1.bed": lambda b: b[:-10]}), ["c@"], InconsistentInputError,
        r"c1\.bed: .*; the file looks truncated, .*exactly 199 SNPs",
    ),
    ("one without .fam", lambda: Path("c2.fam").unlink(), ["c@"], ReadError, r"c2\.fam: cannot be opened \(No such"),
    ("one .bim of text", lambda: apply({"c2.bim": cell(7, 3, "x")}), ["c@"], MalformedInputError, r"c2\.bim, line 7: "),
    (
        "one a VCF", lambda: Path("c3.vcf").write_text("##fileformat=VCFv4.3\n"), ["c1", "c3"], MalformedInputError,
        r"c3: there is no c3\.bed, and c3\.vcf is a VCF; give it with --vcf",
    ),
]  # fmt: skip

# what the list has, error, what the message says
LIST_CASES: list[tuple[str, bytes, type[Exception], str]] = [
    ("absent fileset", b"c1\n# x\nc3\n", ReadError, "list.txt, line 3: there is no fileset c3; correct it, paths are"),
    ("empty", b"\n\n", MalformedInputError, "list.txt: names no fileset; give a path or prefix a line"),
    ("pattern fits nothing", b"x@\n", ReadError, "x@: no file has a name of this form"),
    ("twice", b"c1\nc2\nc1.bed\n", UsageError, "is given twice; give each fileset once"),
    ("a .bim", b"1\tsnp1\t0\t5\tA\tC\n", ReadError, "list.txt, line 1: there is no fileset 1"),
    ("a .bed", b"\x6c\x1b\x01\x00", MalformedInputError, r"list\.txt: is a \.bed; give a text file"),
    ("UTF-16", "c1\nc2\n".encode("utf-16"), MalformedInputError, "list.txt, line 1: "),
]


@pytest.mark.parametrize("option", ["--bed", "--est-bed"])
@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.parametrize(("make", "names", "error", "match"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
@pytest.mark.usefixtures("no_pass", "parts")
def test_fault_of_several_filesets(folder, capsys, make, names, error, match, way, option):
    if make is not None:
        make()
    if option == "--est-bed":
        check_refused(folder, capsys, way, error, match, est_filesets=names)
    else:
        check_refused(folder, capsys, way, error, match, filesets=names)


@pytest.mark.parametrize("option", ["--bed-list", "--est-bed-list"])
@pytest.mark.parametrize(("content", "error", "match"), [c[1:] for c in LIST_CASES], ids=[c[0] for c in LIST_CASES])
@pytest.mark.usefixtures("no_pass", "parts")
def test_fault_of_a_list_of_filesets(folder, capsys, content, error, match, option):
    Path("list.txt").write_bytes(content)
    filesets = () if option == "--bed-list" else ("d",)
    check_refused(folder, capsys, "command", error, match, options=[option, "list.txt"], filesets=filesets)


OPTION_CASES: list[tuple[str, list[str], str]] = [
    (
        "bed and list",
        ["--bed", "c1", "--bed-list", "list.txt"],
        "--bed and --bed-list both give the genotypes to test; ",
    ),
    ("list and vcf", ["--bed-list", "list.txt", "--vcf", "a.vcf"], "--bed-list and --vcf both give the genotypes to "),
    ("est", ["--bed", "d", "--est-bed", "c1", "--est-bed-list", "list.txt"], "--est-bed and --est-bed-list both give "),
]


@pytest.mark.parametrize(("options", "match"), [c[1:] for c in OPTION_CASES], ids=[c[0] for c in OPTION_CASES])
@pytest.mark.usefixtures("no_pass", "parts")
def test_genotypes_given_in_two_ways(folder, capsys, options, match):
    Path("list.txt").write_text("c1\nc2\n")
    check_refused(folder, capsys, "command", UsageError, match, options=options, filesets=())
