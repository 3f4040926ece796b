"""Filesets whose .bed is compressed: the same bytes, the same bits of every result, and messages of their own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from made_filesets import packed, random_dosages, write_parts

import lfmm2
from lfmm2.cli.program import main
from lfmm2.errors import InconsistentInputError, MalformedInputError, OutputExistsError, ReadError, UsageError
from lfmm2.genotypes import Engine, PackedBed, open_source, segments
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.plink_writer import write_plink

N_SAMPLES, N_SNPS = 37, 700


@pytest.fixture
def fileset(tmp_path, monkeypatch):
    """A fileset and its .bed.zst in another folder, in frames of 64 SNPs; the packed SNPs."""
    monkeypatch.setattr(segments, "SEGMENT_SNPS", 64)
    dosages = random_dosages(N_SAMPLES, N_SNPS)
    write_plink(tmp_path / "x", dosages)
    (tmp_path / "to").mkdir()
    lfmm2.pack(tmp_path / "x", tmp_path / "to" / "x", n_threads=2)
    return packed(dosages)


def test_zstd_gives_back_the_bed(tmp_path, fileset):
    """The .bim and the .fam are copied; a file beside the .bed needs no copies."""
    made = lfmm2.pack(tmp_path / "x.bed", level=1)
    assert (made.bed, made.bim, made.n_samples, made.n_snps) == (
        tmp_path / "x.bed.zst", tmp_path / "x.bim", N_SAMPLES, N_SNPS
    )  # fmt: skip
    assert made.n_bytes == (tmp_path / "x.bed").stat().st_size
    assert made.n_packed_bytes == made.bed.stat().st_size
    for end in ("bim", "fam"):
        assert (tmp_path / "to" / f"x.{end}").read_bytes() == (tmp_path / f"x.{end}").read_bytes()
    if zstd := shutil.which("zstd"):
        for bed in (made.bed, tmp_path / "to" / "x.bed.zst"):
            unpacked = subprocess.run([zstd, "-dc", bed], capture_output=True, check=True).stdout
            assert unpacked == (tmp_path / "x.bed").read_bytes()


@pytest.mark.parametrize("name", ["x", "x.bed", "x.bed.zst"])
def test_fileset_is_opened_by_any_of_its_names(tmp_path, fileset, name):
    with open_source(tmp_path / "to" / name) as source:
        assert isinstance(source, lfmm2.BedFile)
        assert source.path.name == "x.bed.zst"
        assert (source.n_samples, source.n_snps) == (N_SAMPLES, N_SNPS)
        assert source.stamps[0].n_bytes == source.describe()["bytes"] == source.path.stat().st_size
        assert "(.bed.zst), bytes" in source.identity()
        with lfmm2.open_bed(tmp_path / "x") as bed:
            assert bed.path.name == "x.bed"
            assert bed.sample_digest == source.sample_digest
            assert source.memory.held_variant_bytes > bed.memory.held_variant_bytes


@pytest.mark.parametrize("n_threads", [1, 4])
def test_any_snps_are_read(tmp_path, fileset, n_threads):
    with PackedBed(tmp_path / "to" / "x.bed.zst", N_SAMPLES, N_SNPS) as bed:
        reader = bed.read_in_threads(n_threads)
        assert bed.reading_memory(n_threads) >= 64 * bed.bytes_per_snp * n_threads
        rng = np.random.default_rng(2)
        for first, n in ((0, N_SNPS), (0, 0), (63, 2), (64, 64), (699, 1), (100, 333)):
            out = np.empty((n, bed.bytes_per_snp), np.uint8)
            reader.read_packed(first, out)
            np.testing.assert_array_equal(out, fileset[first : first + n])
            snps = np.sort(rng.choice(N_SNPS, n, replace=False))
            reader.read_snps(snps, out)
            np.testing.assert_array_equal(out, fileset[snps])


def test_passes_have_the_bits_of_the_bed(tmp_path, fileset):
    rng = np.random.default_rng(3)
    W, samples = rng.standard_normal((30, 3)), rng.permutation(N_SAMPLES)[:30]
    products = []
    for name in ("x.bed", "to/x.bed.zst"):
        with open_source(tmp_path / name) as source:
            matrix = source.matrix(Engine(2, 1 << 26), samples, np.arange(0, N_SNPS, 3))
            blocks = [block.products for block in matrix.cross_products(W)]
            products.append([np.concatenate(blocks), matrix.gram(), matrix.gram_product(W).total()])
    for of_bed, of_packed in zip(*products, strict=True):
        np.testing.assert_array_equal(of_bed, of_packed)


def test_unpacking_is_in_the_memory_of_a_pass(tmp_path, fileset):
    held = []
    for name in ("x.bed", "to/x.bed.zst"):
        with open_source(tmp_path / name) as source:
            matrix = BedMatrix(source, Engine(4, 1 << 26))
            held.append([matrix.footprint_of_gram().held, matrix.footprint_of_cross_products(3).held])
    added = np.subtract(held[1], held[0])
    assert (added >= 4 * 64 * 10).all()


def test_runs_of_packed_parts_have_the_bytes_of_the_whole(tmp_path, monkeypatch, capsys):
    """One of the parts has its samples in another order, and one is not compressed."""
    monkeypatch.chdir(tmp_path)
    order = np.random.default_rng(4).permutation(N_SAMPLES).tolist()
    write_parts(Path(), random_dosages(N_SAMPLES, 300, missing=0), {"1": 100, "2": 120, "X": 80}, orders={"2": order})
    for name in ("chr1", "chr2"):
        lfmm2.pack(name)
        Path(f"{name}.bed").unlink()
    rows = [f"i{k:02d},{k % 7 + k / 10}\n" for k in range(N_SAMPLES)]
    Path("env.csv").write_text("IID,temp\n" + "".join(rows))
    Path("list").write_text("chr1.bed.zst chr1.bim chr1.fam\nchr2.bed\nchrX\n")
    for out, given in (("a", ["--bed", "whole"]), ("b", ["--bed", "chr@"]), ("c", ["--bed-list", "list"])):
        with pytest.raises(SystemExit) as ended:
            main(["run", *given, "--env", "env.csv", "-K", "2", "--out", out])
        assert not ended.value.code, capsys.readouterr().err
    assert "chr1.bed.zst, chr2.bed.zst, chrX.bed" in Path("b.lfmm2.log").read_text()
    tables = [path.read_bytes() for out in "abc" for path in Path().glob(f"{out}.temp.*")]
    assert len(tables) == 3
    assert len(set(tables)) == 1


def test_command_packs_and_tells_sizes(tmp_path, fileset, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["pack", "x", "--level", "9", "--threads", "2"])
    assert not ended.value.code
    said = capsys.readouterr().out
    assert "700 SNPs of 37 samples" in said
    assert "7.0 kB became" in said
    with pytest.raises(SystemExit) as ended:
        main(["pack", "x"])
    assert ended.value.code == OutputExistsError.exit_code
    with pytest.raises(SystemExit) as ended:
        main(["pack", "x", "--overwrite"])
    assert not ended.value.code


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"level": 20}, UsageError, "level is 20; give a whole number from 1 to 19"),
        ({"level": True}, UsageError, "level is True; give a whole number"),
        ({"out": "y.bed"}, UsageError, "out is 'y.bed'; give a name that ends in .bed.zst, or the prefix before it"),
        ({"out": "to/x.bed.zst"}, OutputExistsError, "output exists: .*x.fam"),
        ({"path": "to/x"}, UsageError, r"to/x.bed.zst: is read, and would be written; give another name with --out"),
        ({"path": "none"}, ReadError, "none: cannot be opened"),
        ({"path": "x.fam"}, MalformedInputError, r"x\.fam: begins with text, but a \.bed with"),
    ],
)
def test_pack_refuses(tmp_path, fileset, monkeypatch, arguments, error, match):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error, match=match):
        lfmm2.pack(**({"path": "x"} | arguments))
    assert sorted(tmp_path.rglob("*")) == before


def test_another_fileset_is_told(tmp_path, fileset):
    bim = tmp_path / "to" / "x.bim"
    bim.write_bytes(b"".join(bim.read_bytes().splitlines(True)[:-1]))
    with pytest.raises(InconsistentInputError, match=r"7 003 unpacked bytes, but 37 samples \(x\.fam\) × 699 SNPs"):
        lfmm2.open_bed(tmp_path / "to" / "x")


def test_dirty_pad_bits_are_told_by_their_unpacked_place(tmp_path):
    write_plink(tmp_path / "x", np.ones((3, 38)))
    lfmm2.pack(tmp_path / "x")
    fam = tmp_path / "x.fam"
    fam.write_bytes(b"".join(fam.read_bytes().splitlines(True)[:-1]))
    with pytest.raises(MalformedInputError, match=r"x\.bed\.zst, byte 12 when unpacked \(SNP 1\): has genotypes of"):
        lfmm2.open_bed(tmp_path / "x.bed.zst")
