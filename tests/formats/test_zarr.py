"""VCF Zarr: the fileset of the VCF from which the store was made, bitwise; faults and lost chunks are told."""

from __future__ import annotations

import re
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_genotypes import OTHERS, simulate, vcf_text
from made_zarr import chunk_path, write_zarr
from plain_bed import read_dosages

from lfmm2.cli.program import main
from lfmm2.errors import (
    ChangedInputError,
    InconsistentInputError,
    LfmmError,
    MalformedInputError,
    ReadError,
    UsageError,
)
from lfmm2.formats import convert, find_conversion, is_store, name_kind, zarr_store
from lfmm2.formats.source_stamps import stamp_source

zarr = pytest.importorskip("zarr")
pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning", "ignore::UserWarning")
DATA = Path(__file__).parents[1] / "data" / "vcf_zarr"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fileset(prefix: str) -> list[bytes]:
    return [Path(f"{prefix}.{end}").read_bytes() for end in ("bed", "bim", "fam")]


@pytest.mark.parametrize("n_samples", [37, 38, 39, 40])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_store_gives_the_fileset_of_the_truth(folder, monkeypatch, n_samples, zarr_format):
    # two rows of chunks at once, or one chunk
    monkeypatch.setattr(zarr_store, "READ_BYTES", 2 * 16 * n_samples * 2 if zarr_format == 2 else 300)
    truth = simulate(n_samples)
    write_zarr(truth, "a.vcz", zarr_format)
    assert name_kind(Path("a.vcz")) == "a VCF Zarr"
    made = convert("a.vcz", "out")
    np.testing.assert_array_equal(read_dosages(Path("out.bed"), n_samples), truth.dosages)
    assert [line.split("\t") for line in Path("out.bim").read_text().splitlines()] == truth.bim_rows()
    assert made.left_out == dict.fromkeys(OTHERS, 1) | {"multiallelic": 2}


@pytest.mark.parametrize("name", ["plants.format2.zip", "plants.format3.zip"])
def test_stores_of_bio2zarr_give_the_fileset_of_their_vcf(folder, name):
    convert(DATA / "plants.vcf", "vcf")
    made = convert(DATA / name, "zarr")
    bed, bim, fam = fileset("zarr")
    # A record without GT, the last one, has missing calls in a store, and is left out of a VCF.
    assert made.left_out == {"multiallelic": 1, "indels and other longer alleles": 1, "symbolic alleles": 1}
    wanted = fileset("vcf")
    assert bed[: len(wanted[0])] == wanted[0]
    assert bim[: len(wanted[1])] == wanted[1]
    assert fam == wanted[2]
    assert len(bed) == len(wanted[0]) + 4


def test_unpacked_store_and_url_are_read_too(folder):
    pytest.importorskip("fsspec")
    shutil.unpack_archive(DATA / "plants.format2.zip", "plants.vcz")
    convert("plants.vcz", "folder")
    convert(DATA / "plants.format2.zip", "zip")
    assert fileset("folder") == fileset("zip")
    truth = simulate(20)
    write_zarr(truth, "memory://lfmm2/a.vcz")
    made = convert("memory://lfmm2/a.vcz", "url")
    np.testing.assert_array_equal(read_dosages(Path("url.bed"), 20), truth.dosages)
    assert made.n_snps == 90
    assert find_conversion("memory://lfmm2/a.vcz", "url") is None  # nothing tells whether it is the same


def test_calls_of_other_ploidies_and_types(folder):
    truth = simulate(12, 20)
    write_zarr(truth, "three.vcz", ploidy=3)
    write_zarr(truth, "mask.vcz", call_genotype_mask=None, variant_id_mask=None)
    wide = zarr.open_group("mask.vcz", mode="r")["call_genotype"][:].astype(np.int16)
    wide[wide == 2] = 300  # of a multiallelic site
    write_zarr(truth, "wide.vcz", call_genotype=wide, call_genotype_mask=None)
    haploid = np.where(wide == 300, 1, wide)[:, :, :1]
    write_zarr(truth, "haploid.vcz", call_genotype=haploid.astype(np.int8), call_genotype_mask=None)
    for name in ("three", "mask", "wide"):
        convert(f"{name}.vcz", name)
        np.testing.assert_array_equal(read_dosages(Path(f"{name}.bed"), 12), truth.dosages)
    convert("haploid.vcz", "haploid")
    assert set(np.unique(read_dosages(Path("haploid.bed"), 12)[~np.isnan(truth.dosages)])) <= {0.0, 2.0, np.nan}


def test_missing_ids_are_made_of_places(folder):
    truth = simulate(8, 6)
    write_zarr(truth, "none.vcz", variant_id=None, variant_id_mask=None)
    made = convert("none.vcz", "none")
    ids = [row.split("\t")[1] for row in made.bim.read_text().splitlines()]
    assert ids == [f"{c}:{p}" for c, p in zip(truth.chromosomes, truth.positions, strict=True)]


def run(*options: str, out: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--env", "env.csv", "-K", "2", "--out", out, "--format", "tsv", *options])
    code: Any = ended.value.code
    return int(code)


def test_run_gives_the_tables_of_the_vcf(folder, capsys):
    truth = simulate(41)
    Path("a.vcf").write_text(vcf_text(truth).rpartition("\tDP\t")[0].rpartition("\n")[0] + "\n")
    write_zarr(truth, "a.vcz")
    values = np.random.default_rng(4).standard_normal(41).round(4).tolist()
    Path("env.csv").write_text("IID,x\n" + "".join(f"{i},{v}\n" for i, v in zip(truth.iid, values, strict=True)))
    assert run("--vcf", "a.vcf", out="v") == 0
    assert run("--zarr", "a.vcz", "--keep-bed", out="z") == 0
    assert Path("v.x.tsv").read_bytes() == Path("z.x.tsv").read_bytes()
    capsys.readouterr()
    assert run("--zarr", "a.vcz", "--overwrite", out="z") == 0
    assert "found, as an earlier run has converted it" in capsys.readouterr().out
    assert run("--bed", "a.vcz", out="b") == MalformedInputError.exit_code
    assert "a.vcz: is a VCF Zarr; give it with --zarr a.vcz" in capsys.readouterr().err
    assert run("--zarr", "a.vcf", out="b") == MalformedInputError.exit_code
    assert "a.vcf: is no VCF Zarr, which is a folder with .zgroup" in capsys.readouterr().err
    assert run("--bed", "https://there/a.bed", out="b") == ReadError.exit_code
    assert "VCF Zarr" not in capsys.readouterr().err
    assert run("--zarr", "a.vcz", "--vcf", "a.vcf", out="b") == UsageError.exit_code
    assert "--vcf and --zarr both give the genotypes to test" in capsys.readouterr().err


def test_source_is_known_by_its_contents(folder):
    write_zarr(simulate(8, 20), "a.vcz")
    made = convert("a.vcz", "out")
    assert find_conversion("a.vcz", "out") == made
    write_zarr(simulate(8, 20, seed=5), "a.vcz")
    assert find_conversion("a.vcz", "out") is None


def test_store_that_changes_meanwhile_is_told(folder):
    write_zarr(simulate(8, 20), "a.vcz")

    stamp = stamp_source(Path("a.vcz"))
    stamp.check()
    chunk_path(Path("a.vcz"), "call_genotype", 0, 0, 0).write_bytes(b"x")
    with pytest.raises(ChangedInputError, match=r"call_genotype/0\.0\.0 was changed"):
        stamp.check()


# --- faults ---------------------------------------------------------------------------------------------------


def without(name: str) -> Callable[[Path], None]:
    return lambda store: shutil.rmtree(store / name)


def cut(name: str, *at: int) -> Callable[[Path], None]:
    def change(store: Path) -> None:
        path = chunk_path(store, name, *at)
        path.write_bytes(path.read_bytes()[:-3])

    return change


def lost(name: str, *at: int) -> Callable[[Path], None]:
    return lambda store: chunk_path(store, name, *at).unlink()


def put(name: str, value: Any, *at: int) -> Callable[[Path], None]:
    def change(store: Path) -> None:
        zarr.open_group(store, mode="r+")[name][at] = value

    return change


def resized(name: str, *shape: int) -> Callable[[Path], None]:
    return lambda store: zarr.open_group(store, mode="r+")[name].resize(shape)


FAULTS: list[tuple[Callable[[Path], None], type[LfmmError], str]] = [
    (without("call_genotype"), MalformedInputError, "has no call_genotype, the hard calls; call genotypes first"),
    (without("variant_position"), MalformedInputError, "has no array variant_position; give a VCF Zarr"),
    (without("sample_id"), MalformedInputError, "has no array sample_id; give a VCF Zarr"),
    (cut("call_genotype", 1, 0, 0), MalformedInputError, r"call_genotype: chunk 1\.0\.0 has 224 bytes, not as many"),
    (cut("variant_position", 1), MalformedInputError, r"variant_position: chunk 1 has \d+ bytes, not as many as its"),
    (lost("call_genotype", 1, 1, 0), MalformedInputError, r"call_genotype: lacks chunk 1\.1\.0, which reads as"),
    (lost("variant_position", 2), MalformedInputError, r"variant_position: lacks chunk 2, which reads as"),
    (lost("variant_contig", 0), MalformedInputError, r"variant_contig: lacks chunk 0, which reads as"),
    (lost("variant_allele", 1, 0), MalformedInputError, r"variant_allele: lacks chunk 1\.0, which reads as"),
    (lost("variant_id", 1), MalformedInputError, r"variant_id: lacks chunk 1, which reads as"),
    (lost("sample_id", 0), MalformedInputError, r"sample_id: lacks chunk 0, which reads as"),
    (resized("variant_position", 44), InconsistentInputError, "variant_contig has 45 variants, but variant_pos.* 44"),
    (resized("call_genotype", 40, 13, 2), InconsistentInputError, "call_genotype has 40 variants, but .* 45"),
    (resized("call_genotype", 45, 12, 2), InconsistentInputError, "call_genotype has 12 samples, but sample_id 13"),
    (put("call_genotype", 2, 4, 5, 0), MalformedInputError, "has an allele above 1, but there"),
    (put("call_genotype_mask", True, 4, 5, 0), InconsistentInputError, "call_genotype_mask marks other alleles"),
    (put("variant_contig", 7, 4), MalformedInputError, "variant 5: contig 7 is none from 0 to 3; write"),
    (put("variant_position", -4, 4), MalformedInputError, "variant 5: position -4 is none from 0 to"),
    (put("variant_id", "a b", 2), MalformedInputError, "up to variant 45: the name 'a b' of a SNP, chromo"),
    (put("variant_allele", "", 3, 0), MalformedInputError, "variant 4: has no REF in variant_allele; write the store"),
    (put("sample_id", "tree-1", 0), InconsistentInputError, "1 sample ID repeated"),
    (lambda store: (store / ".zgroup").write_text("{"), MalformedInputError, "the store: cannot be read"),
    (lambda store: (store / ".zgroup").unlink(), ReadError, "is a directory, a pipe or a device"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "error", "match"), FAULTS)
def test_faults_are_told(folder, change, error, match):
    write_zarr(simulate(13, 42), "a.vcz")
    change(Path("a.vcz"))
    if "above 1" in match:
        shutil.rmtree("a.vcz/call_genotype_mask")
    with pytest.raises(error, match=match):
        convert("a.vcz", "out")
    assert not list(Path().glob("out*"))


def test_ids_that_are_no_text_are_told(folder):
    write_zarr(simulate(3, 8), "a.vcz", sample_id=np.array([b"a", b"b", b"\xff"]))
    with pytest.raises(MalformedInputError, match=r"a\.vcz, sample_id: cannot be read \('utf-8' codec"):
        convert("a.vcz", "out")


def test_polyploid_calls_are_told(folder):
    truth = simulate(5, 8)
    calls = np.zeros((8, 5, 4), np.int8)
    write_zarr(truth, "a.vcz", others=False, call_genotype=calls, call_genotype_mask=None)
    with pytest.raises(MalformedInputError, match=r"variant 1: the call of sample tree-0 has more than two alleles"):
        convert("a.vcz", "out")


def test_absent_chunks_of_known_content_are_read(folder):
    # bio2zarr leaves out chunks of zeros, and tells in region_index on which contigs their variants are.
    truth = simulate(9, 40)
    index = np.array([[0, 0, 1, 9, 9, 16]], np.int32)
    write_zarr(truth, "a.vcz", others=False)
    convert("a.vcz", "whole")
    contig = zarr.open_group("a.vcz", mode="r")["variant_contig"][:]
    contig[:16] = 0
    for name, rows in (("told", index), ("other", index * 0 + [0, 0, 1, 9, 9, 15]), ("silent", None)):
        write_zarr(truth, f"{name}.vcz", others=False, variant_contig=contig, region_index=rows)
        lost("variant_contig", 0)(Path(f"{name}.vcz"))
    convert("told.vcz", "told")
    assert fileset("told")[0] == fileset("whole")[0]
    for name in ("other", "silent"):
        with pytest.raises(MalformedInputError, match="variant_contig: lacks chunk 0"):
            convert(f"{name}.vcz", "out")
    # A chunk of which no variant is used need not be there.
    alleles = zarr.open_group("a.vcz", mode="r")["variant_allele"][:]
    alleles[:16, 1] = ""
    write_zarr(truth, "unused.vcz", others=False, variant_allele=alleles, call_genotype_mask=None)
    lost("call_genotype", 0, 0, 0)(Path("unused.vcz"))
    assert convert("unused.vcz", "unused").left_out == {"no ALT": 16}


@pytest.mark.parametrize("damage", ["cut", "names", "text"])
def test_damaged_archives_are_told(folder, damage):
    data = (DATA / "plants.format2.zip").read_bytes()
    if damage == "names":
        shutil.unpack_archive(DATA / "plants.format2.zip", "x/plants.vcz")
        shutil.make_archive("a", "zip", "x")
    else:
        Path("a.zip").write_bytes(data[:-30] if damage == "cut" else b"PK\x03\x04" + b"no archive" * 9)
    with pytest.raises(LfmmError, match=r"a\.zip"):
        convert("a.zip", "out")


def test_absent_library_is_named(folder, monkeypatch):
    write_zarr(simulate(5, 5), "a.vcz")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(UsageError, match=r"needs zarr .*pip install 'lfmm2\[zarr\]'"):
        convert("a.vcz", "out")


def test_stores_are_recognised(folder):
    write_zarr(simulate(5, 5), "a.vcz", 3)
    assert is_store(Path("a.vcz"))
    assert is_store(Path("s3://bucket/a.vcz"))
    np.savez("a.npz", x=np.zeros(3))
    Path("b").mkdir()
    assert not any(is_store(Path(name)) for name in ("a.npz", "b", "none", "x" * 300))


def test_address_that_cannot_be_opened_is_told(folder):
    with warnings.catch_warnings(), pytest.raises(LfmmError, match=re.escape("nothing://there")):
        convert("nothing://there/a.vcz", "out")
