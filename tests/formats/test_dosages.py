"""Dosages of a VCF, a BCF and a VCF Zarr: one .dosages, which runs take as the numbers that it holds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_genotypes import dosage_vcf_text, simulate, vcf_text

import lfmm2
from lfmm2.cli.program import main
from lfmm2.errors import InputWarning, MalformedInputError, OutputExistsError, ReadError, UsageError
from lfmm2.formats import find_conversion
from lfmm2.genotypes import Engine, open_source
from lfmm2.genotypes.dosage_file import DOSAGE_MAGIC, DosageFile
from lfmm2.testing import check_genotype_matrix, check_genotype_source

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning", "ignore::UserWarning")
DATA = Path(__file__).parents[1] / "data" / "vcf_zarr"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plain_dosages(path: Path, field: str) -> Any:
    """Copies of ALT of a VCF, cell by cell, as plink2 reads them."""
    rows = [line.split("\t") for line in path.read_text().splitlines() if not line.startswith("#")]
    table = np.full((len(rows), len(rows[0]) - 9), np.nan)
    for j, row in enumerate(rows):
        for k, cell in enumerate(row[9:]):
            values = dict(zip(row[8].split(":"), cell.split(":"), strict=False))
            alleles = re.split("[/|]", values.get("GT", "./."))
            if (text := values.get(field, ".")) != ".":
                numbers = [float(number) for number in text.split(",")]
                if field == "DS":
                    table[j, k] = numbers[0] * (2 if len(alleles) == 1 else 1)
                else:
                    copies = [0, 2] if len(numbers) == 2 else [0, 1, 2]
                    table[j, k] = np.dot(copies, numbers) / sum(numbers)
            elif "." not in alleles:
                table[j, k] = alleles.count("1") * (2 if len(alleles) == 1 else 1)
    return table


def stored(prefix: str) -> Any:
    """Numbers of a .dosages."""
    data = Path(f"{prefix}.dosages").read_bytes()
    assert data.startswith(DOSAGE_MAGIC)
    return np.frombuffer(data[len(DOSAGE_MAGIC) :], "<f4")


@pytest.mark.parametrize("field", ["DS", "GP"])
def test_vcf_gives_the_dosages_of_its_cells(folder, field):
    made = lfmm2.convert(DATA / "dosages.vcf", "out", vcf_dosage=field)
    wanted = plain_dosages(DATA / "dosages.vcf", field)
    np.testing.assert_allclose(stored("out").reshape(wanted.shape), wanted.astype(np.float32), rtol=2e-7)
    assert made.bed == Path("out.dosages")
    assert made.missing_rate == pytest.approx(np.isnan(wanted).mean())
    assert re.fullmatch(rf"\d+ dosages taken from GT, where {field} is missing, as plink2 does", made.notes[0])
    assert find_conversion(DATA / "dosages.vcf", "out", field) == made
    assert find_conversion(DATA / "dosages.vcf", "out") is None


@pytest.mark.parametrize("name", ["a.bcf", "dosages.format2.zip", "dosages.format3.zip"])
def test_other_formats_give_the_same_dosages(folder, name):
    source = DATA / name
    if name == "a.bcf":
        cyvcf2 = pytest.importorskip("cyvcf2")
        vcf = cyvcf2.VCF(str(DATA / "dosages.vcf"))
        writer = cyvcf2.Writer("a.bcf", vcf, mode="wb")
        for record in vcf:
            writer.write_record(record)
        writer.close()
        source = Path(name)
    else:
        pytest.importorskip("zarr")
    for field in ("DS", "GP"):
        lfmm2.convert(DATA / "dosages.vcf", "vcf", vcf_dosage=field, overwrite=True)
        lfmm2.convert(source, "other", vcf_dosage=field, overwrite=True)
        # Probabilities are rounded to single precision in these files.
        np.testing.assert_allclose(stored("other"), stored("vcf"), rtol=0, atol=0 if field == "DS" else 2e-7)
        assert Path("other.bim").read_bytes() == Path("vcf.bim").read_bytes()


@pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not installed")
def test_dosages_are_those_of_plink2(folder):
    # plink2 refuses a DS without GT on MT.
    Path("a.vcf").write_text((DATA / "dosages.vcf").read_text().replace("\nMT\t", "\nchr9\t"))
    command = "plink2 --vcf a.vcf dosage=DS --vcf-half-call m --allow-extra-chr --export A-transpose --out b"
    subprocess.run(command.split(), check=True, capture_output=True)
    rows = [line.split("\t")[6:] for line in Path("b.traw").read_text().splitlines()[1:]]
    theirs = np.array([[np.nan if cell == "NA" else float(cell) for cell in row] for row in rows])
    lfmm2.convert("a.vcf", "out", vcf_dosage="DS")
    np.testing.assert_allclose(2 - stored("out").reshape(theirs.shape), theirs, atol=1e-4)


def test_source_keeps_the_rules(folder):
    lfmm2.convert(DATA / "dosages.vcf", "out", vcf_dosage="DS")
    source = open_source("out.dosages")
    check_genotype_source(source)
    dense = plain_dosages(DATA / "dosages.vcf", "DS").astype(np.float32).astype(float).T
    samples, snps = np.array([5, 0, 9, 3, 11]), np.array([0, 1, 2, 7, 8, 30, 39])
    engine = Engine(1, 1 << 30)
    for count_allele, copies in (("a2", 2 - dense), ("a1", dense)):
        matrix = source.matrix(engine, samples, snps, count_allele=count_allele)
        check_genotype_matrix(matrix, copies[np.ix_(samples, snps)])
    source.close()


def test_other_dosages_of_the_same_size_are_told_apart(folder):
    identities = []
    for seed in (1, 2):
        Path("a.vcf").write_text(dosage_vcf_text(simulate(9, 30), seed))
        made = lfmm2.convert("a.vcf", "out", vcf_dosage="GP", overwrite=True)
        os.utime(made.bed, ns=(0, 0))
        source = DosageFile(made.bed)
        identities.append({name: value for name, value in source.identity().items() if ".dosages" in name})
        source.close()
    differing = {name for name in identities[0] if identities[0][name] != identities[1][name]}
    assert differing == {"(.dosages), SHA-256 of sampled SNPs"}


def run(*options: str, out: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--env", "env.csv", "-K", "2", "--out", out, "--format", "tsv", *options])
    code: Any = ended.value.code
    return int(code)


def test_run_tests_the_numbers(folder, capsys):
    truth = simulate(50, 60)
    Path("a.vcf").write_text(dosage_vcf_text(truth))
    x = np.random.default_rng(4).standard_normal(50).round(4)
    Path("env.csv").write_text("IID,x\n" + "".join(f"{i},{v}\n" for i, v in zip(truth.iid, x.tolist(), strict=True)))
    dense = plain_dosages(Path("a.vcf"), "DS").astype(np.float32).astype(float).T
    wanted = lfmm2.run(None, 2 - dense, x[:, None], 2, ploidy=2)
    assert run("--vcf", "a.vcf", "--vcf-dosage", "DS", "--keep-bed", out="r") == 0
    said = capsys.readouterr().out
    assert "dosages taken from GT" in said
    result = lfmm2.read_results("r")
    np.testing.assert_allclose(result.t, wanted.t, rtol=1e-8)
    np.testing.assert_allclose(result.frequency, wanted.frequency, rtol=1e-12)
    assert [row.split("\t")[3] for row in Path("r.x.tsv").read_text().splitlines()[1:3]] == ["A", "G"]  # REF
    np.testing.assert_array_equal(lfmm2.run(None, "r.genotypes.dosages", "env.csv", 2).t, result.t)
    assert run("--bed", "r.genotypes.dosages", "--count-allele", "a1", out="a1") == 0
    np.testing.assert_allclose(lfmm2.read_results("a1").t, -wanted.t, rtol=1e-8)
    capsys.readouterr()
    assert run("--bed", "d", "--vcf-dosage", "DS", out="b") == UsageError.exit_code
    assert "--vcf-dosage names a field of --vcf or --zarr; leave it out" in capsys.readouterr().err
    assert run("--bed", "r.genotypes.dosages", "--maf", "0.05", out="b") == UsageError.exit_code
    assert "maf applies to hard calls, but" in capsys.readouterr().err


HEAD = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb\n"


@pytest.mark.parametrize(
    ("row", "field", "match"),
    [
        ("GT:DS\t0/1:1\t0/1:2.5", "DS", "line 3: '0/1:2.5' of sample b has no dosage of a diploid, between 0 and 2"),
        ("GT:DS\t0/1:1\t0/1:x", "DS", "line 3: '0/1:x' of sample b has no number where a dosage"),
        ("GT:GP\t0/1:0,1,0\t0/1:0,23,70", "GP", "add up to 1 .are they on a phred scale"),
        ("GT:GP\t0/1:0,1,0\t0/1:1", "DS", "no SNP has DS, which --vcf-dosage names; leave --vcf-dosage out to read"),
        ("PL\t0\t0", "DS", "no SNP has DS, which --vcf-dosage names"),
        ("GT:DS\t0/1:1", "DS", "has fewer columns than samples"),
    ],
)
def test_faults_of_a_vcf_are_told(folder, row, field, match):
    Path("a.vcf").write_text(f"{HEAD}1\t5\t.\tA\tC\t.\t.\t.\t{row}\n")
    with pytest.raises(lfmm2.LfmmError, match=match):
        lfmm2.convert("a.vcf", "out", vcf_dosage=field)
    assert not list(Path().glob("out*"))


def test_genotypes_do_not_get_the_names_of_others(folder):
    lfmm2.convert(DATA / "dosages.vcf", "hard")
    lfmm2.convert(DATA / "dosages.vcf", "soft", vcf_dosage="DS")
    with pytest.raises(OutputExistsError, match=r"hard\.bed: has the names of hard\.bim and hard\.fam, which would be"):
        lfmm2.convert(DATA / "dosages.vcf", "hard", vcf_dosage="GP", overwrite=True)
    with pytest.raises(OutputExistsError, match=r"soft\.dosages: has the names of soft\.bim"):
        lfmm2.convert(DATA / "dosages.vcf", "soft", overwrite=True)
    lfmm2.convert(DATA / "dosages.vcf", "soft", vcf_dosage="GP", overwrite=True)


def test_formats_without_dosages_are_told(folder):
    Path("a.geno").write_text("012\n210\n")
    with pytest.raises(UsageError, match=r"the dosages of DS are read from a VCF, BCF or VCF Zarr, but a\.geno is"):
        lfmm2.convert("a.geno", "out", vcf_dosage="DS")
    Path("a.vcf").write_text(vcf_text(simulate(5, 5)))
    with pytest.raises(UsageError, match=r"vcf_dosage is 'HDS'; it is None, DS or GP"):
        lfmm2.convert("a.vcf", "out", vcf_dosage="HDS")  # type: ignore[arg-type]


def test_list_of_snps_is_read_as_that_of_a_bed(folder):
    """It may be compressed, SNPs with a negative position are left out, and repeated IDs are warned of."""
    lfmm2.convert(DATA / "dosages.vcf", "out", vcf_dosage="DS")
    bim = Path("out.bim")
    rows = [line.split("\t") for line in bim.read_text().splitlines(True)]
    rows[3][3] = "-5"
    rows[5][1] = rows[4][1]
    Path("out.bim.zst").write_bytes(pa.compress("".join(map("\t".join, rows)).encode(), "zstd", asbytes=True))
    bim.unlink()
    with pytest.warns(InputWarning) as warned:
        source = open_source("out.dosages")
    assert source.n_snps == 40
    assert source.left_out.tolist() == [3]
    assert source.memory.snp_bytes == 0
    assert source.memory.held_variant_bytes > 1 << 22
    assert sum(len(table) for table in source.iter_variants()) == 40
    assert any("ID" in str(warning.message) for warning in warned)
    source.close()


def test_damaged_files_of_dosages_are_told(folder):
    lfmm2.convert(DATA / "dosages.vcf", "out", vcf_dosage="DS")
    data = Path("out.dosages").read_bytes()
    for changed, match in (
        (data[:-4], r"out\.dosages: 2 252 bytes, but 14 samples × 40 SNPs need 2 256"),
        (b"x" + data[1:], r"out\.dosages: is no \.dosages as lfmm2 convert writes it"),
        (b"", r"is no \.dosages"),
    ):
        Path("out.dosages").write_bytes(changed)
        with pytest.raises(MalformedInputError, match=match):
            open_source("out.dosages")
    Path("out.dosages").write_bytes(data[:200] + b"\x00\x00\xc0\x7e" + data[204:])
    source = DosageFile("out.dosages")
    with pytest.raises(MalformedInputError, match="SNP 4: has numbers that are no dosage"):
        source.read(np.arange(14), np.arange(40))
    Path("out.dosages").write_bytes(data[:300])
    with pytest.raises(ReadError, match="it has shrunk, start again"):
        source.read(np.arange(14), np.arange(40))
    source.close()
    Path("out.bim").unlink()
    with pytest.raises(ReadError, match=r"out\.bim"):
        open_source("out.dosages")
