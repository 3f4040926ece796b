"""Every foreign format gives the fileset of the same truth: calls and t bitwise, names and alleles as text."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_genotypes import (
    OTHERS,
    Truth,
    geno_text,
    lfmm_text,
    nameless,
    raw_text,
    simulate,
    traw_text,
    vcf_text,
    write_012,
    write_ped,
)
from plain_bed import read_dosages

import lfmm2
from lfmm2.formats import calls, find_conversion, name_kind, remove_conversion

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")


def write_bcf(truth: Truth, path: Path) -> None:
    """A BCF of the VCF, by htslib."""
    cyvcf2 = pytest.importorskip("cyvcf2")
    text = path.with_suffix(".text.vcf")
    text.write_text(vcf_text(truth))
    source = cyvcf2.VCF(str(text))
    writer = cyvcf2.Writer(str(path), source, mode="wb")
    for record in source:
        writer.write_record(record)
    writer.close()
    text.unlink()


def write_vcf_gz(truth: Truth, path: Path) -> None:
    path.write_bytes(gzip.compress(vcf_text(truth).encode()))


def common_first(truth: Truth) -> Truth:
    """The same genotypes with A2 the more frequent allele; in ties the one that comes first in the file."""
    dosages, alleles = truth.dosages.copy(), list(truth.alleles)
    for j, row in enumerate(truth.dosages):
        called = row[~np.isnan(row)]
        copies, total = called.sum(), 2 * len(called)
        if copies < total - copies or (2 * copies == total and called[0] < 2):
            dosages[j], alleles[j] = 2 - row, alleles[j][::-1]
    return replace(truth, dosages=dosages, alleles=alleles)


def without_places(truth: Truth) -> Truth:
    """The names that a .raw has."""
    n_snps = len(truth.ids)
    return replace(truth, chromosomes=["0"] * n_snps, positions=[0] * n_snps)


def of_012(truth: Truth) -> Truth:
    """The names that a .012 has."""
    places = zip(truth.chromosomes, truth.positions, strict=True)
    return replace(truth, ids=[f"{c}:{p}" for c, p in places], alleles=[("1", "2")] * len(truth.ids))


def as_npy(order: str, dtype: str = "f8") -> Callable[[Truth, Path], None]:
    def write(truth: Truth, path: Path) -> None:
        np.save(path, np.asarray(truth.dosages.T.astype(dtype), order=order))  # type: ignore[call-overload]

    return write


def text(make: Callable[..., str], **options: Any) -> Callable[[Truth, Path], Any]:
    return lambda truth, path: path.write_text(make(truth, **options))


# file, how it is written, what its names must be, kind
FORMATS: list[tuple[str, Callable[[Truth, Path], Any], Callable[[Truth], Truth], str]] = [
    ("a.vcf", text(vcf_text), lambda t: t, "a VCF"),
    ("undeclared.vcf", text(vcf_text, declared=False), lambda t: t, "a VCF"),
    ("a.vcf.gz", write_vcf_gz, lambda t: t, "a VCF"),
    ("a.bcf", write_bcf, lambda t: t, "a BCF"),
    ("a.lfmm", text(lfmm_text), nameless, "an .lfmm of LEA"),
    ("minus.lfmm", text(lfmm_text, missing="-9"), nameless, "an .lfmm of LEA"),
    ("tabs", text(lfmm_text, mark="\t"), nameless, "an .lfmm of LEA"),
    ("wide.lfmm", text(lfmm_text, mark="  "), nameless, "an .lfmm of LEA"),
    ("a.geno", text(geno_text), nameless, "a .geno of LEA"),
    (
        "windows.geno", lambda t, p: p.write_bytes(geno_text(t).replace("\n", "\r\n").encode()), nameless,
        "a .geno of LEA",
    ),
    ("a.012", write_012, of_012, "a .012 of vcftools"),
    ("a.raw", text(raw_text), without_places, "a .raw of PLINK"),
    ("plink2.raw", text(raw_text, mark="\t"), without_places, "a .raw of PLINK"),
    ("ad.raw", text(raw_text, het=True), without_places, "a .raw of PLINK"),
    ("a.traw", text(traw_text), lambda t: t, "a .traw of PLINK"),
    ("a.ped", write_ped, common_first, "a .ped of PLINK"),
    ("tabs.ped", lambda t, p: write_ped(t, p, mark="\t"), common_first, "a .ped of PLINK"),
    ("half.ped", lambda t, p: write_ped(t, p, half=True), common_first, "a .ped of PLINK"),
    ("c.npy", as_npy("C"), nameless, "a .npy of NumPy"),
    ("fortran.npy", as_npy("F", "f4"), nameless, "a .npy of NumPy"),
]  # fmt: skip
NAMES = [name for name, *_ in FORMATS]
WRITERS = {name: write for name, write, *_ in FORMATS}


def check_fileset(out: Path, truth: Truth) -> None:
    """The fileset has the calls and the names of the truth."""
    np.testing.assert_array_equal(read_dosages(Path(f"{out}.bed"), len(truth.iid)), truth.dosages)
    assert [line.split("\t") for line in Path(f"{out}.bim").read_text().splitlines()] == truth.bim_rows()
    assert [line.split()[:2] for line in Path(f"{out}.fam").read_text().splitlines()] == [["0", i] for i in truth.iid]


def t_of(bed: Path, iid: list[str]) -> Any:
    X = pd.DataFrame({"x": np.random.default_rng(5).standard_normal(len(iid))}, index=pd.Index(iid, name="IID"))
    return lfmm2.run(None, bed, X, 2).t


@pytest.mark.parametrize("n_samples", [37, 38, 39, 40])
@pytest.mark.parametrize(("name", "write", "names", "kind"), FORMATS, ids=NAMES)
def test_format_gives_the_fileset_of_the_truth(tmp_path, monkeypatch, name, write, names, kind, n_samples):
    monkeypatch.setattr(calls, "BLOCK_CALLS", 32 * n_samples)  # blocks of 32, 32 and 26 SNPs
    truth = simulate(n_samples)
    write(truth, tmp_path / name)
    wanted = names(truth)
    assert name_kind(tmp_path / name) == kind
    made = lfmm2.convert(tmp_path / name, tmp_path / "out")
    check_fileset(tmp_path / "out", wanted)
    assert (made.kind, made.n_samples, made.n_snps) == (kind, n_samples, 90)
    assert made.missing_rate == pytest.approx(np.isnan(truth.dosages).mean())
    assert "A2" in made.counted_allele
    assert (made.bed, made.bim, made.fam) == tuple(tmp_path / f"out.{end}" for end in ("bed", "bim", "fam"))
    assert sorted(path.name for path in tmp_path.glob("out*")) == [
        "out.bed", "out.bim", "out.fam", "out.lfmm2-convert.json", "out.source.json"
    ]  # fmt: skip
    if n_samples == 37:
        direct = wanted.write_bed(tmp_path / "direct")
        assert np.array_equal(t_of(made.bed, wanted.iid), t_of(direct, wanted.iid), equal_nan=True)


@pytest.mark.parametrize("name", ["a.vcf", "a.bcf"])
def test_variants_that_are_left_out_are_counted(tmp_path, name):
    truth = simulate(12)
    WRITERS[name](truth, tmp_path / name)
    made = lfmm2.convert(tmp_path / name, tmp_path / "out")
    assert made.left_out == dict.fromkeys(OTHERS, 1) | {"multiallelic": 2, "no GT": 1}
    assert made.summary()["left out"].startswith("2 multiallelic, 1 indels and other longer alleles")


def test_columns_of_heterozygotes_and_half_calls_are_told(tmp_path):
    truth = simulate(12)
    (tmp_path / "a.raw").write_text(raw_text(truth, het=True, other=False))
    made = lfmm2.convert(tmp_path / "a.raw", tmp_path / "raw")
    assert made.left_out == {"columns of heterozygotes": 90}
    check_fileset(tmp_path / "raw", replace(without_places(truth), alleles=[("0", a2) for _, a2 in truth.alleles]))
    write_ped(truth, tmp_path / "a.ped", half=True)
    (note,) = lfmm2.convert(tmp_path / "a.ped", tmp_path / "ped").notes
    assert note.endswith("half calls, with one of two alleles missing, taken as missing")


@pytest.mark.parametrize("name", ["a.lfmm", "a.geno", "c.npy"])
def test_samples_without_names_are_told_or_named_by_a_list(tmp_path, name):
    truth = simulate(12)
    WRITERS[name](truth, tmp_path / name)
    made = lfmm2.convert(tmp_path / name, tmp_path / "out")
    assert "the file has no sample IDs: they are called s0001 to s0012" in made.notes[0]
    (tmp_path / "ids.txt").write_text("IID\n" + "".join(f"{i}\n" for i in truth.iid))
    made = lfmm2.convert(tmp_path / name, tmp_path / "named", samples=tmp_path / "ids.txt")
    assert made.notes == ()
    check_fileset(tmp_path / "named", replace(nameless(truth), iid=truth.iid))


def test_npy_of_whole_numbers_needs_its_code(tmp_path):
    truth = simulate(12)
    np.save(tmp_path / "a.npy", np.array(truth.codes, np.int8).T)
    with pytest.raises(lfmm2.MalformedInputError, match=r"-1 at row \d+, column \d+ .*--missing-genotype"):
        lfmm2.convert(tmp_path / "a.npy", tmp_path / "out")
    lfmm2.convert(tmp_path / "a.npy", tmp_path / "out", missing_genotype=-1)
    check_fileset(tmp_path / "out", nameless(truth))


@pytest.mark.parametrize("kind", ["u1", "u2", "u8", "i2"])
def test_npy_of_any_whole_numbers_is_converted(tmp_path, kind):
    truth = simulate(12)
    codes = np.array(truth.codes)
    np.save(tmp_path / "a.npy", np.where(codes < 0, 9, codes).astype(kind).T)
    lfmm2.convert(tmp_path / "a.npy", tmp_path / "out", missing_genotype=9)
    check_fileset(tmp_path / "out", nameless(truth))


def test_haploids_are_told(tmp_path):
    (tmp_path / "a.geno").write_text("0101\n1100\n0019\n")
    assert "no genotype is 2" in lfmm2.convert(tmp_path / "a.geno", tmp_path / "out").notes[1]


def test_families_of_a_traw_are_kept_where_they_can_be_told(tmp_path):
    header = "CHR\tSNP\t(C)M\tPOS\tCOUNTED\tALT\t"
    for names, ids in (("F1_a\tF2_b", [["F1", "a"], ["F2", "b"]]), ("F_1_a\tb", [["0", "F_1_a"], ["0", "b"]])):
        (tmp_path / "a.traw").write_text(f"{header}{names}\n1\t.\t0\t5\tA\tC\t0\t2\n")
        lfmm2.convert(tmp_path / "a.traw", tmp_path / "out", overwrite=True)
        assert [line.split()[:2] for line in (tmp_path / "out.fam").read_text().splitlines()] == ids
    assert (tmp_path / "out.bim").read_text() == "1\t1:5\t0\t5\tC\tA\n"


def test_negative_positions_of_a_map_are_left_out(tmp_path):
    (tmp_path / "a.ped").write_text("0 a 0 0 0 -9 A C G GT\n0 b 0 0 0 -9 A A GT GT\n")
    (tmp_path / "a.map").write_text("1 s1 -5\n1 . 7\n")
    made = lfmm2.convert(tmp_path / "a.ped", tmp_path / "out")
    assert made.left_out == {"negative positions": 1}
    assert made.bim.read_text() == "1\t1:7\t0\t7\tG\tGT\n"


@pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not installed")
def test_vcf_gives_the_bytes_of_plink2(tmp_path):
    truth = replace(simulate(39), chromosomes=["1"] * 90, ids=[f"rs{j}" for j in range(90)])
    lines = vcf_text(truth, others=False, declared=False).splitlines(keepends=True)
    (tmp_path / "a.vcf").write_text("".join(lines))
    subprocess.run(
        ["plink2", "--vcf", "a.vcf", "--vcf-half-call", "m", "--make-bed", "--out", "theirs"], cwd=tmp_path, check=True,
        capture_output=True,
    )  # fmt: skip
    made = lfmm2.convert(tmp_path / "a.vcf", tmp_path / "ours")
    assert made.bed.read_bytes() == (tmp_path / "theirs.bed").read_bytes()
    ours, theirs = (
        [row.split() for row in path.read_text().splitlines()] for path in (made.bim, tmp_path / "theirs.bim")
    )
    assert [row[3:] for row in ours] == [row[3:] for row in theirs]
    assert made.fam.read_text() == (tmp_path / "theirs.fam").read_text()


@pytest.mark.skipif(shutil.which("plink1.9") is None, reason="PLINK 1.9 is not installed")
def test_ped_gives_the_bytes_of_plink(tmp_path):
    truth = replace(simulate(38), chromosomes=["1"] * 90)
    write_ped(truth, tmp_path / "a.ped")
    subprocess.run(
        ["plink1.9", "--file", "a", "--make-bed", "--out", "b"], cwd=tmp_path, check=True, capture_output=True
    )
    made = lfmm2.convert(tmp_path / "a.ped", tmp_path / "ours")
    assert made.bed.read_bytes() == (tmp_path / "b.bed").read_bytes()
    assert made.bim.read_text() == (tmp_path / "b.bim").read_text()


def test_memory_does_not_grow_with_the_number_of_snps(tmp_path, monkeypatch):
    monkeypatch.setattr(calls, "BLOCK_CALLS", 1 << 14)
    monkeypatch.setattr("lfmm2.formats.text_lines.CHUNK", 1 << 16)
    head, *rows = vcf_text(simulate(30, 500), others=False).split("\nchr", 1)
    peaks = []
    for times in (4, 40):
        path = tmp_path / f"{times}.vcf"
        path.write_text(head + ("\nchr" + rows[0].rstrip("\n")) * times + "\n")
        tracemalloc.start()
        lfmm2.convert(path, tmp_path / f"out{times}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


# --- files ----------------------------------------------------------------------------------------------------


def test_only_own_files_are_replaced(tmp_path):
    truth = simulate(12)
    (tmp_path / "a.vcf").write_text(vcf_text(truth))
    (tmp_path / "out.bim").write_text("of the user")
    for overwrite in (False, True):
        with pytest.raises(lfmm2.OutputExistsError, match=r"out\.bim"):
            lfmm2.convert(tmp_path / "a.vcf", tmp_path / "out", overwrite=overwrite)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.vcf", "out.bim"]
    (tmp_path / "out.bim").unlink()
    lfmm2.convert(tmp_path / "a.vcf", tmp_path / "out")
    with pytest.raises(lfmm2.OutputExistsError, match="replace with --overwrite"):
        lfmm2.convert(tmp_path / "a.vcf", tmp_path / "out")
    lfmm2.convert(tmp_path / "a.vcf", tmp_path / "out", overwrite=True)
    (tmp_path / "out.fam").write_text("changed")
    with pytest.raises(lfmm2.OutputExistsError, match=r"out\.fam: not a file that lfmm2 has written"):
        lfmm2.convert(tmp_path / "a.vcf", tmp_path / "out", overwrite=True)


def test_source_is_never_replaced(tmp_path):
    write_ped(simulate(12), tmp_path / "a.bim")
    (tmp_path / "a.bim").rename(tmp_path / "a.bed")
    with pytest.raises((lfmm2.UsageError, lfmm2.OutputExistsError)):
        lfmm2.convert(tmp_path / "a.bed", tmp_path / "a", overwrite=True)


def test_note_tells_what_was_read(tmp_path):
    truth = simulate(12)
    write_012(truth, tmp_path / "a.012")
    made = lfmm2.convert(tmp_path / "a.012", tmp_path / "out")
    note = json.loads((tmp_path / "out.source.json").read_text())
    assert list(note["read"]) == ["a.012", "a.012.indv", "a.012.pos"]
    assert find_conversion(tmp_path / "a.012", tmp_path / "out") == made
    (tmp_path / "a.012.indv").write_text("".join(f"x{i}\n" for i in truth.iid))
    assert find_conversion(tmp_path / "a.012", tmp_path / "out") is None
    assert find_conversion(tmp_path / "a.012", tmp_path / "other") is None


def test_removal_leaves_what_was_changed(tmp_path):
    (tmp_path / "a.vcf").write_text(vcf_text(simulate(12)))
    lfmm2.convert(tmp_path / "a.vcf", tmp_path / "out")
    (tmp_path / "out.bim").write_text("changed")
    remove_conversion(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.vcf", "out.bim", "out.lfmm2-convert.json"]
    (tmp_path / "out.bim").unlink()
    remove_conversion(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.vcf"]
